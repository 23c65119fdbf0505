"""Tickets that people open, and what they change of them."""

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import delete

from collector.contracts import Level, Priority, priority_judged
from collector.db import audit
from collector.db.database import Database
from collector.db.tables import contracts
from collector.desk import editing, events, words
from collector.desk.fields import MAX_WATCHERS, TicketError, TicketKind, TicketSource
from collector.desk.states import TicketStatus
from collector.desk.tickets import resolve, set_status
from tests.desk.desk_world import ANNA, NOW, read, reported, settle


@pytest.fixture(name="database")
async def database_with_customers(database: Database) -> AsyncIterator[Database]:
    await settle(database)
    yield database


async def change(database: Database, number: int, **wanted: object) -> None:
    async with database.begin() as connection:
        await editing.change(connection, number, wanted, actor=ANNA, now=NOW)


async def told(database: Database, number: int) -> list[str]:
    async with database.connect() as connection:
        return [words.in_words(one) for one in await events.history(connection, number)]


def test_the_matrix_never_gets_less_urgent_by_more() -> None:
    levels = [Level.HIGH, Level.MEDIUM, Level.LOW]
    assert priority_judged(Level.HIGH, Level.HIGH) is Priority.P1
    assert priority_judged(Level.LOW, Level.LOW) is Priority.P4
    for above, below in pairwise(levels):
        for other in levels:
            assert priority_judged(above, other) <= priority_judged(below, other)
            assert priority_judged(other, above) <= priority_judged(other, below)


async def test_a_ticket_by_hand_has_a_key_of_its_own_and_stays_until_a_person_resolves_it(database: Database) -> None:
    first = await reported(
        database,
        "Outlook\x1b is slow\n",
        description="since\r\nthis morning\x07",
        devices=["acme-ws-1", "acme-ws-2", "acme-ws-1"],
        category=" Software ",
        contact=1,
        impact=Level.HIGH,
        kind=TicketKind.QUESTION,
        source=TicketSource.CUSTOMER,
    )
    second = await reported(database)
    ticket, other = await read(database, first), await read(database, second)
    assert ticket.key != other.key
    assert (ticket.title, ticket.site, ticket.device) == ("Outlook is slow", "hq", "acme-ws-1")
    assert (ticket.priority, ticket.category, ticket.contact) == (Priority.P2, "software", 1)
    assert (ticket.kind, ticket.source, ticket.rule) == (TicketKind.QUESTION, TicketSource.CUSTOMER, "")
    assert (other.priority, other.site, other.status) == (Priority.P3, None, TicketStatus.NEW)
    async with database.begin() as connection:
        assert await editing.further_devices(connection, first) == ["acme-ws-2"]
        await resolve(connection, first, NOW)  # as an alert's end would
    assert (await read(database, first)).resolved_at is None
    assert (await told(database, first))[:2] == [
        "opened by the customer as question, P2",
        "devices: added acme-ws-2",
    ]
    async with database.connect() as connection:
        record = (await audit.latest(connection, 2))[1]
    assert (record.action, record.actor, record.subject) == ("tickets.open", ANNA, str(first))


async def test_a_customer_without_a_contract_may_report_too(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(delete(contracts))
    assert (await read(database, await reported(database, customer="bakkerij"))).customer == "bakkerij"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"customer": "nobody"}, "no customer nobody"),
        ({"customer": "gone"}, "has ended"),
        ({"site": "mars"}, "no site mars"),
        ({"devices": ["bakkerij-ws-1"]}, "no device bakkerij-ws-1"),
        ({"contact": 2}, "no contact 2"),
        ({"category": "two words"}, "one word"),
        ({"title": "\x00 "}, "1 to 500"),
        ({"title": "x" * 501}, "1 to 500"),
        ({"description": "x" * 20_001}, "1 to 20000"),
        ({"devices": [f"d{number}" for number in range(101)]}, "100 devices"),
    ],
)
async def test_what_cannot_be_opened(database: Database, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TicketError, match=message):
        await reported(database, **wrong)


