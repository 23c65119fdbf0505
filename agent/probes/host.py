"""The system as a whole: uptime, processes, logged-in users."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from agent.probes.base import FAST_INTERVAL_SECONDS, SLOW_INTERVAL_SECONDS, Metric, MetricType, Sample

# psutil's and the kernel's words for OpenTelemetry's four `process.state`s; every other state is a way of sleeping.
PROCESS_STATES = {
    "running": "running",
    "R": "running",
    "stopped": "stopped",
    "tracing-stop": "stopped",
    "T": "stopped",
    "t": "stopped",
    "zombie": "defunct",
    "dead": "defunct",
    "Z": "defunct",
    "X": "defunct",
}


def read_uptime_seconds() -> float:
    """Seconds since boot, sleep included."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - psutil.boot_time()


def read_process_states(proc: Path = Path("/proc")) -> list[str]:
    """Each process's state. On Linux one small file per process: psutil reads several, at four times the cost."""
    if not psutil.LINUX:
        return [process.info["status"] or "" for process in psutil.process_iter(["status"])]
    states = []
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_bytes()
            except OSError:
                continue  # ended meanwhile
            states.append(chr(stat[stat.rindex(b")") + 2]))  # the name before it may hold blanks and brackets
    return states


def read_user_names() -> list[str]:
    """One name for each session."""
    return [user.name for user in psutil.users()]


class UptimeProbe:
    name = "uptime"
    interval_seconds = FAST_INTERVAL_SECONDS
    timeout_seconds = 5.0
    metrics = (Metric("system_uptime_seconds", MetricType.GAUGE, "seconds", "Time since boot, sleep included"),)

    def __init__(self, read: Callable[[], float] = read_uptime_seconds) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        return [Sample("system_uptime_seconds", round(self._read(), 2))]


class ProcessProbe:
    name = "processes"
    interval_seconds = SLOW_INTERVAL_SECONDS
    timeout_seconds = 10.0
    metrics = (Metric("system_process_count", MetricType.GAUGE, "processes", "Processes by state", ("process_state",)),)

    def __init__(self, read: Callable[[], Iterable[str]] = read_process_states) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        counts = Counter(PROCESS_STATES.get(state, "sleeping") for state in self._read())
        return [
            Sample("system_process_count", counts[state], {"process_state": state})
            for state in ("running", "sleeping", "stopped", "defunct")
        ]


class UserProbe:
    """Only how many: names are personal data, off until a customer allows them."""

    name = "users"
    interval_seconds = FAST_INTERVAL_SECONDS
    timeout_seconds = 5.0
    metrics = (Metric("system_users_logged_in", MetricType.GAUGE, "users", "Different users with a session"),)

    def __init__(self, read: Callable[[], Iterable[str]] = read_user_names) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        return [Sample("system_users_logged_in", len(set(self._read())))]
