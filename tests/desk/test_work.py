import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import insert

from collector.contracts import Priority
from collector.db import audit
from collector.db.database import Database
from collector.db.tables import customers
from collector.desk import parts, tickets, words, work
from collector.desk.opening import NewTicket
from collector.desk.parts import PartError
from collector.desk.tickets import TicketError
from collector.desk.work import Correction, WorkEntry, WorkError, WorkKind
from tests.db.racing import race

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ANNA = "anna@desk-3"
NUMBER = 1001


def after(**duration: float) -> datetime:
    return NOW + timedelta(**duration)


@pytest.fixture(name="database")
async def database_with_two_tickets(database: Database) -> AsyncIterator[Database]:
    async with database.begin() as connection:
        await connection.execute(insert(customers).values(id="acme", name="Acme BV", created_at=NOW))
        for key in ("a", "b"):
            wanted = NewTicket(key, "acme", None, None, key, key, key, Priority.P3, NOW)
            await tickets.join_or_open(connection, wanted, NOW)
    yield database


async def start(database: Database, now: datetime = NOW, author: str = "anna", number: int = NUMBER) -> int:
    async with database.begin() as connection:
        return await work.start(connection, number, author=author, note="look", actor=ANNA, now=now)


async def stop(database: Database, now: datetime, note: str | None = None) -> WorkEntry:
    async with database.begin() as connection:
        return await work.stop(connection, author="anna", note=note, actor=ANNA, now=now)


async def add(database: Database, **more: object) -> int:
    wanted: dict[str, object] = {
        "author": "anna",
        "minutes": 40,
        "started_at": NOW,
        "actor": ANNA,
        "now": after(hours=1),
    }
    async with database.begin() as connection:
        return await work.add(connection, NUMBER, **(wanted | more))  # type: ignore[arg-type] # as the caller names them


async def told(database: Database) -> list[tuple[str, str]]:
    async with database.connect() as connection:
        return [(one.type, one.actor) for one in await tickets.history(connection, NUMBER)]


async def test_start_and_stop(database: Database) -> None:
    entry = await start(database)
    stopped = await stop(database, after(minutes=20, seconds=1), note="mended")
    assert (stopped.id, stopped.minutes, stopped.note, stopped.is_billable) == (entry, 21, "mended", True)
    assert stopped.ended_at == after(minutes=20, seconds=1)
    assert await told(database) == [("opened", "system"), ("work_started", ANNA), ("work", ANNA)]
    async with database.connect() as connection:
        assert (await tickets.get_ticket(connection, NUMBER)).touched
        assert [one.action for one in await audit.latest(connection, 5)] == ["work.stop", "work.start"]
        assert await work.minutes_on(connection, [NUMBER, NUMBER + 1]) == {NUMBER: 21}


async def test_nobody_works_on_two_things_at_once(database: Database) -> None:
    await start(database)
    with pytest.raises(WorkError, match=r"anna is at work on ticket 1001 since 2026-03-02 09:00 UTC \(entry 1\)"):
        await start(database, after(minutes=5), number=NUMBER + 1)
    await start(database, author="ben")
    await stop(database, after(minutes=6))
    await start(database, after(minutes=7), number=NUMBER + 1)
    await stop(database, after(minutes=8))
    with pytest.raises(WorkError, match="anna is at nothing now"):
        await stop(database, after(minutes=9))


async def test_a_forgotten_entry_is_bounded_and_told(database: Database) -> None:
    await start(database)
    stopped = await stop(database, after(hours=30))
    assert (stopped.minutes, stopped.ended_at, stopped.is_billable) == (720, after(hours=12), False)
    assert stopped.note == f"look; {work.FORGOTTEN}"


