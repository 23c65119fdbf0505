"""Tickets: what became of incidents, and who did what about them.

Every function works in the caller's transaction, so that an evaluation and the tickets it makes are one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Priority, highest
from collector.db import audit
from collector.db.tables import alerts, ticket_events, tickets
from collector.desk import opening
from collector.desk.opening import (
    REOPEN_WITHIN,
    Claim,
    NewTicket,
    TicketConflictError,
    claim,
    insert_open,
    latest_row,
    newest_first,
)
from collector.desk.states import TicketAction, TicketStatus, action_to, advance
from protocol.errors import PermanentError

MAX_COMMENT_CHARS = 20_000

SYSTEM = "system"


class TicketError(PermanentError):
    """What was asked of a ticket cannot be done; the message says why."""


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


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    at: datetime
    actor: str
    type: str  # opened, status, priority, comment
    data: dict[str, object]


async def join_or_open(
    connection: AsyncConnection, wanted: NewTicket, now: datetime, reopen_within: timedelta = REOPEN_WITHIN
) -> int:
    """The number of the ticket for this incident: the open one of its key, one that was resolved so lately that it
    reopens, or a new one that names the one before. A ticket's priority is raised to the incident's."""
    latest = await _latest(connection, wanted.key)
    if latest is not None:
        is_closed = latest.status is TicketStatus.CLOSED
        match claim(latest.resolved_at, is_closed=is_closed, now=now, reopen_within=reopen_within):
            case Claim.JOIN:
                await _raise_priority(connection, latest, wanted.priority, now)
                return latest.number
            case Claim.REOPEN:
                await _move(connection, latest, TicketAction.REOPEN, actor=SYSTEM, now=now, why="the fault is back")
                await opening.forget_parent(connection, tickets, latest.number)
                await _raise_priority(connection, latest, wanted.priority, now)
                return latest.number
            case Claim.OPEN:
                pass
    follows = None if latest is None else latest.number
    if not await insert_open(connection, tickets, wanted, status=TicketStatus.NEW, opened_at=now, follows=follows):
        return await join_or_open(connection, wanted, now, reopen_within)  # another writer opened it in between
    number: int | None = await connection.scalar(
        select(tickets.c.number).where(tickets.c.key == wanted.key, tickets.c.resolved_at.is_(None))
    )
    if number is None:
        raise TicketConflictError(f"the ticket for {wanted.key} was resolved as it opened; try again")
    data = {"priority": wanted.priority, "follows": follows}
    await _add_event(connection, number, "opened", data, actor=SYSTEM, now=now)
    return number


async def resolve(connection: AsyncConnection, number: int, now: datetime, over_since: datetime | None = None) -> None:
    """Its incident is over, since now or, as late data tell, since earlier: resolves it if nobody touched it, else
    leaves a comment for who has it in hand. A ticket that is resolved already is left as it is."""
    ticket = await get_ticket(connection, number)
    if ticket.resolved_at is not None:
        return
    if ticket.touched:
        await note(connection, number, now, "the condition is gone; resolve the ticket when you are done")
        return
    why = "the condition is gone" if over_since is None else f"the condition is gone {_since(over_since)}"
    await _move(connection, ticket, TicketAction.RESOLVE, actor=SYSTEM, now=now, why=why, at=over_since)


async def resolved_before(connection: AsyncConnection, before: datetime, *, after: int, limit: int) -> list[Ticket]:
    """Tickets that were resolved by then and are not closed, by number, those beyond number `after`.

    The rows are locked until the end of the transaction, where rows can be."""
    query = (
        _TICKETS.where(tickets.c.status == TicketStatus.RESOLVED, tickets.c.resolved_at <= before)
        .where(tickets.c.number > after)
        .order_by(tickets.c.number)
        .limit(limit)
        .with_for_update()
    )
    return [_to_ticket(row) for row in await connection.execute(query)]


async def close(connection: AsyncConnection, ticket: Ticket, now: datetime, why: str) -> None:
    """The system's own closing of a resolved ticket; what comes next for the same is a new ticket that names it."""
    await _move(connection, ticket, TicketAction.CLOSE, actor=SYSTEM, now=now, why=why)


