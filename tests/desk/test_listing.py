"""Lists of tickets: every filter, every order, page by page."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, text, update

from collector.contracts import Priority
from collector.db.database import Database
from collector.db.tables import alerts, tickets
from collector.desk.fields import TicketKind
from collector.desk.listing import Order, Place, Wanted, page_of
from collector.desk.states import TicketStatus
from tests.db.fixtures import counting_statements
from tests.desk.desk_world import NOW, reported, settle


@pytest.fixture(name="database")
async def database_with_tickets(database: Database) -> AsyncIterator[Database]:
    await settle(database)
    for number in range(12):
        await reported(
            database,
            f"Screen {number} is 100% Dark_{number}",
            customer=("acme", "bakkerij")[number % 2],
            priority=f"P{1 + number % 4}",
            category=("storage", None)[number % 2],
            kind=(TicketKind.INCIDENT, TicketKind.QUESTION)[number // 6],
            devices=[f"acme-ws-{1 + number % 3}"] if number % 2 == 0 else [],
        )
    async with database.begin() as connection:
        for number in range(12):
            values: dict[str, object] = {"opened_at": NOW + timedelta(hours=number)}
            if number % 3 == 0:
                values["due_at"] = NOW - timedelta(hours=number)
            if number == 5:
                values |= {"status": TicketStatus.RESOLVED, "resolved_at": NOW, "assignee": "anna"}
            await connection.execute(update(tickets).where(tickets.c.number == 1001 + number).values(values))
        alert = {
            "rule_key": "r",
            "fingerprint": "f",
            "rule": "Full",
            "rule_version": "1",
            "labels": {},
            "annotations": {},
            "state": "resolved",
            "active_since": NOW,
            "device": "acme-ws-9",
            "outcome": "ticket",
            "reason": "",
            "ticket": 1003,
        }
        await connection.execute(insert(alerts).values(alert))
    yield database


async def numbers(database: Database, order: Order = Order.NUMBER, **wanted: object) -> list[int]:
    async with database.connect() as connection:
        found = await page_of(connection, Wanted(**wanted), order=order, limit=50)  # type: ignore[arg-type]
    return [one.number - 1001 for one in found]


async def test_filters(database: Database) -> None:
    assert await numbers(database) == list(range(11, -1, -1))
    assert await numbers(database, customer="bakkerij") == [11, 9, 7, 5, 3, 1]
    assert await numbers(database, device="acme-ws-1") == [6, 0]
    assert await numbers(database, device="acme-ws-9") == [2]  # an alert's
    assert await numbers(database, assignee="anna") == [5]
    assert await numbers(database, is_assigned=True) == [5]
    assert await numbers(database, is_open=False) == [5]
    assert 5 not in await numbers(database, is_open=True)
    assert await numbers(database, status=TicketStatus.RESOLVED) == [5]
    assert len(await numbers(database, status=TicketStatus.NEW)) == 11
    assert await numbers(database, priority="P1") == [8, 4, 0]
    assert await numbers(database, kind=TicketKind.QUESTION) == [11, 10, 9, 8, 7, 6]
    assert await numbers(database, category="storage", customer="acme") == [10, 8, 6, 4, 2, 0]
    assert await numbers(database, site="ny") == [8, 2]
    assert await numbers(database, words="100% DARK_1") == [11, 10, 1]
    assert await numbers(database, words="%") == list(range(11, -1, -1))
    assert await numbers(database, words="dark/_") == []
    since, until = NOW + timedelta(hours=2), NOW + timedelta(hours=4)
    assert await numbers(database, opened_since=since, opened_until=until) == [3, 2]
    assert len(await numbers(database, resolved_since=NOW)) == 12
    assert len(await numbers(database, resolved_since=NOW + timedelta(seconds=1))) == 11


async def test_orders(database: Database) -> None:
    assert await numbers(database, Order.PRIORITY) == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert await numbers(database, Order.DUE) == [9, 6, 3, 0, 11, 10, 8, 7, 5, 4, 2, 1]


@pytest.mark.parametrize("order", [*Order])
@pytest.mark.parametrize("size", [1, 5])
async def test_pages_come_one_after_another(database: Database, order: Order, size: int) -> None:
    walked: list[int] = []
    after: Place | None = None
    async with database.connect() as connection:
        while found := await page_of(connection, Wanted(), order=order, after=after, limit=size):
            walked += [one.number - 1001 for one in found]
            after = Place(found[-1].number, found[-1].priority, found[-1].due_at)
    assert walked == await numbers(database, order)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(status=TicketStatus.CLOSED, is_open=True),
        Wanted(status=TicketStatus.NEW, is_open=False),
        Wanted(assignee="anna", is_assigned=False),
        Wanted(opened_since=NOW, opened_until=NOW),
    ],
    ids=["closed and open", "new and over", "of anna and nobody", "since it was before"],
)
async def test_nobody_looks_for_what_cannot_be(database: Database, wanted: Wanted) -> None:
    async with counting_statements(database) as statements, database.connect() as connection:
        assert await page_of(connection, wanted, limit=5) == []
        assert statements == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)  # PostgreSQL plans by how many rows there are
async def test_lists_of_open_tickets_do_not_read_all_of_them(database: Database) -> None:
    async with database.connect() as connection:
        for query, index in (
            ("resolved_at IS NULL ORDER BY priority, number", "ix_tickets_open"),
            ("due_at IS NOT NULL AND title LIKE '%x%' ORDER BY due_at, number", "COVERING INDEX ix_tickets_due"),
            ("kind = 'question' ORDER BY number DESC", "COVERING INDEX ix_tickets_list"),
            ("due_at IS NULL AND title LIKE '%x%' ORDER BY number DESC", "COVERING INDEX ix_tickets_list"),
            ("kind = 'question' ORDER BY priority, number", "COVERING INDEX ix_tickets_urgency"),
            ("title LIKE '%x%' ORDER BY priority, number", "COVERING INDEX ix_tickets_urgency"),
        ):
            plan = await connection.execute(text(f"EXPLAIN QUERY PLAN SELECT number FROM tickets WHERE {query}"))  # noqa: S608
            assert index in " ".join(str(row[-1]) for row in plan), query


RARE = {
    "sqlite": (Wanted(priority=Priority.P1), Order.DUE, "EXPLAIN QUERY PLAN", "COVERING INDEX ix_tickets_due"),
    "postgresql": (Wanted(words="Dark_1"), Order.NUMBER, "EXPLAIN", "ix_tickets_words"),
}


async def test_a_list_looks_only_where_it_may_find(database: Database) -> None:
    """Each database at what it would rather look for among all tickets."""
    wanted, order, explain, index = RARE[database.dialect]
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_more: object) -> None:
        asked.append((statement, parameters))

    async with database.connect() as connection:
        if database.dialect == "postgresql":  # so few tickets it reads from the first to the last
            for scan in ("seqscan", "indexscan", "indexonlyscan"):
                await connection.execute(text(f"SET LOCAL enable_{scan} = off"))
        event.listen(connection.sync_connection, "before_cursor_execute", note)
        await page_of(connection, wanted, order=order, limit=5)
        statement, parameters = next(one for one in asked if one[0].startswith("SELECT"))
        plan = await connection.exec_driver_sql(f"{explain} {statement}", parameters)
        assert index in " ".join(str(row[-1]) for row in plan)
