"""Calendar months in a time zone, and their days as fees count them."""

import re
from bisect import bisect_right
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Self
from zoneinfo import ZoneInfo

from protocol.errors import PermanentError

_OFF_UTC = timedelta(hours=15)


class MonthError(PermanentError):
    """No month; the message shows how one is written."""


@dataclass(frozen=True, slots=True, order=True)
class Month:
    year: int
    number: int  # 1: January

    @classmethod
    def parse(cls, text: str) -> Self:
        """`2026-03`. Raises MonthError."""
        found = re.fullmatch(r"(20\d\d)-(0[1-9]|1[0-2])", text)
        if found is None:
            raise MonthError(f"write a month like 2026-03, not {text[:40]!r}")
        return cls(int(found[1]), int(found[2]))

    @property
    def days(self) -> int:
        return monthrange(self.year, self.number)[1]

    def __str__(self) -> str:
        return f"{self.year}-{self.number:02}"

    def bounds(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """Its first moment and the first after it, in UTC."""
        midnights = _midnights(self, zone)
        return midnights[0], midnights[-1]

    @property
    def anywhere(self) -> tuple[datetime, datetime]:
        """The same wherever on earth it is: clocks are up to 14 hours ahead of UTC and up to 12 behind it."""
        first = datetime(self.year, self.number, 1, tzinfo=UTC)
        return first - _OFF_UTC, first + timedelta(days=self.days) + _OFF_UTC

    def days_held(self, start: datetime, end: datetime | None, zone: ZoneInfo) -> range:
        """The days, from 0, that count for what holds from `start` until just before `end`; None: until further notice.

        A day counts for what holds when it ends, so of two that follow each other each day is one's."""
        ends = _midnights(self, zone)[1:]
        return range(bisect_right(ends, start), len(ends) if end is None else bisect_right(ends, end))


@cache
def _midnights(month: Month, zone: ZoneInfo) -> tuple[datetime, ...]:
    """Where its days begin, and where the last ends."""
    first = date(month.year, month.number, 1)
    days = [first + timedelta(days=day) for day in range(month.days + 1)]
    return tuple(datetime(one.year, one.month, one.day, tzinfo=zone).astimezone(UTC) for one in days)
