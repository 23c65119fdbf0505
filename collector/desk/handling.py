"""What is done to one ticket: what people say and decide, and how its status moves.

Whatever happens is an event (`collector.desk.events`), and everything works in the caller's transaction.
"""

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.tables import tickets
from collector.desk import events
from collector.desk.events import SYSTEM, EventType
from collector.desk.fields import TicketError, checked_text
from collector.desk.opening import TicketConflictError
from collector.desk.reading import TICKETS, Ticket, find_open, get_ticket, to_ticket
from collector.desk.states import TicketAction, TicketStatus, action_to, advance


async def note(connection: AsyncConnection, number: int, now: datetime, text: str, actor: str = SYSTEM) -> None:
    """An internal comment that tells what happened, and counts as nobody's touch."""
    data = {"text": text, "public": False}
    await events.add(connection, number, EventType.COMMENT, data, actor=actor, now=now)


async def comment(
    connection: AsyncConnection, number: int, *, text: str, actor: str, now: datetime, is_public: bool = False
) -> None:
    """A person's comment; from here on the ticket does not resolve by itself. The customer sees it if it is public.

    Raises TicketError."""
    data = {"text": checked_text("a comment", text), "public": is_public}
    into = (await get_ticket(connection, number)).merged_into
    if into is not None:
        raise TicketError(f"ticket {number} was merged into {into}: comment on that one")
    await touch(connection, number)
    await events.add(connection, number, EventType.COMMENT, data, actor=actor, now=now)
    await audit.record(connection, actor=actor, action="tickets.comment", subject=str(number), now=now)


async def touch(connection: AsyncConnection, number: int) -> None:
    """A human has it in hand: from here on it does not resolve by itself."""
    await connection.execute(update(tickets).where(tickets.c.number == number).values(touched=True))


async def set_status(
    connection: AsyncConnection,
    number: int,
    *,
    status: TicketStatus,
    actor: str,
    now: datetime,
    why: str | None = None,
) -> None:
    """A person's change of status. Raises TransitionError, TicketError, or TicketConflictError."""
    ticket = await get_ticket(connection, number)
    action = action_to(status)
    if action is TicketAction.REOPEN and ticket.resolved_at is not None:
        other = await find_open(connection, ticket.key)
        if other is not None:
            raise TicketError(f"ticket {other.number} is open for the same: work on that one")
    await move(connection, ticket, action, actor=actor, now=now, why=why)
    await touch(connection, number)
    data = {"from": ticket.status, "to": status}
    await audit.record(connection, actor=actor, action="tickets.set-status", subject=str(number), now=now, data=data)


async def close(connection: AsyncConnection, ticket: Ticket, now: datetime, why: str) -> None:
    """The system's own closing of a resolved ticket; what comes next for the same is a new ticket that names it."""
    await move(connection, ticket, TicketAction.CLOSE, actor=SYSTEM, now=now, why=why)


async def resolved_before(connection: AsyncConnection, before: datetime, *, after: int, limit: int) -> list[Ticket]:
    """Tickets that were resolved by then and are not closed, by number, those beyond number `after`.

    The rows are locked until the end of the transaction, where rows can be."""
    query = (
        TICKETS.where(tickets.c.status == TicketStatus.RESOLVED, tickets.c.resolved_at <= before)
        .where(tickets.c.number > after)
        .order_by(tickets.c.number)
        .limit(limit)
        .with_for_update()
    )
    return [to_ticket(row) for row in await connection.execute(query)]


async def move(
    connection: AsyncConnection,
    ticket: Ticket,
    action: TicketAction,
    *,
    actor: str,
    now: datetime,
    why: str | None = None,
    at: datetime | None = None,
) -> None:
    """Changes the status as the table of states allows, if it is still the one that was read; `at`: since when it is
    so, if that was earlier than now. Raises TransitionError, or TicketConflictError if somebody else was first."""
    status = advance(ticket.status, action)
    values: dict[str, object] = {"status": status}
    match action:
        case TicketAction.RESOLVE:
            values |= {"resolved_at": at or now, "unstable_since": None}
        case TicketAction.CLOSE:
            values["closed_at"] = now
        case TicketAction.MERGE:
            values |= {"resolved_at": ticket.resolved_at or now, "closed_at": now, "unstable_since": None}
        case TicketAction.REOPEN:
            values |= {"resolved_at": None, "escalated_to": None}  # who shall look at it is asked anew
        case _:
            pass
    moved = await connection.execute(
        update(tickets).where(tickets.c.number == ticket.number, tickets.c.status == ticket.status).values(values)
    )
    if moved.rowcount == 0:
        raise TicketConflictError(f"somebody else changed ticket {ticket.number} just now: look at it and try again")
    data: dict[str, object] = {"from": ticket.status, "to": status}
    if why:
        data["reason"] = why
    if at is not None:
        data["at"] = at.isoformat()
    await events.add(connection, ticket.number, EventType.STATUS, data, actor=actor, now=now)
