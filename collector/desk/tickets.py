"""Tickets: what becomes of incidents, as `collector.desk.shadows` has it for customers whose plan opens none.

Whatever happens to a ticket is an event; `collector.desk.events` has the table of them with their data. Every function
works in the caller's transaction, so that an evaluation and the tickets it makes are one.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Priority, highest
from collector.db.tables import alerts, ticket_events, tickets
from collector.desk import events, opening
from collector.desk.events import SYSTEM, EventType, HistoryEvent, history
from collector.desk.fields import TicketError, TicketKind, TicketSource
from collector.desk.handling import close, comment, move, note, resolved_before, set_status, touch
from collector.desk.incident_names import STORM
from collector.desk.opening import REOPEN_WITHIN, Claim, NewTicket, Rows, TicketConflictError, claim, insert_open_all
from collector.desk.reading import TICKETS, Ticket, find_open, get_ticket, list_tickets, newest_of, to_ticket
from collector.desk.states import TicketAction, TicketStatus, advance

# What is read of tickets and done to one stands in modules of its own; to callers it is one thing.
__all__ = [
    "ROWS",
    "SYSTEM",
    "HistoryEvent",
    "Ticket",
    "TicketError",
    "adopt",
    "close",
    "comment",
    "correct_times",
    "current",
    "find_open",
    "get_ticket",
    "history",
    "hold_open",
    "join_or_open",
    "join_or_open_all",
    "list_tickets",
    "move",
    "note",
    "open_by_key",
    "raise_priority",
    "raise_to",
    "resolve",
    "resolve_all",
    "resolved_before",
    "retitle",
    "set_status",
    "steady",
    "touch",
]


ROWS = Rows(tickets, alerts.c.ticket, tickets.c.opened_at)


async def join_or_open(
    connection: AsyncConnection, wanted: NewTicket, now: datetime, reopen_within: timedelta = REOPEN_WITHIN
) -> int:
    """The number of the ticket for this incident: the open one of its key or the one that this was merged into, one
    that was resolved so lately that it reopens, or a new one that names the one before. A ticket's priority is raised
    to the incident's."""
    latest = await _standing(connection, wanted.key)
    if latest is not None:
        is_closed = latest.status is TicketStatus.CLOSED
        match claim(latest.resolved_at, is_closed=is_closed, now=now, reopen_within=reopen_within):
            case Claim.JOIN:
                await raise_priority(connection, latest, wanted.priority, now)
                return latest.number
            case Claim.REOPEN if latest.key == wanted.key or await find_open(connection, latest.key) is None:
                await move(connection, latest, TicketAction.REOPEN, actor=SYSTEM, now=now, why="the fault is back")
                if await ROWS.forget_parent(connection, latest.number):
                    gone = {"parent": None}
                    await events.add(connection, latest.number, EventType.PARENT, gone, actor=SYSTEM, now=now)
                await raise_priority(connection, latest, wanted.priority, now)
                return latest.number
            case _:
                pass
    follows = None if latest is None else latest.number
    opened = await _open(connection, [wanted], now, follows)
    if wanted.key not in opened:
        return await join_or_open(connection, wanted, now, reopen_within)  # another writer opened it in between
    return opened[wanted.key]


async def join_or_open_all(
    connection: AsyncConnection, wanted: Sequence[NewTicket], now: datetime, reopen_within: timedelta = REOPEN_WITHIN
) -> dict[str, int]:
    """`join_or_open` for several incidents, by key; those that never had a ticket are opened at once."""
    known = await ROWS.known_keys(connection, {one.key for one in wanted})
    numbers = await _open(connection, [one for one in wanted if one.key not in known], now)
    for one in wanted:
        if one.key not in numbers:
            numbers[one.key] = await join_or_open(connection, one, now, reopen_within)
    return numbers


async def _open(
    connection: AsyncConnection, wanted: Sequence[NewTicket], now: datetime, follows: int | None = None
) -> dict[str, int]:
    """New tickets by key, save those for which another writer opened one in between."""
    opened = await insert_open_all(connection, tickets, wanted, status=TicketStatus.NEW, opened_at=now, follows=follows)
    shared = {"follows": follows, "kind": TicketKind.INCIDENT, "source": TicketSource.ALERT}
    told = [(opened[one.key], {"priority": one.priority, **shared}) for one in wanted if one.key in opened]
    await events.add_all(connection, told, EventType.OPENED, actor=SYSTEM, now=now)
    return opened


