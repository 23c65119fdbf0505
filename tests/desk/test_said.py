"""What a customer's people say of a ticket, by themselves or by phone."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import insert, update

from collector.db.database import Database
from collector.db.tables import contacts
from collector.desk import merging, said, tickets
from collector.desk.events import SYSTEM, history
from collector.desk.fields import TicketError
from collector.desk.states import TicketStatus
from collector.desk.words import in_words
from tests.desk.desk_world import ANNA, NOW, read, reported, settle

OF_ACME, OF_BAKKERIJ = 1, 2


@pytest.fixture(name="database")
async def database_with_customers(database: Database) -> AsyncIterator[Database]:
    await settle(database)
    yield database


async def says(database: Database, number: int, *, contact: int = OF_ACME, **more: Any) -> None:
    async with database.begin() as connection:
        await said.by_customer(connection, number, text="it beeps", contact=contact, actor="piet", now=NOW, **more)


async def move(database: Database, number: int, *statuses: TicketStatus) -> None:
    async with database.begin() as connection:
        for status in statuses:
            await tickets.set_status(connection, number, status=status, actor=ANNA, now=NOW)


async def lines(database: Database, number: int) -> list[tuple[str, str]]:
    async with database.connect() as connection:
        return [(one.actor, in_words(one)) for one in await history(connection, number)]


async def test_a_ticket_that_waits_for_the_customer_goes_on(database: Database) -> None:
    number = await reported(database)
    await move(database, number, TicketStatus.WAITING_CUSTOMER)
    await says(database, number)
    ticket = await read(database, number)
    assert (ticket.status, ticket.touched) == (TicketStatus.IN_PROGRESS, True)
    assert (await lines(database, number))[-2:] == [
        ("piet", "contact 1 of the customer says: it beeps"),
        (SYSTEM, "waiting customer → in progress: the customer answered"),
    ]


@pytest.mark.parametrize("status", [TicketStatus.NEW, TicketStatus.IN_PROGRESS, TicketStatus.RESOLVED])
async def test_else_it_stays_as_it_is(database: Database, status: TicketStatus) -> None:
    number = await reported(database)
    if status is not TicketStatus.NEW:
        await move(database, number, status)
    await says(database, number)
    assert (await read(database, number)).status is status


async def test_what_is_still_wrong_reopens(database: Database) -> None:
    number, other = await reported(database), await reported(database)
    await move(database, number, TicketStatus.RESOLVED)
    for one in (number, other):
        await says(database, one, still_wrong=True)
    ticket = await read(database, number)
    assert (ticket.status, ticket.resolved_at) == (TicketStatus.NEW, None)
    assert (await lines(database, number))[-1] == (
        "piet",
        "resolved → new: the customer says that it is not over",
    )
    assert len(await lines(database, other)) == 2  # it was open: opened, and what was said


async def test_only_its_own_customers_people_speak(database: Database) -> None:
    number = await reported(database)
    async with database.begin() as connection:
        added = insert(contacts).values(customer="acme", name="Jan", created_at=NOW).returning(contacts.c.id)
        ended = (await connection.execute(added)).scalar_one()
        await connection.execute(update(contacts).where(contacts.c.id == ended).values(ended_at=NOW))
    for contact in (OF_BAKKERIJ, ended, 4711):
        with pytest.raises(TicketError, match=f"customer acme has no contact {contact}"):
            await says(database, number, contact=contact)
    assert len(await lines(database, number)) == 1


async def test_nobody_speaks_into_what_is_closed(database: Database) -> None:
    number, other = await reported(database), await reported(database)
    await move(database, number, TicketStatus.RESOLVED, TicketStatus.CLOSED)
    with pytest.raises(TicketError, match="is closed: open a new one"):
        await says(database, number, still_wrong=True)
    merged = await reported(database)
    async with database.begin() as connection:
        await merging.merge(connection, merged, other, actor=ANNA, now=NOW)
    with pytest.raises(TicketError, match=f"was merged into {other}: comment on that one"):
        await says(database, merged)
