"""Durations as Prometheus writes them."""

import re
from datetime import timedelta

MAX_DURATION = timedelta(microseconds=(2**63 - 1) // 1000)  # Go's 64 bits of nanoseconds
DURATION_UNITS = {"y": 365 * 86400, "w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
DURATION = re.compile("".join(rf"(?:(?P<{unit}>[0-9]+){unit})?" for unit in DURATION_UNITS))


def parse_duration(text: str) -> timedelta:
    """A duration as Prometheus writes it: `1h30m`, `90s`, `0`. Raises ValueError that says what is wrong."""
    if text == "0":
        return timedelta()
    if text.startswith("-"):
        raise ValueError(f"must not be negative, got {text[:40]!r}")
    found = DURATION.fullmatch(text)
    if found is None or not text:
        raise ValueError(f"must be a duration such as 5m or 1h30m, got {text[:40]!r}")
    milliseconds = sum(int(count) * round(DURATION_UNITS[unit] * 1000) for unit, count in found.groupdict("0").items())
    if milliseconds > MAX_DURATION // timedelta(milliseconds=1):
        raise ValueError(f"is too long: {text[:40]!r}")
    return timedelta(milliseconds=milliseconds)


def duration_text(time: timedelta) -> str:
    """As Prometheus writes it: `1h30m`."""
    milliseconds = time // timedelta(milliseconds=1)
    if not milliseconds:
        return "0s"
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
