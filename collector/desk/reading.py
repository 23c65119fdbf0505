"""Tickets as they stand in the database."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Level, Priority
from collector.db.tables import tickets
from collector.desk.fields import TicketError, TicketKind, TicketSource
from collector.desk.opening import latest_row, newest_first
from collector.desk.states import TicketStatus


@dataclass(frozen=True, slots=True)
class Ticket:
    number: int
    key: str
    customer: str
    site: str | None
    device: str | None
    incident: str
    rule: str
    title: str
    status: TicketStatus
    priority: Priority
    opened_at: datetime
    began_at: datetime
    resolved_at: datetime | None
    closed_at: datetime | None
    touched: bool  # somebody commented on it or set its status: it no longer resolves by itself
    follows: int | None  # an earlier ticket for the same, too old to reopen
    parent: int | None  # the storm that this incident was the beginning of
    unstable_since: datetime | None  # its fault comes and goes: it stays open until that has ended
    kind: TicketKind
    source: TicketSource
    category: str | None
    contact: int | None  # who reported it, or is asked
    impact: Level | None
    urgency: Level | None
    assignee: str | None  # a technician
    escalated_to: str | None
    merged_into: int | None
    due_at: datetime | None = None  # when the first of its clocks runs out, if it runs on as it does now


async def get_ticket(connection: AsyncConnection, number: int) -> Ticket:
    """Raises TicketError if there is none. The row is locked until the end of the transaction, where rows can be."""
    found = await connection.execute(TICKETS.where(tickets.c.number == number).with_for_update())
    row = found.one_or_none()
    if row is None:
        raise TicketError(f"there is no ticket {number}; see: tickets list --all")
    return to_ticket(row)


async def find_open(connection: AsyncConnection, key: str) -> Ticket | None:
    """The open ticket of this key."""
    newest = await newest_of(connection, key)
    return newest if newest is not None and newest.resolved_at is None else None


async def list_tickets(
    connection: AsyncConnection,
    *,
    customer: str | None = None,
    status: TicketStatus | None = None,
    resolved_since: datetime | None = None,
    wanted: Sequence[ColumnElement[bool]] = (),
    limit: int | None = None,
) -> list[Ticket]:
    """Tickets, newest first: those that are open or were resolved after `resolved_since`, or all without it; of those
    the ones that `wanted` holds for, `limit` at most."""
    query = newest_first(TICKETS, tickets, customer=customer, resolved_since=resolved_since)
    if status is not None:
        query = query.where(tickets.c.status == status)
    query = query.where(*wanted).limit(limit)
    return [to_ticket(row) for row in await connection.execute(query)]


TICKETS = select(*(tickets.c[name] for name in Ticket.__annotations__))


_AS: Mapping[str, Callable[[str], object]] = {
    "status": TicketStatus,
    "priority": Priority,
    "kind": TicketKind,
    "source": TicketSource,
    "impact": Level,
    "urgency": Level,
}


def to_ticket(row: Sequence[Any]) -> Ticket:
    values = dict(zip(Ticket.__annotations__, row, strict=True))
    made = {name: make(values[name]) for name, make in _AS.items() if values[name] is not None}
    return Ticket(**values | made)


async def newest_of(connection: AsyncConnection, key: str) -> Ticket | None:
    """The open ticket of this key, or else the newest one."""
    row = await latest_row(connection, tickets, TICKETS, key)
    return None if row is None else to_ticket(row)
