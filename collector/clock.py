"""Time as it is handed in: only `app.py` and the command line name the real clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]  # aware, UTC


def system_clock() -> datetime:
    return datetime.now(UTC)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_milliseconds(at: datetime) -> int:
    """Unix milliseconds, rounded down."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def from_milliseconds(at: int) -> datetime:
    return EPOCH + timedelta(milliseconds=at)
