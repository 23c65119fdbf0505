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

import logging
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Select, Text, and_, cast, delete, func, insert, or_, select, update
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
from collector.desk.events import SYSTEM, EventType
from collector.desk.states import TicketStatus

logger = logging.getLogger(__name__)

AT_ONCE = 200  # tickets reckoned in one transaction, so that evaluations need not wait
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

    clocks: list[dict[str, Any]] = field(default_factory=list)  # rows, both of a ticket
    terms: list[tuple[int, dict[str, object]]] = field(default_factory=list)
    warned: list[tuple[int, dict[str, object]]] = field(default_factory=list)
    breached: list[tuple[int, dict[str, object]]] = field(default_factory=list)
    escalated: dict[int, dict[str, object]] = field(default_factory=dict)  # by ticket


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
            newest = await connection.scalar(select(func.max(ticket_events.c.id))) or 0
            changed = self._changed(now)
            numbers = await self._due(connection, newest, changed, now)
        for start in range(0, len(numbers), AT_ONCE):
            async with self._database.begin() as connection:
                await self._reckon(connection, numbers[start : start + AT_ONCE], now)
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
        found = set(await connection.scalars(select(ticket_clocks.c.ticket).where(ticket_clocks.c.next_at <= now)))
        if not self._has_begun:
            found.update(await self._promised_otherwise(connection, now))
            reached = await connection.scalar(select(func.max(ticket_clocks.c.as_of_event)))
            self._mark = newest if reached is None else max(0, reached - LOOK_BACK)
        found.update(await connection.scalars(_news_after(self._mark)))
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

    async def _reckon(self, connection: AsyncConnection, numbers: Sequence[int], now: datetime) -> None:
        told = _Told()
        rows = (await connection.execute(TICKETS.where(tickets.c.number.in_(numbers)).with_for_update())).all()
        logged = await read_events(connection, numbers)
        for row in rows:
            last, happened = logged.get(row.number, (0, []))
            course = course_of(row.opened_at, Priority(row.priority), happened)
            self._in_force.setdefault(row.customer, self._agreed(row.customer, now))
            told.terms += [(row.number, data) for data in new_terms(self._promises, row, course, now)]
            clocks = clocks_of(course, now)
            told.clocks += [_row_of(row.number, clock, last) for clock in clocks]
            _take_down(told, row.number, course, clocks)
        await _write(connection, told, now)


async def _write(connection: AsyncConnection, told: _Told, now: datetime) -> None:
    await events.add_all(connection, told.terms, EventType.TERMS, actor=SYSTEM, now=now)
    if told.clocks:
        numbers = sorted({row["ticket"] for row in told.clocks})
        await connection.execute(delete(ticket_clocks).where(ticket_clocks.c.ticket.in_(numbers)))
        await connection.execute(insert(ticket_clocks), told.clocks)
        first = select(func.min(ticket_clocks.c.due_at)).where(ticket_clocks.c.ticket == tickets.c.number)
        due = update(tickets).where(tickets.c.number.in_(numbers)).values(due_at=first.scalar_subquery())
        await connection.execute(due)
    await events.add_all(connection, told.warned, EventType.SLA_WARNED, actor=SYSTEM, now=now)
    await events.add_all(connection, told.breached, EventType.SLA_BREACHED, actor=SYSTEM, now=now)
    for to in sorted({str(data["to"]) for data in told.escalated.values()}):
        numbers = [number for number, data in told.escalated.items() if data["to"] == to]
        await connection.execute(update(tickets).where(tickets.c.number.in_(numbers)).values(escalated_to=to))
    await events.add_all(connection, list(told.escalated.items()), EventType.ESCALATED, actor=SYSTEM, now=now)
    if told.warned or told.breached:
        logger.info(
            "sla: warned=%d breached=%d escalated=%d", len(told.warned), len(told.breached), len(told.escalated)
        )


def _take_down(told: _Told, number: int, course: Course, clocks: Sequence[Clock]) -> None:
    """Warnings and breaches that are not on record yet. Nobody is warned of what is over, or late already. What is late
    and open again escalates again."""
    for clock in clocks:
        if clock.breached_at is not None:
            is_known = (BREACHED, clock.name) in course.recorded
            if not is_known:
                told.breached.append((number, _record(clock, clock.breached_at)))
            elif not (course.has_reopened and clock.state is ClockState.BREACHED and clock.met_at is None):
                continue
            to = course.terms[-1][1].escalate_to
            if to is not None and not course.is_over and course.escalated_to != to:
                again = "it is open again, and " if is_known else ""
                reason = f"{again}the {clock.name} clock of {_hours(clock.target)} ran out"
                told.escalated[number] = {"to": to, "reason": reason}
        elif clock.state is ClockState.RUNNING and clock.warned_at and (WARNED, clock.name) not in course.recorded:
            told.warned.append((number, _record(clock, clock.warned_at)))


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


def _row_of(number: int, clock: Clock, last: int) -> dict[str, Any]:
    return {
        "ticket": number,
        "clock": clock.name,
        "state": clock.state,
        "target_seconds": None if clock.target is None else clock.target // SECOND,
        "used_seconds": clock.used // SECOND,
        "due_at": clock.due_at,
        "warned_at": clock.warned_at,
        "breached_at": clock.breached_at,
        "as_of_event": last,
        "next_at": clock.next_at,
    }


def _is_response(ticket: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(ticket_clocks.c.ticket == ticket, ticket_clocks.c.clock == ClockName.RESPONSE)


def _news_after(mark: int) -> Select[tuple[int]]:
    """Tickets to which something happened that their clocks do not know, once for each such event: to make them
    distinct, SQLite would walk all events there are in the order of tickets."""
    return (
        select(ticket_events.c.ticket)
        .outerjoin(ticket_clocks, _is_response(ticket_events.c.ticket))
        .where(
            ticket_events.c.id > mark,
            ticket_events.c.type.in_(NEWS_TYPES),
            or_(ticket_clocks.c.as_of_event.is_(None), ticket_clocks.c.as_of_event < ticket_events.c.id),
        )
    )


_of_ticket = ticket_events.alias()
_last_terms = (
    select(func.max(_of_ticket.c.id))
    .where(_of_ticket.c.ticket == tickets.c.number, _of_ticket.c.type == TERMS)
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
        cast(ticket_events.c.data, Text).label("data"),
    )
    .outerjoin(ticket_clocks, _is_response(tickets.c.number))
    .outerjoin(ticket_events, ticket_events.c.id == _last_terms)
    .where(tickets.c.status.in_(NOT_CLOSED))
)
