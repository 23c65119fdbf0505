"""Whether the clock is kept by something, and how far off that something says it is."""

import re
import sys
from collections.abc import Callable
from typing import NamedTuple

from agent.children import run_child
from agent.probes.base import Metric, MetricType, ProbeFailed, ProbeUnavailable, Sample
from agent.probes.parsing import decode, to_number

INTERVAL_SECONDS = 900.0  # a clock drifts by some milliseconds in that time
CHILD_TIMEOUT_SECONDS = 10.0
UNIT_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0}
OFFSET_PART = re.compile(r"(\d+(?:\.\d+)?)(min|h|ms|us|µs|ns|s)")
W32TM_SECONDS = re.compile(r":\s*([-+]?\d+[.,]\d+)s\s*$")
W32TM_OFFSET_PLACE = 2  # after root delay and root dispersion; the words beside are localized, the order is not


class ClockReading(NamedTuple):
    synchronized: bool
    offset_seconds: float | None = None  # positive: this machine's clock is slow


def read_clock() -> ClockReading:
    """Raises ProbeUnavailable or ProbeFailed."""
    if sys.platform == "win32":
        return parse_w32tm(decode(run_child(["w32tm", "/query", "/status", "/verbose"]).output))
    if sys.platform != "linux":
        raise ProbeUnavailable(f"{sys.platform} does not tell ordinary programs whether its clock is kept")
    return read_chrony() or read_timedatectl()


def read_chrony() -> ClockReading | None:
    """None if chrony is not there or does not run: then it is not what keeps the clock."""
    try:
        answer = run_child(["chronyc", "-n", "-c", "tracking"], timeout_seconds=CHILD_TIMEOUT_SECONDS)
    except (ProbeUnavailable, ProbeFailed):
        return None
    return parse_chrony(decode(answer.output)) if answer.exit_code == 0 else None


def parse_chrony(text: str) -> ClockReading | None:
    """Of `chronyc -c tracking`: the fifth field is by how much the clock is slow, the last the leap status."""
    fields = text.strip().split(",")
    if len(fields) < 14:
        return None
    is_kept = fields[13] != "Not synchronised"
    return ClockReading(is_kept, to_number(fields[4]) if is_kept else None)


def read_timedatectl() -> ClockReading:
    answer = run_child(["timedatectl", "show", "--property=NTP,NTPSynchronized"], timeout_seconds=CHILD_TIMEOUT_SECONDS)
    fields = dict(line.split("=", 1) for line in decode(answer.output).splitlines() if "=" in line)
    if "NTPSynchronized" not in fields:
        raise ProbeUnavailable("neither chrony nor systemd tells of this machine's clock")
    is_kept = fields["NTPSynchronized"] == "yes"
    if not is_kept or fields.get("NTP") != "yes":
        return ClockReading(is_kept)  # not by systemd-timesyncd: asking it would only start it
    try:
        status = run_child(["timedatectl", "timesync-status"], timeout_seconds=CHILD_TIMEOUT_SECONDS)
    except ProbeFailed:
        return ClockReading(is_kept)
    return ClockReading(is_kept, parse_timesync_offset(decode(status.output)))


def parse_timesync_offset(text: str) -> float | None:
    """The line `Offset: -1.234ms` of `timedatectl timesync-status`; longer spans have several parts (`1min 2.5s`)."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Offset":
            parts = OFFSET_PART.findall(value)
            size = sum(float(number) * UNIT_SECONDS[unit] for number, unit in parts)
            return round(-size if value.strip().startswith("-") else size, 9) if parts else None
    return None


def parse_w32tm(text: str) -> ClockReading:
    """`w32tm /query /status /verbose` in any language: the first line is the leap indicator, 3 is not synchronized.

    Raises ProbeUnavailable."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    leap = re.search(r":\s*([0-3])\s*\(", first)
    if leap is None:
        raise ProbeUnavailable("the Windows time service does not run")
    spans = [match[1] for match in map(W32TM_SECONDS.search, text.splitlines()) if match]
    is_kept = leap[1] != "3"
    offset = to_number(spans[W32TM_OFFSET_PLACE].replace(",", ".")) if len(spans) > W32TM_OFFSET_PLACE else None
    return ClockReading(is_kept, offset if is_kept else None)


class ClockProbe:
    name = "time"
    interval_seconds = INTERVAL_SECONDS
    timeout_seconds = 60.0
    metrics = (
        Metric("system_clock_synchronized", MetricType.GAUGE, "boolean", "1 if the clock is kept by a time server"),
        Metric(
            "system_clock_offset_seconds",
            MetricType.GAUGE,
            "seconds",
            "How far off the clock is by its time server, positive if slow; absent where the system does not tell",
        ),
    )

    def __init__(self, read: Callable[[], ClockReading] = read_clock) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        reading = self._read()
        samples = [Sample("system_clock_synchronized", int(reading.synchronized))]
        if reading.offset_seconds is not None:
            samples.append(Sample("system_clock_offset_seconds", reading.offset_seconds))
        return samples
