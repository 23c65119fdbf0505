"""Resolved tickets close by the calendar of their site."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import insert

from collector.contracts import DEFAULT_OFFICE_HOURS, OfficeHours
from collector.db.database import Database
from collector.db.tables import customers
from collector.desk import closing
from collector.desk.closing import close_resolved, is_due
from collector.desk.states import TicketStatus
from collector.desk.tickets import get_ticket, history, join_or_open, list_tickets, resolve
from tests.desk.test_tickets import DISK_FULL

NEW_YORK = OfficeHours.parse("Mon-Sat 09:00-17:00", "America/New_York", "US")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("resolved", "due", "hours"),
    [
        pytest.param("2026-03-02T09:00", "2026-03-05T23:00", DEFAULT_OFFICE_HOURS, id="within a week"),
        pytest.param("2026-03-05T16:00", "2026-03-10T23:00", DEFAULT_OFFICE_HOURS, id="over a weekend"),
        pytest.param("2026-03-07T12:00", "2026-03-11T23:00", DEFAULT_OFFICE_HOURS, id="on a Saturday"),
        pytest.param("2026-03-26T09:00", "2026-03-31T22:00", DEFAULT_OFFICE_HOURS, id="into summer time"),
        pytest.param("2026-10-22T09:00", "2026-10-27T23:00", DEFAULT_OFFICE_HOURS, id="into winter time"),
        pytest.param("2026-04-24T13:00", "2026-04-30T22:00", DEFAULT_OFFICE_HOURS, id="over King's Day"),
        pytest.param("2026-04-27T13:00", "2026-04-30T22:00", DEFAULT_OFFICE_HOURS, id="on King's Day"),
        pytest.param("2026-04-30T23:30", "2026-05-06T22:00", DEFAULT_OFFICE_HOURS, id="a day later by the local clock"),
        pytest.param("2026-03-05T16:00", "2026-03-10T04:00", NEW_YORK, id="where people work on Saturdays"),
    ],
)
def test_when_three_business_days_are_over(resolved: str, due: str, hours: OfficeHours) -> None:
    assert not is_due(at(resolved), hours, 3, at(due) - timedelta(seconds=1))
    assert is_due(at(resolved), hours, 3, at(due))


@pytest.fixture(name="database")
async def database_with_a_customer(database: Database) -> AsyncIterator[Database]:
    async with database.begin() as connection:
        await connection.execute(insert(customers).values(id="acme", name="Acme BV", created_at=at("2026-03-02T09:00")))
    yield database


def hours_of(_customer: str, site: str | None) -> OfficeHours:
    return NEW_YORK if site == "ny" else DEFAULT_OFFICE_HOURS


async def test_what_is_due_closes_and_the_next_fault_opens_a_linked_ticket(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "AT_ONCE", 2)
    resolved = at("2026-03-05T16:00")
    numbers = []
    for name, site, over in [
        ("a", "hq", True),
        ("b", "ny", True),
        ("c", "ny", True),
        ("d", "hq", False),
        ("e", None, True),
    ]:
        wanted = replace(DISK_FULL, key=name, site=site)
        async with database.begin() as connection:
            numbers.append(await join_or_open(connection, wanted, resolved - timedelta(hours=1)))
            if over:
                await resolve(connection, numbers[-1], resolved)
    assert await close_resolved(database, hours_of, 3, at("2026-03-10T03:00")) == 0
    assert await close_resolved(database, hours_of, 3, at("2026-03-10T12:00")) == 2  # New York's
    assert await close_resolved(database, hours_of, 3, at("2026-03-10T23:00")) == 2
    assert await close_resolved(database, hours_of, 3, at("2026-03-20T23:00")) == 0
    async with database.begin() as connection:
        statuses = {one.number: one.status for one in await list_tickets(connection)}
        assert [statuses[number] for number in numbers] == [TicketStatus.CLOSED] * 3 + [
            TicketStatus.NEW,
            TicketStatus.CLOSED,
        ]
        last = (await history(connection, numbers[0]))[-1]
        assert (last.actor, last.type, last.data["to"]) == ("system", "status", "closed")
        assert last.data["reason"] == "resolved for 3 business days"
        assert (await get_ticket(connection, numbers[0])).closed_at == at("2026-03-10T23:00")
        again = await join_or_open(connection, replace(DISK_FULL, key="a"), at("2026-03-11T08:00"))
        assert (await get_ticket(connection, again)).follows == numbers[0]


def test_no_ticket_that_is_due_becomes_undue() -> None:
    hours = [at("2026-12-20T00:00") + timedelta(hours=number) for number in range(24 * 21)]
    told = [is_due(at("2026-12-22T15:00"), DEFAULT_OFFICE_HOURS, 3, now) for now in hours]
    assert all(before <= after for before, after in pairwise(told)) and told[-1]
