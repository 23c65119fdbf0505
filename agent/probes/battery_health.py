"""How worn the battery is: what it holds when full, against what it held when new."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from agent.children import run_child
from agent.probes.base import DAILY_INTERVAL_SECONDS, Metric, MetricType, ProbeUnavailable, Sample
from agent.probes.parsing import decode, dig_list, dig_number, to_number
from agent.probes.powershell import ask_powershell

POWER_SUPPLY = Path("/sys/class/power_supply")
SCRIPT = """
function All($class) { @(Get-CimInstance -Namespace root/wmi -ClassName $class -ErrorAction SilentlyContinue) };
@{
  full = @(All BatteryFullChargedCapacity | ForEach-Object { $_.FullChargedCapacity });
  design = @(All BatteryStaticData | ForEach-Object { $_.DesignedCapacity });
  cycles = @(All BatteryCycleCount | ForEach-Object { $_.CycleCount })
} | ConvertTo-Json -Compress
"""
IOREG_VALUE = re.compile(r'"(AppleRawMaxCapacity|MaxCapacity|DesignCapacity|CycleCount)" = (\d{1,9})\b')


class HealthReading(NamedTuple):
    """All batteries together; capacities in one unit, whichever the system has. None: not told."""

    full: float | None
    design: float | None
    cycles: float | None


def read_health() -> HealthReading:
    if sys.platform == "win32":
        return judge_windows(ask_powershell(SCRIPT, "the battery's WMI classes"))
    if sys.platform == "darwin":
        return parse_ioreg(decode(run_child(["ioreg", "-r", "-n", "AppleSmartBattery", "-w", "0"]).output))
    return read_sysfs()


def read_sysfs(folder: Path = POWER_SUPPLY) -> HealthReading:
    """Of the machine's own batteries; those of mice and pens are left out."""
    full = design = 0.0
    cycles: list[float] = []
    for supply in sorted(folder.iterdir()) if folder.is_dir() else []:
        if read_line(supply / "type") != "Battery" or read_line(supply / "scope") == "Device":
            continue
        for quantity in ("energy", "charge"):
            now, new = (to_number(read_line(supply / f"{quantity}_{name}")) for name in ("full", "full_design"))
            if now and new:
                full, design = full + now, design + new
                break
        count = to_number(read_line(supply / "cycle_count"))
        if count:  # 0 is what most firmware says when it does not count
            cycles.append(count)
    return HealthReading(full or None, design or None, max(cycles, default=None))


def judge_windows(content: object) -> HealthReading:
    full, design, cycles = (
        [number for one in dig_list(content, key) if (number := dig_number({"n": one}, "n")) is not None and number > 0]
        for key in ("full", "design", "cycles")
    )
    is_complete = len(full) == len(design)
    return HealthReading(
        sum(full) or None if is_complete else None,
        sum(design) or None if is_complete else None,
        max(cycles, default=None),
    )


def parse_ioreg(text: str) -> HealthReading:
    """`MaxCapacity` is a percentage on Apple's own processors, where the raw one stands beside it."""
    values = {name: float(value) for name, value in IOREG_VALUE.findall(text)}
    full = values.get("AppleRawMaxCapacity", values.get("MaxCapacity"))
    return HealthReading(full, values.get("DesignCapacity"), values.get("CycleCount"))


def read_line(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")[:100].strip()
    except OSError:
        return ""


class BatteryHealthProbe:
    name = "battery_health"
    isolated = True
    interval_seconds = DAILY_INTERVAL_SECONDS
    timeout_seconds = 300.0
    metrics = (
        Metric(
            "hw_battery_health_ratio", MetricType.GAUGE, "ratio", "What it holds when full, of what it held when new"
        ),
        Metric(
            "hw_battery_cycles", MetricType.GAUGE, "cycles", "How often it was charged; the oldest if there are several"
        ),
    )

    def __init__(self, read: Callable[[], HealthReading] = read_health) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        reading = self._read()
        samples = []
        if reading.full and reading.design:
            samples.append(Sample("hw_battery_health_ratio", round(reading.full / reading.design, 4)))
        if reading.cycles is not None:
            samples.append(Sample("hw_battery_cycles", reading.cycles))
        if not samples:
            raise ProbeUnavailable("this machine has no battery that tells its capacity")
        return samples
