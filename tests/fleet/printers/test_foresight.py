"""Forecasts as series and in the database, in a whole collector."""

from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest

from collector.clock import to_milliseconds
from collector.contracts.months import Month
from collector.fleet.printers.store import end_printer
from collector.fleet.printers.supplies import Supply, load_days, load_supplies
from collector.fleet.printers.usage import printer_usage
from collector.series.labels import NAME
from collector.series.read import Matcher, MatchOp
from tests.db.copies import Copies
from tests.fleet.living import Life, resumed
from tests.fleet.printers.living import Told, add, tell
from tests.fleet.world import ACTOR

HOUR = timedelta(hours=1)


def labels(index: str, kind: str, color: str = "black") -> tuple[str, ...]:
    named = {"index": index, "type": kind, "color": color, "description": f"{kind} {index}"}
    return tuple(text for name, value in named.items() for text in (f"printer_supply_{name}", value))


LEVEL, EMPTY = ("printer_supply_level_ratio",), ("printer_supply_empty",)
TONER, DRUM, WASTE = labels("1", "toner"), labels("2", "opc"), labels("3", "wasteToner", "")


async def a_server_reports(life: Life) -> None:
    await life.add("srv-1", "server")
    await life.start()
    await life.pass_(timedelta(minutes=2))


@pytest.fixture
async def life(copies: Copies) -> AsyncIterator[Life]:
    async with resumed(copies, a_server_reports) as life:
        yield life


async def lived(life: Life, printer: str, told: Told) -> None:
    """The reader tells this, and the collector does what it does."""
    await tell(life, "srv-1", printer, told)
    await life.collector.upkeep["foresight"].work()


def series(life: Life, metric: str) -> list[float]:
    at = to_milliseconds(life.now)
    reader = life.collector.store.reader
    selection = reader.select((Matcher(NAME, MatchOp.EQUAL, metric),), at - 300_000, at)
    latest = reader.latest(selection, at, 300_000)
    return [value for value, is_there in zip(latest.values, latest.present, strict=True) if is_there]


async def supplies(life: Life) -> dict[str, Supply]:
    async with life.opened() as database, database.connect() as connection:
        return {one.index: one for one in await load_supplies(connection)}


async def weeks(life: Life, printer: str, *, start: float = 1.0, days: int = 30, per_day: float = 0.02) -> float:
    """Black toner sinks, and so does the drum, a tenth as fast; a page is 0.0002 of a cartridge. The last level."""
    level = start
    for quarter in range(days * 4):
        life.now += 6 * HOUR
        level = start - per_day * (quarter + 1) / 4
        await lived(
            life,
            printer,
            {
                (*LEVEL, *TONER): round(level, 2),
                (*LEVEL, *DRUM): round(1 - (1 - level) / 4, 2),
                (*LEVEL, *WASTE): 0.5 - quarter / 1000,
                (*EMPTY, *TONER): 0.0,
                ("printer_pages_total",): 1000.0 + round((start - level) * 5000),
            },
        )
    return level


async def test_forecasts_are_series_and_outlive_a_restart_and_a_printer_that_is_off(life: Life) -> None:
    printer = await add(life)
    await weeks(life, printer)
    (toner, drum) = sorted(series(life, "printer_supply_days_left"))
    assert toner == pytest.approx(0.4 / 0.02, rel=0.1)
    assert drum == pytest.approx(0.85 / 0.005, rel=0.1)
    assert series(life, "printer_maintenance_days_left") == [drum]
    assert series(life, "printer_pages_per_day") == [pytest.approx(100, rel=0.06)]
    await life.stop()
    life.now += 8 * HOUR
    await life.start()
    await life.collector.upkeep["foresight"].work()
    assert sorted(series(life, "printer_supply_days_left")) == [pytest.approx(toner, abs=1), pytest.approx(drum, abs=2)]
    life.now += timedelta(days=15)
    await life.collector.upkeep["foresight"].work()
    assert series(life, "printer_supply_days_left") == []


async def test_a_new_cartridge_is_noticed_at_once(life: Life) -> None:
    printer = await add(life)
    level = await weeks(life, printer, days=45)
    assert series(life, "printer_supply_days_left")[0] == pytest.approx(level / 0.02, rel=0.2)
    life.now += HOUR
    await lived(life, printer, {(*LEVEL, *TONER): 1.0, (*EMPTY, *TONER): 0.0, ("printer_pages_total",): 5600.0})
    toner = (await supplies(life))["1"]
    assert toner.changed_at == life.now
    assert toner.days_left == pytest.approx(50, rel=0.15)
    assert toner.pages_per_cartridge == pytest.approx(5000, rel=0.1)


