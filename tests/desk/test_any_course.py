"""Whatever is done to tickets, in whatever order: what they say now is what their events tell."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.contracts import Priority
from collector.db.database import Database
from collector.desk import editing, links, merging, said, tickets
from collector.desk.events import EventType, history
from collector.desk.fields import TicketError
from collector.desk.opening import NewTicket
from collector.desk.reading import Ticket, get_ticket, list_tickets
from collector.desk.reported import Report, open_reported
from collector.desk.states import TicketStatus, TransitionError
from tests.db.racing import race
from tests.desk.desk_world import ANNA, NOW, read, reported, settle

KEYS = 3
ANY = st.integers(min_value=0, max_value=7)  # one of the tickets that there are, counted round and round
PRIORITIES = st.sampled_from([*Priority])
ACTIONS = st.one_of(
    st.tuples(st.just("fault"), st.integers(min_value=0, max_value=KEYS - 1), PRIORITIES),
    st.tuples(st.just("over"), ANY),
    st.tuples(st.just("report"), PRIORITIES),
    st.tuples(st.just("comment"), ANY, st.booleans()),
    st.tuples(st.just("says"), ANY, st.booleans()),
    st.tuples(st.just("status"), ANY, st.sampled_from([*TicketStatus])),
    st.tuples(st.just("priority"), ANY, PRIORITIES),
    st.tuples(st.just("merge"), ANY, ANY),
    st.tuples(st.just("parent"), ANY, ANY),
    st.tuples(st.just("wait"), st.sampled_from([1, 30])),
)
WORLDS = count(1)
CONTACT = 1  # of acme


@pytest.fixture(name="database")
async def database_with_customers(database: Database) -> AsyncIterator[Database]:
    await settle(database)
    yield database


@dataclass
class Course:
    """One run of actions on tickets of its own; the database is shared with the runs before it."""

    database: Database
    world: int = field(default_factory=lambda: next(WORLDS))
    now: datetime = NOW
    numbers: list[int] = field(default_factory=list)
    comments: Counter[str] = field(default_factory=Counter)

    def key(self, place: int) -> str:
        return f"acme/device:{self.world}-{place}/full"

    def one(self, place: int) -> int:
        return self.numbers[place % len(self.numbers)]

    async def do(self, name: str, *of: Any) -> None:
        if name == "wait":
            self.now += timedelta(hours=of[0])
            return
        if name not in ("fault", "report") and not self.numbers:
            return
        with suppress(TicketError, TransitionError):
            async with self.database.begin() as connection:
                await getattr(self, name)(connection, *of)

    async def fault(self, connection: Any, place: int, priority: Priority) -> None:
        wanted = NewTicket(self.key(place), "acme", "hq", None, "full", "Full", "It is full", priority, self.now)
        number = await tickets.join_or_open(connection, wanted, self.now)
        assert (await tickets.open_by_key(connection, [wanted.key])) == {wanted.key: number}
        self.numbers += [] if number in self.numbers else [number]

    async def over(self, connection: Any, place: int) -> None:
        await tickets.resolve(connection, self.one(place), self.now)

    async def report(self, connection: Any, priority: Priority) -> None:
        report = Report("acme", "something", priority=priority)
        self.numbers.append(await open_reported(connection, report, actor=ANNA, now=self.now))

    async def comment(self, connection: Any, place: int, is_public: bool) -> None:
        text = f"comment {sum(self.comments.values())} of {self.world}"
        await tickets.comment(connection, self.one(place), text=text, actor=ANNA, now=self.now, is_public=is_public)
        self.comments[text] += 1

    async def says(self, connection: Any, place: int, still_wrong: bool) -> None:
        text = f"said {sum(self.comments.values())} of {self.world}"
        await said.by_customer(
            connection,
            self.one(place),
            text=text,
            contact=CONTACT,
            still_wrong=still_wrong,
            actor=ANNA,
            now=self.now,
        )
        self.comments[text] += 1

    async def status(self, connection: Any, place: int, status: TicketStatus) -> None:
        await tickets.set_status(connection, self.one(place), status=status, actor=ANNA, now=self.now)

    async def priority(self, connection: Any, place: int, priority: Priority) -> None:
        await editing.change(connection, self.one(place), {"priority": priority}, actor=ANNA, now=self.now)

    async def merge(self, connection: Any, place: int, into: int) -> None:
        await merging.merge(connection, self.one(place), self.one(into), actor=ANNA, now=self.now)

    async def parent(self, connection: Any, place: int, parent: int) -> None:
        await links.set_parent(connection, self.one(place), self.one(parent), actor=ANNA, now=self.now)


def replayed(ticket: Ticket, events: list[Any]) -> Ticket:
    """What the events alone say of a ticket."""
    opened, *later = events
    assert opened.type == EventType.OPENED
    found = replace(
        ticket,
        status=TicketStatus.NEW,
        priority=Priority(opened.data["priority"]),
        resolved_at=None,
        closed_at=None,
        merged_into=None,
        parent=None,
    )
    for one in later:
        match one.type:
            case EventType.STATUS:
                status = TicketStatus(one.data["to"])
                assert found.status == one.data["from"]
                found = replace(found, status=status)
                if status is TicketStatus.NEW:
                    found = replace(found, resolved_at=None)
                elif status in (TicketStatus.RESOLVED, TicketStatus.CLOSED):
                    found = replace(found, resolved_at=found.resolved_at or one.at)
                if status is TicketStatus.CLOSED:
                    found = replace(found, closed_at=one.at)
            case EventType.PRIORITY:
                found = replace(found, priority=Priority(one.data["to"]))
            case EventType.MERGED:
                found = replace(found, merged_into=one.data["into"])
            case EventType.PARENT:
                found = replace(found, parent=one.data["parent"])
            case _:
                pass
    return found


@given(actions=st.lists(ACTIONS, max_size=25))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_events_are_the_truth(database: Database, actions: list[tuple[Any, ...]]) -> None:
    course = Course(database)
    for name, *of in actions:
        await course.do(name, *of)
    said: Counter[str] = Counter()
    async with database.connect() as connection:
        for number in course.numbers:
            ticket = await get_ticket(connection, number)
            events = await history(connection, number)
            assert replayed(ticket, events) == ticket
            assert (ticket.resolved_at is None) == (ticket.status not in (TicketStatus.RESOLVED, TicketStatus.CLOSED))
            if ticket.merged_into is not None:
                assert ticket.status is TicketStatus.CLOSED and ticket.merged_into in course.numbers
            said.update(str(one.data["text"]) for one in events if one.actor == ANNA and one.type == EventType.COMMENT)
        everything = await list_tickets(connection)
    assert said == course.comments
    open_keys = Counter(one.key for one in everything if one.resolved_at is None)
    assert all(times == 1 for times in open_keys.values())


async def _alone(url: str, what: str, number: int, other: int) -> str:
    """One of several who do something to the same tickets at once; what became of it."""
    async with await Database.open(url) as database:
        try:
            async with database.begin() as connection:
                if what == "merge":
                    await merging.merge(connection, number, other, actor=ANNA, now=NOW)
                else:
                    await tickets.comment(connection, number, text=what, actor=ANNA, now=NOW)
        except (TicketError, TransitionError) as refused:
            return str(refused)
    return "done"


def in_a_process(url: str, what: str, number: int, other: int) -> str:
    return asyncio.run(_alone(url, what, number, other))


@pytest.mark.slow
async def test_two_tickets_merged_into_each_other_at_once(database: Database, database_url: str) -> None:
    a, b = await reported(database), await reported(database)
    calls = [(database_url, "merge", a, b), (database_url, "merge", b, a)]
    told = await asyncio.to_thread(race, in_a_process, calls)
    assert sorted(one == "done" for one in told) == [False, True], told
    assert sorted(one.merged_into is None for one in [await read(database, a), await read(database, b)]) == [
        False,
        True,
    ]


@pytest.mark.slow
async def test_no_comment_is_lost_when_two_write_at_once(database: Database, database_url: str) -> None:
    number = await reported(database)
    calls = [(database_url, "one", number, 0), (database_url, "two", number, 0)]
    assert await asyncio.to_thread(race, in_a_process, calls) == ["done", "done"]
    async with database.connect() as connection:
        said = {str(one.data["text"]) for one in await history(connection, number) if one.type == EventType.COMMENT}
    assert said == {"one", "two"}
