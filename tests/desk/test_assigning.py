"""Tickets find their technicians, and people decide otherwise."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Priority
from collector.contracts.promises import Terms, load_sla_book
from collector.db import audit
from collector.db.database import Database
from collector.db.tables import customers, ticket_clocks, tickets
from collector.desk import assigning, work
from collector.desk.agreed import agreed_about
from collector.desk.assigning import Agreed, Assigner, TakenError, assign, explain, hand_over, take
from collector.desk.assignment import Decision, Verdict
from collector.desk.events import EventType, HistoryEvent, add, history
from collector.desk.fields import TicketError
from collector.desk.leaving import leave
from collector.desk.on_call import add_shift, list_shifts
from collector.desk.reading import Ticket, get_ticket
from collector.desk.states import TicketStatus
from collector.desk.team import at_work, reachable
from collector.desk.technicians import Profile, TechnicianError, add_absence, add_technician
from collector.desk.tickets import adopt, join_or_open, resolve, set_status
from collector.desk.working_hours import Span
from tests.db.racing import race
from tests.desk.test_tickets import DISK_FULL

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday, 10:00 in Amsterdam
EVENING = NOW + timedelta(hours=10)


@pytest.fixture(name="database")
async def database_with_a_customer(database: Database) -> AsyncIterator[Database]:
    async with database.begin() as connection:
        await connection.execute(insert(customers).values(id="acme", name="Acme BV", created_at=NOW))
    yield database


async def nothing_agreed(
    _connection: AsyncConnection, _numbers: Collection[int], _now: datetime
) -> Mapping[int, Agreed]:
    return {}


async def day_and_night(_connection: AsyncConnection, numbers: Collection[int], _now: datetime) -> Mapping[int, Agreed]:
    return dict.fromkeys(numbers, Agreed(is_support_open=True, escalate_to="second-line"))


async def hire(database: Database, name: str, **more: object) -> None:
    async with database.begin() as connection:
        profile = Profile(name.title(), **more)  # type: ignore[arg-type]  # as each test names them
        await add_technician(connection, name, profile, actor="eve", now=NOW)


async def open_ticket(
    database: Database, key: str = "k", priority: Priority = Priority.P3, category: str | None = None
) -> int:
    async with database.begin() as connection:
        wanted = replace(DISK_FULL, key=f"acme/{key}", priority=priority, category=category)
        return await join_or_open(connection, wanted, NOW)


async def turn(database: Database, now: datetime = NOW, agreed: assigning.Agreements = nothing_agreed) -> int:
    return await Assigner(database, agreed, "dispatch").turn(now)


async def read(database: Database, number: int) -> Ticket:
    async with database.connect() as connection:
        return await get_ticket(connection, number)


async def events_of(database: Database, number: int, kind: str) -> list[HistoryEvent]:
    async with database.connect() as connection:
        return [event for event in await history(connection, number) if event.type == kind]


async def test_without_technicians_nothing_is_assigned(database: Database) -> None:
    number = await open_ticket(database)
    assert await turn(database) == 0
    assert (await read(database, number)).status is TicketStatus.NEW


async def test_tickets_are_spread_over_who_can_and_each_says_why(database: Database) -> None:
    await hire(database, "anna")
    await hire(database, "bob", skills=("printers",))
    urgent = await open_ticket(database, "urgent", Priority.P1)
    numbers = [await open_ticket(database, f"printer-{n}", Priority.P3, "printers") for n in range(4)]
    assert await turn(database) == 5
    first = await read(database, urgent)
    assert (first.assignee, first.status, first.touched) == ("anna", TicketStatus.ASSIGNED, False)
    assert [(await read(database, number)).assignee for number in numbers] == ["bob"] * 4
    (assigned,) = await events_of(database, numbers[0], "assigned")
    assert (assigned.actor, assigned.data["to"], assigned.data["from"]) == ("system", "bob", None)
    assert assigned.data["reason"] == "at work; the least in hand of 2: 0 open, weight 0"
    (moved,) = await events_of(database, numbers[0], "status")
    assert (moved.data["from"], moved.data["to"]) == ("new", "assigned")
    assert await turn(database) == 0
    async with database.begin() as connection:  # nobody touched it: it resolves with its alert
        await resolve(connection, urgent, NOW)
        assert (await get_ticket(connection, urgent)).status is TicketStatus.RESOLVED


async def test_a_ticket_waits_for_the_morning_and_is_assigned_then(database: Database) -> None:
    await hire(database, "anna")
    number = await open_ticket(database)
    assert await turn(database, EVENING) == 0
    async with database.connect() as connection:
        told = await explain(connection, number, nothing_agreed, EVENING)
    assert (told.verdict, told.why_not) == (Verdict.WAIT, {"anna": "is not at work"})
    assert await turn(database, NOW + timedelta(days=1)) == 1
    assert (await read(database, number)).assignee == "anna"


async def test_who_is_on_call_gets_it_at_night_if_support_is_open(database: Database) -> None:
    await hire(database, "anna")
    await hire(database, "bob")
    async with database.begin() as connection:
        await add_shift(connection, "bob", Span(NOW, NOW + timedelta(days=7)), actor="eve", now=NOW)
    number = await open_ticket(database)
    assert await turn(database, EVENING) == 0
    assert await turn(database, EVENING, day_and_night) == 1
    assert (await read(database, number)).assignee == "bob"


async def test_a_ticket_that_nobody_will_do_in_time_escalates_once(database: Database) -> None:
    await hire(database, "anna", skills=("network",))
    await hire(database, "carl", groups=("second-line",), skills=("network",), hours="Mon-Fri 13:00-17:00")
    await hire(database, "dora", groups=("second-line",), skills=("network",))
    lost = await open_ticket(database, "lost", category="telephony")
    late = await open_ticket(database, "late", category="network")
    async with database.begin() as connection:
        clock = {"ticket": late, "clock": "response", "state": "running", "used_seconds": 0, "as_of_event": 0}
        await connection.execute(insert(ticket_clocks).values(**clock, due_at=EVENING + timedelta(hours=4)))
    assert await turn(database, EVENING, day_and_night) == 2
    assert await turn(database, EVENING, day_and_night) == 0
    assert [(await read(database, number)).escalated_to for number in (lost, late)] == ["second-line"] * 2
    (event,) = await events_of(database, late, "escalated")
    assert event.data["to"] == "second-line" and "a response is due by" in str(event.data["reason"])
    async with database.connect() as connection:
        assert [one.id for one in await at_work(connection, "second-line", NOW)] == ["dora"]
        assert [one.id for one in await at_work(connection, "second-line", EVENING)] == ["carl", "dora"]
        assert [one.id for one in await at_work(connection, "anna", EVENING)] == ["anna"]
    assert await turn(database, NOW + timedelta(days=1)) == 1  # escalated, and still assigned to the first who can
    assert (await read(database, late)).assignee is not None


async def test_a_ticket_that_reopens_at_night_escalates_again(database: Database) -> None:
    await hire(database, "anna", skills=("network",))
    number = await open_ticket(database, priority=Priority.P1, category="telephony")
    assert await turn(database, EVENING, day_and_night) == 1
    async with database.begin() as connection:
        await resolve(connection, number, EVENING)
    assert await turn(database, EVENING, day_and_night) == 0
    assert await open_ticket(database, priority=Priority.P1, category="telephony") == number
    assert (await read(database, number)).escalated_to is None
    assert [await turn(database, EVENING, day_and_night) for _ in range(2)] == [1, 0]
    assert [event.data["to"] for event in await events_of(database, number, "escalated")] == ["second-line"] * 2
    assert (await read(database, number)).escalated_to == "second-line"


async def test_the_time_of_who_leaves_ends(database: Database) -> None:
    await hire(database, "anna")
    number = await open_ticket(database)
    async with database.begin() as connection:
        await work.start(connection, number, author="anna", actor="anna", now=NOW - timedelta(minutes=50))
        left = await leave(connection, "anna", to=None, escalate_to="dispatch", actor="eve", now=NOW)
        (entry,) = await work.list_entries(connection, number)
    assert (left.stopped_on, entry.minutes, entry.is_billable) == (number, 50, True)


async def test_when_the_last_technician_has_left_tickets_escalate_once(database: Database) -> None:
    await hire(database, "anna", groups=("second-line", "printers"))
    await hire(database, "bob", groups=("printers",))
    async with database.begin() as connection:
        assert await reachable(connection) == {"anna", "bob", "second-line", "printers"}
        left = await leave(connection, "anna", to=None, escalate_to="dispatch", actor="eve", now=NOW)
        assert left.emptied_groups == ("second-line",)
        left = await leave(connection, "bob", to=None, escalate_to="dispatch", actor="eve", now=NOW)
        assert left.emptied_groups == ("printers",)
        assert await reachable(connection) == set()
    number = await open_ticket(database)
    assert [await turn(database) for _ in range(2)] == [1, 0]
    (event,) = await events_of(database, number, "escalated")
    assert event.data == {"to": "dispatch", "reason": "there is nobody who could do it"}


async def test_of_a_storm_only_the_parent_is_assigned(database: Database) -> None:
    await hire(database, "anna")
    child, parent = await open_ticket(database, "child"), await open_ticket(database, "parent")
    async with database.begin() as connection:
        await adopt(connection, [child], parent, NOW)
    assert await turn(database) == 1
    assert [(await read(database, number)).assignee for number in (child, parent)] == [None, "anna"]
    async with database.begin() as connection:
        await resolve(connection, parent, NOW)
    assert await turn(database) == 1


async def test_a_reopened_ticket_goes_back_to_who_had_it(database: Database) -> None:
    await hire(database, "anna")
    await hire(database, "bob")
    other, number = await open_ticket(database, "other"), await open_ticket(database, "one")
    assert await turn(database) == 2
    assert (await read(database, number)).assignee == "bob"
    async with database.begin() as connection:
        await resolve(connection, number, NOW)
        await resolve(connection, other, NOW)
    assert await open_ticket(database, "one") == number
    assert await turn(database) == 1
    again = await read(database, number)
    assert (again.assignee, again.status) == ("bob", TicketStatus.ASSIGNED)
    assert (await events_of(database, number, "assigned"))[-1].data["reason"] == "at work; had it before"


async def test_many_tickets_are_given_in_batches(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assigning, "AT_ONCE", 3)
    monkeypatch.setattr(assigning, "BATCHES", 2)
    await hire(database, "anna", skills=("network",))
    for number in range(4):
        await open_ticket(database, f"waits-{number}", Priority.P1, "telephony")
    for number in range(3):
        await open_ticket(database, f"one-{number}", Priority.P3, "network")
    assigner = Assigner(database, nothing_agreed, "dispatch")
    assert [await assigner.turn(NOW) for _ in range(3)] == [6, 1, 0]  # who waits in front keeps nobody from their turn


async def test_of_two_who_take_a_ticket_one_wins_and_the_other_is_told(database: Database) -> None:
    await hire(database, "anna")
    await hire(database, "bob")
    number = await open_ticket(database)

    async def try_to(technician: str) -> str:
        try:
            async with database.begin() as connection:
                await take(connection, number, technician, actor=technician, now=NOW)
        except TakenError as error:
            return str(error)
        return "taken"

    told = await asyncio.gather(try_to("anna"), try_to("bob"))
    winner = (await read(database, number)).assignee
    assert min(map(len, told)) == len("taken") and told.count("taken") == 1
    assert winner is not None and f"ticket {number} is {winner}'s" in max(told, key=len)
    assert (await read(database, number)).touched
    assert len(await events_of(database, number, "assigned")) == 1


def take_in_a_process(url: str, number: int, technician: str) -> str:
    async def run() -> str:
        async with await Database.open(url) as database:
            try:
                async with database.begin() as connection:
                    await take(connection, number, technician, actor=technician, now=NOW)
            except TakenError:
                return "told"
            return "taken"

    return asyncio.run(run())


async def test_of_processes_that_take_a_ticket_one_wins(database: Database, database_url: str) -> None:
    names = ["anna", "bob", "carl"]
    for name in names:
        await hire(database, name)
    number = await open_ticket(database)
    told = await asyncio.to_thread(race, take_in_a_process, [(database_url, number, name) for name in names])
    assert sorted(told) == ["taken", "told", "told"]


async def test_a_ticket_is_handed_over_with_a_note(database: Database) -> None:
    await hire(database, "anna")
    await hire(database, "bob", skills=("printers",))
    number = await open_ticket(database, category="network")
    async with database.begin() as connection:
        await take(connection, number, "anna", actor="anna", now=NOW)
        await set_status(connection, number, status=TicketStatus.IN_PROGRESS, actor="anna", now=NOW)
        with pytest.raises(TicketError, match="a note has"):
            await hand_over(connection, number, "bob", note=" ", actor="anna", now=NOW)
        note = "cable is new, switch is next"
        lacks = await hand_over(connection, number, "bob", note=note, actor="anna", now=NOW)
        assert lacks == "lacks the skill network"
        with pytest.raises(TicketError, match="bob's already"):
            await hand_over(connection, number, "bob", note="again", actor="anna", now=NOW)
        now_has = await get_ticket(connection, number)
        assert (now_has.assignee, now_has.status) == ("bob", TicketStatus.ASSIGNED)
        (comment,) = [event for event in await history(connection, number) if event.type == "comment"]
        assert comment.data == {"text": note, "public": False}
        assert await assign(connection, number, "bob", actor="eve", now=NOW) == "lacks the skill network"
        assert await assign(connection, number, "anna", actor="eve", now=NOW) is None
        assert [one.action for one in await audit.latest(connection, 2)] == ["tickets.assign", "tickets.hand-over"]


async def test_what_waits_for_the_customer_goes_on_waiting_when_it_is_assigned(database: Database) -> None:
    await hire(database, "anna")
    await hire(database, "bob")
    number = await open_ticket(database)
    async with database.begin() as connection:
        await take(connection, number, "anna", actor="anna", now=NOW)
        await set_status(connection, number, status=TicketStatus.WAITING_CUSTOMER, actor="anna", now=NOW)
        await assign(connection, number, "bob", actor="eve", now=NOW)
        assert (await get_ticket(connection, number)).status is TicketStatus.WAITING_CUSTOMER
        await leave(connection, "bob", to=None, escalate_to="dispatch", actor="eve", now=NOW)
    assert await turn(database) == 1
    assert (await read(database, number)).status is TicketStatus.WAITING_CUSTOMER
    assert (await read(database, number)).assignee == "anna"


@pytest.mark.parametrize("to", ["bob", None])
async def test_who_leaves_leaves_nothing_behind(database: Database, to: str | None) -> None:
    await hire(database, "anna")
    await hire(database, "bob")
    begun, fresh, over = [await open_ticket(database, name) for name in ("begun", "fresh", "over")]
    async with database.begin() as connection:
        for number in (begun, fresh, over):
            await assign(connection, number, "anna", actor="eve", now=NOW)
        await set_status(connection, begun, status=TicketStatus.IN_PROGRESS, actor="anna", now=NOW)
        await resolve(connection, over, NOW)
        await connection.execute(update(tickets).where(tickets.c.number == fresh).values(escalated_to="anna"))
        running = Span(NOW - timedelta(hours=1), NOW + timedelta(hours=23))
        await add_shift(connection, "anna", running, actor="eve", now=NOW - timedelta(hours=1))
        await add_shift(
            connection, "anna", Span(NOW + timedelta(days=7), NOW + timedelta(days=8)), actor="eve", now=NOW
        )
        await add_absence(
            connection, "anna", Span(NOW + timedelta(days=3), NOW + timedelta(days=4)), reason="x", actor="eve", now=NOW
        )
        left = await leave(connection, "anna", to=to, escalate_to="dispatch", actor="eve", now=NOW)
        assert (left.tickets, left.shifts, left.escalated) == ((begun, fresh), 2, (fresh,))
        assert left.escalated_to == (to or "dispatch")
        shifts = [(one.technician, one.starts_at) for one in await list_shifts(connection, not_over_at=NOW)]
        if to is None:
            assert [gap.starts_at for gap in left.gaps] == [NOW, NOW + timedelta(days=7)] and shifts == []
        else:
            assert left.gaps == () and shifts == [("bob", NOW), ("bob", NOW + timedelta(days=7))]
        for refused in (
            leave(connection, "anna", to=None, escalate_to="dispatch", actor="eve", now=NOW),
            take_as_anna(connection, fresh),
        ):
            with pytest.raises(TechnicianError, match="left on"):
                await refused
    status = TicketStatus.NEW if to is None else TicketStatus.ASSIGNED
    assert [(one.assignee, one.status) for one in [await read(database, begun)]] == [(to, status)]
    assert (await read(database, over)).assignee == "anna"  # history keeps the name
    event = (await events_of(database, begun, "assigned"))[-1]
    assert (event.data, event.actor) == ({"to": to, "from": "anna", "reason": "anna left"}, "eve")
    (escalated,) = await events_of(database, fresh, "escalated")
    assert escalated.data == {"to": to or "dispatch", "reason": "anna left"}
    assert (await read(database, fresh)).escalated_to == (to or "dispatch")
    await turn(database)
    assert [(await read(database, number)).assignee for number in (begun, fresh)] == ["bob", "bob"]


async def take_as_anna(connection: AsyncConnection, number: int) -> None:
    await take(connection, number, "anna", actor="anna", now=NOW)


async def test_nobody_who_left_meanwhile_is_given_a_ticket(database: Database) -> None:
    await hire(database, "anna")
    number = await open_ticket(database)
    async with database.connect() as connection:
        rows = await assigning._waiting_jobs(connection, None, nothing_agreed, NOW)
    async with database.begin() as connection:
        await leave(connection, "anna", to=None, escalate_to="dispatch", actor="eve", now=NOW)
        decision = Decision(Verdict.ASSIGN, "", "anna")
        assert await assigning._assign_all(connection, "anna", [(rows[0], decision)], NOW) == 0
        found = await connection.scalar(select(tickets.c.assignee).where(tickets.c.number == number))
    assert found is None


async def test_support_hours_and_escalation_are_those_that_were_agreed_last(database: Database) -> None:
    book = load_sla_book()
    by_day, always, none = [await open_ticket(database, name) for name in ("by day", "always", "none")]
    office = Terms.agreed(book, plan="monthly", sla="standard", support_level="8x5")
    day_and_night = Terms.agreed(book, plan="monthly", sla="critical", support_level="24x7")
    async with database.begin() as connection:
        for number, terms in ((by_day, office), (always, office), (always, day_and_night), (none, Terms("break_fix"))):
            await add(connection, number, EventType.TERMS, terms.data(), actor="system", now=NOW)
        everything = [by_day, always, none]
        at_ten, at_night = [await agreed_about(connection, everything, now) for now in (NOW, EVENING)]
    assert at_ten == dict.fromkeys([by_day, always], Agreed(True, "second-line"))
    assert at_night == {by_day: Agreed(False, "second-line"), always: Agreed(True, "second-line")}


async def test_who_takes_what_was_assigned_by_itself_has_it_in_hand(database: Database) -> None:
    await hire(database, "anna")
    number = await open_ticket(database)
    assert await turn(database) == 1
    assert not (await read(database, number)).touched
    for _ in range(2):
        async with database.begin() as connection:
            await take(connection, number, "anna", actor="anna", now=NOW)
    assert (await read(database, number)).touched
    assert len(await events_of(database, number, "assigned")) == 1
    async with database.connect() as connection:
        assert [one.action for one in await audit.latest(connection, 5)].count("tickets.take") == 1