async def correct_times(
    connection: AsyncConnection,
    number: int,
    now: datetime,
    *,
    began_at: datetime | None = None,
    resolved_at: datetime | None = None,
) -> None:
    """What late data tell of an incident: it began earlier, or was over earlier, than was known. A resolution by a
    person stays."""
    ticket = await get_ticket(connection, number)
    if began_at is not None and began_at < ticket.began_at:
        await connection.execute(update(tickets).where(tickets.c.number == number).values(began_at=began_at))
        await note(connection, number, now, f"late data: the condition holds {_since(began_at)}")
    if resolved_at is not None and not ticket.touched and ticket.resolved_at and resolved_at < ticket.resolved_at:
        await connection.execute(update(tickets).where(tickets.c.number == number).values(resolved_at=resolved_at))
        await note(connection, number, now, f"late data: the condition is gone {_since(resolved_at)}")


def _since(at: datetime) -> str:
    return f"since {at:%Y-%m-%d %H:%M} UTC"


async def open_by_key(connection: AsyncConnection, keys: Collection[str]) -> dict[str, int]:
    return await opening.open_rows(connection, tickets, keys)


async def recent(connection: AsyncConnection, customer: str, since: datetime) -> dict[str, int]:
    return await opening.recent_rows(connection, tickets, alerts.c.ticket, customer, since)


async def adopt(connection: AsyncConnection, children: Sequence[int], parent: int, now: datetime) -> None:
    """Makes them children of a storm; each goes on as a ticket of its own."""
    await opening.set_parent(connection, tickets, children, parent)
    for child in children:
        await _add_event(connection, child, "parent", {"parent": parent}, actor=SYSTEM, now=now)


async def parent_of(connection: AsyncConnection, number: int) -> int | None:
    return (await get_ticket(connection, number)).parent


async def open_among(connection: AsyncConnection, numbers: Collection[int]) -> set[int]:
    return await opening.open_among(connection, tickets, numbers)


async def children(connection: AsyncConnection, number: int) -> list[int]:
    return await opening.children(connection, tickets, number)


async def open_children(connection: AsyncConnection, number: int) -> int:
    return await opening.open_children(connection, tickets, number)


async def retitle(connection: AsyncConnection, number: int, title: str) -> None:
    await connection.execute(update(tickets).where(tickets.c.number == number).values(title=opening.shown(title)))


async def hold_open(connection: AsyncConnection, number: int, now: datetime, why: str) -> None:
    """Its fault comes and goes: it is not resolved until `steady` says that this has ended."""
    if await opening.set_unstable(connection, tickets, number, now):
        await _add_event(connection, number, "unstable", {"reason": why}, actor=SYSTEM, now=now)


async def steady(connection: AsyncConnection, number: int, now: datetime, why: str) -> None:
    if await opening.set_unstable(connection, tickets, number, None):
        await _add_event(connection, number, "steady", {"reason": why}, actor=SYSTEM, now=now)


async def unstable(connection: AsyncConnection) -> list[int]:
    return await opening.unstable_rows(connection, tickets)


async def note(connection: AsyncConnection, number: int, now: datetime, text: str, actor: str = SYSTEM) -> None:
    """A comment that tells what happened, and counts as nobody's touch."""
    await _add_event(connection, number, "comment", {"text": text}, actor=actor, now=now)


async def comment(connection: AsyncConnection, number: int, *, text: str, actor: str, now: datetime) -> None:
    """A person's comment; from here on the ticket does not resolve by itself. Raises TicketError."""
    text = text.replace("\0", "").strip()
    if not 1 <= len(text) <= MAX_COMMENT_CHARS:
        raise TicketError(f"a comment has 1 to {MAX_COMMENT_CHARS} characters, not {len(text)}")
    await get_ticket(connection, number)
    await connection.execute(update(tickets).where(tickets.c.number == number).values(touched=True))
    await _add_event(connection, number, "comment", {"text": text}, actor=actor, now=now)
    await audit.record(connection, actor=actor, action="tickets.comment", subject=str(number), now=now)


