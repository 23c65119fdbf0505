"""What Linux itself says of want: time that programs stood still for it, and those it killed for memory."""

import re
from collections.abc import Mapping
from pathlib import Path

from agent.probes.base import FAST_INTERVAL_SECONDS, Metric, MetricType, ProbeUnavailable, Sample

PROC = Path("/proc")
RESOURCES = ("cpu", "memory", "io")
SOME_60S = re.compile(rb"(?m)^some .*\bavg60=(\d{1,3}(?:\.\d{1,4})?)\b")
OOM_KILL = re.compile(rb"(?m)^oom_kill (\d{1,18})$")


def read_stalls(proc: Path) -> Mapping[str, float]:
    """By resource: share of the last 60 s in which some program waited for it."""
    found = {}
    for resource in RESOURCES:
        match = SOME_60S.search(read_file(proc / "pressure" / resource))
        if match:
            found[resource] = round(float(match[1]) / 100, 6)
    return found


def read_oom_kills(proc: Path) -> int | None:
    match = OOM_KILL.search(read_file(proc / "vmstat"))
    return int(match[1]) if match else None


def read_file(file: Path) -> bytes:
    """Empty where it is missing or switched off (psi=0)."""
    try:
        with file.open("rb") as opened:
            return opened.read(1 << 16)
    except OSError:
        return b""


class PressureProbe:
    name = "pressure"
    interval_seconds = FAST_INTERVAL_SECONDS
    timeout_seconds = 5.0
    metrics = (
        Metric(
            "system_pressure_stall_ratio",
            MetricType.GAUGE,
            "ratio",
            "Share of the last 60 s in which some program waited for it: cpu, memory, io (Linux)",
            ("system_resource",),
        ),
        Metric(
            "system_memory_oom_kills_total",
            MetricType.COUNTER,
            "processes",
            "Processes killed because memory ran out, since boot (Linux)",
        ),
    )

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc

    def sample(self) -> list[Sample]:
        samples = [
            Sample("system_pressure_stall_ratio", ratio, {"system_resource": resource})
            for resource, ratio in read_stalls(self._proc).items()
        ]
        kills = read_oom_kills(self._proc)
        if kills is not None:
            samples.append(Sample("system_memory_oom_kills_total", kills))
        if not samples:
            raise ProbeUnavailable("this system tells neither pressure nor kills for want of memory")
        return samples
