"""The sweep of the SLA clocks: what it writes down, and that it does so once."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, func, insert, select, update

from collector.contracts import Priority
from collector.contracts.promises import Terms, load_sla_book
from collector.contracts.scope import ContractScope
from collector.db.database import Database
from collector.db.errors import DatabaseUnavailableError
from collector.db.tables import contacts, customers, sites, ticket_clocks, ticket_events
from collector.db.tables import tickets as table
from collector.desk import clocks, outbox, said, tickets
from collector.desk.clocks import ClockKeeper
from collector.desk.editing import change
from collector.desk.states import TicketStatus
from tests.db.fixtures import counting_statements
from tests.desk.test_tickets import DISK_FULL

BOOK = load_sla_book()
OFFICE = Terms.agreed(BOOK, plan="monthly", sla="standard", support_level="8x5")  # P2: 2h, 16h; P1: 1h, 8h
ALWAYS = Terms.agreed(BOOK, plan="managed", sla="critical", support_level="24x7")
NOTHING = Terms("break_fix")


def at(text: str) -> datetime:
    """By the clock on a wall in Amsterdam."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Amsterdam")).astimezone(UTC)


@dataclass
class Agreed:
    """What is promised to customers, each from when on."""

    to: dict[str, list[tuple[datetime, Terms]]] = field(default_factory=dict)
    scopes: dict[str, ContractScope] = field(default_factory=dict)

    def terms_of(self, customer: str, at: datetime) -> Terms:
        return next((terms for since, terms in reversed(self.to.get(customer, [])) if since <= at), Terms())

    def scope_of(self, customer: str, at: datetime) -> ContractScope | None:
        return self.scopes.get(customer)

    def covers(self, customer: str, at: datetime, *, site: str | None, device: str | None) -> bool:
        scope = self.scopes.get(customer)
        return scope is None or scope.covers({"device_id": device or "", "site": site or ""}, ())

    def changes(self, customer: str, since: datetime, until: datetime) -> Sequence[datetime]:
        return [start for start, _ in self.to.get(customer, []) if since < start <= until]


@dataclass
class Desk:
    database: Database
    agreed: Agreed
    keeper: ClockKeeper

    async def open(self, when: str, key: str = "a", priority: Priority = Priority.P2, customer: str = "acme") -> int:
        wanted = replace(DISK_FULL, key=key, customer=customer, priority=priority, began_at=at("2026-01-01T00:00"))
        async with self.database.begin() as connection:
            return await tickets.join_or_open(connection, wanted, at(when))

    async def status(self, number: int, when: str, status: TicketStatus, actor: str = "anna") -> None:
        async with self.database.begin() as connection:
            await tickets.set_status(connection, number, status=status, actor=actor, now=at(when))

    async def comment(self, number: int, when: str, *, is_public: bool = True) -> None:
        async with self.database.begin() as connection:
            await tickets.comment(connection, number, text="ok", actor="anna", now=at(when), is_public=is_public)

    async def sweep(self, when: str) -> int:
        return await self.keeper.turn(at(when))

    async def clocks(self, number: int) -> dict[str, Any]:
        async with self.database.connect() as connection:
            rows = await connection.execute(select(ticket_clocks).where(ticket_clocks.c.ticket == number))
            return {row.clock: row for row in rows}

    async def told(self, number: int, *kinds: str) -> list[tuple[str, str, dict[str, Any]]]:
        """Type, clock or to whom, and data of the events of some types."""
        async with self.database.connect() as connection:
            happened = [one for one in await tickets.history(connection, number) if one.type in kinds]
        return [(one.type, str(one.data.get("clock", one.data.get("to"))), one.data) for one in happened]

    async def short(self, number: int) -> list[tuple[str, str]]:
        return [one[:2] for one in await self.told(number, "sla_warned", "sla_breached", "escalated")]


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    agreed = Agreed({"acme": [(at("2020-01-01T00:00"), OFFICE)], "bakkerij": [(at("2020-01-01T00:00"), NOTHING)]})
    async with database.begin() as connection:
        for name in ("acme", "bakkerij"):
            await connection.execute(insert(customers).values(id=name, name=name, created_at=at("2020-01-01T00:00")))
    yield Desk(database, agreed, ClockKeeper(database, agreed))


