import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, update

from collector.contracts import Priority
from collector.db.database import Database
from collector.db.tables import customers, tickets
from collector.desk import shadows
from collector.desk.opening import NewTicket, TicketConflictError
from collector.desk.states import TicketStatus, TransitionError
from collector.desk.tickets import (
    Ticket,
    TicketError,
    comment,
    get_ticket,
    history,
    join_or_open,
    list_tickets,
    note,
    resolve,
    set_status,
)
from tests.db.racing import race

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ANNA = "anna@desk-3"
DISK_FULL = NewTicket(
    key="acme/device:ws-1/disk_full",
    customer="acme",
    site="hq",
    device="ws-1",
    incident="disk_full",
    rule="DiskFull",
    title="Disk of \x1b[31mws-1\x00 is full\n",
    priority=Priority.P3,
    began_at=NOW - timedelta(minutes=5),
)


def after(**duration: float) -> datetime:
    return NOW + timedelta(**duration)


@pytest.fixture(name="database")
async def database_with_a_customer(database: Database) -> AsyncIterator[Database]:
    async with database.begin() as connection:
        await connection.execute(insert(customers).values(id="acme", name="Acme BV", created_at=NOW))
    yield database


async def fault(database: Database, now: datetime = NOW, priority: Priority = Priority.P3) -> int:
    async with database.begin() as connection:
        return await join_or_open(connection, replace(DISK_FULL, priority=priority), now)


async def over(database: Database, number: int, now: datetime) -> bool:
    async with database.begin() as connection:
        await resolve(connection, number, now)
        return (await get_ticket(connection, number)).resolved_at == now


async def read(database: Database, number: int) -> Ticket:
    async with database.connect() as connection:
        return await get_ticket(connection, number)


async def told(database: Database, number: int) -> list[str]:
    """The ticket's history in words."""
    async with database.connect() as connection:
        events = await history(connection, number)
    return [" ".join([event.type, *(str(value) for value in event.data.values() if value)]) for event in events]


async def test_a_fault_opens_a_ticket_and_its_end_resolves_it(database: Database) -> None:
    number = await fault(database)
    assert number == 1001
    opened = await read(database, number)
    assert (opened.status, opened.priority, opened.opened_at) == (TicketStatus.NEW, Priority.P3, NOW)
    assert (opened.began_at, opened.title) == (DISK_FULL.began_at, "Disk of [31mws-1 is full")
    assert await over(database, number, after(hours=1))
    assert not await over(database, number, after(hours=2))
    resolved = await read(database, number)
    assert (resolved.status, resolved.resolved_at) == (TicketStatus.RESOLVED, after(hours=1))
    assert await told(database, number) == ["opened P3 incident alert", "status new resolved the condition is gone"]


async def test_a_second_alert_joins_and_raises_the_priority_but_never_lowers_it(database: Database) -> None:
    number = await fault(database)
    for priority in (Priority.P1, Priority.P4):
        assert await fault(database, after(minutes=1), priority) == number
    assert (await read(database, number)).priority is Priority.P1
    assert await told(database, number) == ["opened P3 incident alert", "priority P3 P1"]


@pytest.mark.parametrize(("hours", "is_same"), [(0.5, True), (23.9, True), (24, False), (500, False)])
async def test_a_fault_that_is_back_soon_reopens(database: Database, hours: float, is_same: bool) -> None:
    number = await fault(database)
    await over(database, number, NOW)
    again = await fault(database, after(hours=hours))
    ticket = await read(database, again)
    assert ticket.resolved_at is None and ticket.status is TicketStatus.NEW
    assert (again == number, ticket.follows) == (is_same, None if is_same else number)


async def test_a_closed_ticket_stays_closed(database: Database) -> None:
    number = await fault(database)
    async with database.begin() as connection:
        for status in (TicketStatus.RESOLVED, TicketStatus.CLOSED):
            await set_status(connection, number, status=status, actor=ANNA, now=NOW)
    again = await fault(database, after(minutes=1))
    assert (await read(database, again)).follows == number
    assert (await read(database, number)).closed_at == NOW


async def test_a_ticket_in_hand_is_left_to_its_hand(database: Database) -> None:
    number = await fault(database)
    async with database.begin() as connection:
        await comment(connection, number, text=" on my way\x00 ", actor=ANNA, now=NOW)
    assert not await over(database, number, after(hours=1))
    assert (await read(database, number)).status is TicketStatus.NEW
    words = await told(database, number)
    assert words[1] == "comment on my way" and words[2].startswith("comment the condition is gone")


