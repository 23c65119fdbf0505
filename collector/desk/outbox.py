"""What is to leave the system, written in the transaction of the event that it tells of.

A row for each event and each connector that is in use. Rows of one ticket and one connector leave in their order: only
the oldest that waits may be claimed. To claim is to move `next_try_at` from the value that was read to the end of a
lease, so that of two deliverers one wins; until the row is delivered or given up it stays the oldest that waits, so
nobody sends what comes after it. A deliverer that dies leaves a lease that runs out, and the row is sent again under
the same key.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache

from sqlalchemy import (
    ColumnElement,
    Insert,
    String,
    and_,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.given import as_given, given
from collector.db.inserts import insert_absent
from collector.db.tables import connectors, outbox, ticket_events
from protocol.errors import PermanentError

MAX_ERROR_CHARS = 500
NO_LONGER = "this connector is no longer in use"


class OutboxError(PermanentError):
    """What was asked of the outbox cannot be done; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to be sent by one connector. `next_try_at` None: delivered, or, without `delivered_at`, given up."""

    id: int
    key: str  # the receiver may drop repeats by it
    connector: str
    ticket: int | None
    event: int | None
    kind: str
    payload: dict[str, object]
    created_at: datetime
    attempts: int
    next_try_at: datetime | None
    delivered_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """How a connector's part of the outbox stands."""

    pending: int = 0
    oldest_at: datetime | None = None  # of what is pending, when it was written
    parked: int = 0  # given up; for people to look at


_AS_THEY_ARE = {"opened": "opened", "escalated": "escalated", "sla_warned": "warned", "sla_breached": "breached"}


def kind_of(event: str, data: Mapping[str, object]) -> str | None:
    """As what an event of a ticket is told outside; None: it is not."""
    if event in _AS_THEY_ARE:
        return _AS_THEY_ARE[event]
    if event == "assigned":
        return "assigned" if data.get("to") is not None else None
    if event == "comment":
        return "commented" if data.get("public") is True else None
    return _moved(data) if event == "status" else None


def _moved(data: Mapping[str, object]) -> str | None:
    if data.get("to") == "resolved":
        return "resolved"
    return "reopened" if data.get("from") == "resolved" and data.get("to") != "closed" else None


async def enqueue(connection: AsyncConnection, told: Sequence[tuple[int, str]]) -> None:
    """Has events of tickets, by id and as what they are told, told by every connector that is in use; no rows without
    one. They were written in this transaction. Telling one event twice is harmless."""
    if told:
        dialect = connection.dialect.name
        await connection.execute(_enqueue(dialect), as_given(dialect, _TOLD, told))


_TOLD = (outbox.c.event, outbox.c.kind)


@cache  # made once, it is compiled once
def _enqueue(dialect: str) -> Insert:
    told, event = given(dialect, _TOLD), ticket_events
    rows = (
        select(
            connectors.c.name + literal("/") + cast(event.c.id, String),
            connectors.c.name,
            event.c.ticket,
            event.c.id,
            told.c.kind,
            event.c.data,
            event.c.at,
            event.c.at,
        )
        .select_from(told.join(event, event.c.id == told.c.event).join(connectors, literal(True)))
        .order_by(event.c.id)
    )
    columns = ["key", "connector", "ticket", "event", "kind", "payload", "created_at", "next_try_at"]
    return insert(outbox).from_select(columns, rows)


async def use_connectors(connection: AsyncConnection, names: Collection[str], now: datetime) -> None:
    """From here on events are told by these and no others. What waits for another one is given up."""
    await connection.execute(delete(connectors).where(connectors.c.name.not_in(names)))
    await connection.execute(
        update(outbox)
        .where(outbox.c.next_try_at.is_not(None), outbox.c.connector.not_in(names))
        .values(next_try_at=None, last_error=NO_LONGER)
    )
    if names:
        await insert_absent(connection, connectors, [{"name": name, "since": now} for name in sorted(names)])


async def is_due(connection: AsyncConnection, connector: str, now: datetime) -> bool:
    due = select(outbox.c.id).where(outbox.c.connector == connector, outbox.c.next_try_at <= now).limit(1)
    return await connection.scalar(due) is not None