async def test_the_system_stops_what_was_forgotten(database: Database) -> None:
    await start(database)
    await start(database, after(hours=3), author="ben")
    async with database.begin() as connection:
        assert await work.stop_forgotten(connection, after(hours=11, minutes=59)) == 0
        assert await work.stop_forgotten(connection, after(hours=12)) == 1
        (forgotten, running) = await work.list_entries(connection, NUMBER)
    assert (forgotten.minutes, forgotten.is_billable, running.is_running) == (720, False, True)
    assert (await told(database))[-1] == ("work", "system")


async def test_work_by_hand(database: Database) -> None:
    await add(database, kind=WorkKind.TRAVEL, is_billable=False, note="there\nand back\x1b")
    async with database.connect() as connection:
        (entry,) = await work.list_entries(connection, NUMBER)
    assert (entry.kind, entry.minutes, entry.ended_at) == (WorkKind.TRAVEL, 40, after(minutes=40))
    assert (entry.is_billable, entry.note) == (False, "there\nand back")


async def test_work_of_one_person_at_the_same_time_is_found(database: Database) -> None:
    morning = await add(database, started_at=after(hours=-2), minutes=60)
    await add(database, started_at=after(hours=-1), minutes=60)  # right after it
    await add(database, started_at=after(hours=-2), author="bob")
    voided = await add(database, started_at=after(hours=-2))
    running = await start(database, after(minutes=-90))
    travel = await add(database, started_at=after(minutes=-130), minutes=15, kind=WorkKind.TRAVEL)
    async with database.begin() as connection:
        await work.void(connection, voided, reason="twice", actor=ANNA, now=NOW)
        found = [[one.id for one in await work.overlapping(connection, entry)] for entry in (morning, travel)]
    assert found == [[travel, running], [morning]]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"minutes": 0}, "1 to 1440 minutes"),
        ({"minutes": 1441}, "1 to 1440 minutes"),
        ({"started_at": after(hours=2)}, "has not been done yet"),
        ({"minutes": 76}, "has not been done yet"),
        ({"started_at": after(days=-367)}, "more than 366 days ago"),
        ({"note": "x" * 2001}, "at most 2000"),
        ({"author": "\x00 "}, "name who worked"),
    ],
)
async def test_wrong_work_is_refused(database: Database, wrong: dict[str, object], problem: str) -> None:
    with pytest.raises(WorkError, match=problem):
        await add(database, **wrong)


async def test_there_is_no_work_on_a_ticket_that_is_not_there(database: Database) -> None:
    with pytest.raises(TicketError):
        await start(database, number=7)


async def test_a_correction_is_audited(database: Database) -> None:
    entry = await add(database)
    async with database.begin() as connection:
        wanted = Correction(minutes=35, is_billable=False)
        at = after(hours=2)
        corrected = await work.correct(connection, entry, wanted, actor="ben", now=at)
        assert corrected == await work.correct(connection, entry, Correction(minutes=35), actor="ben", now=at)
        newest, *_ = await audit.latest(connection, 1)
    assert (corrected.minutes, corrected.ended_at, corrected.is_billable) == (35, after(minutes=35), False)
    assert (newest.actor, newest.action, newest.subject) == ("ben", "work.correct", str(entry))
    assert newest.data["from"] == {"minutes": 40, "ended_at": after(minutes=40).isoformat(), "is_billable": True}
    assert (await told(database))[-1] == ("work_corrected", "ben")


async def test_a_void_entry_counts_for_nothing_and_stays(database: Database) -> None:
    entry, running = await add(database), await start(database)
    async with database.begin() as connection:
        for one in (entry, running):
            await work.void(connection, one, reason="wrong ticket", actor=ANNA, now=after(hours=1))
        assert await work.minutes_on(connection, [NUMBER]) == {}
        assert [one.voided_at for one in await work.list_entries(connection, NUMBER)] == [after(hours=1)] * 2
    await start(database)  # what was running is void, so another may run
    for wrong in ("again", " "):
        with pytest.raises(WorkError):
            async with database.begin() as connection:
                await work.void(connection, entry, reason=wrong, actor=ANNA, now=NOW)
    with pytest.raises(WorkError, match="was voided"):
        async with database.begin() as connection:
            await work.correct(connection, entry, Correction(minutes=3), actor=ANNA, now=NOW)


