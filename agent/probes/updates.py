"""Pending updates, whether a restart is due, and how fresh all that is. apt, dnf, Windows Update, softwareupdate."""

import sys
import time
from collections.abc import Callable

from agent.probes.base import DAILY_INTERVAL_SECONDS, Metric, MetricType, ProbeUnavailable, Sample
from agent.probes.readings import UpdateReading


def read_updates() -> UpdateReading:
    """By the tool of this system; only its module is loaded. Raises ProbeUnavailable or ProbeFailed."""
    if sys.platform == "win32":
        from agent.probes.windows_update import read_windows_update  # noqa: PLC0415

        return read_windows_update()
    if sys.platform == "darwin":
        from agent.probes.softwareupdate import read_softwareupdate  # noqa: PLC0415

        return read_softwareupdate()
    if sys.platform == "linux":
        from agent.probes.linux_updates import read_linux_updates  # noqa: PLC0415

        return read_linux_updates()
    raise ProbeUnavailable(f"updates cannot be read on {sys.platform}")


class UpdateProbe:
    name = "updates"
    isolated = True  # `apt-get --simulate` takes 2 to 6 s of processor time
    interval_seconds = DAILY_INTERVAL_SECONDS
    timeout_seconds = 300.0
    metrics = (
        Metric(
            "update_pending",
            MetricType.GAUGE,
            "updates",
            "Updates that could be installed: security, other",
            ("update_type",),
        ),
        Metric(
            "update_reboot_required", MetricType.GAUGE, "boolean", "1 if the system must be restarted for its updates"
        ),
        Metric(
            "update_reboot_required_seconds",
            MetricType.GAUGE,
            "seconds",
            "For how long a restart has been due; 0 if none is",
        ),
        Metric("update_index_age_seconds", MetricType.GAUGE, "seconds", "Since the system last looked for updates"),
        Metric("update_last_installed_age_seconds", MetricType.GAUGE, "seconds", "Since updates were last installed"),
    )

    def __init__(self, read: Callable[[], UpdateReading] = read_updates, now: Callable[[], float] = time.time) -> None:
        self._read = read
        self._now = now

    def sample(self) -> list[Sample]:
        reading = self._read()
        now = self._now()
        samples = [
            Sample("update_pending", count, {"update_type": kind})
            for kind, count in (("security", reading.security), ("other", reading.other))
            if count is not None
        ]
        if reading.reboot_required is not None:
            samples.append(Sample("update_reboot_required", int(reading.reboot_required)))
            since = reading.reboot_required_since if reading.reboot_required else now
            if since is not None:
                samples.append(Sample("update_reboot_required_seconds", age_seconds(since, now)))
        if reading.index_at is not None:
            samples.append(Sample("update_index_age_seconds", age_seconds(reading.index_at, now)))
        if reading.installed_at is not None:
            samples.append(Sample("update_last_installed_age_seconds", age_seconds(reading.installed_at, now)))
        return samples


def age_seconds(then: float, now: float) -> float:
    """Whole seconds; what lies in the future has just been."""
    return float(max(0, round(now - then)))
