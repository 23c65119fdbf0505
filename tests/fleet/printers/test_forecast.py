"""How long a supply lasts."""

import math
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.fleet.printers.forecast import (
    MAX_DAYS,
    MAX_POINTS,
    Point,
    forecast,
    is_refill,
    last_change,
    observe,
    pages_of_a_cartridge,
    used_between,
)
from tests.fleet.printers.usage_made_up import DAY, HOUR, START, Office, judged


def course(*levels: float, every: float = DAY, pages: float | None = None) -> tuple[Point, ...]:
    points: tuple[Point, ...] = ()
    for number, level in enumerate(levels):
        points = observe(points, Point(START + number * every, level, None if pages is None else pages * number))
    return points


def steady(per_day: float, step: float, days: int, *, told_up: bool = False) -> tuple[tuple[Point, ...], float, float]:
    """Even use of a cartridge that was full: the points, the level that is told at the end, and the end's time."""
    points: tuple[Point, ...] = ()
    at, told = START, 1.0
    for hour in range(days * 24 + 1):
        at = START + hour * HOUR
        level = max(0.0, 1 - per_day * hour / 24)
        steps = level / step
        told = min(1.0, (math.ceil(steps - 1e-9) if told_up else math.floor(steps + 1e-9)) * step)
        points = observe(points, Point(at, told))
    return points, told, at


@given(
    per_day=st.floats(0.01, 0.1),
    step=st.sampled_from([0.01, 0.02, 0.1, 0.25]),
    share=st.floats(0.55, 0.95),
    told_up=st.booleans(),
)
def test_even_use_is_foretold_to_the_day(per_day: float, step: float, share: float, told_up: bool) -> None:
    """Whatever the steps and the rounding: the error is a day or a tenth, once two steps were seen."""
    days = int(share / per_day)
    points, told, now = steady(per_day, step, days, told_up=told_up)
    found = forecast(points, now)
    assert found is not None
    # The level is told as 0 when it is 0, or, rounded down, when less than a step is left.
    end = 1 / per_day if told_up else (1 - step) / per_day
    left = max(0.0, end - days)
    assert found.days_left == pytest.approx(left, abs=max(1.5, 0.1 * left)), told


@given(st.lists(st.floats(0, 1), min_size=1, max_size=80), st.floats(0, 400))
def test_whatever_is_told_no_forecast_is_absurd(levels: list[float], later_days: float) -> None:
    points = course(*levels)
    now = START + len(levels) * DAY + later_days * DAY
    found = forecast(points, now)
    if found is not None:
        assert 0 <= found.days_left <= MAX_DAYS
        assert 0 <= found.used_per_day < 100
    used, changes = used_between(points, START, now)
    assert 0 <= used <= len(levels)
    assert 0 <= changes <= len(levels)


@given(st.floats(0.01, 0.08), st.sampled_from([0.01, 0.1, 0.25]))
def test_a_refill_begins_anew_at_the_same_pace(per_day: float, step: float) -> None:
    points, _, now = steady(per_day, step, int(0.9 / per_day))
    points = observe(points, Point(now + HOUR, 1.0))
    found = forecast(points, now + 2 * HOUR)
    assert found is not None
    assert found.days_left == pytest.approx(1 / per_day, rel=0.25)
    assert last_change(points) == now + HOUR


@given(st.sampled_from([0.25, 0.5, 0.75]), st.integers(1, 60))
def test_a_coarse_level_that_wavers_is_no_change(level: float, times: int) -> None:
    points = course(*[one for _ in range(times) for one in (level, level - 0.25)], every=HOUR)
    assert last_change(points) is None or level == 0.25  # from empty to a quarter: something was put in
    assert len(points) <= MAX_POINTS


def test_little_is_known_at_first() -> None:
    assert forecast((), START) is None
    assert forecast(course(1.0), START + 50 * DAY) is None
    assert forecast(course(1.0, 0.99), START + 2 * DAY) is None
    empty = forecast(course(1.0, 0.0), START + 2 * DAY)
    assert empty is not None
    assert empty.days_left == 0


@pytest.mark.parametrize(
    ("before", "after", "step", "is_one"),
    [
        (0.05, 1.0, 0.01, True),
        (0.6, 1.0, 0.01, True),
        (0.05, 0.16, 0.01, True),  # ink that is topped up
        (0.5, 0.51, 0.01, False),
        (0.5, 0.6, 0.1, False),
        (0.5, 0.75, 0.25, False),
        (0.25, 1.0, 0.25, True),
        (0.0, 0.25, 0.25, True),
    ],
)
def test_what_is_a_change(before: float, after: float, step: float, is_one: bool) -> None:
    assert is_refill(before, after, step) is is_one


def test_a_level_that_is_told_wrong_for_an_hour_is_forgotten() -> None:
    points = course(0.6, 0.59, 0.0, 0.59, every=HOUR)
    assert [one.level for one in points] == [0.6, 0.59]
    assert used_between(points, START, START + DAY) == pytest.approx((0.01, 0))


def test_a_pause_does_not_make_the_pace_slow() -> None:
    office = Office(0.03, spread=0, pause=(40, 61), seed=3)
    with_pause = judged(office, days=120)
    assert median(one.error for one in with_pause) < 0.25


def test_use_that_stops_is_seen() -> None:
    points, _, now = steady(0.05, 0.1, 12)
    sooner, later = forecast(points, now), forecast(points, now + 60 * DAY)
    assert sooner is not None
    assert later is not None
    assert later.days_left > 2 * sooner.days_left


def test_pages_of_a_cartridge_come_from_both_counters() -> None:
    assert pages_of_a_cartridge(course(1.0, 0.9, 0.8, 0.7, pages=300)) == pytest.approx(3_000)
    assert pages_of_a_cartridge(course(1.0, 0.98, pages=300)) is None
    assert pages_of_a_cartridge(course(1.0, 0.9, 0.8)) is None


def test_what_a_month_used() -> None:
    points = course(0.3, 0.2, 0.1, 1.0, 0.9, 0.8)
    assert used_between(points, START, START + 10 * DAY) == pytest.approx((0.4, 1))
    assert used_between(points, START + 4 * DAY, START + 10 * DAY) == pytest.approx((0.2, 0))


def test_numbers_that_are_none_are_left_out() -> None:
    points = course(0.5)
    assert observe(points, Point(START + DAY, math.nan)) is points
    assert observe(points, Point(START - DAY, 0.2)) is points
    assert observe((), Point(START, 7.0))[0].level == 1.0


# The figures stand in docs/how-to/look-after-printers.md.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "step", "noise", "at_most"),
    [
        ("1 %", 0.01, 0.0, 0.18),
        ("1 %, told wrong by 2 %", 0.01, 0.02, 0.18),
        ("10 %", 0.1, 0.0, 0.20),
        ("25 %", 0.25, 0.0, 0.25),
    ],
)
def test_forecasts_of_the_last_month_against_the_truth(what: str, step: float, noise: float, at_most: float) -> None:
    errors = [
        one.error
        for seed in range(2)
        for per_day in (0.02, 0.05)
        for told_up in (False, True)
        for one in judged(Office(per_day, step=step, noise=noise, is_told_up=told_up, seed=seed))
    ]
    print(what, len(errors), f"median error {median(errors):.0%}")
    assert median(errors) < at_most
