"""Processors: time and utilization by mode, count, load."""

import os
import time
from collections.abc import Callable, Mapping

import psutil

from agent.probes.base import FAST_INTERVAL_SECONDS, Metric, MetricType, ProbeUnavailable, Sample

# The first utilization is taken over this short while: none at all would change the layout at the second frame.
FIRST_WINDOW_SECONDS = 0.25

CpuTimes = Mapping[str, float]  # seconds since boot by mode


def read_cpu_times() -> CpuTimes:
    """Seconds by OpenTelemetry's `cpu.mode`, summed over all processors. Modes that the system lacks are absent."""
    times: dict[str, float] = dict(psutil.cpu_times()._asdict())
    modes: dict[str, float] = {
        mode: times[mode] for mode in ("user", "system", "nice", "idle", "iowait", "steal") if mode in times
    }
    interrupts = [times[name] for name in ("irq", "softirq", "interrupt", "dpc") if name in times]
    if interrupts:
        modes["interrupt"] = sum(interrupts)
    return modes


def utilization(before: CpuTimes, after: CpuTimes) -> dict[str, float | None]:
    """Each mode's share of the time between two readings, 0 to 1; None where no time passed.

    Counters of single modes may step back a little (iowait does); that counts as nothing."""
    spent = {mode: max(0.0, seconds - before.get(mode, 0.0)) for mode, seconds in after.items()}
    total = sum(spent.values())
    return {mode: round(seconds / total, 6) if total > 0 else None for mode, seconds in spent.items()}


class CpuProbe:
    name = "cpu"
    interval_seconds = FAST_INTERVAL_SECONDS
    timeout_seconds = 5.0
    metrics = (
        Metric(
            "system_cpu_time_seconds_total",
            MetricType.COUNTER,
            "seconds",
            "Time spent, all processors together",
            ("cpu_mode",),
        ),
        Metric(
            "system_cpu_utilization_ratio",
            MetricType.GAUGE,
            "ratio",
            "Share of time since the reading before, all processors together",
            ("cpu_mode",),
        ),
        Metric("system_cpu_logical_count", MetricType.GAUGE, "processors", "Logical processors"),
    )

    def __init__(
        self,
        read: Callable[[], CpuTimes] = read_cpu_times,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._read = read
        self._sleep = sleep
        self._before: CpuTimes | None = None

    def sample(self) -> list[Sample]:
        before = self._before
        if before is None:
            before = self._read()
            self._sleep(FIRST_WINDOW_SECONDS)
        times = self._before = self._read()
        shares = utilization(before, times)
        return [
            *(
                Sample("system_cpu_time_seconds_total", round(seconds, 2), {"cpu_mode": mode})
                for mode, seconds in times.items()
            ),
            *(Sample("system_cpu_utilization_ratio", share, {"cpu_mode": mode}) for mode, share in shares.items()),
            Sample("system_cpu_logical_count", os.cpu_count()),
        ]


# Windows has no such function.
read_load: Callable[[], tuple[float, float, float]] | None = getattr(os, "getloadavg", None)


class LoadProbe:
    name = "load"
    interval_seconds = FAST_INTERVAL_SECONDS
    timeout_seconds = 5.0
    metrics = tuple(
        Metric(f"system_cpu_load_average_{minutes}m", MetricType.GAUGE, "processes", f"Load average over {minutes} min")
        for minutes in (1, 5, 15)
    )

    def __init__(self, read: Callable[[], tuple[float, float, float]] | None = read_load) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        if self._read is None:
            raise ProbeUnavailable("this system keeps no load average")
        return [Sample(metric.name, round(load, 3)) for metric, load in zip(self.metrics, self._read(), strict=True)]