async def test_fields_change_and_say_so(database: Database) -> None:
    number = await reported(database)
    await change(database, number, title="Outlook does not start", urgency="high", category="software", site="ny")
    ticket = await read(database, number)
    assert (ticket.title, ticket.priority, ticket.site) == ("Outlook does not start", Priority.P2, "ny")
    assert (await told(database, number))[1:] == [
        "title Outlook is slow → Outlook does not start; urgency medium → high; category none → software; "
        "site none → ny",
        "priority P3 → P2",
    ]
    before = len(await told(database, number))
    await change(database, number, title="Outlook does not start")  # nothing is new
    assert len(await told(database, number)) == before
    await change(database, number, priority="P4", impact="high")  # what is said counts before what is judged
    assert (await read(database, number)).priority is Priority.P4
    await change(database, number, category=None, description="first this, then that")
    assert (await read(database, number)).category is None


@pytest.mark.parametrize(
    "wrong",
    [{"title": None}, {"priority": None}, {"status": "closed"}, {"device": "bakkerij-ws-1"}, {"contact": 2}],
)
async def test_what_cannot_be_changed(database: Database, wrong: dict[str, object]) -> None:
    number = await reported(database)
    with pytest.raises(TicketError):
        await change(database, number, **wrong)


async def test_a_closed_ticket_stays_as_it_is(database: Database) -> None:
    number = await reported(database)
    async with database.begin() as connection:
        for status in (TicketStatus.RESOLVED, TicketStatus.CLOSED):
            await set_status(connection, number, status=status, actor=ANNA, now=NOW)
    with pytest.raises(TicketError, match="is closed"):
        await change(database, number, title="other")


async def test_devices_and_watchers(database: Database) -> None:
    number = await reported(database, devices=["acme-ws-1"])
    async with database.begin() as connection:

        async def devices(**what: list[str]) -> list[str]:
            await editing.change_devices(connection, number, actor=ANNA, now=NOW, **what)
            return await editing.further_devices(connection, number)

        assert await devices(add=["acme-ws-2", "acme-ws-3", "acme-ws-1"]) == ["acme-ws-2", "acme-ws-3"]
        assert await devices(remove=["acme-ws-2", "nothing"]) == ["acme-ws-3"]
        with pytest.raises(TicketError, match="no device bakkerij-ws-1"):
            await devices(add=["bakkerij-ws-1"])

        for watcher in ("anna", "piet@acme.example", "anna"):
            await editing.watch(connection, number, watcher, actor=ANNA, now=NOW)
        assert await editing.watchers(connection, number) == ["anna", "piet@acme.example"]
        for wrong in ("nobody", "a b@acme.example", "x@y", "a@b.c\r\nBcc: all@b.c"):
            with pytest.raises(TicketError, match="a watcher is"):
                await editing.watch(connection, number, wrong, actor=ANNA, now=NOW)
        await editing.unwatch(connection, number, "anna", actor=ANNA, now=NOW)
        with pytest.raises(TicketError, match="no such watcher"):
            await editing.unwatch(connection, number, "anna", actor=ANNA, now=NOW)
        for place in range(MAX_WATCHERS - 1):
            await editing.watch(connection, number, f"w{place}@acme.example", actor=ANNA, now=NOW)
        with pytest.raises(TicketError, match="50 watchers"):
            await editing.watch(connection, number, "one-more@acme.example", actor=ANNA, now=NOW)


def test_every_event_is_told_in_words() -> None:
    assert set(words.TOLD) == set(events.EventType)  # and `events.add` takes nothing else


def test_words_never_fail() -> None:
    for kind in [*events.EventType, "brand_new"]:
        for data in ({}, {"from": None, "to": [1], "at": "yesterday", "added": 3}):
            assert isinstance(words.in_words(events.HistoryEvent(NOW, "x", kind, dict(data))), str)