async def resolve(connection: AsyncConnection, number: int, now: datetime, over_since: datetime | None = None) -> None:
    """`resolve_all` for one."""
    await resolve_all(connection, {number: over_since}, now)


async def resolve_all(connection: AsyncConnection, over: Mapping[int, datetime | None], now: datetime) -> None:
    """Their incidents are over, since now or, as late data tell, since earlier: resolves those that nobody touched, and
    leaves a comment for who has one in hand. A ticket that is resolved already is left as it is.

    Raises TicketConflictError if somebody else changes one of them at the same moment."""
    found: list[Ticket] = []
    for chunk in opening.chunks(over):
        rows = await connection.execute(
            TICKETS.where(tickets.c.number.in_(chunk), tickets.c.resolved_at.is_(None)).with_for_update()
        )
        found += map(to_ticket, rows)
    comment = {"text": "the condition is gone; resolve the ticket when you are done", "public": False}
    in_hand = [(ticket.number, comment) for ticket in found if ticket.touched]
    await events.add_all(connection, in_hand, EventType.COMMENT, actor=SYSTEM, now=now)
    alike: dict[tuple[TicketStatus, datetime | None], list[int]] = {}
    for ticket in found:
        if not ticket.touched:
            alike.setdefault((ticket.status, over[ticket.number]), []).append(ticket.number)
    for (before, over_since), numbers in alike.items():
        await _resolve_alike(connection, numbers, before, now, over_since)


async def _resolve_alike(
    connection: AsyncConnection,
    numbers: Sequence[int],
    before: TicketStatus,
    now: datetime,
    over_since: datetime | None,
) -> None:
    """Tickets of one status, all over since the same time."""
    status = advance(before, TicketAction.RESOLVE)
    for chunk in opening.chunks(numbers):
        moved = await connection.execute(
            update(tickets)
            .where(tickets.c.number.in_(chunk), tickets.c.status == before)
            .values(status=status, resolved_at=over_since or now, unstable_since=None)
        )
        if moved.rowcount != len(chunk):
            raise TicketConflictError("somebody else changed a ticket as its fault ended: look at it again")
    why = "the condition is gone" if over_since is None else f"the condition is gone {_since(over_since)}"
    data: dict[str, object] = {"from": before, "to": status, "reason": why}
    if over_since is not None:
        data["at"] = over_since.isoformat()
    told = [(number, data) for number in numbers]
    await events.add_all(connection, told, EventType.STATUS, actor=SYSTEM, now=now)


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
    values: dict[str, datetime] = {}
    if began_at is not None and began_at < ticket.began_at:
        values["began_at"] = began_at
    if resolved_at is not None and not ticket.touched and ticket.resolved_at and resolved_at < ticket.resolved_at:
        values["resolved_at"] = resolved_at
    if values:
        await connection.execute(update(tickets).where(tickets.c.number == number).values(values))
        told = {name: at.isoformat() for name, at in values.items()}
        await events.add(connection, number, EventType.CORRECTED, told, actor=SYSTEM, now=now)


def _since(at: datetime) -> str:
    return f"since {at:%Y-%m-%d %H:%M} UTC"


async def open_by_key(connection: AsyncConnection, keys: Collection[str]) -> dict[str, int]:
    """The open tickets of some keys, by key: a key's own, or the one that its last was merged into."""
    found = await ROWS.open_by_key(connection, keys)
    into = await _merged_last(connection, keys - found.keys())
    while into:
        rows = await connection.execute(
            select(tickets.c.number, tickets.c.merged_into, tickets.c.resolved_at).where(
                tickets.c.number.in_(sorted(set(into.values())))
            )
        )
        known = {row.number: row for row in rows}
        found |= {key: number for key, number in into.items() if known[number].resolved_at is None}
        into = {key: further for key, number in into.items() if (further := known[number].merged_into) is not None}
    return found


async def _merged_last(connection: AsyncConnection, keys: Collection[str]) -> dict[str, int]:
    """Of some keys those whose last ticket was merged, with the ticket that it was merged into."""
    found: dict[str, int] = {}
    for chunk in opening.chunks(keys):
        rows = await connection.execute(_MERGED_LAST, {"keys": chunk})
        found.update((key, into) for key, into in rows)
    return found


