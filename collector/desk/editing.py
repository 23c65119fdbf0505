"""What people change of a ticket: its fields, the devices it is about, and who watches it."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Level, Priority, priority_judged
from collector.db import audit
from collector.db.inserts import insert_absent
from collector.db.tables import technicians, ticket_devices, ticket_watchers, tickets
from collector.desk import events
from collector.desk.events import EventType
from collector.desk.fields import (
    MAX_DEVICES,
    MAX_WATCHERS,
    TicketError,
    TicketKind,
    checked_category,
    checked_text,
    checked_title,
)
from collector.desk.reading import Ticket, get_ticket
from collector.desk.reported import require_contact, require_site, sites_of
from collector.desk.states import TicketStatus

CHANGEABLE = ("title", "description", "kind", "category", "contact", "impact", "urgency", "priority", "site", "device")

_EMAIL = re.compile(r"[^@\s<>\"',;]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")


async def change(
    connection: AsyncConnection, number: int, wanted: Mapping[str, object], *, actor: str, now: datetime
) -> None:
    """Changes those of CHANGEABLE that `wanted` names; None empties a field that may be empty. Of a ticket that a
    person judges, impact and urgency lead to the priority, unless that is named too. No touch: it may still resolve
    by itself. Raises TicketError."""
    ticket = await get_changeable(connection, number)
    values = {name: await _checked(connection, ticket, name, value) for name, value in wanted.items()}
    was: dict[str, object] = {name: getattr(ticket, name) for name in CHANGEABLE if hasattr(ticket, name)}
    was["description"] = await connection.scalar(select(tickets.c.description).where(tickets.c.number == number))
    values = {name: value for name, value in values.items() if value != was[name]}
    if {"impact", "urgency"} & values.keys() and "priority" not in wanted:
        impact, urgency = values.get("impact", was["impact"]), values.get("urgency", was["urgency"])
        if isinstance(impact, Level) and isinstance(urgency, Level):
            judged = priority_judged(impact, urgency)
            values |= {"priority": judged} if judged is not ticket.priority else {}
    if not values:
        return
    await connection.execute(update(tickets).where(tickets.c.number == number).values(values))
    told = {name: {"from": was[name], "to": value} for name, value in values.items()}
    priority = told.pop("priority", None)
    if told:
        await events.add(connection, number, EventType.CHANGED, told, actor=actor, now=now)
    if priority is not None:
        await events.add(connection, number, EventType.PRIORITY, priority, actor=actor, now=now)
    await _record(connection, "change", number, {"fields": sorted(values)}, actor=actor, now=now)


async def get_changeable(connection: AsyncConnection, number: int) -> Ticket:
    """The ticket, locked until the end of the transaction where rows can be. Raises TicketError if it is closed."""
    ticket = await get_ticket(connection, number)
    if ticket.merged_into is not None:
        raise TicketError(f"ticket {number} was merged into {ticket.merged_into}: work on that one")
    if ticket.status is TicketStatus.CLOSED:
        raise TicketError(f"ticket {number} is closed and stays as it is: comment on it, or open a new one")
    return ticket


# What a value must be in itself; whether the customer has such a site, device or contact is asked besides.
_MADE: Mapping[str, Callable[[str], object]] = {
    "title": checked_title,
    "description": lambda text: checked_text("a description", text),
    "category": checked_category,
    "kind": TicketKind,
    "priority": Priority,
    "impact": Level,
    "urgency": Level,
}
_MAY_BE_EMPTY = frozenset({"description", "category", "contact", "site", "device"})


async def _checked(connection: AsyncConnection, ticket: Ticket, name: str, value: object) -> object:
    """Raises TicketError."""
    match name, value:
        case _, str() if name in _MADE:
            return _MADE[name](value)
        case "contact", int():
            await require_contact(connection, ticket.customer, value)
        case "site", str():
            await require_site(connection, ticket.customer, value)
        case "device", str():
            await sites_of(connection, ticket.customer, [value])
        case _, None if name in _MAY_BE_EMPTY:
            pass
        case _:
            raise TicketError(f"a ticket's {name[:80]} cannot be changed to that")
    return value


async def change_devices(
    connection: AsyncConnection,
    number: int,
    *,
    add: Collection[str] = (),
    remove: Collection[str] = (),
    actor: str,
    now: datetime,
) -> None:
    """Further devices of the same customer that it is about, beside the one that it names. Raises TicketError."""
    ticket = await get_changeable(connection, number)
    has = set(await further_devices(connection, number))
    added = [one for one in dict.fromkeys(add) if one not in has and one != ticket.device]
    removed = sorted(has & set(remove) - set(added))
    await sites_of(connection, ticket.customer, added)
    if len(has) + len(added) - len(removed) > MAX_DEVICES:
        raise TicketError(f"a ticket names {MAX_DEVICES} devices at most")
    if not added and not removed:
        return
    if added:
        await insert_absent(connection, ticket_devices, [{"ticket": number, "device": one} for one in added])
    is_gone = (ticket_devices.c.ticket == number, ticket_devices.c.device.in_(removed))
    await connection.execute(delete(ticket_devices).where(*is_gone))
    told: dict[str, object] = {"added": added, "removed": removed}
    await events.add(connection, number, EventType.DEVICES, told, actor=actor, now=now)
    await _record(connection, "devices", number, told, actor=actor, now=now)


async def further_devices(connection: AsyncConnection, number: int) -> list[str]:
    query = select(ticket_devices.c.device).where(ticket_devices.c.ticket == number).order_by(ticket_devices.c.device)
    return list(await connection.scalars(query))


async def watch(connection: AsyncConnection, number: int, watcher: str, *, actor: str, now: datetime) -> None:
    """`watcher`: a technician's id, or a mail address. Who watches already goes on. Raises TicketError."""
    await get_ticket(connection, number)
    await _check_watcher(connection, watcher)
    if watcher in await watchers(connection, number):
        return
    count = select(func.count()).select_from(ticket_watchers).where(ticket_watchers.c.ticket == number)
    if (await connection.scalar(count) or 0) >= MAX_WATCHERS:
        raise TicketError(f"a ticket has {MAX_WATCHERS} watchers at most")
    await connection.execute(insert(ticket_watchers).values(ticket=number, watcher=watcher))
    await _tell_watchers(connection, number, added=[watcher], removed=[], actor=actor, now=now)


