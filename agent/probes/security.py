"""Security posture: antivirus, firewall, disk encryption, automatic updates."""

import sys
import time
from collections.abc import Callable

from agent.probes.base import DAILY_INTERVAL_SECONDS, Metric, MetricType, ProbeUnavailable, Sample
from agent.probes.readings import SecurityReading

PRODUCT, PROFILE, MOUNTPOINT = "security_product", "security_profile", "system_filesystem_mountpoint"


def read_security() -> SecurityReading:
    """By the tools of this system; only their module is loaded. Raises ProbeUnavailable or ProbeFailed."""
    if sys.platform == "win32":
        from agent.probes.windows_security import read_windows_security  # noqa: PLC0415

        return read_windows_security()
    if sys.platform == "darwin":
        from agent.probes.macos_security import read_macos_security  # noqa: PLC0415

        return read_macos_security()
    if sys.platform == "linux":
        from agent.probes.linux_security import read_linux_security  # noqa: PLC0415

        return read_linux_security()
    raise ProbeUnavailable(f"the security posture cannot be read on {sys.platform}")


class SecurityProbe:
    name = "security"
    isolated = True  # PowerShell takes some seconds of processor time
    interval_seconds = DAILY_INTERVAL_SECONDS / 4  # an antivirus that was turned off is no matter for tomorrow
    timeout_seconds = 300.0
    metrics = (
        Metric("security_antivirus_enabled", MetricType.GAUGE, "boolean", "1 if it watches", (PRODUCT,)),
        Metric(
            "security_antivirus_signature_age_seconds",
            MetricType.GAUGE,
            "seconds",
            "Since its signatures were brought up to date",
            (PRODUCT,),
        ),
        Metric(
            "security_firewall_enabled",
            MetricType.GAUGE,
            "boolean",
            "1 if on; Windows: domain, private, public, elsewhere: host",
            (PROFILE,),
        ),
        Metric("security_disk_encrypted", MetricType.GAUGE, "boolean", "1 if encrypted", (MOUNTPOINT,)),
        Metric("security_auto_update_enabled", MetricType.GAUGE, "boolean", "1 if updates are installed by themselves"),
    )

    def __init__(
        self, read: Callable[[], SecurityReading] = read_security, now: Callable[[], float] = time.time
    ) -> None:
        self._read = read
        self._now = now

    def sample(self) -> list[Sample]:
        reading = self._read()
        samples: list[Sample] = []
        for product, antivirus in reading.antivirus.items():
            labels = {PRODUCT: product}
            if antivirus.enabled is not None:
                samples.append(Sample("security_antivirus_enabled", int(antivirus.enabled), labels))
            if antivirus.signatures_at is not None:
                age_seconds = float(max(0, round(self._now() - antivirus.signatures_at)))
                samples.append(Sample("security_antivirus_signature_age_seconds", age_seconds, labels))
        samples += [
            Sample("security_firewall_enabled", int(on), {PROFILE: name}) for name, on in reading.firewall.items()
        ]
        samples += [
            Sample("security_disk_encrypted", int(is_so), {MOUNTPOINT: at}) for at, is_so in reading.encrypted.items()
        ]
        if reading.auto_update is not None:
            samples.append(Sample("security_auto_update_enabled", int(reading.auto_update)))
        if not samples:
            raise ProbeUnavailable("nothing on this machine tells its security posture")
        return samples
