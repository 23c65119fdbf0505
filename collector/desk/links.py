"""Tickets that have to do with each other: related ones, those that wait for another, and parts of a greater one."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.tables import ticket_links, tickets
from collector.desk import events
from collector.desk.editing import get_changeable
from collector.desk.events import EventType
from collector.desk.fields import TicketError
from collector.desk.reading import Ticket, get_ticket

MAX_LINKS = 100  # of one ticket


class LinkKind(StrEnum):
    """What another ticket is to this one. `blocks` is the other side of `blocked_by`, and is never stored."""

    RELATED = "related"
    BLOCKED_BY = "blocked_by"
    BLOCKS = "blocks"


@dataclass(frozen=True, slots=True)
class Link:
    other: int
    kind: LinkKind


async def link(
    connection: AsyncConnection, number: int, other: int, kind: LinkKind, *, actor: str, now: datetime
) -> None:
    """Says that two tickets of a customer are related, or that one is blocked by the other. Raises TicketError."""
    if kind is LinkKind.BLOCKS:
        number, other, kind = other, number, LinkKind.BLOCKED_BY
    await _two_of_a_customer(connection, number, other)
    known = next((one for one in await links_of(connection, number) if one.other == other), None)
    if known is not None:
        told = known.kind.replace("_", " ")
        raise TicketError(f"ticket {number} is linked to {other} already ({told}): unlink them first")
    await _check_room(connection, number, other)
    if kind is LinkKind.BLOCKED_BY and await _leads_to(connection, other, number, _blockers):
        raise TicketError(f"ticket {other} waits for {number} already: they would wait for each other")
    await connection.execute(insert(ticket_links).values(ticket=number, other=other, kind=kind, at=now))
    await _tell(connection, EventType.LINKED, number, other, kind, actor=actor, now=now)


async def unlink(connection: AsyncConnection, number: int, other: int, *, actor: str, now: datetime) -> None:
    """Raises TicketError if they are not linked."""
    known = next((one for one in await links_of(connection, number) if one.other == other), None)
    if known is None:
        raise TicketError(f"ticket {number} is not linked to {other}; see: tickets show {number}")
    either = or_(
        (ticket_links.c.ticket == number) & (ticket_links.c.other == other),
        (ticket_links.c.ticket == other) & (ticket_links.c.other == number),
    )
    await connection.execute(delete(ticket_links).where(either))
    await _tell(connection, EventType.UNLINKED, number, other, known.kind, actor=actor, now=now)


@dataclass(frozen=True, slots=True)
class LeftOpen:
    """Numbers of tickets that are open, in order."""

    parts: list[int]
    blockers: list[int]


async def left_open(connection: AsyncConnection, number: int) -> LeftOpen:
    """What of a ticket that is resolved is not over: its parts, and what it was said to wait for."""
    blockers = [one.other for one in await links_of(connection, number) if one.kind is LinkKind.BLOCKED_BY]
    query = select(tickets.c.number).where(tickets.c.resolved_at.is_(None)).order_by(tickets.c.number)
    return LeftOpen(
        list(await connection.scalars(query.where(tickets.c.parent == number))),
        list(await connection.scalars(query.where(tickets.c.number.in_(blockers)))),
    )


async def links_of(connection: AsyncConnection, number: int) -> list[Link]:
    """As said of this ticket, by the other's number."""
    rows = await connection.execute(
        select(ticket_links.c.ticket, ticket_links.c.other, ticket_links.c.kind).where(
            or_(ticket_links.c.ticket == number, ticket_links.c.other == number)
        )
    )
    found = [
        Link(other, LinkKind(kind)) if ticket == number else Link(ticket, _other_side(LinkKind(kind)))
        for ticket, other, kind in rows
    ]
    return sorted(found, key=lambda one: one.other)


async def set_parent(
    connection: AsyncConnection, number: int, parent: int | None, *, actor: str, now: datetime
) -> None:
    """Makes a ticket part of a greater one of the same customer, or of none. Raises TicketError."""
    if parent is None:
        ticket = await get_changeable(connection, number)
    else:
        ticket, above = await _two_of_a_customer(connection, number, parent)
        if above.resolved_at is not None:
            raise TicketError(f"ticket {parent} is {above.status}: a ticket becomes part of an open one")
        if await _leads_to(connection, parent, number, _parents):
            raise TicketError(f"ticket {parent} is part of {number} already: they would be part of each other")
    if ticket.parent == parent:
        return
    await connection.execute(update(tickets).where(tickets.c.number == number).values(parent=parent))
    data = {"parent": parent}
    await events.add(connection, number, EventType.PARENT, data, actor=actor, now=now)
    await audit.record(connection, actor=actor, action="tickets.set-parent", subject=str(number), now=now, data=data)


async def is_part_of(connection: AsyncConnection, number: int, other: int) -> bool:
    """Whether a ticket is part of another, at whatever remove."""
    return await _leads_to(connection, number, other, _parents)


async def _two_of_a_customer(connection: AsyncConnection, number: int, other: int) -> tuple[Ticket, Ticket]:
    """Both, locked in the order of their numbers; the first may be changed. Raises TicketError."""
    if number == other:
        raise TicketError(f"ticket {number} has to do with itself anyway: name another one")
    found = {one: await get_ticket(connection, one) for one in sorted((number, other))}
    ticket = await get_changeable(connection, number)
    if found[other].customer != ticket.customer:
        raise TicketError(f"ticket {other} is of another customer than {number}")
    return ticket, found[other]


async def _check_room(connection: AsyncConnection, *numbers: int) -> None:
    for number in numbers:
        either = or_(ticket_links.c.ticket == number, ticket_links.c.other == number)
        if (await connection.scalar(select(func.count()).select_from(ticket_links).where(either)) or 0) >= MAX_LINKS:
            raise TicketError(f"ticket {number} is linked to {MAX_LINKS} others already, which is the most")


async def _leads_to(
    connection: AsyncConnection,
    start: int,
    goal: int,
    step: Callable[[AsyncConnection, Collection[int]], Awaitable[set[int]]],
) -> bool:
    seen: set[int] = set()
    at = {start}
    while at:
        if goal in at:
            return True
        seen |= at
        at = await step(connection, at) - seen
    return False


async def _blockers(connection: AsyncConnection, of: Collection[int]) -> set[int]:
    is_blocked = (ticket_links.c.ticket.in_(of), ticket_links.c.kind == LinkKind.BLOCKED_BY)
    return set(await connection.scalars(select(ticket_links.c.other).where(*is_blocked)))


async def _parents(connection: AsyncConnection, of: Collection[int]) -> set[int]:
    has_one = (tickets.c.number.in_(of), tickets.c.parent.is_not(None))
    return {one for one in await connection.scalars(select(tickets.c.parent).where(*has_one)) if one is not None}


async def _tell(
    connection: AsyncConnection, what: EventType, number: int, other: int, kind: LinkKind, *, actor: str, now: datetime
) -> None:
    told: list[tuple[int, dict[str, object]]] = [
        (number, {"other": other, "kind": kind}),
        (other, {"other": number, "kind": _other_side(kind)}),
    ]
    await events.add_all(connection, told, what, actor=actor, now=now)
    word = "link" if what is EventType.LINKED else "unlink"
    data = {"other": other, "kind": kind}
    await audit.record(connection, actor=actor, action=f"tickets.{word}", subject=str(number), now=now, data=data)


def _other_side(kind: LinkKind) -> LinkKind:
    sides = {LinkKind.BLOCKED_BY: LinkKind.BLOCKS, LinkKind.BLOCKS: LinkKind.BLOCKED_BY}
    return sides.get(kind, kind)
