"""Containers, where the agent may read the socket of Docker or of Podman's service: which run, and which are ill.

Being in the group `docker` is as good as being root, so nothing asks for it: who may not read has nothing to read.
"""

import re
import socket
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from agent import http1
from agent.probes.base import SLOW_INTERVAL_SECONDS, Metric, MetricType, ProbeFailed, ProbeUnavailable, Sample
from agent.probes.parsing import dig_list, dig_text, parse_json

SOCKETS = (Path("/var/run/docker.sock"), Path("/run/podman/podman.sock"))
PATH = "/v1.24/containers/json?all=1"  # the oldest that is still served, by Podman too
HEADERS = {"Host": "localhost"}
TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 4 << 20
MAX_CONTAINERS = 100
# What is made anew at each start has no name of its own: its series would come and go.
RANDOM_NAME = re.compile(r"^(?:[a-z]+_[a-z]+\d?|[0-9a-f]{12,64})$")
STATES = ("running", "restarting", "paused", "exited", "created", "dead")
LABELS = ("container_name",)


class Container(NamedTuple):
    name: str
    state: str
    health: str  # healthy, unhealthy, starting; empty without a check


class ContainerProbe:
    name = "containers"
    interval_seconds = SLOW_INTERVAL_SECONDS
    timeout_seconds = 30.0
    metrics = (
        Metric("container_count", MetricType.GAUGE, "containers", "Containers by state", ("container_state",)),
        Metric("container_up", MetricType.GAUGE, "boolean", "1 if it runs; of containers that somebody named", LABELS),
        Metric("container_healthy", MetricType.GAUGE, "boolean", "0 if its own check says that it is ill", LABELS),
    )

    def __init__(self, sockets: Sequence[Path] = SOCKETS) -> None:
        self._sockets = sockets

    def sample(self) -> list[Sample]:
        containers = self._read()
        states = Counter(one.state for one in containers)
        samples = [Sample("container_count", states[state], {"container_state": state}) for state in STATES]
        named = sorted(one for one in containers if not RANDOM_NAME.match(one.name))[:MAX_CONTAINERS]
        for one in named:
            labels = {"container_name": one.name}
            samples.append(Sample("container_up", int(one.state == "running"), labels))
            if one.health in ("healthy", "unhealthy"):
                samples.append(Sample("container_healthy", int(one.health == "healthy"), labels))
        return samples

    def _read(self) -> list[Container]:
        for path in self._sockets:
            try:
                return containers_of(ask(path))
            except (FileNotFoundError, PermissionError, ConnectionRefusedError):
                continue
            except (OSError, http1.HttpError) as error:
                raise ProbeFailed(f"{path} does not answer ({type(error).__name__})") from error
        raise ProbeUnavailable("no socket of Docker or Podman is there to be read")


def ask(path: Path) -> object:
    """Raises OSError, HttpError or ProbeFailed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        connection.connect(str(path))
        answer = http1.ask(connection, "GET", PATH, HEADERS, max_body_bytes=MAX_ANSWER_BYTES)
    if answer.status != 200 or len(answer.body) > MAX_ANSWER_BYTES:
        raise ProbeFailed(f"{path} answers {answer.status} with {len(answer.body)} bytes")
    return parse_json(answer.body, str(path))


def containers_of(told: object) -> list[Container]:
    """From the answer of `GET /containers/json`; what makes no sense is left out."""
    found: dict[str, Container] = {}
    for one in told if isinstance(told, list) else []:
        names = [name for name in dig_list(one, "Names") if isinstance(name, str)]
        name = names[0].lstrip("/") if names else dig_text(one, "Id")[:12]
        if name:
            health = re.search(r"\((?:health: )?(healthy|unhealthy|starting)\)", dig_text(one, "Status"))
            found.setdefault(name, Container(name, dig_text(one, "State"), health[1] if health else ""))
    return list(found.values())
