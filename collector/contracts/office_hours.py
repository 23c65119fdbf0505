"""When people work at a site: hours of the week in its time zone, without its country's public holidays."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from protocol.errors import PermanentError

if TYPE_CHECKING:  # takes half a second to load, and most commands never ask
    from holidays import HolidayBase

DEFAULT_HOURS = "Mon-Fri 08:00-18:00"
DEFAULT_HOLIDAYS = "NL"
NO_HOLIDAYS = "none"
MAX_HOURS_CHARS = 200

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PART = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? ([0-2][0-9]:[0-5][0-9])-([0-2][0-9]:[0-5][0-9])")
_MIDNIGHT_AFTER = "24:00"


class OfficeHoursError(PermanentError):
    """What was written are no office hours; the message shows how they are written."""


@dataclass(frozen=True, slots=True)
class Span:
    """Hours of one day of the week, in minutes after midnight; `end` is not in it."""

    weekday: int  # 0: Monday
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OfficeHours:
    """`country` is an ISO 3166 code, whose public holidays are free; `none`: every day is like another."""

    spans: tuple[Span, ...]
    zone: ZoneInfo
    country: str = DEFAULT_HOLIDAYS

    @classmethod
    def parse(cls, hours: str, zone: str, country: str = DEFAULT_HOLIDAYS) -> Self:
        """`Mon-Fri 08:00-18:00, Sat 09:00-13:00`. Raises OfficeHoursError; an unknown zone, too."""
        try:
            found = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise OfficeHoursError(f"there is no time zone {zone!r}; name one like Europe/Amsterdam") from exc
        return cls(_parse_spans(hours), found, country)

    def is_open(self, at: datetime) -> bool:
        local = at.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        weekday = local.weekday()
        is_within = any(span.weekday == weekday and span.start <= minute < span.end for span in self.spans)
        return is_within and not self.is_holiday(local.date())

    def are_one_stretch(self, first: datetime, last: datetime) -> bool:
        """Whether the office was open at both times, on one day."""
        same_day = first.astimezone(self.zone).date() == last.astimezone(self.zone).date()
        return same_day and self.is_open(first) and self.is_open(last)

    def is_working_day(self, day: date) -> bool:
        return any(span.weekday == day.weekday() for span in self.spans) and not self.is_holiday(day)

    def is_holiday(self, day: date) -> bool:
        return self.holiday_name(day) is not None

    def holiday_name(self, day: date) -> str | None:
        """In English where the package has it. Raises OfficeHoursError for a country without known holidays."""
        return None if self.country == NO_HOLIDAYS else _holidays_of(self.country).get(day)

    def working_days(self, since: datetime, now: datetime, limit: int) -> int:
        """How many working days went by in whole between `since` and `now`; counted up to `limit`."""
        day, today = since.astimezone(self.zone).date() + timedelta(days=1), now.astimezone(self.zone).date()
        counted = 0
        while day < today and counted < limit:
            counted += self.is_working_day(day)
            day += timedelta(days=1)
        return counted


def _parse_spans(hours: str) -> tuple[Span, ...]:
    spans: list[Span] = []
    if len(hours) > MAX_HOURS_CHARS:
        raise OfficeHoursError(f"office hours are written in at most {MAX_HOURS_CHARS} characters")
    for part in hours.lower().split(","):
        match = _PART.fullmatch(" ".join(part.split()))
        if match is None or match[1] not in _DAYS or (match[2] or match[1]) not in _DAYS:
            raise OfficeHoursError(
                f"write office hours like {DEFAULT_HOURS!r}, days apart by commas, not {part.strip()!r}"
            )
        first, last = _DAYS.index(match[1]), _DAYS.index(match[2] or match[1])
        start, end = _minutes(match[3]), _minutes(match[4])
        if last < first or end <= start:
            raise OfficeHoursError(f"{part.strip()!r} ends before it begins; write a night as two parts")
        spans += [Span(weekday, start, end) for weekday in range(first, last + 1)]
    return tuple(spans)


def _minutes(text: str) -> int:
    if text == _MIDNIGHT_AFTER:
        return 24 * 60
    try:
        at = time.fromisoformat(text)
    except ValueError as exc:
        raise OfficeHoursError(f"{text} is no time of a day; write it like 08:00") from exc
    return at.hour * 60 + at.minute


DEFAULT_OFFICE_HOURS = OfficeHours.parse(DEFAULT_HOURS, "Europe/Amsterdam")


@cache
def _holidays_of(country: str) -> "HolidayBase":
    import holidays  # noqa: PLC0415 - see above

    try:
        return holidays.country_holidays(country, language="en_US")
    except (NotImplementedError, TypeError) as exc:
        raise OfficeHoursError(f"no holidays are known of {country!r}; name another country, or {NO_HOLIDAYS}") from exc
