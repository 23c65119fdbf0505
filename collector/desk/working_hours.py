"""When somebody is at work: hours of the week in their own time zone, without holidays and days off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from collector.contracts import OfficeHours
from collector.contracts.business_time import BusinessCalendar

MINUTES_OF_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Span:
    """From when to just before when, UTC."""

    starts_at: datetime
    ends_at: datetime

    def holds(self, at: datetime) -> bool:
        return self.starts_at <= at < self.ends_at

    def overlaps(self, other: "Span") -> bool:
        return self.starts_at < other.ends_at and other.starts_at < self.ends_at


@lru_cache(maxsize=1024)
def hours_of(hours: str, zone: str, country: str) -> OfficeHours:
    """Raises OfficeHoursError."""
    return OfficeHours.parse(hours, zone, country)


def next_at_work(hours: OfficeHours, away: Sequence[Span], since: datetime, until: datetime) -> datetime | None:
    """The first moment in [since, until] at which the hours are open and nothing of `away` holds; None if none is."""
    for span in _open_spans(hours, since, until):
        at = _first_outside(away, max(span.starts_at, since))
        if at < span.ends_at and at <= until:
            return at
    return None


def next_on_call(
    shifts: Sequence[Span], support: BusinessCalendar, away: Sequence[Span], since: datetime, until: datetime
) -> datetime | None:
    """The first moment in [since, until] of a shift at which support is open and nothing of `away` holds; None if none
    is."""
    for shift in sorted(shifts, key=lambda one: one.starts_at):
        at: datetime | None = max(shift.starts_at, since)
        while at is not None and at < shift.ends_at and at <= until:
            opens = support.after(_first_outside(away, at), timedelta())
            if opens == at:
                return at
            at = opens
    return None


def _first_outside(away: Sequence[Span], at: datetime) -> datetime:
    """The first moment from `at` on that lies in none of `away`."""
    for span in sorted(away, key=lambda one: one.starts_at):
        if span.holds(at):
            at = span.ends_at
    return at


def _open_spans(hours: OfficeHours, since: datetime, until: datetime) -> Iterator[Span]:
    """What is open of the days that `since` to `until` touch, in the order of time."""
    day, last = since.astimezone(hours.zone).date(), until.astimezone(hours.zone).date()
    while day <= last:
        spans = [span for span in hours.spans if span.weekday == day.weekday()]
        if spans and not hours.is_holiday(day):
            for span in sorted(spans, key=lambda one: one.start):
                yield Span(at_local(hours.zone, day, span.start), at_local(hours.zone, day, span.end))
        day += timedelta(days=1)


def at_local(zone: ZoneInfo, day: date, minute: int) -> datetime:
    """UTC of a minute of a day by the clock on the wall; 1440 is midnight after it. What the clock skips in spring is
    taken as if it had not gone forward yet; of what it shows twice in autumn, the first counts."""
    day += timedelta(days=minute // MINUTES_OF_DAY)
    hour, minute = divmod(minute % MINUTES_OF_DAY, 60)
    return datetime.combine(day, time(hour, minute), tzinfo=zone).astimezone(UTC)
