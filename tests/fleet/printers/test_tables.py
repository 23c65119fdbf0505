"""What is kept of printers comes back as it was, on both databases."""

from datetime import date, timedelta

from sqlalchemy import insert, select

from collector.db.database import Database
from collector.db.tables import shadow_tickets, tickets
from collector.desk import shadows
from collector.desk import tickets as desk_tickets
from collector.fleet.devices import end_device
from collector.fleet.directory import load_directory
from collector.fleet.printers.forecast import Point
from collector.fleet.printers.pages import Counter
from collector.fleet.printers.readers import forget_former, load_former, set_reader
from collector.fleet.printers.store import get_printer
from collector.fleet.printers.supplies import PrinterDay, Supply, load_days, load_supplies, save_days, save_supplies
from tests.fleet.printers.test_store import add
from tests.fleet.world import ACTOR, NOW, after

DAY = date(2026, 3, 2)


async def test_supplies_and_days(fleet: Database) -> None:
    device = await add(fleet)
    toner = Supply(
        device, "1", "toner", "black", "TK", 0.5, points=(Point(1.5, 0.6, 7.0), Point(2.5, 0.5)), seen_at=NOW
    )
    counted = PrinterDay(device, DAY, Counter(3e9, 4e9, NOW.timestamp()), 12, {"1": (0.25, 1)})
    bare = PrinterDay(device, DAY + timedelta(days=1))
    for one in (toner, Supply(device, "1", "toner", "black", "TK", 0.5, is_empty=True, points=(), days_left=1.5)):
        async with fleet.begin() as connection:
            await save_supplies(connection, [one])
            await save_days(connection, [counted, bare])
            assert await load_supplies(connection, [device]) == [one]
            assert await load_supplies(connection, ["nobody"]) == []
            assert await load_days(connection, DAY, DAY + timedelta(days=9)) == [counted, bare]
            assert await load_days(connection, DAY, DAY, [device]) == [counted]


async def test_a_reader_is_changed_from_what_it_was(fleet: Database) -> None:
    device = await add(fleet, reader="srv-1")
    async with fleet.begin() as connection:
        assert not await set_reader(connection, device, "srv-2", "srv-1", why="x", now=NOW)
        assert await set_reader(connection, device, "srv-1", "srv-2", why="x", now=NOW)
        assert await set_reader(connection, device, "srv-2", "srv-1", why="x", now=after(hours=1))
        assert await load_former(connection) == {"srv-2": {device: after(hours=1)}}
        former = (await load_directory(connection)).former_printers_of("srv-2")
        assert {printer: until for printer, (_, until) in former.items()} == {device: after(hours=1)}
        await forget_former(connection, after(days=6))
        assert await load_former(connection) != {}
        await forget_former(connection, after(days=8))
        assert await load_former(connection) == {}


async def test_the_passwords_of_a_printer_that_ends_as_a_device_are_forgotten(fleet: Database) -> None:
    device = await add(fleet)
    async with fleet.begin() as connection:
        await end_device(connection, device, actor=ACTOR, now=NOW)
        assert (await get_printer(connection, device)).asking.ways == []


async def test_the_newest_ticket_of_a_key(fleet: Database) -> None:
    common = {"customer": "acme", "incident": "i", "rule": "R", "title": "T", "priority": "P3", "began_at": NOW}
    async with fleet.begin() as connection:
        for hours, key in ((0, "a"), (2, "a"), (1, "b")):
            at = after(hours=hours)
            ended = {"resolved_at": at, "status": "closed", "closed_at": at}
            await connection.execute(insert(tickets).values(**common, **ended, key=key, opened_at=at))
            shadow = {"key": key, "would_have_opened_at": at, "resolved_at": at}
            await connection.execute(insert(shadow_tickets).values(**common, **shadow))
        newest = await connection.scalar(select(tickets.c.number).order_by(tickets.c.number.desc()).offset(1).limit(1))
        found = await desk_tickets.ROWS.last_opened(connection, ["a", "b", "c"])
        assert (found["a"].number, found["a"].opened_at, found["a"].is_closed) == (newest, after(hours=2), True)
        assert found.keys() == {"a", "b"}
        shadow_found = await shadows.ROWS.last_opened(connection, ["a"])
        assert (shadow_found["a"].opened_at, shadow_found["a"].is_closed) == (after(hours=2), False)
