"""Hours of the week by the clock on the wall, such as those of a nightly backup."""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Self

from protocol.errors import PermanentError

MINUTES_OF_DAY = 24 * 60
MINUTES_OF_WEEK = 7 * MINUTES_OF_DAY
MAX_CHARS = 200
EXAMPLE = "mon-fri 22:00-02:00, sun 00:00-06:00"

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PART = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? ([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})")


class WeekHoursError(PermanentError):
    """What was written are no hours of the week; the message shows how they are written."""


@dataclass(frozen=True, slots=True)
class WeekHours:
    """Parts of the week, in no zone of their own: whoever asks brings the time as the clock on the wall shows it.

    A part that ends at or before its beginning ends on the day after. Made by `parse`; equal hours are equal however
    they were written, and `str` gives them in one form.
    """

    parts: tuple[tuple[int, int, int], ...]  # weekday (0: Monday), start and end in minutes after midnight; sorted

    @classmethod
    def parse(cls, text: str) -> Self:
        """`mon-fri 22:00-02:00, sun 00:00-06:00`. Raises WeekHoursError."""
        if len(text) > MAX_CHARS:
            raise WeekHoursError(f"hours of the week are written in at most {MAX_CHARS} characters")
        hours = cls(tuple(sorted({part for written in text.lower().split(",") for part in _parse(written)})))
        if (twice := hours._first_overlap()) is not None:
            raise WeekHoursError(f"these hours cover {_DAYS[twice // MINUTES_OF_DAY]} {_clock(twice)} twice: {text!r}")
        return hours

    def __str__(self) -> str:
        days_of: dict[tuple[int, int], list[int]] = {}
        for day, start, end in self.parts:
            days_of.setdefault((start, end), []).append(day)
        told = [
            (run, f"{_days(run)} {_clock(start)}-{_clock(end)}")
            for (start, end), days in days_of.items()
            for run in _runs(days)
        ]
        return ", ".join(text for _, text in sorted(told))

    @property
    def bounds(self) -> tuple[int, ...]:
        """When they begin and end in turns, in minutes after Monday 00:00, rising; a beginning stands first.

        Hours that last over the end of the week end with it and begin with the next."""
        bounds: list[int] = []
        for start, end in sorted(self._spans()):
            if bounds and bounds[-1] == start:
                bounds[-1] = end
            else:
                bounds += [start, end]
        return tuple(bounds)

    def cover(self, local: datetime) -> bool:
        """Whether the clock on the wall shows a time within them."""
        minute = local.weekday() * MINUTES_OF_DAY + local.hour * 60 + local.minute
        return bisect_right(self.bounds, minute) % 2 == 1

    def overlap(self, other: "WeekHours") -> bool:
        spans = sorted([*self._spans(), *other._spans()])
        return any(before[1] > after[0] for before, after in pairwise(spans))

    def _spans(self) -> Iterable[tuple[int, int]]:
        """In minutes of the week; what lasts over its end is two."""
        for day, start, end in self.parts:
            begins = day * MINUTES_OF_DAY + start
            ends = day * MINUTES_OF_DAY + end + (MINUTES_OF_DAY if end <= start else 0)
            yield begins, min(ends, MINUTES_OF_WEEK)
            if ends > MINUTES_OF_WEEK:
                yield 0, ends - MINUTES_OF_WEEK

    def _first_overlap(self) -> int | None:
        spans = sorted(self._spans())
        return next(
            (after[0] for before, after in pairwise(spans) if before[1] > after[0]),
            None,
        )


def _parse(written: str) -> list[tuple[int, int, int]]:
    part = " ".join(written.split())
    match = _PART.fullmatch(part)
    if match is None or match[1] not in _DAYS or (match[2] or match[1]) not in _DAYS:
        raise WeekHoursError(f"write hours of the week like {EXAMPLE!r}, not {part!r}")
    first, last = _DAYS.index(match[1]), _DAYS.index(match[2] or match[1])
    start, end = _minutes(part, match[3], match[4]), _minutes(part, match[5], match[6])
    if start in (MINUTES_OF_DAY, end):
        raise WeekHoursError(f"{part!r} says nothing: a whole day is 00:00-24:00, and a night ends on the day after")
    return [((first + ahead) % 7, start, end or MINUTES_OF_DAY) for ahead in range((last - first) % 7 + 1)]


def _minutes(part: str, hours: str, minutes: str) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > MINUTES_OF_DAY:
        raise WeekHoursError(
            f"{part!r}: {hours}:{minutes} is no time of a day; write it like 22:00, or 24:00 at the end"
        )
    return total


def _clock(minute: int) -> str:
    minute_of_day = minute if minute == MINUTES_OF_DAY else minute % MINUTES_OF_DAY
    return f"{minute_of_day // 60:02}:{minute_of_day % 60:02}"


def _runs(days: list[int]) -> list[list[int]]:
    """Weekdays, rising, as stretches of days that follow each other."""
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def _days(run: list[int]) -> str:
    return _DAYS[run[0]] if len(run) == 1 else f"{_DAYS[run[0]]}-{_DAYS[run[-1]]}"
