"""Time that counts: the hours of the week in which support was agreed, without holidays and closing days.

A calendar knows the instants (UTC) at which its hours begin and end, year by year, with the sum of what went before,
so that a question takes a binary search however long the stretch is.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from collector.contracts.office_hours import OfficeHours

NEVER_AFTER_YEARS = 20  # a target that is not used up by then never will be
_YEARS_AHEAD = range(NEVER_AFTER_YEARS + 1)
CALENDARS = 1024  # kept in memory: a provider has a handful
OUTSIDE_HOURS = "outside support hours"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_NOTHING = timedelta()
_TICKS_OF_MINUTE = 60_000_000
_LAST_YEAR = 9998


@dataclass(frozen=True, slots=True)
class DaysOff:
    """What differs from the hours of the week on some days.

    `closed`: days and their names; `worked`: days that are worked although they are holidays. A day is a date
    (`2026-12-24`), a month and day of every year (`12-24`), or, among the worked, a holiday's name.
    """

    closed: tuple[tuple[str, str], ...] = ()
    worked: frozenset[str] = frozenset()

    def name_of(self, day: date) -> str | None:
        """The name of the provider's own closing day."""
        return next((name for written, name in self.closed if written in _written(day)), None)

    def is_worked(self, day: date, holiday: str) -> bool:
        return not self.worked.isdisjoint((*_written(day), holiday))


NO_DAYS_OFF = DaysOff()


def _written(day: date) -> tuple[str, str]:
    return day.isoformat(), f"{day:%m-%d}"


@dataclass(frozen=True, slots=True)
class Stretch:
    start: datetime  # UTC
    end: datetime
    why_not: str | None  # it does not count; None: it does


@dataclass(frozen=True, slots=True)
class _Year:
    """The hours of one year (UTC), in microseconds since 1970."""

    starts: list[int]
    ends: list[int]
    before: list[int]  # what counted in the year before each start
    total: int

    def until(self, tick: int) -> int:
        """What counts from the year's beginning until then."""
        last = bisect_right(self.starts, tick) - 1
        return 0 if last < 0 else self.before[last] + min(tick, self.ends[last]) - self.starts[last]

    def at(self, counted: int) -> int | None:
        """When so much of the year has counted and more is about to: None if the year has no more than that."""
        if counted >= self.total:
            return None
        last = bisect_right(self.before, counted) - 1
        return self.starts[last] + counted - self.before[last]


class Place(NamedTuple):
    """An instant, as a calendar knows it."""

    year: int  # UTC
    counted: int  # microseconds of the year before it


