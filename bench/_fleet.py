"""A made-up fleet: 40 series of each device at 60 s, the same for whoever takes them, and 20 typical host rules."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

STEP_MS = 60_000
DEVICES_PER_CUSTOMER = 100
JITTER = 0.0005  # of a gauge's span, from minute to minute: few devices come and go over a limit
GIB = float(2**30)

MOUNTS = ("/", "/home", "/var")
_USED = {"system_filesystem_state": "used"}

# Name, labels, and how its values are made: lowest, highest, and for counters the growth per second instead.
SERIES: tuple[tuple[str, dict[str, str], str, float, float], ...] = (
    ("system_cpu_utilization_ratio", {}, "gauge", 0.02, 0.9),
    *(("system_cpu_time_seconds_total", {"cpu_mode": mode}, "counter", 0.0, share)
      for mode, share in (("user", 1.2), ("system", 0.5), ("idle", 6.0), ("iowait", 0.3))),
    *((f"system_cpu_load_average_{minutes}m", {}, "gauge", 0.0, 8.0) for minutes in (1, 5, 15)),
    ("system_memory_utilization_ratio", {"system_memory_state": "used"}, "gauge", 0.2, 0.96),
    ("system_memory_usage_bytes", {"system_memory_state": "used"}, "gauge", 2 * GIB, 15 * GIB),
    ("system_memory_usage_bytes", {"system_memory_state": "free"}, "gauge", 1 * GIB, 14 * GIB),
    ("system_paging_utilization_ratio", {"system_paging_state": "used"}, "gauge", 0.0, 0.8),
    *(series for mount in MOUNTS for series in (
        ("system_filesystem_utilization_ratio", {"system_filesystem_mountpoint": mount, **_USED}, "level", 0.1, 0.94),
        ("system_filesystem_free_bytes", {"system_filesystem_mountpoint": mount}, "falling", 20 * GIB, 200 * GIB),
        ("system_filesystem_size_bytes", {"system_filesystem_mountpoint": mount}, "level", 250 * GIB, 250 * GIB),
        ("system_filesystem_inodes_utilization_ratio", {"system_filesystem_mountpoint": mount, **_USED}, "level",
         0.01, 0.93),
    )),
    *(("system_disk_io_bytes_total", {"disk_io_direction": direction}, "counter", 0.0, 2e7)
      for direction in ("read", "write")),
    ("system_disk_io_time_seconds_total", {}, "counter", 0.0, 0.98),
    *(("system_network_io_bytes_total", {"network_io_direction": direction}, "counter", 0.0, 1.2e8)
      for direction in ("receive", "transmit")),
    ("system_network_errors_total", {"network_io_direction": "receive"}, "counter", 0.0, 1.0),
    ("system_network_speed_bytes_per_second", {}, "level", 1.25e8, 1.25e8),
    ("system_uptime_seconds", {}, "uptime", 0.0, 0.0),
    ("system_process_count", {}, "gauge", 80.0, 600.0),
    ("hw_temperature_celsius", {"hw_id": "cpu"}, "gauge", 30.0, 92.0),
    *(("service_up", {"service": service}, "service", 0.0, 1.0) for service in ("sshd", "cron", "nginx", "postgres")),
    ("update_pending_count", {}, "level", 0.0, 60.0),
    ("host_filesystem_limit_ratio", {}, "level", 0.9, 0.95),  # a threshold, to be joined
)  # fmt: skip
assert len(SERIES) == 40

_FS = "system_filesystem_utilization_ratio{system_filesystem_state='used'}"
_FREE = "system_filesystem_free_bytes"

# Alert name to expression. Each device of a fleet has its own level, so that about 1 % of the devices are over a limit.
RULES: dict[str, str] = {
    "CpuHigh": "system_cpu_utilization_ratio > 0.89",
    "CpuHighLong": "avg_over_time(system_cpu_utilization_ratio[10m]) > 0.88",
    "CpuStolenByIo": "rate(system_cpu_time_seconds_total{cpu_mode='iowait'}[5m]) > 0.297",
    "CpuBusy": "sum by (device_id, customer) (rate(system_cpu_time_seconds_total{cpu_mode!='idle'}[5m])) > 1.9",
    "LoadHigh": "system_cpu_load_average_15m > 7.9",
    "MemoryHigh": "avg_over_time(system_memory_utilization_ratio{system_memory_state='used'}[10m]) > 0.945",
    "MemoryShare": "system_memory_usage_bytes{system_memory_state='used'} / ignoring (system_memory_state) "
                   "system_memory_usage_bytes{system_memory_state='free'} > 12",
    "SwapHigh": "system_paging_utilization_ratio{system_paging_state='used'} > 0.79",
    "DiskFull": f"{_FS} > on (device_id) group_left () host_filesystem_limit_ratio and on (device_id) "
                "system_uptime_seconds > 600",
    "DiskFillsIn4h": f"predict_linear({_FREE}[1h], 4 * 3600) < 0 and on (device_id, system_filesystem_mountpoint) "
                     f"{_FS} > 0.5",
    "DiskFillsToday": f"predict_linear({_FREE}[1h], 24 * 3600) < 0 and {_FREE} / system_filesystem_size_bytes < 0.2",
    "InodesLow": "system_filesystem_inodes_utilization_ratio{system_filesystem_state='used'} > 0.92 "
                 f"and on (device_id, system_filesystem_mountpoint) {_FREE} > 0",
    "DiskBusy": "rate(system_disk_io_time_seconds_total[5m]) > 0.97",
    "DiskThroughput": "sum by (device_id, customer) (rate(system_disk_io_bytes_total[5m])) > 3.8e7",
    "NetSaturated": "(rate(system_network_io_bytes_total{network_io_direction='receive'}[5m]) + on (device_id, "
                    "customer) rate(system_network_io_bytes_total{network_io_direction='transmit'}[5m])) > 2.3e8",
    "NetErrors": "rate(system_network_errors_total[5m]) > 0.99",
    "Rebooted": "system_uptime_seconds < 300",
    "TempHigh": "max_over_time(hw_temperature_celsius[10m]) > 91.5",
    "ServicesDownPerDevice": "sum by (device_id, customer) (1 - service_up) >= 1",
    "UpdatesPerCustomer": "avg by (customer) (update_pending_count) > 33",
}  # fmt: skip
assert len(RULES) == 20


def rule_file(interval_seconds: float) -> str:
    """The rules as one group of a Prometheus rule file."""
    lines = ["groups:", "  - name: hosts", f"    interval: {interval_seconds:g}s", "    rules:"]
    for alert, expression in RULES.items():
        lines += [f"      - alert: {alert}", f'        expr: "{expression}"']
        lines += ["        labels: {severity: major}", "        annotations: {summary: '{{ $labels.device_id }}'}"]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Device:
    device_id: str
    customer: str
    site: str = "hq"
    kind: str = "server"


class Fleet:
    """`devices` devices; step k of device d stands at start + k minutes + its own place within the minute."""

    def __init__(self, devices: int, start_ms: int) -> None:
        self.start_ms = start_ms
        numbers = np.arange(devices)
        self.offsets_ms: NDArray[np.int64] = numbers * 7919 % STEP_MS
        self.devices = [Device(f"host-{number:06}", f"customer-{number // DEVICES_PER_CUSTOMER}") for number in numbers]
        self._level = np.random.default_rng(7).random((devices, len(SERIES)))

    def times(self, step: int) -> NDArray[np.int64]:
        """When each device has this step, Unix ms, shape (devices,)."""
        return self.start_ms + step * STEP_MS + self.offsets_ms

    def sampled_at(self, at_ms: int) -> int:
        """How many devices have a step in the very millisecond; windows of whole minutes then begin with one, too."""
        return int(np.count_nonzero((at_ms - self.start_ms) % STEP_MS == self.offsets_ms))

    def values(self, step: int) -> Values:
        """Shape (devices, 40)."""
        noise = np.random.default_rng(step).random(self._level.shape)
        seconds = step * STEP_MS / 1000
        made = np.empty_like(self._level)
        for column, (_, _, kind, low, high) in enumerate(SERIES):
            level, jitter = self._level[:, column], noise[:, column]
            match kind:
                case "gauge":
                    made[:, column] = low + (high - low) * np.clip(level + (jitter - 0.5) * JITTER, 0, 1)
                case "level":
                    made[:, column] = low + (high - low) * level
                case "falling":  # at a pace of its own; a few are empty within hours
                    made[:, column] = (low + (high - low) * level) - seconds * GIB * 0.0013 * (level < 0.01)
                case "counter":
                    made[:, column] = 1e6 * level + high * level * (seconds + 0.1 * jitter)
                case "uptime":
                    made[:, column] = 100 + 1e7 * level + seconds
                case "service":
                    made[:, column] = level > 0.003
        return made

    def due(self, after_ms: int, until_ms: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Steps, and the devices that have them in (after, until]."""
        first, last = (after_ms - self.start_ms) // STEP_MS - 1, (until_ms - self.start_ms) // STEP_MS
        for step in range(max(0, first), last + 1):
            times = self.times(step)
            some = np.flatnonzero((times > after_ms) & (times <= until_ms))
            if len(some):
                yield step, some
