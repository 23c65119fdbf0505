"""Network interfaces."""

from collections.abc import Callable, Mapping
from typing import Any

import psutil

from agent.probes.base import FAST_INTERVAL_SECONDS, Metric, MetricType, ProbeUnavailable, Sample

INTERFACE = "network_interface_name"
DIRECTION = "network_io_direction"
LOOPBACK = ("lo", "lo0", "Loopback Pseudo-Interface 1")
# The ends of containers' cables: random names that come and go would make a new layout each time.
LEFT_OUT = ("veth",)


def read_interfaces() -> Mapping[str, Any]:
    # nowrap=False: see agent.probes.disk
    return psutil.net_io_counters(pernic=True, nowrap=False)


class NetworkProbe:
    name = "network"
    interval_seconds = FAST_INTERVAL_SECONDS
    timeout_seconds = 5.0
    metrics = (
        Metric(
            "system_network_io_bytes_total",
            MetricType.COUNTER,
            "bytes",
            "Bytes received and sent",
            (INTERFACE, DIRECTION),
        ),
        Metric(
            "system_network_errors_total",
            MetricType.COUNTER,
            "errors",
            "Packets received or sent with an error",
            (INTERFACE, DIRECTION),
        ),
        Metric(
            "system_network_packet_dropped_total",
            MetricType.COUNTER,
            "packets",
            "Packets dropped",
            (INTERFACE, DIRECTION),
        ),
        Metric(
            "system_network_packet_count_total",
            MetricType.COUNTER,
            "packets",
            "Packets received and sent",
            ("system_device", DIRECTION),
        ),
    )

    def __init__(self, read: Callable[[], Mapping[str, Any]] = read_interfaces) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        samples: list[Sample] = []
        for name, io in self._read().items():
            if name in LOOPBACK or name.startswith(LEFT_OUT):
                continue
            for direction, size, packets, errors, dropped in (
                ("receive", io.bytes_recv, io.packets_recv, io.errin, io.dropin),
                ("transmit", io.bytes_sent, io.packets_sent, io.errout, io.dropout),
            ):
                labels = {INTERFACE: name, DIRECTION: direction}
                samples += [
                    Sample("system_network_io_bytes_total", size, labels),
                    Sample("system_network_errors_total", errors, labels),
                    Sample("system_network_packet_dropped_total", dropped, labels),
                    Sample("system_network_packet_count_total", packets, {"system_device": name, DIRECTION: direction}),
                ]
        if not samples:
            raise ProbeUnavailable("this system has no network interface but loopback")
        return samples