async def test_what_the_printer_calls_empty_is_empty(life: Life) -> None:
    printer = await add(life)
    await lived(life, printer, {(*LEVEL, *TONER): 0.4, (*EMPTY, *TONER): 1.0})
    assert series(life, "printer_supply_days_left") == [0.0]
    life.now += HOUR
    await lived(life, printer, {(*LEVEL, *TONER): 0.4, (*EMPTY, *TONER): 0.0})
    assert series(life, "printer_supply_days_left") == []  # how long it lasts is not known yet


async def test_a_cartridge_without_a_level_ends_the_forecast_of_the_last_one(life: Life) -> None:
    """Another maker's: the printer knows only that there is some."""
    printer = await add(life)
    await weeks(life, printer, days=45)
    assert len(series(life, "printer_supply_days_left")) == 2
    without: Told = {(*LEVEL, *DRUM): 0.77, (*EMPTY, *TONER): 0.0, ("printer_pages_total",): 5600.0}
    for hours in (1, 10):  # one reading without a level says nothing
        life.now += timedelta(hours=hours)
        await lived(life, printer, without)
        assert len(series(life, "printer_supply_days_left")) == 2
    life.now += timedelta(days=1)
    await lived(life, printer, without)
    assert len(series(life, "printer_supply_days_left")) == 1
    assert len(series(life, "printer_supply_remaining_ratio")) == 1
    toner = (await supplies(life))["1"]
    assert (toner.level_ratio, toner.days_left, toner.changed_at) == (None, None, life.now)
    life.now += HOUR
    await lived(life, printer, {**without, (*LEVEL, *TONER): 0.5})
    assert (await supplies(life))["1"].level_ratio == 0.5


async def test_a_type_or_colour_that_is_not_told_for_a_moment_wipes_nothing(life: Life) -> None:
    printer = await add(life)
    await weeks(life, printer)
    points = (await supplies(life))["1"].points
    assert len(points) > 10
    life.now += HOUR
    await lived(life, printer, {(*LEVEL, *labels("1", "unknown", "")): 0.39})
    toner = (await supplies(life))["1"]
    assert (toner.type, toner.color, len(toner.points)) == ("toner", "black", len(points) + 1)
    life.now += HOUR
    await lived(life, printer, {(*LEVEL, *labels("1", "ink", "cyan")): 0.39})  # this is another thing
    assert len((await supplies(life))["1"].points) == 1


async def test_a_months_use_by_the_clock_of_the_site(life: Life) -> None:
    printer = await add(life)
    await weeks(life, printer, days=40)  # from 2 March to 11 April
    async with life.opened() as database, database.connect() as connection:
        march = (await printer_usage(connection, Month(2026, 3)))[0]
        april = (await printer_usage(connection, Month(2026, 4), customer="acme"))[0]
        days = await load_days(connection, date(2026, 3, 1), date(2026, 4, 30))
        assert await printer_usage(connection, Month(2026, 3), customer="bakkerij") == []
    assert march.pages is not None
    assert april.pages is not None
    assert march.pages + april.pages == pytest.approx(4000 - 25, abs=1)
    assert march.pages == pytest.approx(2900, abs=100)
    toner = march.supplies[0]
    assert [one.supply.index for one in march.supplies] == ["1", "2"]
    assert toner.used == pytest.approx(0.58, abs=0.02)
    assert toner.changes == 0
    assert [one.day for one in days] == [date(2026, 3, 2) + timedelta(days=number) for number in range(len(days))]


async def test_the_series_end_with_the_printer(life: Life) -> None:
    printer = await add(life)
    await weeks(life, printer, days=10)
    assert series(life, "printer_supply_days_left")
    async with life.opened() as database, database.begin() as connection:
        await end_printer(connection, printer, actor=ACTOR, now=life.now)
    life.now += timedelta(minutes=1)
    await life.collector.upkeep["changes"].work()
    await life.collector.upkeep["foresight"].work()
    assert series(life, "printer_supply_days_left") == []


async def test_labels_that_nobody_should_store_are_made_fit(life: Life) -> None:
    printer = await add(life)
    hostile: Told = {(*LEVEL, "printer_supply_index", f"{number}\x00{'x' * 300}"): 0.5 for number in range(200)}
    await lived(life, printer, hostile)
    stored = await supplies(life)
    assert len(stored) == 64
    assert all(len(index) <= 128 and "\x00" not in index for index in stored)
