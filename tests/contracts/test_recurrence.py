"""When maintenance windows are open, over the changes of summer time and against a plain count."""

from datetime import UTC, datetime, timedelta

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from collector.contracts.recurrence import (
    RecurrenceError,
    _rule,
    checked_recurrence,
    next_start,
    occurrence_at,
    starts_between,
)

AMSTERDAM = "Europe/Amsterdam"
HOUR = timedelta(hours=1)


def wall(text: str) -> datetime:
    """What the clock on the wall shows."""
    return datetime.fromisoformat(text)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_window_without_recurrence_is_open_once() -> None:
    starts = wall("2026-03-07T02:00")
    assert occurrence_at(starts, 4 * HOUR, None, AMSTERDAM, utc("2026-03-07T00:59")) is None
    assert occurrence_at(starts, 4 * HOUR, None, AMSTERDAM, utc("2026-03-07T01:00")) == (
        utc("2026-03-07T01:00"),
        utc("2026-03-07T05:00"),
    )
    assert occurrence_at(starts, 4 * HOUR, None, AMSTERDAM, utc("2026-03-07T05:00")) is None


def test_the_next_start_of_what_happens_once_is_told_however_far_away_it_is() -> None:
    starts, now = wall("2029-03-07T02:00"), utc("2026-03-07T00:00")
    assert next_start(starts, None, AMSTERDAM, now) == utc("2029-03-07T01:00")
    assert next_start(starts, None, AMSTERDAM, utc("2029-03-07T01:00")) is None


def test_it_starts_by_the_clock_on_the_wall_in_summer_and_winter() -> None:
    starts, weekly = wall("2026-03-22T01:00"), "FREQ=WEEKLY;BYDAY=SU"
    assert next_start(starts, weekly, AMSTERDAM, utc("2026-03-23T00:00")) == utc("2026-03-29T00:00")
    assert next_start(starts, weekly, AMSTERDAM, utc("2026-03-30T00:00")) == utc("2026-04-04T23:00")


def test_a_start_that_the_spring_change_skips_is_an_hour_later() -> None:
    starts, daily = wall("2026-03-20T02:30"), "FREQ=DAILY"
    assert occurrence_at(starts, HOUR, daily, AMSTERDAM, utc("2026-03-29T01:30")) == (
        utc("2026-03-29T01:30"),
        utc("2026-03-29T02:30"),
    )


def test_of_a_start_that_the_autumn_change_doubles_the_first_counts() -> None:
    starts, daily = wall("2026-10-20T02:30"), "FREQ=DAILY"
    assert occurrence_at(starts, HOUR, daily, AMSTERDAM, utc("2026-10-25T00:30")) is not None
    assert occurrence_at(starts, HOUR, daily, AMSTERDAM, utc("2026-10-25T01:30")) is None


def test_a_window_reaches_over_midnight() -> None:
    starts = wall("2026-03-06T22:00")
    assert occurrence_at(starts, 30 * HOUR, "FREQ=WEEKLY", AMSTERDAM, utc("2026-03-15T02:00")) == (
        utc("2026-03-13T21:00"),
        utc("2026-03-15T03:00"),
    )


def test_until_may_be_written_in_utc_or_by_the_wall() -> None:
    starts = wall("2026-03-07T02:00")
    for until in ("UNTIL=20260308T010000Z", "UNTIL=20260308T020000"):
        rule = checked_recurrence(f"FREQ=DAILY;{until}", starts, AMSTERDAM)
        assert occurrence_at(starts, HOUR, rule, AMSTERDAM, utc("2026-03-08T01:00")) is not None
        assert next_start(starts, rule, AMSTERDAM, utc("2026-03-08T01:00")) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "weekly",
        "FREQ=HOURLY",
        "FREQ=DAILY;BYHOUR=3",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=WEEKLY;BYDAY=XX",
        "FREQ=DAILY\nX",
        "FREQ=DAILY;UNTIL=99999999T999999Z",
        "FREQ=DAILY;UNTIL=20200101T000000Z",
        "FREQ=DAILY;BYMONTHDAY=77",
        f"FREQ=DAILY;BYMONTH={'1,' * 400}1",
    ],
)
def test_what_is_no_recurrence_is_refused(text: str) -> None:
    with pytest.raises(RecurrenceError):
        checked_recurrence(text, wall("2026-03-07T02:00"), AMSTERDAM)