_later = tickets.alias("later")
_is_last = ~select(_later.c.number).where(_later.c.key == tickets.c.key, _later.c.number > tickets.c.number).exists()
_MERGED_LAST = select(tickets.c.key, tickets.c.merged_into).where(
    tickets.c.key.in_(bindparam("keys", expanding=True)), tickets.c.merged_into.is_not(None), _is_last
)


async def current(connection: AsyncConnection, numbers: Collection[int]) -> dict[int, int]:
    """The tickets that stand for these: themselves, or those that they were merged into."""
    standing = {number: number for number in numbers}
    ahead = set(numbers)
    while ahead:  # always into one that was open, so never in a circle
        into: dict[int, int] = {}
        for chunk in opening.chunks(ahead):
            wanted = (tickets.c.number.in_(chunk), tickets.c.merged_into.is_not(None))
            rows = await connection.execute(select(tickets.c.number, tickets.c.merged_into).where(*wanted))
            into |= {row[0]: row[1] for row in rows}
        standing = {number: into.get(at, at) for number, at in standing.items()}
        ahead = set(into.values())
    return standing


async def adopt(connection: AsyncConnection, children: Sequence[int], parent: int, now: datetime) -> None:
    """Makes them children of a storm; each goes on as a ticket of its own."""
    await ROWS.set_parent(connection, children, parent)
    told = [(child, {"parent": parent}) for child in children]
    await events.add_all(connection, told, EventType.PARENT, actor=SYSTEM, now=now)


async def retitle(connection: AsyncConnection, number: int, title: str) -> None:
    """A storm's title tells how much it has taken in; a ticket that one was merged into keeps its own."""
    is_storm = (tickets.c.number == number, tickets.c.incident == STORM)
    await connection.execute(update(tickets).where(*is_storm).values(title=opening.shown(title)))


async def hold_open(connection: AsyncConnection, number: int, now: datetime, why: str) -> None:
    """Its fault comes and goes: it is not resolved until `steady` says that this has ended."""
    if await ROWS.set_unstable(connection, number, now):
        await events.add(connection, number, EventType.UNSTABLE, {"reason": why}, actor=SYSTEM, now=now)


async def steady(connection: AsyncConnection, number: int, now: datetime, why: str) -> None:
    if await ROWS.set_unstable(connection, number, None):
        await events.add(connection, number, EventType.STEADY, {"reason": why}, actor=SYSTEM, now=now)


async def _standing(connection: AsyncConnection, key: str) -> Ticket | None:
    """The same, or the ticket that it was merged into."""
    newest = await newest_of(connection, key)
    return None if newest is None else await _followed(connection, newest)


async def _followed(connection: AsyncConnection, ticket: Ticket) -> Ticket:
    while ticket.merged_into is not None:  # always into one that was open, so never in a circle
        ticket = await get_ticket(connection, ticket.merged_into)
    return ticket


async def raise_to(connection: AsyncConnection, number: int, priority: Priority, now: datetime, why: str) -> None:
    """An alert of the ticket has become so urgent. A ticket that is resolved stays as it is."""
    ticket = await _followed(connection, await get_ticket(connection, number))
    if ticket.resolved_at is None:
        await raise_priority(connection, ticket, priority, now, why)


async def raise_priority(
    connection: AsyncConnection, ticket: Ticket, priority: Priority, now: datetime, why: str | None = None
) -> None:
    """To that of an alert, or of another ticket, that became part of it. What a person judged last stays, unless this
    is more urgent than anything that was known then."""
    if highest(ticket.priority, priority) is ticket.priority or priority >= await _judged(connection, ticket.number):
        return
    await connection.execute(update(tickets).where(tickets.c.number == ticket.number).values(priority=priority))
    data = {"from": ticket.priority, "to": priority} | ({"reason": why} if why else {})
    await events.add(connection, ticket.number, EventType.PRIORITY, data, actor=SYSTEM, now=now)


async def _judged(connection: AsyncConnection, number: int) -> str:
    """The highest priority that a ticket had when a person last judged it; beyond the lowest if nobody did."""
    rows = await connection.execute(
        select(ticket_events.c.actor, ticket_events.c.data)
        .where(ticket_events.c.ticket == number, ticket_events.c.type == EventType.PRIORITY)
        .order_by(ticket_events.c.id)
    )
    changes = rows.all()
    if not changes or changes[-1].actor == SYSTEM:
        return "P9"
    return min(str(row.data[end]) for row in changes for end in ("from", "to"))
