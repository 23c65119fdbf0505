"""The agent's own weight against caps: when it is over one for long, it goes without probes, the least missed first.

Its promise is far below the caps; they are for the day on which a probe, or what it asks, runs wild. Sums remember:
what was spent before a probe was left out stays in the hour, or the day, whatever helped. So the next probe goes only
if more was spent since than a cap allows for that time.
"""

import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.settings import Settings

logger = logging.getLogger(__name__)

# The least missed first. Probes that stand in neither list are other people's, and go before all of these.
ORDER = (
    "printer_discovery", "exporters", "containers", "checks", "printers", "processes", "logs", "fans", "temperature",
    "pressure", "inventory", "updates", "security", "logons", "users", "battery_health", "certificates", "backups",
    "smart", "raid", "services",
)  # fmt: skip
KEPT = ("cpu", "load", "memory", "swap", "filesystem", "disk", "network", "uptime", "battery", "time")
PATIENCE_SECONDS = 300.0  # over a cap for so long before anything is done, and between one step and the next
RECOVERY_SECONDS = 3600.0  # within all caps for so long before a probe is taken up again
HOUR_SECONDS = 3600.0
DAY_SECONDS = 86_400.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
POINTS = 96  # of one window, at most: older ones are thinned out


class Caps(NamedTuple):
    """`[caps]` in agent.toml."""

    memory_mib: float = 96.0  # with the reader of printers
    cpu_seconds_per_hour: float = 120.0  # with all children
    sent_mib_per_day: float = 100.0

    @classmethod
    def of(cls, settings: Settings) -> "Caps":
        """Raises SettingsError."""
        section = settings.section("caps")
        caps = cls(
            section.number("memory_mib", 32, 65_536, cls().memory_mib),
            section.number("cpu_seconds_per_hour", 1, 3600, cls().cpu_seconds_per_hour),
            section.number("sent_mib_per_day", 1, 1_000_000, cls().sent_mib_per_day),
        )
        section.finish()
        return caps


class Weight(NamedTuple):
    """What the agent takes. Processor time and bytes are sums since its start."""

    memory_bytes: int
    cpu_seconds: float
    sent_bytes: int

    def and_of(self, memory_bytes: int, cpu_seconds: float) -> "Weight":
        """With another process."""
        return Weight(self.memory_bytes + memory_bytes, self.cpu_seconds + cpu_seconds, self.sent_bytes)


class Window:
    """How much a sum grew within the last stretch of time, to a hundredth of it; that stretch is what a cap is for."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._points: deque[tuple[float, float]] = deque()

    def grown(self, now: float, total: float) -> float:
        while len(self._points) > 1 and self._points[1][0] <= now - self._seconds:
            self._points.popleft()
        if not self._points or now - self._points[-1][0] >= self._seconds / POINTS:
            self._points.append((now, total))
        return total - self._points[0][1]

    def share(self, seconds: float) -> float:
        """Of a cap, what it allows for so long; all of it for the whole stretch or longer."""
        return min(1.0, seconds / self._seconds)


class Step(NamedTuple):
    """When a probe was left out last, by the boot clock, and what had been spent until then."""

    at: float
    weight: Weight


class Shedder:
    """Decides at each frame which probes are not read. Times by the boot clock."""

    def __init__(
        self, caps: Caps, probes: Iterable[str], tell: Callable[[str, bool, str], None] = lambda *_: None
    ) -> None:
        """`tell` is told a probe's name, whether it is shed or taken up again, and the reason."""
        self.shed: list[str] = []
        self.is_at_end = False  # nothing is left to leave out, and its memory is still over
        self._caps = caps
        self._order = in_order(probes)
        self._tell = tell
        self._hour, self._day = Window(HOUR_SECONDS), Window(DAY_SECONDS)
        self._over_since: float | None = None
        self._within_since: float | None = None
        self._last: Step | None = None

    def review(self, weight: Weight, now: float) -> None:
        reason = self._over(weight, now)
        if reason is None:
            self._over_since = None
            self._within_since = now if self._within_since is None else self._within_since
            if self.shed and now - self._within_since >= RECOVERY_SECONDS:
                self._within_since = now
                self._note(self.shed.pop(), is_shed=False, reason="within its caps for an hour")
            return
        self._within_since = None
        if self._over_since is None:
            self._over_since = now
        if now - self._over_since < PATIENCE_SECONDS or not self._is_still_over(weight, now):
            return
        if len(self.shed) == len(self._order):
            self.is_at_end = self._is_memory_over(weight)
            return
        self._over_since, self._last = now, Step(now, weight)
        probe = self._order[len(self.shed)]
        self.shed.append(probe)
        self._note(probe, is_shed=True, reason=reason)

    def _over(self, weight: Weight, now: float) -> str | None:
        """What is too much; None: nothing is."""
        cpu_seconds = self._hour.grown(now, weight.cpu_seconds)
        sent_mib = self._day.grown(now, weight.sent_bytes) / 2**20
        memory_mib = weight.memory_bytes / 2**20
        caps = self._caps
        if self._is_memory_over(weight):
            return f"{memory_mib:.0f} MiB of memory, at most {caps.memory_mib:g} are allowed"
        if cpu_seconds > caps.cpu_seconds_per_hour:
            return f"{cpu_seconds:.0f} s of processor in an hour, at most {caps.cpu_seconds_per_hour:g} are allowed"
        if sent_mib > caps.sent_mib_per_day:
            return f"{sent_mib:.0f} MiB sent in a day, at most {caps.sent_mib_per_day:g} are allowed"
        return None

    def _is_memory_over(self, weight: Weight) -> bool:
        return weight.memory_bytes / 2**20 > self._caps.memory_mib

    def _is_still_over(self, weight: Weight, now: float) -> bool:
        """Whether what was left out last has not helped."""
        if self._last is None or self._is_memory_over(weight):
            return True
        at, before = self._last
        cpu_seconds = weight.cpu_seconds - before.cpu_seconds
        sent_mib = (weight.sent_bytes - before.sent_bytes) / 2**20
        return cpu_seconds > self._caps.cpu_seconds_per_hour * self._hour.share(
            now - at
        ) or sent_mib > self._caps.sent_mib_per_day * self._day.share(now - at)

    def _note(self, probe: str, *, is_shed: bool, reason: str) -> None:
        if is_shed:
            logger.warning("probe left out, the agent weighs too much: probe=%s reason=%r", probe, reason)
        else:
            logger.info("probe taken up again: probe=%s reason=%r", probe, reason)
        self._tell(probe, is_shed, reason)


def in_order(probes: Iterable[str]) -> Sequence[str]:
    """Those that may be left out, the first to go first."""
    places = {name: place for place, name in enumerate(ORDER)}
    return sorted((name for name in probes if name not in KEPT), key=lambda name: (places.get(name, -1), name))


def weigh_process(pid: int) -> tuple[int, float]:
    """Resident bytes and CPU-seconds of a process that runs; nothing, if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()  # the name may hold anything
        return int(fields[21]) * PAGE_BYTES, (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    except ProcessLookupError:
        return 0, 0.0
    except FileNotFoundError:
        if sys.platform == "linux":
            return 0, 0.0
    import psutil  # noqa: PLC0415 - only where /proc is missing

    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        return process.memory_info().rss, times.user + times.system
    except psutil.Error:
        return 0, 0.0