@given(
    start=st.integers(0, 365 * 24 * 60).map(lambda minutes: wall("2026-01-01") + timedelta(minutes=minutes)),
    hours=st.integers(1, 60),
    day=st.integers(0, 400),
    minute=st.integers(0, 24 * 60),
)
def test_a_daily_window_is_open_when_a_start_lies_within_its_length(
    start: datetime, hours: int, day: int, minute: int
) -> None:
    """Against every start of the days around, in a zone without summer time."""
    at = (start + timedelta(days=day, minutes=minute)).replace(tzinfo=UTC)
    begins = [start.replace(tzinfo=UTC) + timedelta(days=number) for number in range(402)]
    covering = [one for one in begins if one <= at < one + hours * HOUR]
    found = occurrence_at(start, hours * HOUR, "FREQ=DAILY", "UTC", at)
    assert found == ((covering[-1], covering[-1] + hours * HOUR) if covering else None)


RULES = st.one_of(
    st.builds("FREQ=DAILY;INTERVAL={}".format, st.integers(1, 9)),
    st.builds(
        "FREQ=WEEKLY;INTERVAL={};BYDAY={}{}".format,
        st.integers(1, 5),
        st.sampled_from(["MO", "SU", "TU,TH", "MO,WE,FR"]),
        st.sampled_from(["", ";WKST=SU"]),
    ),
    st.builds(
        "FREQ=MONTHLY;INTERVAL={}{}".format,
        st.integers(1, 7),
        st.sampled_from(["", ";BYDAY=2SU", ";BYDAY=MO,TU;BYSETPOS=-1", ";BYMONTHDAY=-1", ";BYMONTHDAY=31"]),
    ),
    st.builds(
        "FREQ=YEARLY;INTERVAL={}{}".format,
        st.integers(1, 3),
        st.sampled_from(["", ";BYMONTH=2,7", ";BYWEEKNO=20;BYDAY=MO", ";BYYEARDAY=366", ";BYMONTH=2;BYMONTHDAY=29"]),
    ),
    st.sampled_from(["FREQ=DAILY;COUNT=500", "FREQ=WEEKLY;UNTIL=20270101T000000"]),
)


@given(
    rule=RULES,
    starts=st.datetimes(wall("2016-01-01"), wall("2026-01-01")).map(lambda at: at.replace(microsecond=0)),
    after=st.datetimes(wall("2015-12-01"), wall("2026-06-01")),
)
def test_what_began_long_ago_goes_on_as_it_began(rule: str, starts: datetime, after: datetime) -> None:
    """Against the whole of the rule, unfolded from its begin."""
    whole = rrulestr(rule, dtstart=starts)
    last = after + timedelta(days=366)
    assert starts_between(rule, starts, "UTC", after, last) == whole.between(after, last, inc=True)
    coming = whole.after(after)
    found = next_start(starts, rule, "UTC", after.replace(tzinfo=UTC))
    assert found == (coming.replace(tzinfo=UTC) if coming is not None and coming <= last else None)


@pytest.mark.parametrize("rule", ["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SU", "FREQ=MONTHLY;BYDAY=2SU", "FREQ=YEARLY"])
def test_a_rule_is_not_unfolded_from_a_begin_long_ago(rule: str) -> None:
    """A page shows the next start of a hundred windows, and each evaluation asks which of them are open."""
    kept = _rule(rule, wall("1996-03-03T02:00"), AMSTERDAM, wall("2026-03-07T02:00"))
    assert next(iter(kept)) > wall("2024-03-01")