def start_in_a_process(url: str, number: int) -> str:
    async def run() -> str:
        async with await Database.open(url) as database:
            try:
                await start(database, number=number)
            except WorkError:
                return "refused"
            return "started"

    return asyncio.run(run())


@pytest.mark.slow
@pytest.mark.usefixtures("database")
async def test_two_commands_at_once_start_one(database_url: str) -> None:
    calls = [(database_url, NUMBER + at % 2) for at in range(4)]
    assert sorted(await asyncio.to_thread(race, start_in_a_process, calls)) == ["refused"] * 3 + ["started"]


async def test_work_and_parts_are_told_in_words(database: Database) -> None:
    await start(database)
    await stop(database, after(minutes=12))
    entry = await add(database, is_billable=False, minutes=30)
    part = await use(database)
    async with database.begin() as connection:
        await work.correct(connection, entry, Correction(minutes=25, is_billable=True), actor=ANNA, now=after(hours=1))
        await work.void(connection, entry, reason="another ticket", actor=ANNA, now=after(hours=1))
        await parts.void(connection, part, reason="sent back", actor=ANNA, now=after(hours=2))
        told = [words.in_words(one) for one in await tickets.history(connection, NUMBER)]
    assert told[1:] == [
        "began work (entry 1)",
        "anna: 12 minutes of work (entry 1)",
        "anna: 30 minutes of work, from 2026-03-02 09:00 UTC, not billable (entry 2)",
        "used 1.5 of fuser unit at 189.10 EUR (part 1)",
        "corrected work (entry 2): minutes 30 → 25; billable no → yes",
        "voided work (entry 2), 25 minutes: another ticket",
        "voided part 1: sent back",
    ]


async def use(database: Database, **more: object) -> int:
    wanted: dict[str, object] = {
        "author": "anna",
        "description": "fuser unit",
        "quantity": Decimal("1.5"),
        "unit_price": Decimal("189.10"),
        "currency": "EUR",
        "used_at": NOW,
        "actor": ANNA,
        "now": NOW,
    }
    async with database.begin() as connection:
        return await parts.add(connection, NUMBER, **(wanted | more))  # type: ignore[arg-type] # as the caller names them


async def test_parts_are_exact(database: Database) -> None:
    part = await use(database)
    async with database.begin() as connection:
        (found,) = await parts.list_parts(connection, NUMBER)
        assert (found.id, found.quantity, str(found.unit_price)) == (part, Decimal("1.5"), "189.10")
        await parts.void(connection, part, reason="not needed", actor=ANNA, now=after(hours=1))
        assert [one.voided_at for one in await parts.list_parts(connection, NUMBER)] == [after(hours=1)]
        with pytest.raises(PartError, match="voided before"):
            await parts.void(connection, part, reason="not needed", actor=ANNA, now=NOW)
    assert [kind for kind, _ in await told(database)] == ["opened", "part", "part_voided"]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"quantity": Decimal(0)}, "more than nothing"),
        ({"quantity": Decimal("1.0001")}, "at most 3 decimals"),
        ({"quantity": Decimal("NaN")}, "quantity"),
        ({"unit_price": Decimal(-1)}, "unit price"),
        ({"unit_price": Decimal("1.001")}, "at most 2 decimals"),
        ({"unit_price": Decimal("Infinity")}, "unit price"),
        ({"unit_price": Decimal("1e10")}, "unit price"),
        ({"currency": "€"}, "like EUR"),
        ({"description": "\x07"}, "described"),
        ({"used_at": after(days=1)}, "within the last"),
    ],
)
async def test_wrong_parts_are_refused(database: Database, wrong: dict[str, object], problem: str) -> None:
    with pytest.raises(PartError, match=problem):
        await use(database, **wrong)