async def set_status(
    connection: AsyncConnection, number: int, *, status: TicketStatus, actor: str, now: datetime
) -> None:
    """A person's change of status. Raises TransitionError, TicketError, or TicketConflictError."""
    ticket = await get_ticket(connection, number)
    action = action_to(status)
    if action is TicketAction.REOPEN and ticket.resolved_at is not None:
        other = await find_open(connection, ticket.key)
        if other is not None:
            raise TicketError(f"ticket {other.number} is open for the same: work on that one")
    await _move(connection, ticket, action, actor=actor, now=now)
    await connection.execute(update(tickets).where(tickets.c.number == number).values(touched=True))
    data = {"from": ticket.status, "to": status}
    await audit.record(connection, actor=actor, action="tickets.set-status", subject=str(number), now=now, data=data)


async def get_ticket(connection: AsyncConnection, number: int) -> Ticket:
    """Raises TicketError if there is none. The row is locked until the end of the transaction, where rows can be."""
    found = await connection.execute(_TICKETS.where(tickets.c.number == number).with_for_update())
    row = found.one_or_none()
    if row is None:
        raise TicketError(f"there is no ticket {number}; see: tickets list --all")
    return _to_ticket(row)


async def find_open(connection: AsyncConnection, key: str) -> Ticket | None:
    """The open ticket of this key."""
    latest = await _latest(connection, key)
    return latest if latest is not None and latest.resolved_at is None else None


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
    query = newest_first(_TICKETS, tickets, customer=customer, resolved_since=resolved_since)
    if status is not None:
        query = query.where(tickets.c.status == status)
    query = query.where(*wanted).limit(limit)
    return [_to_ticket(row) for row in await connection.execute(query)]


async def history(connection: AsyncConnection, number: int) -> list[HistoryEvent]:
    """Everything that happened to the ticket, oldest first."""
    rows = await connection.execute(
        select(ticket_events.c.at, ticket_events.c.actor, ticket_events.c.type, ticket_events.c.data)
        .where(ticket_events.c.ticket == number)
        .order_by(ticket_events.c.id)
    )
    return [HistoryEvent(*row) for row in rows]


_TICKETS = select(*(tickets.c[name] for name in Ticket.__annotations__))


def _to_ticket(row: Sequence[Any]) -> Ticket:
    values = dict(zip(Ticket.__annotations__, row, strict=True))
    return Ticket(**values | {"status": TicketStatus(values["status"]), "priority": Priority(values["priority"])})


async def _latest(connection: AsyncConnection, key: str) -> Ticket | None:
    """The open ticket of this key, or else the newest one."""
    row = await latest_row(connection, tickets, _TICKETS, key)
    return None if row is None else _to_ticket(row)


async def _move(
    connection: AsyncConnection,
    ticket: Ticket,
    action: TicketAction,
    *,
    actor: str,
    now: datetime,
    why: str | None = None,
    at: datetime | None = None,
) -> None:
    """`at`: when it was so, if that was earlier than now."""
    status = advance(ticket.status, action)
    values: dict[str, object] = {"status": status}
    match action:
        case TicketAction.RESOLVE:
            values |= {"resolved_at": at or now, "unstable_since": None}
        case TicketAction.CLOSE:
            values["closed_at"] = now
        case TicketAction.REOPEN:
            values["resolved_at"] = None
        case _:
            pass
    moved = await connection.execute(
        update(tickets).where(tickets.c.number == ticket.number, tickets.c.status == ticket.status).values(values)
    )
    if moved.rowcount == 0:
        raise TicketConflictError(f"somebody else changed ticket {ticket.number} just now: look at it and try again")
    data = {"from": ticket.status, "to": status} | ({"reason": why} if why else {})
    await _add_event(connection, ticket.number, "status", data, actor=actor, now=now)


async def _raise_priority(connection: AsyncConnection, ticket: Ticket, priority: Priority, now: datetime) -> None:
    raised = highest(ticket.priority, priority)
    if raised is ticket.priority:
        return
    await connection.execute(update(tickets).where(tickets.c.number == ticket.number).values(priority=raised))
    await _add_event(
        connection, ticket.number, "priority", {"from": ticket.priority, "to": raised}, actor=SYSTEM, now=now
    )


async def _add_event(
    connection: AsyncConnection, number: int, kind: str, data: Mapping[str, object], *, actor: str, now: datetime
) -> None:
    values = {"ticket": number, "at": now, "actor": actor[:200], "type": kind, "data": dict(data)}
    await connection.execute(insert(ticket_events).values(values))
