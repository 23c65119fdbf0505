"""The system as a whole: uptime, logged-in users."""

import time
from collections.abc import Callable, Iterable

import psutil

from agent.probes.base import FAST_INTERVAL_SECONDS, Metric, MetricType, Sample


def read_uptime_seconds() -> float:
    """Seconds since boot, sleep included."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - psutil.boot_time()


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