class BusinessCalendar:
    """Made by `calendar_of`, so that equal hours share one. All times are aware; what comes out is UTC."""

    def __init__(self, hours: OfficeHours, days_off: DaysOff) -> None:
        self.hours = hours
        self._days_off = days_off
        self._by_weekday = _by_weekday(hours)
        self._years: dict[int, _Year] = {}

    def place(self, start: datetime) -> Place:
        """Where `counted_since` and `after_place` begin, found once for many questions."""
        start = start.astimezone(UTC)
        return Place(start.year, self._year(start.year).until(_tick(start)))

    def counted(self, start: datetime, end: datetime) -> timedelta:
        """How much of the time from `start` until `end` counts; nothing if `end` is not later."""
        return _NOTHING if end <= start else self.counted_since(self.place(start), end)

    def counted_since(self, place: Place, end: datetime) -> timedelta:
        """The same, from a place that is not later."""
        end = end.astimezone(UTC)
        ticks = self._year(end.year).until(_tick(end)) - place.counted
        for year in range(place.year, end.year):
            ticks += self._year(year).total
        return _TICK * ticks

    def after(self, start: datetime, amount: timedelta) -> datetime | None:
        """When `amount` of the time from `start` on has counted: the first such instant. For nothing it is `start`,
        or, where that does not count, when the hours begin. None if that is beyond NEVER_AFTER_YEARS."""
        return self.after_place(self.place(start), amount)

    def after_place(self, place: Place, amount: timedelta) -> datetime | None:
        wanted = place.counted + amount // _TICK
        # What counts until an end is used up there, though nothing counts at it; only nothing asks for what comes next.
        inside = 1 if amount > _NOTHING else 0
        for ahead in _YEARS_AHEAD:
            if place.year + ahead > _LAST_YEAR:
                break
            hours = self._year(place.year + ahead)
            found = hours.at(wanted - inside)
            if found is not None:
                return _instant(found + inside)
            wanted -= hours.total
        return None

    def stretches(self, start: datetime, end: datetime) -> Iterator[Stretch]:
        """The time from `start` until `end`, cut where it begins or ceases to count, or another reason holds it."""
        at = start = start.astimezone(UTC)
        end = end.astimezone(UTC)
        for opened, closed in self._opened(start, end):
            yield from self._closed_stretches(at, opened)
            yield Stretch(opened, closed, None)
            at = closed
        yield from self._closed_stretches(at, end)

    def why_closed(self, day: date) -> str | None:
        """The name of the holiday or closing day; None: a day like others of its weekday."""
        own = self._days_off.name_of(day)
        if own is not None:
            return own
        holiday = self.hours.holiday_name(day)
        return None if holiday is None or self._days_off.is_worked(day, holiday) else holiday

    def closed_days(self, year: int) -> list[tuple[date, str]]:
        """The days of a year that would count by their weekday, and do not."""
        days = (date(year, 1, 1) + number * _DAY for number in range(366))
        found = ((day, self.why_closed(day)) for day in days if day.year == year and self._by_weekday[day.weekday()])
        return [(day, name) for day, name in found if name is not None]

    def _opened(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Stretches that count, joined where one year's end is the next one's beginning."""
        first, last = _tick(start), _tick(end)
        held: tuple[int, int] | None = None
        for year in range(start.year, end.year + 1):
            hours = self._year(year)
            for opened, closed in zip(hours.starts, hours.ends, strict=True):
                begins, ends = max(opened, first), min(closed, last)
                if begins >= ends:
                    continue
                if held is not None and held[1] == begins:
                    held = (held[0], ends)
                    continue
                if held is not None:
                    yield _instant(held[0]), _instant(held[1])
                held = (begins, ends)
        if held is not None:
            yield _instant(held[0]), _instant(held[1])

    def _closed_stretches(self, start: datetime, end: datetime) -> Iterator[Stretch]:
        begun: tuple[datetime, str] | None = None
        at = start
        while at < end:
            day = at.astimezone(self.hours.zone).date()
            closed = self.why_closed(day) if self._by_weekday[day.weekday()] else None
            why = closed or OUTSIDE_HOURS
            if begun is None or begun[1] != why:
                if begun is not None:
                    yield Stretch(begun[0], at, begun[1])
                begun = (at, why)
            at = max(_midnight(day + _DAY, self.hours.zone), at + _TICK)
        if begun is not None:
            yield Stretch(begun[0], end, begun[1])

    def _year(self, year: int) -> _Year:
        known = self._years.get(year)
        if known is None:
            known = self._years[year] = self._build(year)
        return known

    def _build(self, year: int) -> _Year:
        starts: list[int] = []
        ends: list[int] = []
        for start, end in self._hours_of(year):
            if ends and ends[-1] == start:
                ends[-1] = end
            else:
                starts.append(start)
                ends.append(end)
        before, total = [], 0
        for start, end in zip(starts, ends, strict=True):
            before.append(total)
            total += end - start
        return _Year(starts, ends, before, total)

    def _hours_of(self, year: int) -> Iterator[tuple[int, int]]:
        """In order. Within a stretch of one offset from UTC the clock on the wall runs evenly: hours that a change of
        the clocks skips count nothing, hours that it repeats count twice."""
        for start, end, offset in _offsets(year, self.hours.zone):
            day, last = (start + offset).date(), (end + offset).date()
            while day <= last:
                spans = self._by_weekday[day.weekday()]
                if spans and self.why_closed(day) is None:
                    midnight = _tick(datetime(day.year, day.month, day.day, tzinfo=UTC) - offset)
                    for opens, closes in spans:
                        begins = max(midnight + opens * _TICKS_OF_MINUTE, _tick(start))
                        ends = min(midnight + closes * _TICKS_OF_MINUTE, _tick(end))
                        if begins < ends:
                            yield begins, ends
                day += _DAY


@lru_cache(maxsize=CALENDARS)
def calendar_of(hours: OfficeHours, days_off: DaysOff) -> BusinessCalendar:
    return BusinessCalendar(hours, days_off)


def _by_weekday(hours: OfficeHours) -> Mapping[int, list[tuple[int, int]]]:
    """Minutes after midnight, in order; what is written twice counts once."""
    found: dict[int, list[tuple[int, int]]] = {weekday: [] for weekday in range(7)}
    for span in sorted(hours.spans, key=lambda one: (one.weekday, one.start)):
        spans = found[span.weekday]
        if spans and span.start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], span.end))
        else:
            spans.append((span.start, span.end))
    return found


def _offsets(year: int, zone: ZoneInfo) -> Iterable[tuple[datetime, datetime, timedelta]]:
    """The year (UTC) in stretches of one offset of the zone from UTC."""
    end = datetime(year + 1, 1, 1, tzinfo=UTC)
    begun = at = datetime(year, 1, 1, tzinfo=UTC)
    offset = _offset(at, zone)
    while at < end:
        ahead = min(at + _DAY, end)
        if _offset(ahead, zone) != offset:
            change = _change(at, ahead, zone)
            yield begun, change, offset
            begun, offset = change, _offset(change, zone)
            ahead = change
        at = ahead
    if begun < end:
        yield begun, end, offset


def _change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The second, after `low` and no later than `high`, at which the offset has changed."""
    before = _offset(low, zone)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if _offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _tick(at: datetime) -> int:
    return (at - _EPOCH) // _TICK


def _instant(tick: int) -> datetime:
    return _EPOCH + _TICK * tick
