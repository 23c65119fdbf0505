"""Processes: how many in which state, and which programs use the most. Names of programs only, never of users."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from agent.probes.base import SLOW_INTERVAL_SECONDS, Metric, MetricType, Sample

TOP = 5
# Below these a program is of no interest, and an idle machine's list would change with every reading.
MIN_CPU_RATIO = 0.01
MIN_MEMORY_BYTES = 16 << 20
NAME_LABEL = ("process_name",)

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
# Fields of /proc/PID/stat after the name, as proc_pid_stat(5) counts them, less 3.
STATE, USER_TICKS, SYSTEM_TICKS, START_TICKS, RESIDENT_PAGES = 0, 11, 12, 19, 21


class Process(NamedTuple):
    key: tuple[int, float]  # its id and when it started: an id alone is used again
    name: str
    state: str
    cpu_seconds: float
    memory_bytes: int


def read_processes(proc: Path = Path("/proc")) -> list[Process]:
    """On Linux one small file per process: psutil reads several, at four times the cost."""
    if not psutil.LINUX:
        return [make_process(process.info) for process in psutil.process_iter(PSUTIL_FIELDS)]
    ticks, page_bytes = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    found = []
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_bytes()
            except OSError:
                continue  # ended meanwhile
            process = parse_stat(int(entry.name), stat, ticks, page_bytes)
            if process is not None:
                found.append(process)
    return found


def parse_stat(pid: int, stat: bytes, ticks_per_second: int, page_bytes: int) -> Process | None:
    """The name stands in brackets, and may itself hold blanks and brackets."""
    begin, end = stat.find(b"("), stat.rfind(b")")
    fields = stat[end + 2 :].split()
    if begin < 0 or end < begin or len(fields) <= RESIDENT_PAGES:
        return None
    if not all(fields[number].isdigit() for number in (START_TICKS, USER_TICKS, SYSTEM_TICKS, RESIDENT_PAGES)):
        return None
    return Process(
        key=(pid, float(fields[START_TICKS])),
        # A kernel thread's name says what it does just now: kworker/0:1-events
        name=stat[begin + 1 : end].decode(errors="replace").partition("/")[0] or "?",
        state=fields[STATE].decode("ascii", errors="replace"),
        cpu_seconds=(int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS])) / ticks_per_second,
        memory_bytes=int(fields[RESIDENT_PAGES]) * page_bytes,
    )


PSUTIL_FIELDS = ["pid", "name", "status", "cpu_times", "memory_info", "create_time"]


def make_process(info: Mapping[str, object]) -> Process:
    """From psutil's fields, each None where it may not be read."""
    times, memory = info.get("cpu_times"), info.get("memory_info")
    pid, began = info.get("pid"), info.get("create_time")
    return Process(
        key=(pid if isinstance(pid, int) else 0, began if isinstance(began, float) else 0.0),
        name=str(info.get("name") or "?"),
        state=str(info.get("status") or ""),
        cpu_seconds=getattr(times, "user", 0.0) + getattr(times, "system", 0.0),
        memory_bytes=getattr(memory, "rss", 0),
    )


class ProcessProbe:
    name = "processes"
    interval_seconds = SLOW_INTERVAL_SECONDS
    timeout_seconds = 10.0
    metrics = (
        Metric("system_process_count", MetricType.GAUGE, "processes", "Processes by state", ("process_state",)),
        Metric(
            "process_cpu_utilization_ratio",
            MetricType.GAUGE,
            "ratio",
            f"The {TOP} programs with the most, from {MIN_CPU_RATIO:g} on: share of all processors since last read",
            NAME_LABEL,
        ),
        Metric(
            "process_memory_usage_bytes",
            MetricType.GAUGE,
            "bytes",
            f"The {TOP} programs with the most, from {MIN_MEMORY_BYTES >> 20} MiB on: resident, all their processes",
            NAME_LABEL,
        ),
    )

    def __init__(
        self,
        read: Callable[[], Iterable[Process]] = read_processes,
        monotonic: Callable[[], float] = time.monotonic,
        processors: int | None = None,
    ) -> None:
        self._read = read
        self._monotonic = monotonic
        self._processors = processors or os.cpu_count() or 1
        self._read_at = 0.0
        self._cpu_seconds: dict[tuple[int, float], float] | None = None  # by process, at the reading before

    def sample(self) -> list[Sample]:
        processes = list(self._read())
        now = self._monotonic()
        states = Counter(PROCESS_STATES.get(process.state, "sleeping") for process in processes)
        samples = [
            Sample("system_process_count", states[state], {"process_state": state})
            for state in ("running", "sleeping", "stopped", "defunct")
        ]
        memory: Counter[str] = Counter()
        for process in processes:
            memory[process.name] += process.memory_bytes
        samples += top_samples("process_memory_usage_bytes", memory, MIN_MEMORY_BYTES)
        if self._cpu_seconds is not None and now > self._read_at:
            shares = self._measure(processes, self._cpu_seconds, now - self._read_at)
            samples += top_samples("process_cpu_utilization_ratio", shares, MIN_CPU_RATIO)
        self._cpu_seconds = {process.key: process.cpu_seconds for process in processes}
        self._read_at = now
        return samples

    def _measure(
        self, processes: Iterable[Process], before: Mapping[tuple[int, float], float], seconds: float
    ) -> Mapping[str, float]:
        """Share by name. What started since counts whole; what has ended since is not seen."""
        spent: dict[str, float] = {}
        for process in processes:
            spent_seconds = max(0.0, process.cpu_seconds - before.get(process.key, 0.0))
            spent[process.name] = spent.get(process.name, 0.0) + spent_seconds
        return {name: min(1.0, round(spent[name] / seconds / self._processors, 4)) for name in spent}


def top_samples(metric: str, by_name: Mapping[str, float], least: float) -> list[Sample]:
    """The first TOP by value, equal ones by name."""
    ranked = sorted(by_name.items(), key=lambda pair: (-pair[1], pair[0]))[:TOP]
    return [Sample(metric, value, {"process_name": name}) for name, value in ranked if value >= least]
