from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.contracts import WeekHours, WeekHoursError

BACKUP = "mon-fri 22:00-02:00, sun 00:00-06:00"
MONDAY = datetime(2026, 3, 2)  # noqa: DTZ001 - the clock on the wall
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BACKUP, BACKUP),
        (" SUN 00:00-06:00,Mon-Fri   22:00-02:00", BACKUP),
        ("fri-mon 22:00-00:00", "mon 22:00-24:00, fri-sun 22:00-24:00"),
        ("mon 01:00-02:00, mon 01:00-02:00", "mon 01:00-02:00"),
        ("mon-sun 00:00-24:00", "mon-sun 00:00-24:00"),
    ],
)
def test_hours_are_told_in_one_form(text: str, told: str) -> None:
    hours = WeekHours.parse(text)
    assert str(hours) == told
    assert WeekHours.parse(told) == hours


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "write hours of the week like 'mon-fri 22:00-02:00, sun 00:00-06:00', not ''"),
        ("22:00-02:00", "not '22:00-02:00'"),
        ("mo 22:00-02:00", "not 'mo 22:00-02:00'"),
        ("mon 22:00-25:00", "'mon 22:00-25:00': 25:00 is no time of a day"),
        ("mon 22:60-23:00", "22:60 is no time of a day"),
        ("mon 22:00-22:00", "says nothing"),
        ("mon 24:00-02:00", "says nothing"),
        ("sun 22:00-02:00, mon 01:00-03:00", "cover mon 01:00 twice"),
        ("mon 01:00-02:00," * 20, "at most 200 characters"),
    ],
)
def test_what_hours_cannot_be(text: str, told: str) -> None:
    with pytest.raises(WeekHoursError, match=told.replace("(", r"\(")):
        WeekHours.parse(text)


@pytest.mark.parametrize(
    ("day", "clock", "is_covered"),
    [
        (0, "21:59", False),
        (0, "22:00", True),
        (1, "01:59", True),
        (1, "02:00", False),
        (5, "01:59", True),  # Friday's night is Saturday's morning
        (5, "22:00", False),
        (6, "00:00", True),
        (6, "06:00", False),
        (0, "00:00", False),  # Sunday has no night of its own
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(day: int, clock: str, is_covered: bool) -> None:
    hour, minute = map(int, clock.split(":"))
    local = MONDAY + timedelta(days=day, hours=hour, minutes=minute)
    assert WeekHours.parse(BACKUP).cover(local) is is_covered


parts = st.tuples(st.integers(0, 6), st.integers(0, 1439), st.integers(1, 1440)).filter(lambda part: part[1] != part[2])


def minutes_of(day: int, start: int, end: int) -> set[int]:
    length = (end - start) % 1440 or 1440
    return {(day * 1440 + start + minute) % 10_080 for minute in range(length)}


@given(parts, parts)
def test_hours_cover_what_a_count_of_minutes_tells(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    written = [
        f"{DAYS[day]} {start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}" for day, start, end in (one, other)
    ]
    first, second = map(WeekHours.parse, written)
    assert first.overlap(second) is bool(minutes_of(*one) & minutes_of(*other))
    if one != other and first.overlap(second):
        with pytest.raises(WeekHoursError, match="twice"):
            WeekHours.parse(", ".join(written))
        return
    both = WeekHours.parse(", ".join(written))
    expected = minutes_of(*one) | minutes_of(*other)
    bounds = both.bounds
    spans = zip(bounds[::2], bounds[1::2], strict=True)
    assert {minute for begin, end in spans for minute in range(begin, end)} == expected
    assert list(bounds) == sorted(set(bounds))
