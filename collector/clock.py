"""Time as it is handed in: only `collector.app` and the command line name the real clock."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]  # aware, UTC


def system_clock() -> datetime:
    return datetime.now(UTC)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_milliseconds(at: datetime) -> int:
    """Unix milliseconds, rounded down."""
    since = at - EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def from_milliseconds(at: int) -> datetime:
    return EPOCH + timedelta(milliseconds=at)


class SteadyClock:
    """Wall time that never runs backwards, for a process that lives long. Safe from any thread.

    Where the machine's clock is set back, it goes on by the monotonic clock, a tenth slower until both agree: samples
    and evaluations of an hour that came twice could not be told apart. Forward it follows at once. `reached` is what
    the process before had come to, give or take `unsure`; a wall clock that is further behind than `BRIDGED` is
    believed all the same, since it was probably set right.
    """

    BRIDGED = timedelta(hours=2)
    TOLD_FROM = timedelta(seconds=10)
    SLEW_RATE = 0.1
    OFTEN_SECONDS = 60.0  # asked so often, the wall clock is told as it is, without more ado, where it ran on

    def __init__(
        self,
        wall: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        reached: datetime | None = None,
        unsure: timedelta = timedelta(0),
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        begins = wall()
        if reached is not None and begins < reached <= begins + self.BRIDGED:
            begins = reached + unsure
        self._told = begins
        self._told_at = monotonic()
        self._was_set_back = False

    def __call__(self) -> datetime:
        with self._lock:
            wall, at = self._wall(), self._monotonic()
            seconds = max(0.0, at - self._told_at)
            if seconds < self.OFTEN_SECONDS and (wall - self._told).total_seconds() >= seconds * (1 - self.SLEW_RATE):
                self._told, self._told_at, self._was_set_back = wall, at, False
                return wall
            passed = timedelta(seconds=seconds)
            self._say(self._told + passed - wall)
            self._told, self._told_at = max(wall, self._told + passed * (1 - self.SLEW_RATE)), at
            return self._told

    def _say(self, behind: timedelta) -> None:
        if behind > self.TOLD_FROM and not self._was_set_back:
            logger.warning("the clock was set back, going on without: seconds=%.0f", behind.total_seconds())
        self._was_set_back = behind > self.TOLD_FROM
