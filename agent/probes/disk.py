"""Disk I/O of whole disks; partitions and layers above them would count the same bytes twice."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from agent.probes.base import FAST_INTERVAL_SECONDS, Metric, MetricType, ProbeUnavailable, Sample

DEVICE = "system_device"
DIRECTION = "disk_io_direction"
LEFT_OUT = ("loop", "ram", "zram", "dm-", "sr", "fd")
SYS_BLOCK = Path("/sys/block")


def read_disks() -> Mapping[str, Any]:
    """Counters of whole disks by name."""
    # nowrap=False: psutil would otherwise keep every reading to mend 32-bit wraps; `rate()` takes a wrap as a reset.
    counters = psutil.disk_io_counters(perdisk=True, nowrap=False)
    whole = {entry.name for entry in SYS_BLOCK.iterdir()} if SYS_BLOCK.is_dir() else set(counters)
    return {name: counters[name] for name in counters if name in whole and not name.startswith(LEFT_OUT)}


class DiskProbe:
    name = "disk"
    interval_seconds = FAST_INTERVAL_SECONDS
    timeout_seconds = 5.0
    metrics = (
        Metric(
            "system_disk_io_bytes_total", MetricType.COUNTER, "bytes", "Bytes read and written", (DEVICE, DIRECTION)
        ),
        Metric(
            "system_disk_operations_total", MetricType.COUNTER, "operations", "Reads and writes", (DEVICE, DIRECTION)
        ),
        Metric(
            "system_disk_operation_time_seconds_total",
            MetricType.COUNTER,
            "seconds",
            "Time that reads and writes took, summed",
            (DEVICE, DIRECTION),
        ),
        Metric(
            "system_disk_io_time_seconds_total",
            MetricType.COUNTER,
            "seconds",
            "Time the disk was busy (not on Windows and macOS)",
            (DEVICE,),
        ),
    )

    def __init__(self, read: Callable[[], Mapping[str, Any]] = read_disks) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        disks = self._read()
        if not disks:
            raise ProbeUnavailable("this system shows no disk counters")
        samples: list[Sample] = []
        for device, io in disks.items():
            if hasattr(io, "busy_time"):
                samples.append(Sample("system_disk_io_time_seconds_total", io.busy_time / 1000, {DEVICE: device}))
            for direction in ("read", "write"):
                labels = {DEVICE: device, DIRECTION: direction}
                samples += [
                    Sample("system_disk_io_bytes_total", getattr(io, f"{direction}_bytes"), labels),
                    Sample("system_disk_operations_total", getattr(io, f"{direction}_count"), labels),
                    Sample("system_disk_operation_time_seconds_total", getattr(io, f"{direction}_time") / 1000, labels),
                ]
        return samples
