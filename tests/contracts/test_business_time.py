"""Business time against a count minute by minute, and what must hold whatever the hours are."""

import random
from bisect import bisect_left
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import accumulate, pairwise
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.contracts.business_time import OUTSIDE_HOURS, BusinessCalendar, DaysOff, calendar_of
from collector.contracts.office_hours import OfficeHours

AMSTERDAM = "Europe/Amsterdam"
MINUTE = timedelta(minutes=1)
NONE_OFF = DaysOff()
OWN = DaysOff((("12-24", "Christmas Eve"), ("2026-09-18", "Company outing")), frozenset({"Good Friday", "05-14"}))

LUNCH = calendar_of(OfficeHours.parse("Mon-Fri 08:30-12:30, Mon-Fri 13:00-17:00", AMSTERDAM), OWN)
OFFICE = calendar_of(OfficeHours.parse("Mon-Fri 09:00-17:00", AMSTERDAM), NONE_OFF)
ALWAYS = calendar_of(OfficeHours.parse("Mon-Sun 00:00-24:00", AMSTERDAM, "none"), NONE_OFF)
NIGHTS = calendar_of(OfficeHours.parse("Mon-Sun 01:15-03:45, Sat-Sun 22:00-24:00", AMSTERDAM, "none"), NONE_OFF)
SYDNEY = calendar_of(OfficeHours.parse("Mon-Sat 00:00-24:00, Sun 02:30-09:00", "Australia/Sydney", "AU"), NONE_OFF)
LORD_HOWE = calendar_of(OfficeHours.parse("Mon-Sun 01:00-03:00", "Australia/Lord_Howe", "none"), NONE_OFF)  # by 30 min
KATHMANDU = calendar_of(OfficeHours.parse("Mon-Fri 10:00-17:00", "Asia/Kathmandu", "none"), NONE_OFF)
CALENDARS = {
    "lunch": LUNCH,
    "office": OFFICE,
    "always": ALWAYS,
    "nights": NIGHTS,
    "sydney": SYDNEY,
    "lord howe": LORD_HOWE,
    "kathmandu": KATHMANDU,
}

calendars = st.sampled_from(list(CALENDARS.values()))
instants = st.datetimes(datetime(2025, 11, 1), datetime(2027, 6, 1), timezones=st.just(UTC))  # noqa: DTZ001
amounts = st.timedeltas(timedelta(), timedelta(days=40))


def at(text: str, zone: str = AMSTERDAM) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=OfficeHours.parse("Mon 00:00-24:00", zone).zone).astimezone(UTC)


def minutes_of_2026(calendar: BusinessCalendar) -> list[bool]:
    """Whether each minute of the year (UTC) counts, told by the clock on the wall alone."""
    zone, first = calendar.hours.zone, datetime(2026, 1, 1, tzinfo=UTC)
    week = [[False] * 1440 for _ in range(7)]
    for span in calendar.hours.spans:
        week[span.weekday][span.start : span.end] = [True] * (span.end - span.start)
    is_closed = cache(lambda day: calendar.why_closed(day) is not None)
    told = []
    for number in range(365 * 24 * 60):
        local = (first + number * MINUTE).astimezone(zone)
        told.append(week[local.weekday()][local.hour * 60 + local.minute] and not is_closed(local.date()))
    return told


@pytest.mark.parametrize("name", CALENDARS)
def test_a_year_of_minutes_agrees_with_a_count_minute_by_minute(name: str) -> None:
    calendar, first = CALENDARS[name], datetime(2026, 1, 1, tzinfo=UTC)
    told = minutes_of_2026(calendar)
    sums = [0, *accumulate(told)]
    assert calendar.counted(first, first + len(told) * MINUTE) == sums[-1] * MINUTE
    draw = random.Random(5)  # noqa: S311 - the same stretches in every run
    for _ in range(3_000):
        start, end = sorted(draw.sample(range(len(told)), 2))
        assert calendar.counted(first + start * MINUTE, first + end * MINUTE) == (sums[end] - sums[start]) * MINUTE
        if sums[start] + 90 < sums[-1]:
            used_up = bisect_left(sums, sums[start] + 90)
            assert calendar.after(first + start * MINUTE, 90 * MINUTE) == first + used_up * MINUTE


@given(calendars, st.lists(instants, min_size=3, max_size=3).map(sorted))
def test_a_stretch_cut_anywhere_gives_the_same_sum(calendar: BusinessCalendar, cut: list[datetime]) -> None:
    start, middle, end = cut
    assert calendar.counted(start, middle) + calendar.counted(middle, end) == calendar.counted(start, end)


@given(calendars, st.lists(instants, min_size=3, max_size=3).map(sorted))
def test_more_time_never_counts_less_and_never_more_than_it_is(
    calendar: BusinessCalendar, instants: list[datetime]
) -> None:
    start, end, later = instants
    assert timedelta() <= calendar.counted(start, end) <= calendar.counted(start, later)
    assert calendar.counted(start, end) <= end - start
    assert calendar.counted(end, start) == timedelta()


