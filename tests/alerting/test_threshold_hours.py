"""Thresholds that hold during some hours of the week: by the clock at each site, through changes of summer time."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.alerting.definitions import Definition, Per, ThresholdError
from collector.alerting.threshold_values import ThresholdDevice
from collector.alerting.thresholds import Effective, ThresholdReader
from collector.alerting.wall_clock import covered, stretch
from collector.clock import from_milliseconds, to_milliseconds
from collector.contracts import WeekHours
from collector.fleet.contracts import Contract
from collector.fleet.layers import Layer
from collector.fleet.thresholds import Threshold
from collector.series.labels import Strings
from collector.series.read import Matcher, MatchOp

AMSTERDAM, NEW_YORK, LORD_HOWE = "Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe"
NIGHT = WeekHours.parse("mon-fri 22:00-02:00, sun 00:00-06:00")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
BUSY = Definition("busy", "", "ratio", 0.9)
SELECT = (Matcher("__name__", MatchOp.EQUAL, "quarkpulse_threshold"), Matcher("name", MatchOp.EQUAL, "busy"))
HERE = ThresholdDevice("srv-1", "acme", "hq", "server", AMSTERDAM)
THERE = ThresholdDevice("srv-2", "acme", "ny", "server", NEW_YORK)
# Both changes of summer time there: 29 March and 25 October 2026; New York's are 8 March and 1 November.
CHANGES = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC),
]


def threshold(
    layer: Layer,
    subject: str,
    value: float,
    hours: WeekHours | None = None,
    *,
    since: datetime = LONG_AGO,
    until: datetime | None = None,
) -> Threshold:
    return Threshold("busy", layer, subject, value, since, until, "anna", hours)


def reader_of(*rows: Threshold, plans: list[Contract] | None = None) -> ThresholdReader:
    reader = ThresholdReader(Strings())
    contracts = [Contract(1, "acme", "monthly", LONG_AGO, None, None)] if plans is None else plans
    reader.update({"busy": BUSY}, {"busy"}, [HERE, THERE], rows, {"acme": contracts})
    return reader


def latest_at(reader: ThresholdReader, at: datetime) -> list[float]:
    instant = to_milliseconds(at)
    found: list[float] = reader.latest(reader.select(SELECT, instant, instant), instant, 0).values.tolist()
    return found


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "here", "there"),
    [
        ("2026-01-05 20:59", 0.9, 0.9),
        ("2026-01-05 21:00", 0.99, 0.9),  # Monday 22:00 in Amsterdam
        ("2026-01-06 00:59", 0.99, 0.9),
        ("2026-01-06 01:00", 0.9, 0.9),
        ("2026-01-06 03:00", 0.9, 0.99),  # Monday 22:00 in New York
        ("2026-07-06 19:59", 0.9, 0.9),
        ("2026-07-06 20:00", 0.99, 0.9),  # Monday 22:00 in summer
        ("2026-03-29 00:30", 0.99, 0.9),  # the night of the change: 01:30, and at 03:30
        ("2026-03-29 03:59", 0.99, 0.9),  # 05:59
        ("2026-03-29 04:00", 0.9, 0.99),  # 06:00; Sunday 00:00 in New York
        ("2026-10-25 04:59", 0.99, 0.99),  # 05:59, an hour more was slept
        ("2026-10-25 05:00", 0.9, 0.99),
    ],
)
def test_hours_follow_the_clock_at_each_site(at: str, here: float, there: float) -> None:
    reader = reader_of(threshold(Layer.CUSTOMER, "acme", 0.99, NIGHT))
    assert latest_at(reader, utc(at)) == [here, there]


def test_hours_win_in_their_layer_and_lose_to_a_narrower_one() -> None:
    rows = [
        threshold(Layer.CUSTOMER, "acme", 0.99, NIGHT),
        threshold(Layer.CUSTOMER, "acme", 0.8, since=LONG_AGO + timedelta(days=1)),  # set later, for all times
        threshold(Layer.SITE, "acme/ny", 0.7),
    ]
    reader = reader_of(*rows)
    night, day = utc("2026-01-05 21:00"), utc("2026-01-05 12:00")
    assert latest_at(reader, night) == [0.99, 0.7]
    assert latest_at(reader, day) == [0.8, 0.7]
    assert reader.explain("busy", "srv-1", night) == Effective(0.99, Layer.CUSTOMER, "acme", str(NIGHT), AMSTERDAM)
    told = [(one.effective.set_by, one.is_now) for one in reader.standing("busy", "srv-1", day)]
    assert told == [
        ("default", True),
        ("customer acme", True),
        ("customer acme, mon-fri 22:00-02:00, sun 00:00-06:00 Europe/Amsterdam", False),
    ]


def test_a_plan_counts_from_its_day_on_and_on_the_days_before() -> None:
    day = utc("2026-03-31 22:00")  # midnight there
    plans = [Contract(1, "acme", "monthly", LONG_AGO, day, None), Contract(2, "acme", "break_fix", day, None, None)]
    reader = reader_of(
        threshold(Layer.PLAN, "monthly", 0.5),
        threshold(Layer.PLAN, "break_fix", 0.6),
        threshold(Layer.PLAN, "break_fix", 0.7, NIGHT),
        plans=plans,
    )
    assert [latest_at(reader, day + timedelta(minutes=minute))[0] for minute in (-1, 0, 600)] == [0.5, 0.7, 0.6]
    instant = to_milliseconds(day)
    selection = reader.select(SELECT, instant, instant)
    samples = reader.samples(selection, instant - 120_000, instant + 60_000)
    assert samples.values[0].tolist() == [0.5, 0.7, 0.7]
    assert reader.explain("busy", "srv-1", day) == Effective(0.7, Layer.PLAN, "break_fix", str(NIGHT), AMSTERDAM)


zones = st.sampled_from([AMSTERDAM, NEW_YORK, LORD_HOWE, "Asia/Kathmandu", "UTC"])
weeks = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 1439), st.integers(1, 1440)).filter(lambda part: part[1] != part[2]),
    min_size=1,
    max_size=2,
)


def hours_of(parts: list[tuple[int, int, int]]) -> WeekHours:
    one = WeekHours((parts[0],))
    return one if len(parts) == 1 or one.overlap(WeekHours((parts[1],))) else WeekHours(tuple(sorted(parts)))


@settings(deadline=None)
@given(weeks, zones, st.sampled_from(CHANGES), st.integers(-3 * 1440, 1440))
def test_the_clock_on_the_wall_agrees_with_a_count_of_minutes(
    parts: list[tuple[int, int, int]], zone: str, change: datetime, ahead: int
) -> None:
    hours = hours_of(parts)
    begins = to_milliseconds(change + timedelta(minutes=ahead))
    times = begins + np.arange(0, 2 * 1440, dtype=np.int64) * 60_000
    expected = [hours.cover(from_milliseconds(int(at)).astimezone(ZoneInfo(zone))) for at in times]
    assert covered(hours, zone, times).tolist() == expected
    at = begins
    while at < int(times[-1]):
        holds, since, until = stretch(hours, zone, at)
        assert since <= at < until
        place = (at - begins) // 60_000
        assert {*expected[place : (until - begins) // 60_000]} == {holds}
        at = until


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_values_agree_with_a_count_of_minutes(data: st.DataObject) -> None:
    change = data.draw(st.sampled_from(CHANGES))
    begins = change - timedelta(hours=data.draw(st.integers(0, 40)))
    minutes = st.integers(-60, 2_900).map(lambda minute: begins + timedelta(minutes=minute))
    layers = [(Layer.PLAN, "monthly"), (Layer.CUSTOMER, "acme"), (Layer.SITE, "acme/hq"), (Layer.DEVICE, "srv-2")]
    rows = []
    for layer, subject in layers:
        for value, hours in ((0.1, None), (0.2, hours_of(data.draw(weeks)))):
            if data.draw(st.booleans()):
                since, until = sorted([data.draw(minutes), data.draw(minutes)])
                rows.append(
                    threshold(layer, subject, layers.index((layer, subject)) + value, hours, since=since, until=until)
                )
    on = data.draw(minutes)
    reader = reader_of(*rows, plans=[Contract(1, "acme", "monthly", on, None, None)])
    instant = to_milliseconds(begins)
    selection = reader.select(SELECT, instant, instant)
    samples = reader.samples(selection, instant - 1, instant + 2_880 * 60_000)

    def expected(device: ThresholdDevice, at: datetime) -> float:
        value = 0.9
        local = at.astimezone(ZoneInfo(device.time_zone))
        for layer, _ in layers:
            for with_hours in (False, True):
                for row in rows:
                    subject = ("monthly" if on <= at else "") if layer is Layer.PLAN else device.subject(layer)
                    is_valid = row.valid_to is not None and row.valid_from <= at < row.valid_to
                    if (row.layer, row.subject, row.hours is not None) == (layer, subject, with_hours) and is_valid:
                        value = row.value if row.hours is None or row.hours.cover(local) else value
        return value

    for column, at in enumerate(samples.times[0].tolist()):
        wanted = [expected(device, from_milliseconds(at)) for device in (HERE, THERE)]
        assert samples.values[:, column].tolist() == wanted
        if column % 7 == 0:
            assert reader.latest(selection, at, 0).values.tolist() == wanted
        if column % 97 == 0:
            explained = reader.explain("busy", "srv-1", from_milliseconds(at))
            assert explained is not None
            assert explained.value == wanted[0]


def test_a_month_of_a_large_fleet_is_bounded_work() -> None:
    """Thirty days of 1,000 devices, each with nights of its own: the work is that of the cells."""
    devices = [ThresholdDevice(f"d{i}", f"c{i % 10}", "hq", "server", AMSTERDAM) for i in range(1_000)]
    rows = [
        threshold(Layer.DEVICE, f"d{i}", 0.99, WeekHours(tuple((day, 600 + i % 600, 60 + i % 60) for day in range(7))))
        for i in range(1_000)
    ]
    reader = ThresholdReader(Strings())
    reader.update({"busy": BUSY}, {"busy"}, devices, rows, {})
    end = to_milliseconds(utc("2026-04-15 00:00"))
    start = end - 30 * 86_400_000
    selection = reader.select(SELECT, start, end)
    began = time.process_time()
    samples = reader.samples(selection, start, end)
    assert time.process_time() - began < 5
    assert samples.values.shape[1] > 7_000  # every 6 minutes
    assert set(np.unique(samples.values).tolist()) == {0.9, 0.99}


def test_times_beyond_all_calendars_have_a_value() -> None:
    reader = reader_of(threshold(Layer.CUSTOMER, "acme", 0.99, NIGHT))
    selection = reader.select(SELECT, 0, 0)
    for at in (-(2**60), 0, 2**60):
        assert set(reader.latest(selection, at, 0).values.tolist()) <= {0.9, 0.99}


def test_a_customers_own_threshold_knows_no_hours() -> None:
    with pytest.raises(ThresholdError, match="the clocks of a customer's sites may differ"):
        Definition("quota", "", "bytes", 1, Per.CUSTOMER).check(2, Layer.CUSTOMER, by_hours=True)