async def test_what_was_late_and_is_open_again_escalates_again(desk: Desk) -> None:
    number = await desk.open("2026-03-02T09:00")
    await desk.status(number, "2026-03-02T10:00", TicketStatus.IN_PROGRESS)  # answered in time
    await desk.sweep("2026-03-03T17:00")
    assert await desk.short(number) == [
        ("sla_breached", "resolution"),
        ("escalated", "second-line"),
    ]
    await desk.status(number, "2026-03-04T09:00", TicketStatus.RESOLVED)
    await desk.sweep("2026-03-04T09:00")
    assert len(await desk.short(number)) == 2
    await desk.status(number, "2026-03-04T12:00", TicketStatus.NEW)
    for minute in range(3):
        await desk.sweep(f"2026-03-04T12:0{minute}")
    assert await desk.short(number) == [
        ("sla_breached", "resolution"),
        ("escalated", "second-line"),
        ("escalated", "second-line"),
    ]
    (_, again) = await desk.told(number, "escalated")
    assert again[2]["reason"] == "it is open again, and the resolution clock of 16:00 ran out"


async def test_the_customer_answers_for_nobody(desk: Desk) -> None:
    async with desk.database.begin() as connection:
        row = {"customer": "acme", "name": "Piet", "created_at": at("2020-01-01T00:00")}
        contact = (await connection.execute(insert(contacts).values(row).returning(contacts.c.id))).scalar_one()

    async def says(when: str) -> None:
        async with desk.database.begin() as connection:
            await said.by_customer(connection, number, text="ok", contact=contact, actor="piet", now=at(when))

    number = await desk.open("2026-03-02T09:00")
    await says("2026-03-02T09:10")
    await desk.sweep("2026-03-02T09:20")
    now = await desk.clocks(number)
    assert (now["response"].state, now["resolution"].state) == ("running", "running")
    await desk.comment(number, "2026-03-02T09:30")
    await desk.status(number, "2026-03-02T09:30", TicketStatus.WAITING_CUSTOMER)
    await desk.sweep("2026-03-02T10:30")
    now = await desk.clocks(number)
    assert (now["response"].state, now["response"].used_seconds) == ("met", 30 * 60)
    assert (now["resolution"].state, now["resolution"].due_at) == ("paused", None)
    await says("2026-03-02T10:30")
    await desk.sweep("2026-03-02T10:30")
    now = await desk.clocks(number)
    assert (now["resolution"].state, now["resolution"].due_at) == ("running", at("2026-03-04T10:00"))


async def test_warned_once_breached_once_escalated_once(desk: Desk) -> None:
    number = await desk.open("2026-03-02T09:00")
    assert await desk.sweep("2026-03-02T09:00") == 1
    assert await desk.sweep("2026-03-02T09:00") == 0  # nothing happened, and no time has come
    (terms,) = await desk.told(number, "terms")
    assert Terms.of_data(terms[2]) == OFFICE and "from" not in terms[2]
    now = await desk.clocks(number)
    assert (now["response"].state, now["response"].due_at) == ("running", at("2026-03-02T11:00"))
    assert (now["resolution"].target_seconds, now["resolution"].due_at) == (16 * 3600, at("2026-03-03T17:00"))
    assert now["response"].next_at == at("2026-03-02T10:30")
    for minute in range(0, 60 * 30, 10):  # the night and the next day, too
        await desk.keeper.turn(at("2026-03-02T09:00") + timedelta(minutes=minute))
    assert await desk.short(number) == [
        ("sla_warned", "response"),
        ("sla_breached", "response"),
        ("escalated", "second-line"),
        ("sla_warned", "resolution"),
    ]
    now = await desk.clocks(number)
    assert (now["response"].state, now["response"].next_at) == ("breached", None)
    assert (now["response"].warned_at, now["response"].breached_at) == (at("2026-03-02T10:30"), at("2026-03-02T11:00"))
    async with desk.database.connect() as connection:
        assert (await tickets.get_ticket(connection, number)).escalated_to == "second-line"
    await desk.sweep("2026-03-04T09:00")
    assert [one for one in await desk.short(number) if one[1] == "resolution"] == [
        ("sla_warned", "resolution"),
        ("sla_breached", "resolution"),
    ]
    assert (await desk.short(number)).count(("escalated", "second-line")) == 1