async def claim(
    connection: AsyncConnection, connector: str, now: datetime, *, until: datetime, limit: int
) -> list[Entry]:
    """The oldest that wait of different tickets, and are due; nobody else gets them until the lease ends."""
    earlier = outbox.alias("earlier")
    is_behind = exists().where(
        earlier.c.ticket == outbox.c.ticket,
        earlier.c.connector == connector,
        earlier.c.next_try_at.is_not(None),
        earlier.c.id < outbox.c.id,
    )
    due = (
        _ENTRIES.where(outbox.c.connector == connector, outbox.c.next_try_at <= now, ~is_behind)
        .order_by(outbox.c.next_try_at, outbox.c.id)
        .limit(limit)
    )
    claimed = []
    for row in (await connection.execute(due)).all():
        entry = Entry(*row)
        won = await connection.execute(
            update(outbox)
            .where(outbox.c.id == entry.id, outbox.c.next_try_at == entry.next_try_at)
            .values(next_try_at=until, attempts=entry.attempts + 1)
        )
        if won.rowcount:
            claimed.append(entry)
    return claimed


async def delivered(connection: AsyncConnection, entries: Sequence[Entry], now: datetime) -> None:
    await connection.execute(
        update(outbox)
        .where(outbox.c.id.in_([entry.id for entry in entries]))
        .values(next_try_at=None, delivered_at=now, last_error=None)
    )


async def put_off(connection: AsyncConnection, entry: Entry, next_try_at: datetime | None, error: str) -> None:
    """It failed, and is tried again then; None: it is given up, and what comes after it goes on."""
    values = {"next_try_at": next_try_at, "last_error": error[:MAX_ERROR_CHARS]}
    await connection.execute(
        update(outbox).where(outbox.c.id == entry.id, outbox.c.delivered_at.is_(None)).values(values)
    )


async def waiting(connection: AsyncConnection) -> dict[str, Waiting]:
    """By connector, of those that something waits for or was given up."""
    rows = await connection.execute(
        select(
            outbox.c.connector,
            func.count(outbox.c.next_try_at),
            func.min(outbox.c.created_at).filter(outbox.c.next_try_at.is_not(None)),
            func.count().filter(outbox.c.next_try_at.is_(None)),
        )
        .where(outbox.c.delivered_at.is_(None))
        .group_by(outbox.c.connector)
    )
    return {row[0]: Waiting(*row[1:]) for row in rows}


async def list_entries(
    connection: AsyncConnection, *, parked: bool = False, delivered_too: bool = False, limit: int = 1000
) -> list[Entry]:
    """What waits or was given up, oldest first; only the latter with `parked`; all with `delivered_too`."""
    query = _ENTRIES.order_by(outbox.c.id).limit(limit)
    if parked:
        query = query.where(_IS_PARKED)
    elif not delivered_too:
        query = query.where(outbox.c.delivered_at.is_(None))
    return [Entry(*row) for row in await connection.execute(query)]


async def retry(connection: AsyncConnection, entry: int | None, *, actor: str, now: datetime) -> int:
    """Tries again what was given up: one, or with None all of it. Returns how many. Raises OutboxError."""
    in_use = outbox.c.connector.in_(select(connectors.c.name))
    asked = and_(_IS_PARKED, in_use) if entry is None else and_(_IS_PARKED, in_use, outbox.c.id == entry)
    again = await connection.execute(update(outbox).where(asked).values(next_try_at=now, attempts=0))
    if entry is not None and not again.rowcount:
        raise OutboxError(f"nothing of number {entry} was given up by a connector in use; see: outbox list --parked")
    if again.rowcount:
        subject = "all" if entry is None else str(entry)
        await audit.record(connection, actor=actor, action="outbox.retry", subject=subject, now=now)
    return again.rowcount


async def forget(connection: AsyncConnection, *, delivered_before: datetime, written_before: datetime) -> int:
    """Deletes what was delivered by then, and what was written so long ago and given up; returns how many."""
    old = or_(
        outbox.c.delivered_at < delivered_before,
        and_(_IS_PARKED, outbox.c.created_at < written_before),
    )
    return (await connection.execute(delete(outbox).where(old))).rowcount


_ENTRIES = select(*(outbox.c[one.name] for one in fields(Entry)))
_IS_PARKED: ColumnElement[bool] = and_(outbox.c.next_try_at.is_(None), outbox.c.delivered_at.is_(None))
