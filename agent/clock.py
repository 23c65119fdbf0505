"""Which time it is at the collector, told without ever running backwards.

Stamps are boot-time clock + offset. The boot-time clock counts sleep and is moved by nobody; the offset is learnt from
the collector's answers. So a machine whose clock is an hour off, or is set while the agent runs, stamps rightly.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Container
from typing import NamedTuple

logger = logging.getLogger(__name__)

STEP_BEYOND_SECONDS = 10.0  # a larger difference is mended at once
WINDOWS_TICK_SECONDS = 1e-7
ROUNDING_SECONDS = 0.001  # the collector tells whole milliseconds
SLEW_RATE = 0.1  # a smaller one at a tenth of the time that passes, so that stamps never run backwards


def find_boot_clock(clocks: Container[str]) -> str | None:
    """The name of the system's clock that counts sleep, of those that it has; None: `time.monotonic` counts it.

    Linux has CLOCK_BOOTTIME. On macOS `time.monotonic` stands still in sleep, as CLOCK_UPTIME_RAW does, and
    CLOCK_MONOTONIC_RAW, which Linux has as well, goes on. Windows has no such clocks, and ticks on in sleep: Python
    reads GetTickCount64 there, from 3.13 on QueryPerformanceCounter."""
    if "CLOCK_BOOTTIME" in clocks:
        return "CLOCK_BOOTTIME"
    if "CLOCK_UPTIME_RAW" in clocks:  # macOS alone has it
        return "CLOCK_MONOTONIC_RAW"
    return None


BOOT_CLOCK = find_boot_clock(vars(time))


def read_boot_seconds() -> float:
    """Seconds since boot, sleep included."""
    return time.monotonic() if BOOT_CLOCK is None else time.clock_gettime(getattr(time, BOOT_CLOCK))


if sys.platform == "win32":
    import ctypes

    def read_awake_seconds() -> float:
        """Seconds since boot, sleep left out."""
        ticks = ctypes.c_ulonglong()
        ctypes.windll.kernel32.QueryUnbiasedInterruptTime(ctypes.byref(ticks))
        return ticks.value * WINDOWS_TICK_SECONDS
else:
    read_awake_seconds = time.monotonic


class Times(NamedTuple):
    """What time is told by, in seconds. Others than the machine's own let a day pass in a minute."""

    boot: Callable[[], float] = read_boot_seconds
    awake: Callable[[], float] = read_awake_seconds  # sleep left out
    wall: Callable[[], float] = time.time  # Unix time, as this machine has it


class AgentClock:
    """Used by the main thread and the sender alike. All times in seconds; `now` is Unix time at the collector."""

    def __init__(
        self,
        *,
        boot: Callable[[], float] = read_boot_seconds,
        wall: Callable[[], float] = time.time,
        wall_correction_seconds: float = 0.0,
        on_step: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`wall_correction_seconds` is what the last session found to be missing from this machine's own clock."""
        self._boot = boot
        self._wall = wall
        self._on_step = on_step
        self._lock = threading.Lock()
        self._slewed_at = boot()
        self._offset = wall() + wall_correction_seconds - self._slewed_at
        self._target = self._offset

    def boot(self) -> float:
        """The clock that ticks and ages are measured by."""
        return self._boot()

    def wall(self) -> float:
        """This machine's own clock, for people who look at it."""
        return self._wall()

    def now(self) -> float:
        with self._lock:
            return self._now()

    def now_milliseconds(self) -> int:
        """Never negative: a clock without a battery begins in 1970, and a correction may lead from there to before."""
        return max(0, int(self.now() * 1000))

    def correction_seconds(self) -> float:
        """What is missing from this machine's own clock: positive if it is slow."""
        return self.now() - self._wall()

    def calibrate(self, collector_now: float, error_seconds: float) -> None:
        """Take over the collector's time before the first stamp is made, unless it is as close as could be measured."""
        with self._lock:
            difference = collector_now - self._now()
            if abs(difference) <= error_seconds:
                return
            self._offset += difference
            self._target = self._offset
        if abs(difference) > STEP_BEYOND_SECONDS:
            logger.warning("the collector's clock differs, using it: difference_seconds=%.1f", difference)

    def observe(self, collector_now: float, round_trip_seconds: float) -> None:
        """Learn from an answer that has just arrived; `collector_now` is the time that stands in it."""
        error_seconds = round_trip_seconds / 2
        with self._lock:
            now = self._now()
            difference = collector_now + error_seconds - now
            if abs(difference) <= error_seconds + ROUNDING_SECONDS:
                self._target = self._offset  # no better known than that
                return
            self._target = self._offset + difference
            if abs(difference) <= STEP_BEYOND_SECONDS:
                return
            self._offset = self._target
        logger.warning("clock stepped: seconds=%.1f", difference)
        self._on_step(difference)

    def _now(self) -> float:
        boot = self._boot()
        room = SLEW_RATE * max(0.0, boot - self._slewed_at)
        self._slewed_at = boot
        self._offset += max(-room, min(room, self._target - self._offset))
        return boot + self._offset
