"""Two tickets that turn out to be about one thing."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.tables import tickets
from collector.desk import events
from collector.desk.events import EventType
from collector.desk.fields import TicketError
from collector.desk.links import is_part_of, links_of, set_parent, unlink
from collector.desk.reading import Ticket, get_ticket
from collector.desk.states import TicketAction, TicketStatus
from collector.desk.tickets import move, raise_priority, touch


async def merge(connection: AsyncConnection, number: int, into: int, *, actor: str, now: datetime) -> None:
    """Closes a ticket as part of another one of the same customer, which takes over its key and its children, and is as
    urgent as the more urgent of the two. What they were to each other before is over. Comments, work and watchers stay
    where they are. Its alerts are the caller's.

    Raises TicketError, TransitionError, or TicketConflictError."""
    if number == into:
        raise TicketError(f"ticket {number} cannot be merged into itself")
    found = {one: await get_ticket(connection, one) for one in sorted((number, into))}
    ticket, target = found[number], found[into]
    _check(ticket, target)
    if await is_part_of(connection, into, number):
        raise TicketError(f"ticket {into} is part of {number}: merge {number} into none of its own parts")
    if any(one.other == into for one in await links_of(connection, number)):
        await unlink(connection, number, into, actor=actor, now=now)
    if ticket.parent == into:
        await set_parent(connection, number, None, actor=actor, now=now)
    why = f"merged into {into}"
    await move(connection, ticket, TicketAction.MERGE, actor=actor, now=now, why=why)
    await connection.execute(update(tickets).where(tickets.c.number == number).values(merged_into=into, touched=True))
    await events.add(connection, number, EventType.MERGED, {"into": into}, actor=actor, now=now)
    await events.add(connection, into, EventType.TOOK_IN, {"ticket": number}, actor=actor, now=now)
    parts = list(await connection.scalars(select(tickets.c.number).where(tickets.c.parent == number)))
    await connection.execute(update(tickets).where(tickets.c.parent == number).values(parent=into))
    told = [(part, {"parent": into}) for part in parts]
    await events.add_all(connection, told, EventType.PARENT, actor=actor, now=now)
    await raise_priority(connection, target, ticket.priority, now, f"ticket {number} was merged into it")
    if ticket.touched:
        await touch(connection, into)
    data = {"into": into}
    await audit.record(connection, actor=actor, action="tickets.merge", subject=str(number), now=now, data=data)


def _check(ticket: Ticket, target: Ticket) -> None:
    """Raises TicketError."""
    number, into = ticket.number, target.number
    if ticket.customer != target.customer:
        raise TicketError(f"ticket {into} is of another customer than {number}: link and merge within one customer")
    if ticket.merged_into is not None:
        raise TicketError(f"ticket {number} was merged into {ticket.merged_into} already")
    if target.merged_into is not None:
        raise TicketError(f"ticket {into} was merged into {target.merged_into} itself: merge into that one")
    if target.status is TicketStatus.CLOSED:
        raise TicketError(f"ticket {into} is closed, so nothing is merged into it; open a new one")
    if target.resolved_at is not None:
        raise TicketError(f"ticket {into} is resolved: reopen it first, or merge it into {number}")