async def test_outside_the_contracts_scope_nothing_is_promised(desk: Desk) -> None:
    """Also when the scope changes, when the ticket moves, and after a start."""
    desk.agreed.scopes["acme"] = ContractScope(sites=("ny",))
    number = await desk.open("2026-03-02T09:00")
    await desk.sweep("2026-03-02T09:00")
    now = await desk.clocks(number)
    assert (now["response"].state, now["response"].due_at, now["resolution"].target_seconds) == ("none", None, None)
    del desk.agreed.scopes["acme"]
    assert await desk.sweep("2026-03-02T09:10") == 1
    assert (await desk.clocks(number))["response"].due_at == at("2026-03-02T11:10")
    desk.agreed.scopes["acme"] = ContractScope(devices=("ws-2",))
    desk.keeper = ClockKeeper(desk.database, desk.agreed)
    assert await desk.sweep("2026-03-02T09:20") == 1
    assert (await desk.clocks(number))["response"].due_at is None
    desk.agreed.scopes["acme"] = ContractScope(sites=("hq",))
    await desk.sweep("2026-03-02T09:25")
    async with desk.database.begin() as connection:
        await connection.execute(
            insert(sites).values(customer="acme", id="ny", name="ny", created_at=at("2020-01-01T00:00"))
        )
        await change(connection, number, {"device": None, "site": "ny"}, actor="anna", now=at("2026-03-02T09:30"))
    assert await desk.sweep("2026-03-02T09:30") == 1
    assert await desk.sweep("2026-03-02T09:30") == 0
    assert (await desk.clocks(number))["response"].due_at is None
    told = [Terms.of_data(data) for _, _, data in await desk.told(number, "terms")]
    assert told == [Terms("monthly"), OFFICE, Terms("monthly"), OFFICE, Terms("monthly")]


async def test_a_sweep_that_comes_late_tells_when_it_was_and_warns_of_nothing_that_is_over(desk: Desk) -> None:
    """Nobody served from the opening on until two days later."""
    number = await desk.open("2026-03-02T09:00", priority=Priority.P1)
    other = await desk.open("2026-03-02T09:00", key="b", priority=Priority.P1)
    await desk.comment(other, "2026-03-02T11:00")
    await desk.status(other, "2026-03-02T12:00", TicketStatus.RESOLVED)
    await desk.sweep("2026-03-04T09:00")
    breached = await desk.told(number, "sla_breached")
    assert [(clock, data["at"]) for _, clock, data in breached] == [
        ("response", at("2026-03-02T10:00").isoformat()),
        ("resolution", at("2026-03-02T17:00").isoformat()),
    ]
    assert await desk.short(number) == [
        ("sla_breached", "response"),
        ("sla_breached", "resolution"),
        ("escalated", "second-line"),
    ]
    assert await desk.short(other) == [("sla_breached", "response")]  # over: nobody is asked to hurry
    assert (await desk.clocks(other))["resolution"].state == "met"


async def test_a_raised_priority_is_judged_at_once(desk: Desk) -> None:
    number = await desk.open("2026-03-02T09:00", priority=Priority.P3)
    await desk.comment(number, "2026-03-02T09:10")
    await desk.sweep("2026-03-03T10:00")  # nine hours used of forty
    assert await desk.short(number) == []
    assert await desk.open("2026-03-03T11:00", priority=Priority.P1) == number  # an alert raised it: eight hours
    assert await desk.sweep("2026-03-03T11:00") == 1
    assert await desk.short(number) == [("sla_breached", "resolution"), ("escalated", "second-line")]
    assert (await desk.clocks(number))["resolution"].used_seconds == 10 * 3600
    assert (await desk.clocks(number))["response"].state == "met"


async def test_waiting_stops_the_clock_and_reopening_goes_on(desk: Desk) -> None:
    number = await desk.open("2026-03-02T09:00", priority=Priority.P1)
    await desk.status(number, "2026-03-02T09:30", TicketStatus.WAITING_CUSTOMER)
    await desk.sweep("2026-03-02T09:31")
    now = await desk.clocks(number)
    assert (now["response"].state, now["resolution"].state) == ("met", "paused")
    assert (now["resolution"].due_at, now["resolution"].next_at) == (None, None)
    assert await desk.sweep("2026-03-06T16:00") == 0
    await desk.status(number, "2026-03-06T16:00", TicketStatus.IN_PROGRESS)
    await desk.sweep("2026-03-06T16:00")
    assert (await desk.clocks(number))["resolution"].due_at == at("2026-03-09T15:30")
    await desk.status(number, "2026-03-06T17:00", TicketStatus.RESOLVED)
    await desk.sweep("2026-03-09T09:00")
    now = await desk.clocks(number)
    assert (now["resolution"].state, now["resolution"].used_seconds) == ("met", 90 * 60)
    await desk.status(number, "2026-03-09T10:00", TicketStatus.NEW)
    await desk.sweep("2026-03-09T10:01")
    assert (await desk.clocks(number))["resolution"].due_at == at("2026-03-09T16:30")
    assert await desk.short(number) == []


