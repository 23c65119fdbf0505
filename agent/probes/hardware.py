"""Temperatures, fans and battery."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from agent.probes.base import FAST_INTERVAL_SECONDS, SLOW_INTERVAL_SECONDS, Metric, MetricType, ProbeUnavailable, Sample

SENSOR_LABELS = ("hw_id", "hw_name")
SensorReader = Callable[[], Mapping[str, Sequence[Any]]]


def read_temperatures() -> Mapping[str, Sequence[Any]]:
    """Sensors by chip; none on Windows and macOS, where psutil has no such function."""
    return psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}


def read_fans() -> Mapping[str, Sequence[Any]]:
    """Fans by chip, on Linux only."""
    return psutil.sensors_fans() if hasattr(psutil, "sensors_fans") else {}


def read_battery() -> object:
    return psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None


class TemperatureProbe:
    name = "temperature"
    interval_seconds = SLOW_INTERVAL_SECONDS  # about 25 ms a reading: some chips answer slowly
    timeout_seconds = 10.0
    metrics = (
        Metric("hw_temperature_celsius", MetricType.GAUGE, "celsius", "Temperature of a sensor", SENSOR_LABELS),
        Metric(
            "hw_temperature_limit_celsius",
            MetricType.GAUGE,
            "celsius",
            "What the sensor's maker calls critical",
            SENSOR_LABELS,
        ),
    )

    def __init__(self, read: SensorReader = read_temperatures) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        samples = []
        for chip, sensors in self._read().items():
            for number, sensor in enumerate(sensors):
                labels = {"hw_id": f"{chip}/{number}", "hw_name": sensor.label or chip}
                samples.append(Sample("hw_temperature_celsius", sensor.current, labels))
                if sensor.critical:
                    samples.append(Sample("hw_temperature_limit_celsius", sensor.critical, labels))
        if not samples:
            raise ProbeUnavailable("no temperature sensor is readable on this machine")
        return samples


class FanProbe:
    name = "fans"
    interval_seconds = SLOW_INTERVAL_SECONDS
    timeout_seconds = 10.0
    metrics = (Metric("hw_fan_speed_rpm", MetricType.GAUGE, "rpm", "Turns a minute", SENSOR_LABELS),)

    def __init__(self, read: SensorReader = read_fans) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        samples = [
            Sample("hw_fan_speed_rpm", fan.current, {"hw_id": f"{chip}/{number}", "hw_name": fan.label or chip})
            for chip, fans in self._read().items()
            for number, fan in enumerate(fans)
        ]
        if not samples:
            raise ProbeUnavailable("no fan is readable on this machine")
        return samples


class BatteryProbe:
    name = "battery"
    interval_seconds = FAST_INTERVAL_SECONDS
    timeout_seconds = 5.0
    metrics = (
        Metric("hw_battery_charge_ratio", MetricType.GAUGE, "ratio", "Charge"),
        Metric(
            "hw_battery_time_left_seconds", MetricType.GAUGE, "seconds", "Time until empty; not known while charging"
        ),
        Metric("hw_battery_power_plugged", MetricType.GAUGE, "boolean", "1 on mains, 0 on battery"),
    )

    def __init__(self, read: Callable[[], Any] = read_battery) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        battery = self._read()
        if battery is None:
            raise ProbeUnavailable("this machine has no battery")
        seconds_left = battery.secsleft if battery.secsleft is not None and battery.secsleft >= 0 else None
        plugged = battery.power_plugged
        return [
            Sample("hw_battery_charge_ratio", round(battery.percent / 100, 4)),
            Sample("hw_battery_time_left_seconds", seconds_left),
            Sample("hw_battery_power_plugged", None if plugged is None else int(plugged)),
        ]
