"""Main memory and swap."""

from collections.abc import Callable
from typing import Any

import psutil

from agent.probes.base import FAST_INTERVAL_SECONDS, Metric, MetricType, Sample

STATE = "system_memory_state"
PAGING_STATE = "system_paging_state"


class MemoryProbe:
    """`used` is what programs cannot have (total less available), so that caches do not look like a full machine."""

    name = "memory"
    interval_seconds = FAST_INTERVAL_SECONDS
    timeout_seconds = 5.0
    metrics = (
        Metric(
            "system_memory_usage_bytes",
            MetricType.GAUGE,
            "bytes",
            "Memory by state; used is total less available",
            (STATE,),
        ),
        Metric(
            "system_memory_utilization_ratio",
            MetricType.GAUGE,
            "ratio",
            "Memory by state, share of the total",
            (STATE,),
        ),
        Metric("system_memory_limit_bytes", MetricType.GAUGE, "bytes", "Memory in total"),
        Metric(
            "system_memory_linux_available_bytes",
            MetricType.GAUGE,
            "bytes",
            "Memory that new programs can have without swapping (Linux)",
        ),
    )

    def __init__(self, read: Callable[[], Any] = psutil.virtual_memory) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        memory = self._read()
        usage = {"used": memory.total - memory.available, "free": memory.free}
        usage |= {state: getattr(memory, state) for state in ("cached", "buffers") if hasattr(memory, state)}
        samples = [Sample("system_memory_limit_bytes", memory.total)]
        if psutil.LINUX:
            samples.append(Sample("system_memory_linux_available_bytes", memory.available))
        for state, size in usage.items():
            samples.append(Sample("system_memory_usage_bytes", size, {STATE: state}))
            samples.append(Sample("system_memory_utilization_ratio", round(size / memory.total, 6), {STATE: state}))
        return samples


class SwapProbe:
    """A machine without swap has usage 0 and no utilization: nothing is not full."""

    name = "swap"
    interval_seconds = FAST_INTERVAL_SECONDS
    timeout_seconds = 5.0
    metrics = (
        Metric("system_paging_usage_bytes", MetricType.GAUGE, "bytes", "Swap by state", (PAGING_STATE,)),
        Metric(
            "system_paging_utilization_ratio",
            MetricType.GAUGE,
            "ratio",
            "Swap by state, share of the total; absent without swap",
            (PAGING_STATE,),
        ),
    )

    def __init__(self, read: Callable[[], Any] = psutil.swap_memory) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        swap = self._read()
        usage = {"used": swap.used, "free": swap.free}
        samples = [Sample("system_paging_usage_bytes", size, {PAGING_STATE: state}) for state, size in usage.items()]
        if swap.total > 0:
            samples += [
                Sample("system_paging_utilization_ratio", round(size / swap.total, 6), {PAGING_STATE: state})
                for state, size in usage.items()
            ]
        return samples