async def test_a_plan_that_changes_at_a_date_counts_from_that_date(desk: Desk) -> None:
    desk.agreed.to["acme"].append((at("2026-03-03T00:00"), ALWAYS))
    number = await desk.open("2026-03-02T13:00")
    await desk.sweep("2026-03-02T13:00")
    assert await desk.sweep("2026-03-02T23:59") == 1  # the response is late by now
    assert await desk.sweep("2026-03-03T00:00") == 1  # nothing happened to the ticket
    assert await desk.sweep("2026-03-03T00:05") == 0
    terms = await desk.told(number, "terms")
    assert [Terms.of_data(data) for _, _, data in terms] == [OFFICE, ALWAYS]
    now = await desk.clocks(number)
    assert (now["resolution"].target_seconds, now["resolution"].used_seconds) == (8 * 3600, 4 * 3600)
    assert now["resolution"].due_at == at("2026-03-03T04:00")


async def test_a_change_that_nobody_saw_counts_from_its_date_too(desk: Desk) -> None:
    number = await desk.open("2026-03-02T13:00")
    await desk.sweep("2026-03-02T13:00")
    desk.agreed.to["acme"].append((at("2026-03-03T00:00"), ALWAYS))
    again = Desk(desk.database, desk.agreed, ClockKeeper(desk.database, desk.agreed))  # after a stop of two days
    await again.sweep("2026-03-05T00:00")
    terms = await again.told(number, "terms")
    assert terms[-1][2]["from"] == at("2026-03-03T00:00").isoformat()
    assert (await again.clocks(number))["resolution"].breached_at == at("2026-03-03T04:00")
    never_seen = await desk.open("2026-03-02T13:00", key="b")
    await desk.sweep("2026-03-05T00:01")
    assert [data.get("from") for _, _, data in await again.told(never_seen, "terms")] == [
        None,
        at("2026-03-03T00:00").isoformat(),
    ]
    assert (await again.clocks(never_seen))["resolution"].breached_at == at("2026-03-03T04:00")


async def test_an_edited_file_counts_from_when_it_was_read(desk: Desk) -> None:
    number = await desk.open("2026-03-02T09:00")
    await desk.sweep("2026-03-02T09:00")
    desk.agreed.to["acme"][0] = (at("2020-01-01T00:00"), replace(OFFICE, support_level="office"))  # renamed
    restarted = ClockKeeper(desk.database, desk.agreed)
    assert await restarted.turn(at("2026-03-02T10:00")) == 1
    told = [data["support_level"] for _, _, data in await desk.told(number, "terms")]
    assert told == ["8x5", "office"]
    assert await restarted.turn(at("2026-03-02T10:01")) == 0
    assert (await desk.clocks(number))["response"].due_at == at("2026-03-02T11:00")


async def test_where_nothing_is_promised_there_is_no_clock_and_nobody_looks_again(desk: Desk) -> None:
    number = await desk.open("2026-03-02T09:00", customer="bakkerij", key="x")
    unknown = await desk.open("2026-03-02T09:00", key="y")
    desk.agreed.to["acme"] = []  # no contract at all
    await desk.sweep("2026-03-02T09:00")
    for one in (number, unknown):
        assert {row.state for row in (await desk.clocks(one)).values()} == {"none"}
        assert {row.next_at for row in (await desk.clocks(one)).values()} == {None}
    assert await desk.sweep("2026-05-02T09:00") == 0
    desk.agreed.to["bakkerij"].append((at("2026-05-03T00:00"), OFFICE))
    assert await desk.sweep("2026-05-03T00:00") == 1
    assert (await desk.clocks(number))["response"].used_seconds == 0
    assert (await desk.clocks(number))["response"].due_at == at("2026-05-04T11:00")  # a Monday


