"""Services: whether those that somebody watches are up, and which have failed. systemd, Windows, launchd."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import psutil

from agent.children import run_child
from agent.config import SERVICE_NAME, AgentConfig
from agent.probes.base import SLOW_INTERVAL_SECONDS, Metric, MetricType, ProbeFailed, ProbeUnavailable, Sample
from agent.probes.parsing import decode
from agent.settings import Section

SERVICE_LABEL = ("service_name",)
MAX_FAILED = 50
SYSTEMD = Path("/run/systemd/system")
UNIT_PROPERTIES = "--property=Id,LoadState,ActiveState,SubState,StateChangeTimestampMonotonic"
UP_STATES = ("active", "reloading", "refreshing")
# Watched on Windows without being asked for, where they are there and start by themselves.
WINDOWS_WATCHED = (
    "Spooler",
    "W32Time",
    "EventLog",
    "Schedule",
    "LanmanServer",
    "Dhcp",
    "Dnscache",
    "WinDefend",
    "mpssvc",
)


class ServiceReading(NamedTuple):
    up: Mapping[str, bool]  # by name: the watched ones
    failed: Sequence[str]  # oldest first
    failed_count: int | None  # None where the system knows no such state


ServiceReader = Callable[[Sequence[str]], ServiceReading]


class Unit(NamedTuple):
    name: str
    is_up: bool
    is_failed: bool
    changed_at: float  # microseconds since boot


def read_systemd(watched: Sequence[str]) -> ServiceReading:
    if not SYSTEMD.exists():
        raise ProbeUnavailable("systemd does not run this machine")
    listed = run_child(["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager", "--full"])
    if listed.exit_code != 0:
        raise ProbeFailed(f"systemctl list-units ended with exit code {listed.exit_code}")
    failed = parse_failed(decode(listed.output))
    names = [unit_of(name) for name in watched]
    asked = [*names, *(one for one in failed[: 10 * MAX_FAILED] if one not in names)]
    if not asked:
        return ServiceReading({}, [], 0)
    shown = run_child(["systemctl", "show", UNIT_PROPERTIES, "--", *asked])
    units = dict(zip(asked, parse_units(decode(shown.output)), strict=False))
    if len(units) < len(asked):
        raise ProbeFailed(f"systemctl show told of {len(units)} units, not of {len(asked)}")
    oldest_first = sorted((units[name].changed_at, name) for name in failed if name in units and units[name].is_failed)
    return ServiceReading(
        up={name: units[unit_of(name)].is_up for name in watched},
        failed=[short_name(name) for _, name in oldest_first],
        failed_count=len(failed),
    )


def parse_failed(text: str) -> list[str]:
    """Units in `systemctl list-units --state=failed --plain --no-legend`."""
    lines = [line.split() for line in text.splitlines()]
    return [fields[0] for fields in lines if len(fields) >= 4 and "." in fields[0] and fields[2] == "failed"]


def parse_units(text: str) -> list[Unit]:
    """The blocks of `systemctl show UNIT…`: one for each unit asked for, in that order."""
    units = []
    for block in text.split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in fields:
            changed_at = fields.get("StateChangeTimestampMonotonic", "")
            active = fields.get("ActiveState", "")
            units.append(
                Unit(
                    fields["Id"],
                    active in UP_STATES,
                    active == "failed",
                    int(changed_at) if changed_at.isdecimal() else 0,
                )
            )
    return units


def unit_of(name: str) -> str:
    """`nginx` is short for `nginx.service`."""
    return name if "." in name else f"{name}.service"


def short_name(unit: str) -> str:
    return unit.removesuffix(".service")


# Looked up by name: psutil has it on Windows alone.
ask_windows: Callable[[str], Any] = getattr(psutil, "win_service_get", lambda _: None)


def read_windows(watched: Sequence[str]) -> ServiceReading:
    up = {}
    for name in watched or WINDOWS_WATCHED:
        try:
            service: dict[str, Any] = ask_windows(name).as_dict()
        except psutil.NoSuchProcess:
            if watched:
                up[name] = False
            continue
        except (psutil.Error, OSError):
            continue  # no right to ask
        if watched or service.get("start_type") == "automatic":
            up[name] = service.get("status") in ("running", "start_pending", "continue_pending")
    return ServiceReading(up, [], None)


def read_launchd(watched: Sequence[str]) -> ServiceReading:
    if not watched:
        raise ProbeUnavailable(
            "no service is watched; name them in agent.toml: [services] watch = [...], or at the collector"
        )
    listed = run_child(["launchctl", "list"])
    if listed.exit_code != 0:
        raise ProbeFailed(f"launchctl list ended with exit code {listed.exit_code}")
    return judge_launchd(decode(listed.output), watched)


def judge_launchd(text: str, watched: Sequence[str]) -> ServiceReading:
    """Of `launchctl list`, lines `PID Status Label`: up with a process, failed without one after a bad end."""
    jobs = {fields[2]: fields for fields in (line.split("\t") for line in text.splitlines()) if len(fields) == 3}
    up = {name: name in jobs and jobs[name][0].isdecimal() for name in watched}
    failed = [name for name in watched if name in jobs and not up[name] and jobs[name][1] not in ("0", "-")]
    return ServiceReading(up, failed, len(failed))


READERS: dict[str, ServiceReader] = {"linux": read_systemd, "win32": read_windows, "darwin": read_launchd}


def read_services(watched: Sequence[str]) -> ServiceReading:
    reader = READERS.get(sys.platform)
    if reader is None:
        raise ProbeUnavailable(f"services cannot be read on {sys.platform}")
    return reader(watched)


class ServiceProbe:
    name = "services"
    interval_seconds = SLOW_INTERVAL_SECONDS  # systemctl takes about 10 ms of processor time, twice
    timeout_seconds = 60.0
    metrics = (
        Metric(
            "service_up",
            MetricType.GAUGE,
            "boolean",
            "1 up, 0 not: the services that agent.toml or the collector names",
            SERVICE_LABEL,
        ),
        Metric(
            "service_failed",
            MetricType.GAUGE,
            "boolean",
            f"1 for each failed unit, at most {MAX_FAILED}, those failed longest first; absent for all others",
            SERVICE_LABEL,
        ),
        Metric("service_failed_count", MetricType.GAUGE, "services", "Failed units (not on Windows)"),
    )

    def __init__(self, watched: Iterable[str] = (), read: ServiceReader = read_services) -> None:
        self._own = tuple(dict.fromkeys(watched))
        self._watched = self._own
        self._read = read

    @classmethod
    def from_settings(cls, section: Section) -> Self:
        watched = section.texts("watch")
        for name in watched:
            if not SERVICE_NAME.fullmatch(name):
                section.refuse(f"must be names of services, got {name!r:.100}", "watch")
        return cls(watched)

    def configure(self, config: AgentConfig) -> None:
        """The collector's, beside those of agent.toml."""
        self._watched = tuple(dict.fromkeys([*self._own, *config.services]))

    def sample(self) -> list[Sample]:
        reading = self._read(self._watched)
        samples = [Sample("service_up", int(is_up), {"service_name": name}) for name, is_up in reading.up.items()]
        samples += [Sample("service_failed", 1, {"service_name": name}) for name in reading.failed[:MAX_FAILED]]
        if reading.failed_count is not None:
            samples.append(Sample("service_failed_count", reading.failed_count))
        return samples
