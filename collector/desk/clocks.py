"""Keeps the SLA clocks of tickets: writes down what was promised, where the clocks stand, and each warning, breach and
escalation, once.

| event | data | |
|---|---|---|
| terms | as `Terms.data` writes them, from? | without `from` they hold since the opening, or since they were written |
| sla_warned, sla_breached | clock, at, used_seconds, target_seconds | `at` may lie in a time when nobody served |
| escalated | to, reason | a technician or a group shall look at it |

A ticket is reckoned again when something happened to it, when its time has come (`next_at`), and when its customer's
terms have changed. The events stay the truth: what is in `ticket_clocks` may be thrown away, and comes again.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Protocol

from sqlalchemy import ColumnElement, Insert, Text, Update, and_, bindparam, cast, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Priority
from collector.contracts.course import (
    BREACHED,
    CLOSED,
    READ_TYPES,
    TERMS,
    WARNED,
    Course,
    course_of,
)
from collector.contracts.promises import Terms
from collector.contracts.scope import ContractScope
from collector.contracts.sla import Clock, ClockName, ClockState, clocks_of
from collector.db.given import as_given, given
from collector.db.inserts import replacing
from collector.db.tables import ticket_clocks, ticket_events, tickets
from collector.desk import events
from collector.desk.clock_reading import (
    OWN_TYPES,
    TICKETS,
    Promises,
    decoded_terms,
    new_terms,
    read_events,
    terms_for,
)
from collector.desk.events import EventType, Told
from collector.desk.states import TicketStatus

logger = logging.getLogger(__name__)

AT_ONCE = 500  # tickets reckoned in one transaction, so that evaluations wait for a tenth of a second at most
BREATH = 50  # tickets after which others on the event loop have their turn
SIDE_BY_SIDE = 2  # transactions on PostgreSQL: while it writes for one, the next is reckoned; SQLite has one writer
# Ids of events are given before their transactions commit: one may appear after a later one was seen.
SEEN_AFTER = timedelta(minutes=1)
LOOK_BACK = 10_000  # events before the last reckoned that are looked at again after a start
NEWS_TYPES = tuple(kind for kind in READ_TYPES if kind not in OWN_TYPES)
NOT_CLOSED = tuple(status for status in TicketStatus if status != CLOSED)
SECOND = timedelta(seconds=1)
_Agreed = tuple[Terms, ContractScope | None]  # with a customer: what is promised, and for what


class Database(Protocol):
    def connect(self) -> AbstractAsyncContextManager[AsyncConnection]: ...

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


@dataclass(slots=True)
class _Told:
    """What a reckoning writes."""

    clocks: list[tuple[object, ...]] = field(default_factory=list)  # rows, both of a ticket
    events: list[Told] = field(default_factory=list)
    tickets: list[tuple[object, ...]] = field(default_factory=list)  # number, due_at, escalated_to of those it changes

    def count(self, kind: EventType) -> int:
        return sum(one is kind for _, one, _ in self.events)


class ClockKeeper:
    """`turn` is called every few seconds. One at a time: two would each write a warning."""

    def __init__(self, database: Database, promises: Promises) -> None:
        self._database = database
        self._promises = promises
        self._in_force: dict[str, _Agreed] = {}  # by customer, of those with tickets, as of the last turn
        self._seen: deque[tuple[datetime, int]] = deque()  # the newest event, as of each turn of the last minute
        self._mark = 0  # events up to here have been looked at
        self._has_begun = False

    async def turn(self, now: datetime) -> int:
        """Reckons what there is to reckon, and returns how many tickets that were."""
        async with self._database.connect() as connection:
            newest = await connection.scalar(_NEWEST) or 0
            changed = self._changed(now)
            numbers = await self._due(connection, newest, changed, now)
        slices = (numbers[start : start + AT_ONCE] for start in range(0, len(numbers), AT_ONCE))
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(SIDE_BY_SIDE):
                    tasks.create_task(self._reckon_all(slices, now))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        self._has_begun = True
        self._in_force |= changed
        self._seen.append((now, newest))
        while self._seen and self._seen[0][0] <= now - SEEN_AFTER:
            self._mark = self._seen.popleft()[1]
        return len(numbers)

    def _agreed(self, customer: str, now: datetime) -> _Agreed:
        return self._promises.terms_of(customer, now), self._promises.scope_of(customer, now)

    def _changed(self, now: datetime) -> dict[str, _Agreed]:
        """What customers are promised now who were promised something else at the last turn."""
        found = {customer: self._agreed(customer, now) for customer in self._in_force}
        return {customer: agreed for customer, agreed in found.items() if agreed != self._in_force[customer]}

    async def _due(
        self, connection: AsyncConnection, newest: int, changed: Collection[str], now: datetime
    ) -> list[int]:
        """Tickets to reckon, by number."""
        found = set(await connection.scalars(_TIME_HAS_COME, {"now": now}))
        if not self._has_begun:
            found.update(await self._promised_otherwise(connection, now))
            reached = await connection.scalar(select(func.max(ticket_clocks.c.as_of_event)))
            self._mark = newest if reached is None else max(0, reached - LOOK_BACK)
        found.update(await connection.scalars(_NEWS, {"mark": self._mark}))
        customers = sorted(changed)
        for start in range(0, len(customers), AT_ONCE):
            of_these = tickets.c.customer.in_(customers[start : start + AT_ONCE])
            query = select(tickets.c.number).where(of_these, tickets.c.status.in_(NOT_CLOSED))
            found.update(await connection.scalars(query))
        return sorted(found)

    async def _promised_otherwise(self, connection: AsyncConnection, now: datetime) -> list[int]:
        """After a start: tickets that are not closed and have no clocks, or do not know what is promised now. Files may
        have been edited, and contracts have begun, while nobody served."""
        rows = (await connection.execute(_LAST_TERMS)).all()
        for customer in {row.customer for row in rows}:
            self._in_force[customer] = self._agreed(customer, now)
        return [
            row.number
            for row in rows
            if row.clock is None
            or row.data is None
            or decoded_terms(row.data)[1] != terms_for(self._promises, row, now)
        ]

    async def _reckon_all(self, slices: Iterator[Sequence[int]], now: datetime) -> None:
        for numbers in slices:
            async with self._database.begin() as connection:
                await self._reckon(connection, numbers, now)

    async def _reckon(self, connection: AsyncConnection, numbers: Sequence[int], now: datetime) -> None:
        told = _Told()
        rows = (await connection.execute(TICKETS.where(tickets.c.number.in_(numbers)).with_for_update())).all()
        logged = await read_events(connection, numbers)
        for count, row in enumerate(rows, start=1):
            if count % BREATH == 0:
                await asyncio.sleep(0)
            last, happened = logged.get(row.number, (0, []))
            course = course_of(row.opened_at, Priority(row.priority), happened)
            if row.customer not in self._in_force:
                self._in_force[row.customer] = self._agreed(row.customer, now)
            told.events += [(row.number, EventType.TERMS, data) for data in new_terms(self._promises, row, course, now)]
            clocks = clocks_of(course, now)
            told.clocks += [_row_of(row.number, clock, last) for clock in clocks]
            to = _take_down(told, row.number, course, clocks) or row.escalated_to
            due_at = min((clock.due_at for clock in clocks if clock.due_at is not None), default=None)
            if (due_at, to) != (row.due_at, row.escalated_to):
                told.tickets.append((row.number, due_at, to))
        await _write(connection, told, now)


async def _write(connection: AsyncConnection, told: _Told, now: datetime) -> None:
    dialect = connection.dialect.name
    if told.clocks:
        await connection.execute(_keep_clocks(dialect), as_given(dialect, _CLOCKS, told.clocks))
    if told.tickets:
        await connection.execute(_change_tickets(dialect), as_given(dialect, _CHANGED, told.tickets))
    await events.add_many(connection, told.events, now)
    if told.count(EventType.SLA_WARNED) or told.count(EventType.SLA_BREACHED):
        logger.info(
            "sla: warned=%d breached=%d escalated=%d",
            *map(told.count, (EventType.SLA_WARNED, EventType.SLA_BREACHED, EventType.ESCALATED)),
        )


_CLOCKS = tuple(ticket_clocks.c)
_CHANGED = (tickets.c.number, tickets.c.due_at, tickets.c.escalated_to)


@cache
def _keep_clocks(dialect: str) -> Insert:
    rows = select(given(dialect, _CLOCKS)).where(true())  # without a condition SQLite would take ON for a join's
    return replacing(dialect, ticket_clocks, rows)


@cache
def _change_tickets(dialect: str) -> Update:
    rows = given(dialect, _CHANGED)
    return (
        update(tickets)
        .where(tickets.c.number == rows.c.number)
        .values(due_at=rows.c.due_at, escalated_to=rows.c.escalated_to)
    )


def _take_down(told: _Told, number: int, course: Course, clocks: Sequence[Clock]) -> str | None:
    """Warnings and breaches that are not on record yet; returns to whom it escalates, if it does. Nobody is warned of
    what is over, or late already. What is late and open again escalates again."""
    escalated: tuple[str, str] | None = None
    for clock in clocks:
        if clock.breached_at is not None:
            is_known = (BREACHED, clock.name) in course.recorded
            if not is_known:
                told.events.append((number, EventType.SLA_BREACHED, _record(clock, clock.breached_at)))
            elif not (course.has_reopened and clock.state is ClockState.BREACHED and clock.met_at is None):
                continue
            to = course.terms[-1][1].escalate_to
            if to is not None and not course.is_over and course.escalated_to != to:
                again = "it is open again, and " if is_known else ""
                escalated = to, f"{again}the {clock.name} clock of {_hours(clock.target)} ran out"
        elif clock.state is ClockState.RUNNING and clock.warned_at and (WARNED, clock.name) not in course.recorded:
            told.events.append((number, EventType.SLA_WARNED, _record(clock, clock.warned_at)))
    if escalated is None:
        return None
    to, reason = escalated
    told.events.append((number, EventType.ESCALATED, {"to": to, "reason": reason}))
    return to


def _record(clock: Clock, at: datetime) -> dict[str, object]:
    return {
        "clock": clock.name,
        "at": at.isoformat(),
        "used_seconds": clock.used // SECOND,
        "target_seconds": None if clock.target is None else clock.target // SECOND,
    }


def _hours(length: timedelta | None) -> str:
    minutes = (length or timedelta()) // timedelta(minutes=1)
    return f"{minutes // 60}:{minutes % 60:02}"


def _row_of(number: int, clock: Clock, last: int) -> tuple[object, ...]:
    """In the order of the table's columns."""
    return (
        number,
        clock.name,
        clock.state,
        None if clock.target is None else clock.target // SECOND,
        clock.used // SECOND,
        clock.due_at,
        clock.warned_at,
        clock.breached_at,
        last,
        clock.next_at,
    )