async def test_planned_work_has_no_clocks(desk: Desk) -> None:
    number = await desk.open("2026-03-02T09:00")
    async with desk.database.begin() as connection:
        await connection.execute(update(table).where(table.c.number == number).values(kind="maintenance"))
    await desk.sweep("2026-03-09T09:00")
    assert {row.state for row in (await desk.clocks(number)).values()} == {"none"}
    assert await desk.short(number) == []


async def test_what_the_table_holds_may_be_thrown_away(desk: Desk) -> None:
    number = await desk.open("2026-03-02T09:00")
    await desk.sweep("2026-03-02T12:00")
    before, told = await desk.clocks(number), await desk.short(number)
    async with desk.database.begin() as connection:
        await connection.execute(delete(ticket_clocks))
    await ClockKeeper(desk.database, desk.agreed).turn(at("2026-03-02T12:00"))
    assert await desk.clocks(number) == before
    assert await desk.short(number) == told


async def test_many_tickets_are_reckoned_in_slices(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "AT_ONCE", 2)
    numbers = [await desk.open("2026-03-02T09:00", key=f"k{number}") for number in range(5)]
    assert await desk.sweep("2026-03-02T12:00") == 5
    assert [await desk.short(number) for number in numbers] == [
        [("sla_breached", "response"), ("escalated", "second-line")]
    ] * 5


async def test_a_turn_takes_as_many_statements_for_many_tickets_as_for_few(desk: Desk) -> None:
    async with desk.database.begin() as connection:
        await outbox.use_connectors(connection, ["webhook", "mail"], at("2026-03-02T09:00"))
    await desk.sweep("2026-03-02T08:00")  # the first looks for more
    taken = []
    for hour, count in (("09", 3), ("11", 30)):
        for number in range(count):
            await desk.open(f"2026-03-02T{hour}:00", key=f"k{hour}-{number}", priority=Priority.P1)
        async with counting_statements(desk.database) as statements:
            assert await desk.sweep(f"2026-03-02T{int(hour) + 1}:30") == count
        taken.append(len(statements))
    assert taken[0] == taken[1]
    async with desk.database.connect() as connection:
        waiting = await outbox.list_entries(connection, limit=1000)
    assert Counter((one.connector, one.kind) for one in waiting if one.kind != "opened") == {
        (connector, kind): 33 for connector in ("webhook", "mail") for kind in ("breached", "escalated")
    }


async def test_what_goes_wrong_with_a_slice_is_told_as_it_is(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.open("2026-03-02T09:00")

    def broken(*_of: object) -> Terms:
        raise DatabaseUnavailableError("gone")

    monkeypatch.setattr(desk.agreed, "terms_of", broken)
    with pytest.raises(DatabaseUnavailableError):
        await desk.sweep("2026-03-02T09:01")


async def test_comments_count_by_whether_the_customer_sees_them(desk: Desk) -> None:
    number = await desk.open("2026-03-02T09:00")
    await desk.comment(number, "2026-03-02T09:20", is_public=False)
    await desk.sweep("2026-03-02T09:30")
    assert (await desk.clocks(number))["response"].state == "running"
    await desk.comment(number, "2026-03-02T09:40")
    await desk.sweep("2026-03-02T09:45")
    now = (await desk.clocks(number))["response"]
    assert (now.state, now.used_seconds) == ("met", 40 * 60)


async def test_the_second_of_two_events_of_one_ticket_is_not_missed(desk: Desk) -> None:
    number = await desk.open("2026-03-02T09:00")
    for minute in range(1, 10):
        await desk.status(number, f"2026-03-02T09:{minute:02}", TicketStatus.WAITING_CUSTOMER)
        assert await desk.sweep(f"2026-03-02T09:{minute:02}") == 1
        await desk.status(number, f"2026-03-02T09:{minute:02}", TicketStatus.IN_PROGRESS)
        assert await desk.sweep(f"2026-03-02T09:{minute:02}") == 1
        assert await desk.sweep(f"2026-03-02T09:{minute:02}") == 0
    async with desk.database.connect() as connection:
        newest = await connection.scalar(select(func.max(ticket_events.c.id)).where(ticket_events.c.type == "status"))
    assert (await desk.clocks(number))["response"].as_of_event == newest
