"""A collector on a real port, an enrolled state folder, and agents as real processes."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import uplink
from agent.enrolment import enroll
from agent.state import ProbeEntry
from tests.agent.collector import Collector
from tests.agent.delivering import Bench
from tests.agent.patience import PATIENCE_SECONDS, PATIENT_AGENT
from tests.conftest import require

AGENT = str(Path(sys.executable).with_name("quarkpulse-agent"))

StartAgent = Callable[..., "subprocess.Popen[str]"]


def listed(**places: str) -> dict[str, ProbeEntry]:
    """Probes that the agent itself loads, as the state folder lists them."""
    return {name: ProbeEntry(place) for name, place in places.items()}


@pytest.fixture(autouse=True)
def patient_uplinks() -> Iterator[None]:
    """Those of this process. Not by `monkeypatch`: what a test changes is to be undone before its folder is emptied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uplink, "TIMEOUT_SECONDS", PATIENCE_SECONDS)
        yield


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def state(collector: Collector, tmp_path: Path) -> Path:
    """The state folder of an agent enrolled at `collector`, with the probes that never wait."""
    folder = tmp_path / "state"
    probes = {
        "memory": ProbeEntry("agent.probes.memory:MemoryProbe"),
        "uptime": ProbeEntry("agent.probes.host:UptimeProbe"),
    }
    enroll(folder, collector.url, "a-token", probes=probes)
    return folder


@pytest.fixture
def bench(collector: Collector, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(collector, tmp_path / "spool")
    yield bench
    bench.uplink.close()


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[StartAgent]:
    """Starts `quarkpulse-agent run`, with patience; what it says goes to `agent.log` in the test's folder."""
    started: list[subprocess.Popen[str]] = []

    def start(state: Path, *arguments: str, interval: str = "0.3s") -> "subprocess.Popen[str]":
        with (tmp_path / "agent.log").open("a") as log:
            command = [*PATIENT_AGENT, "run", "--state", str(state), "--interval", interval, *arguments]
            agent = subprocess.Popen(command, stderr=log, text=True)
        started.append(agent)
        return agent

    yield start
    for agent in started:
        if agent.poll() is None:
            agent.send_signal(signal.SIGKILL)
        agent.wait(60)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def make_certificate(folder: Path) -> Path:
    """For 127.0.0.1, signed by itself, with its key in the same file."""
    both = folder / "both.pem"
    subprocess.run(
        [require("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=elsewhere", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return both