def _is_response(ticket: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(ticket_clocks.c.ticket == ticket, ticket_clocks.c.clock == ClockName.RESPONSE)


_NEWEST = select(func.max(ticket_events.c.id))
_TIME_HAS_COME = select(ticket_clocks.c.ticket).where(ticket_clocks.c.next_at <= bindparam("now"))
# Tickets to which something happened that their clocks do not know, once for each such event: to make them distinct,
# SQLite would walk all events there are in the order of tickets.
_NEWS = (
    select(ticket_events.c.ticket)
    .outerjoin(ticket_clocks, _is_response(ticket_events.c.ticket))
    .where(
        ticket_events.c.id > bindparam("mark"),
        ticket_events.c.type.in_(NEWS_TYPES),
        or_(ticket_clocks.c.as_of_event.is_(None), ticket_clocks.c.as_of_event < ticket_events.c.id),
    )
)
_last_terms = (
    select(cast(ticket_events.c.data, Text))
    .where(ticket_events.c.ticket == tickets.c.number, ticket_events.c.type == TERMS)
    .order_by(ticket_events.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
_LAST_TERMS = (
    select(
        tickets.c.number,
        tickets.c.customer,
        tickets.c.site,
        tickets.c.device,
        tickets.c.kind,
        ticket_clocks.c.clock,
        _last_terms.label("data"),
    )
    .outerjoin(ticket_clocks, _is_response(tickets.c.number))
    .where(tickets.c.status.in_(NOT_CLOSED))
)