async def test_the_systems_own_note_is_nobodys_touch(database: Database) -> None:
    number = await fault(database)
    async with database.begin() as connection:
        await note(connection, number, NOW, "not seen since 17:04")
    assert await over(database, number, after(hours=1))


async def test_a_status_set_by_hand_is_a_touch_and_follows_the_table(database: Database) -> None:
    number = await fault(database)
    async with database.begin() as connection:
        await set_status(connection, number, status=TicketStatus.IN_PROGRESS, actor=ANNA, now=NOW)
        with pytest.raises(
            TransitionError,
            match="cannot be closed; possible now: tickets assign, hand-over, assign --nobody",
        ):
            await set_status(connection, number, status=TicketStatus.CLOSED, actor=ANNA, now=NOW)
    assert not await over(database, number, NOW)
    assert (await read(database, number)).status is TicketStatus.IN_PROGRESS


async def test_reopening_by_hand_does_not_make_a_second_open_one(database: Database) -> None:
    old = await fault(database)
    await over(database, old, NOW)
    new = await fault(database, after(days=3))
    async with database.begin() as connection:
        with pytest.raises(TicketError, match=f"ticket {new} is open"):
            await set_status(connection, old, status=TicketStatus.NEW, actor=ANNA, now=after(days=3))
    await over(database, new, after(days=4))
    async with database.begin() as connection:
        await set_status(connection, old, status=TicketStatus.NEW, actor=ANNA, now=after(days=4))
    assert await fault(database, after(days=4)) == old


async def test_a_status_that_changed_meanwhile_is_a_conflict(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await fault(database)
    stale = await read(database, number)
    async with database.begin() as connection:
        await connection.execute(update(tickets).values(status=TicketStatus.ASSIGNED))

    async def read_before(*_: object) -> Ticket:
        return stale

    monkeypatch.setattr("collector.desk.handling.get_ticket", read_before)
    with pytest.raises(TicketConflictError):
        async with database.begin() as connection:
            await set_status(connection, number, status=TicketStatus.IN_PROGRESS, actor=ANNA, now=NOW)


@pytest.mark.parametrize("text", ["", " \x00", "x" * 20_001])
async def test_comments_are_bounded(database: Database, text: str) -> None:
    number = await fault(database)
    with pytest.raises(TicketError):
        async with database.begin() as connection:
            await comment(connection, number, text=text, actor=ANNA, now=NOW)


async def test_lists_are_filtered(database: Database) -> None:
    old = await fault(database)
    await over(database, old, NOW)
    new = await fault(database, after(days=9))
    async with database.connect() as connection:

        async def numbers(**filters: object) -> list[int]:
            return [ticket.number for ticket in await list_tickets(connection, **filters)]  # type: ignore[arg-type]

        assert await numbers() == [new, old]
        assert await numbers(resolved_since=after(days=1)) == [new]
        assert await numbers(status=TicketStatus.RESOLVED) == [old]
        assert await numbers(customer="nobody") == []
        with pytest.raises(TicketError, match="no ticket 7"):
            await get_ticket(connection, 7)


async def test_shadows_open_join_reopen_and_resolve_like_tickets(database: Database) -> None:
    async def shadow(now: datetime, priority: Priority = Priority.P3) -> int:
        async with database.begin() as connection:
            return await shadows.join_or_open(connection, replace(DISK_FULL, priority=priority), now)

    first = await shadow(NOW)
    assert await shadow(NOW, Priority.P2) == first
    async with database.begin() as connection:
        await shadows.resolve(connection, first, NOW)
        await shadows.resolve(connection, first, after(hours=1))  # over is over: the first time counts
    assert await shadow(after(hours=23)) == first
    async with database.begin() as connection:
        await shadows.resolve(connection, first, after(hours=23))
    second = await shadow(after(hours=47))
    async with database.connect() as connection:
        every = await shadows.list_shadows(connection)
        recent = await shadows.list_shadows(connection, customer="acme", resolved_since=after(hours=24))
        assert await list_tickets(connection) == []
    assert [one.id for one in every] == [second, first]
    assert [one.id for one in recent] == [second]
    assert (every[1].priority, every[1].resolved_at) == (Priority.P2, after(hours=23))


async def open_alone(url: str) -> int:
    async with await Database.open(url) as database:
        return await fault(database)


def open_in_a_process(url: str) -> int:
    return asyncio.run(open_alone(url))


@pytest.mark.slow
async def test_two_writers_of_one_key_make_one_ticket(database: Database, database_url: str) -> None:
    numbers = await asyncio.to_thread(race, open_in_a_process, [(database_url,)] * 2)
    assert len(set(numbers)) == 1
    async with database.connect() as connection:
        assert len(await list_tickets(connection)) == 1
