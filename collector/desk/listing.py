"""Lists of tickets, page by page: every filter and every order is the database's work."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal_column, or_, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Priority
from collector.db.tables import alerts, ticket_devices, tickets
from collector.desk.fields import TicketKind
from collector.desk.reading import TICKETS, Ticket, to_ticket
from collector.desk.states import OVER, TicketStatus
from collector.desk.title_words import few_that_may_have, has_words

MAX_WORDS_CHARS = 100

Conditions = Sequence[ColumnElement[bool]]


class Order(StrEnum):
    NUMBER = "number"  # newest first
    PRIORITY = "priority"  # the most urgent first, of those the oldest
    DUE = "due"  # what falls due first; then what never does, newest first


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list shows; None: whatever it is. `device`: the ticket's own, a further one, or one of its alerts'."""

    customer: str | None = None
    site: str | None = None
    device: str | None = None
    assignee: str | None = None
    status: TicketStatus | None = None
    priority: Priority | None = None
    kind: TicketKind | None = None
    category: str | None = None
    words: str | None = None  # in the title, in whatever case
    opened_since: datetime | None = None
    opened_until: datetime | None = None
    resolved_since: datetime | None = None  # those that are open, and those resolved since then
    is_open: bool | None = None
    is_assigned: bool | None = None

    @property
    def is_contradictory(self) -> bool:
        """Whether no ticket can be so."""
        if self.status is not None and self.is_open is (self.status in OVER):
            return True
        if self.assignee is not None and self.is_assigned is False:
            return True
        since, until = self.opened_since, self.opened_until
        return since is not None and until is not None and since >= until


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended."""

    number: int
    priority: Priority | None = None
    due_at: datetime | None = None


async def page_of(
    connection: AsyncConnection,
    wanted: Wanted,
    *,
    order: Order = Order.NUMBER,
    after: Place | None = None,
    limit: int,
) -> list[Ticket]:
    """`limit` tickets at most, those that come after a place."""
    if wanted.is_contradictory:
        return []
    conditions = _conditions(wanted, connection.dialect.name)
    few = None if wanted.words is None else await few_that_may_have(connection, wanted.words)
    if few is not None:
        conditions.append(tickets.c.number.in_(few))
    found: list[int] = []
    match order:
        case Order.PRIORITY:
            found += await connection.scalars(_by_priority(conditions, after).limit(limit))
        case Order.NUMBER:
            found += await connection.scalars(_by_number(conditions, after).limit(limit))
        case Order.DUE:
            if after is None or after.due_at is not None:
                found += await connection.scalars(_by_due(conditions, after).limit(limit))
            if len(found) < limit:
                never = [*conditions, tickets.c.due_at.is_(None)]
                since = after if after is not None and after.due_at is None else None
                found += await connection.scalars(_by_number(never, since).limit(limit - len(found)))
    return await _in_full(connection, found)


def _by_number(conditions: Conditions, after: Place | None) -> Select[Any]:
    query = select(tickets.c.number).where(*conditions).order_by(tickets.c.number.desc())
    return query if after is None else query.where(tickets.c.number < after.number)


def _by_priority(conditions: Conditions, after: Place | None) -> Select[Any]:
    query = select(tickets.c.number).where(*conditions).order_by(tickets.c.priority, tickets.c.number)
    if after is None:
        return query
    return query.where(tuple_(tickets.c.priority, tickets.c.number) > tuple_(after.priority, after.number))


def _by_due(conditions: Conditions, after: Place | None) -> Select[Any]:
    query = select(tickets.c.number).where(tickets.c.due_at.is_not(None), *conditions)
    query = query.order_by(tickets.c.due_at, tickets.c.number)
    if after is None:
        return query
    return query.where(tuple_(tickets.c.due_at, tickets.c.number) > tuple_(after.due_at, after.number))


def _conditions(wanted: Wanted, dialect: str) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        tickets.c[name] == value
        for name in ("customer", "site", "assignee", "status", "kind", "category")
        if (value := getattr(wanted, name)) is not None
    ]
    if wanted.priority is not None:
        found.append(_is_of(wanted.priority, dialect))
    if wanted.status is not None and wanted.status not in OVER:
        found.append(tickets.c.resolved_at.is_(None))  # says no more, but there is an index of those that are open
    if wanted.device is not None:
        found.append(tickets.c.number.in_(_about(wanted.device)))
    if wanted.opened_since is not None:
        found.append(tickets.c.opened_at >= wanted.opened_since)
    if wanted.opened_until is not None:
        found.append(tickets.c.opened_at < wanted.opened_until)
    if wanted.resolved_since is not None:
        found.append(or_(tickets.c.resolved_at.is_(None), tickets.c.resolved_at >= wanted.resolved_since))
    for column, told in ((tickets.c.resolved_at, wanted.is_open), (tickets.c.assignee, wanted.is_assigned)):
        if told is not None:
            is_empty = told is (column is tickets.c.resolved_at)
            found.append(column.is_(None) if is_empty else column.is_not(None))
    if wanted.words is not None:  # last: the rest is looked at first, and costs less
        found.append(has_words(wanted.words, dialect))
    return found


def _is_of(priority: Priority, dialect: str) -> ColumnElement[bool]:
    """SQLite takes what equals something for rare, and would rather sort a quarter of all tickets than read them in the
    order that is asked for."""
    is_of = tickets.c.priority == priority
    return func.likelihood(is_of, literal_column(f"{1 / len(Priority)}")) if dialect == "sqlite" else is_of


def _about(device: str) -> Select[Any]:
    """The tickets that are about a device."""
    numbers = union_all(
        select(tickets.c.number).where(tickets.c.device == device),
        select(ticket_devices.c.ticket).where(ticket_devices.c.device == device),
        select(alerts.c.ticket).where(and_(alerts.c.device == device, alerts.c.ticket.is_not(None))),
    ).subquery()
    return select(numbers.c[0])


async def _in_full(connection: AsyncConnection, numbers: Sequence[int]) -> list[Ticket]:
    """In the order of `numbers`, which are those of one page."""
    rows = await connection.execute(TICKETS.where(tickets.c.number.in_(numbers)))
    found = {one.number: one for one in map(to_ticket, rows)}
    return [found[number] for number in numbers if number in found]
