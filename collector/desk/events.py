"""What happened to tickets. The events are the truth about a ticket; its columns say what holds now, and are written in
the same transaction.

| type | data | |
|---|---|---|
| opened | priority, follows, kind, source | `follows`: an earlier ticket for the same |
| status | from, to, reason?, at?, force? | `at`: since when it is so, if that is earlier than the event |
| priority | from, to, reason? | by the system when an alert raised it, else as a person judged |
| comment | text, public, contact? | the customer sees those that are public; `contact`: the customer said it |
| changed | by field: from, to | title, description, category, kind, contact, impact, urgency, site, device |
| corrected | began_at?, resolved_at? | late data told when it began, or was over |
| solution | cause, solution, without? | `without`: the person said that there is nothing to write down |
| devices | added, removed | further devices that it is about |
| watchers | added, removed | |
| attached, detached | id, name, media_type, size_bytes, public | |
| linked, unlinked | other, kind | `kind`: related, blocked_by, or of the other side: blocks |
| parent | parent | null: it has none any more |
| merged | into | it is part of another ticket from here on, and closed |
| took_in | ticket | the other side of merged |
| work_started | entry, kind | the work log; `work` when it is stopped or was entered by hand |
| work | entry, author, kind, minutes, started_at?, billable?, forgotten? | |
| work_corrected, work_voided | entry, from and to, or minutes and reason | |
| part, part_voided | part, description, quantity, unit_price, currency, or reason | |
| checklist | item, text, done, note?, evidence?, reason? | of a round of maintenance |
| unstable, steady | reason | its fault comes and goes; that has ended |
| assigned, escalated | to, from, reason, or to, reason | see `collector.desk.assigning` |
| terms | what was promised | `Terms` writes and reads it |
| sla_warned, sla_breached | clock, … | a target is nearly used up, or was missed |

Times in data are ISO 8601 in UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import Row, bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from collector.db.given import as_given, given
from collector.db.tables import ticket_events
from collector.desk import outbox

SYSTEM = "system"  # the actor of what no person did
MAX_ACTOR_CHARS = 200


class EventType(StrEnum):
    OPENED = "opened"
    STATUS = "status"
    PRIORITY = "priority"
    COMMENT = "comment"
    CHANGED = "changed"
    CORRECTED = "corrected"
    SOLUTION = "solution"
    DEVICES = "devices"
    WATCHERS = "watchers"
    ATTACHED = "attached"
    DETACHED = "detached"
    LINKED = "linked"
    UNLINKED = "unlinked"
    PARENT = "parent"
    MERGED = "merged"
    TOOK_IN = "took_in"
    UNSTABLE = "unstable"
    STEADY = "steady"
    ASSIGNED = "assigned"
    ESCALATED = "escalated"
    TERMS = "terms"
    SLA_WARNED = "sla_warned"
    SLA_BREACHED = "sla_breached"
    WORK_STARTED = "work_started"
    WORK = "work"
    WORK_CORRECTED = "work_corrected"
    WORK_VOIDED = "work_voided"
    PART = "part"
    PART_VOIDED = "part_voided"
    CHECKLIST = "checklist"


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    at: datetime
    actor: str
    type: str
    data: dict[str, object]


Told = tuple[int, EventType, Mapping[str, object]]  # ticket, what happened, data
_ADD = insert(ticket_events).returning(ticket_events.c.ticket, ticket_events.c.id)


async def add(
    connection: AsyncConnection, number: int, kind: EventType, data: Mapping[str, object], *, actor: str, now: datetime
) -> None:
    """Writes down what happened to a ticket. `data` is JSON."""
    await add_all(connection, [(number, data)], kind, actor=actor, now=now)


async def add_all(
    connection: AsyncConnection,
    told: Sequence[tuple[int, Mapping[str, object]]],
    kind: EventType,
    *,
    actor: str,
    now: datetime,
) -> None:
    """The same kind of event for several tickets, by number. What is told outside goes into the outbox, too."""
    if told:
        shared = {"at": now, "actor": actor[:MAX_ACTOR_CHARS], "type": str(kind)}
        rows = [{"ticket": number, "data": dict(data), **shared} for number, data in told]
        added = await connection.execute(_ADD, rows)
        await _tell(connection, [(number, kind, data) for number, data in told], added.all())


async def add_many(connection: AsyncConnection, told: Sequence[Told], now: datetime) -> None:
    """Events of many tickets in one statement. Of the system's own only: PostgreSQL cannot take every character apart
    that people write."""
    if told:
        dialect = connection.dialect.name
        rows = as_given(dialect, _GIVEN, told)
        added = await connection.execute(_add_many(dialect), {**rows, "at": now, "actor": SYSTEM})
        await _tell(connection, told, added.all())


async def _tell(connection: AsyncConnection, told: Sequence[Told], added: Sequence[Row[Any]]) -> None:
    """`added`: tickets and ids of the events. Unordered, or SQLite would take a statement for each row; ids rise in the
    order of the events of one ticket."""
    by_ticket: dict[int, list[int]] = {}
    for number, event in sorted(map(tuple, added), reverse=True):
        by_ticket.setdefault(number, []).append(event)
    in_order = ((by_ticket[number].pop(), outbox.kind_of(kind, data)) for number, kind, data in told)
    await outbox.enqueue(connection, [(event, told_as) for event, told_as in in_order if told_as is not None])


_GIVEN = (ticket_events.c.ticket, ticket_events.c.type, ticket_events.c.data)


@cache
def _add_many(dialect: str) -> ReturningInsert[tuple[int, int]]:
    rows = given(dialect, _GIVEN)
    shared = bindparam("at", type_=ticket_events.c.at.type), bindparam("actor", type_=ticket_events.c.actor.type)
    return (
        insert(ticket_events)
        .from_select(["ticket", "type", "data", "at", "actor"], select(*rows.c, *shared))
        .returning(ticket_events.c.ticket, ticket_events.c.id)
    )


async def history(connection: AsyncConnection, number: int) -> list[HistoryEvent]:
    """Everything that happened to the ticket, oldest first."""
    rows = await connection.execute(
        select(ticket_events.c.at, ticket_events.c.actor, ticket_events.c.type, ticket_events.c.data)
        .where(ticket_events.c.ticket == number)
        .order_by(ticket_events.c.id)
    )
    return [HistoryEvent(*row) for row in rows]