async def unwatch(connection: AsyncConnection, number: int, watcher: str, *, actor: str, now: datetime) -> None:
    """Raises TicketError if nobody of this name watches."""
    is_it = (ticket_watchers.c.ticket == number, ticket_watchers.c.watcher == watcher)
    if (await connection.execute(delete(ticket_watchers).where(*is_it))).rowcount == 0:
        raise TicketError(f"ticket {number} has no such watcher; see: tickets show {number}")
    await _tell_watchers(connection, number, added=[], removed=[watcher], actor=actor, now=now)


async def watchers(connection: AsyncConnection, number: int) -> list[str]:
    query = select(ticket_watchers.c.watcher).where(ticket_watchers.c.ticket == number)
    return list(await connection.scalars(query.order_by(ticket_watchers.c.watcher)))


async def _check_watcher(connection: AsyncConnection, watcher: str) -> None:
    if len(watcher) <= 254 and _EMAIL.fullmatch(watcher):
        return
    is_it = (technicians.c.id == watcher[:64], technicians.c.left_at.is_(None))
    if await connection.scalar(select(technicians.c.id).where(*is_it)) is None:
        raise TicketError("a watcher is a technician's id (see: technicians list) or a mail address")


async def _tell_watchers(
    connection: AsyncConnection, number: int, *, added: Sequence[str], removed: Sequence[str], actor: str, now: datetime
) -> None:
    told: dict[str, object] = {"added": list(added), "removed": list(removed)}
    await events.add(connection, number, EventType.WATCHERS, told, actor=actor, now=now)
    await _record(connection, "watchers", number, told, actor=actor, now=now)


async def _record(
    connection: AsyncConnection, what: str, number: int, data: Mapping[str, object], *, actor: str, now: datetime
) -> None:
    await audit.record(connection, actor=actor, action=f"tickets.{what}", subject=str(number), now=now, data=data)