@given(calendars, instants, amounts)
def test_what_is_used_up_has_counted(calendar: BusinessCalendar, start: datetime, amount: timedelta) -> None:
    end = calendar.after(start, amount)
    assert end is not None and end >= start
    assert calendar.counted(start, end) == amount
    if amount:
        assert calendar.counted(start, end - timedelta(microseconds=1)) < amount  # the first such instant
    else:
        assert calendar.counted(start, end + timedelta(microseconds=1)) > amount  # nothing: where it begins


@given(calendars, instants, amounts, amounts)
def test_more_is_used_up_no_earlier(
    calendar: BusinessCalendar, start: datetime, some: timedelta, more: timedelta
) -> None:
    first, second = calendar.after(start, some), calendar.after(start, some + more)
    assert first is not None and second is not None and first <= second


@given(calendars, st.lists(instants, min_size=2, max_size=2).map(sorted))
def test_stretches_cover_the_time_without_a_gap_and_add_up(
    calendar: BusinessCalendar, instants: list[datetime]
) -> None:
    start, end = instants
    stretches = list(calendar.stretches(start, end))
    if start == end:
        assert stretches == []
        return
    assert (stretches[0].start, stretches[-1].end) == (start, end)
    assert all(before.end == after.start and before.why_not != after.why_not for before, after in pairwise(stretches))
    counted = sum((one.end - one.start for one in stretches if one.why_not is None), timedelta())
    assert counted == calendar.counted(start, end)
    for one in stretches:
        assert calendar.counted(one.start, one.end) == (one.end - one.start if one.why_not is None else timedelta())


def test_summer_time_skips_an_hour_and_winter_time_repeats_one() -> None:
    assert ALWAYS.counted(at("2026-03-29T00:00"), at("2026-03-30T00:00")) == timedelta(hours=23)
    assert ALWAYS.counted(at("2026-10-25T00:00"), at("2026-10-26T00:00")) == timedelta(hours=25)
    # From 01:15 to 03:45 by the clock on the wall: an hour less, and an hour more.
    assert NIGHTS.counted(at("2026-03-29T00:00"), at("2026-03-29T12:00")) == timedelta(hours=1, minutes=30)
    assert NIGHTS.counted(at("2026-10-25T00:00"), at("2026-10-25T12:00")) == timedelta(hours=3, minutes=30)
    # Over the weekend of the change office hours are as long as ever, and end at 17:00 by the clock on the wall.
    assert OFFICE.after(at("2026-03-27T16:00"), timedelta(hours=9)) == at("2026-03-30T17:00")
    assert OFFICE.after(at("2026-10-23T16:00"), timedelta(hours=9)) == at("2026-10-26T17:00")


def test_holidays_and_closing_days_have_names() -> None:
    assert [(f"{day:%m-%d}", name) for day, name in LUNCH.closed_days(2026)] == [
        ("01-01", "New Year's Day"),
        ("04-06", "Easter Monday"),
        ("04-27", "King's Day"),
        ("05-25", "Pentecost Monday"),
        ("09-18", "Company outing"),
        ("12-24", "Christmas Eve"),
        ("12-25", "Christmas Day"),
    ]  # Good Friday and Ascension Day (05-14) are worked; what falls on a weekend is closed anyway
    whys = [one.why_not for one in LUNCH.stretches(at("2026-04-24T16:00"), at("2026-04-28T09:00"))]
    assert whys == [None, OUTSIDE_HOURS, "King's Day", OUTSIDE_HOURS, None]


def test_hours_that_are_written_twice_count_once() -> None:
    twice = calendar_of(OfficeHours.parse("Mon 09:00-12:00, Mon 11:00-17:00, Mon 17:00-18:00", AMSTERDAM), NONE_OFF)
    assert list(twice.stretches(at("2026-01-05T08:00"), at("2026-01-05T18:00")))[1].why_not is None
    assert twice.counted(at("2026-01-05T00:00"), at("2026-01-06T00:00")) == timedelta(hours=9)


def test_nothing_asks_where_the_hours_begin() -> None:
    assert OFFICE.after(at("2026-01-05T10:00"), timedelta()) == at("2026-01-05T10:00")
    assert OFFICE.after(at("2026-01-09T17:00"), timedelta()) == at("2026-01-12T09:00")
    assert OFFICE.after(at("2026-01-09T16:00"), timedelta(hours=1)) == at("2026-01-09T17:00")


def test_what_is_never_used_up_is_never() -> None:
    seldom = calendar_of(OfficeHours.parse("Mon 09:00-09:01", AMSTERDAM, "none"), NONE_OFF)
    assert seldom.after(at("2026-01-05T10:00"), timedelta(days=1)) is None
    assert seldom.after(datetime(9990, 1, 1, tzinfo=UTC), timedelta(days=1)) is None


def test_however_many_questions_there_are_each_year_is_laid_out_once() -> None:
    calendar = BusinessCalendar(OFFICE.hours, NONE_OFF)
    laid_out = Mock(wraps=calendar._build)
    calendar._build = laid_out  # type: ignore[method-assign]
    starts = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=70 * number) for number in range(2_000)]
    for start in starts:
        calendar.counted(start, starts[-1])
        calendar.after(start, timedelta(hours=4))
    laid_out.assert_called_once_with(2026)


def test_a_day_is_closed_by_its_date_or_every_year() -> None:
    assert OWN.name_of(date(2030, 12, 24)) == "Christmas Eve"
    assert OWN.name_of(date(2027, 9, 18)) is None
