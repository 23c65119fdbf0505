"""A technician leaves: what he or she had goes to somebody, and what names him or her is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.revisions import Topic, bump
from collector.db.tables import absences, on_call, technicians, tickets, tokens, users
from collector.desk import events, work
from collector.desk.events import EventType
from collector.desk.on_call import Shift, list_shifts, uncovered
from collector.desk.states import TicketAction, TicketStatus, advance
from collector.desk.team import reachable
from collector.desk.technicians import TechnicianError, require_active
from collector.desk.work import running_of
from collector.desk.working_hours import Span


@dataclass(frozen=True, slots=True)
class Left:
    """What became of it. The ticket's events, the audit and the work log keep the name."""

    tickets: tuple[int, ...]  # handed over, or nobody's and to be assigned anew
    shifts: int  # handed over, or taken away
    gaps: tuple[Span, ...]  # where nobody is on call now who would have been
    escalated: tuple[int, ...]  # open tickets that were escalated to the technician
    escalated_to: str | None  # to whom they are now; None: there is nobody else
    accounts: tuple[str, ...]  # users that may no longer sign in
    emptied_groups: tuple[str, ...]  # that nobody is in any more: what escalates to them reaches nobody
    stopped_on: int | None  # the ticket on which the technician's time was still running


async def leave(
    connection: AsyncConnection, technician: str, *, to: str | None, escalate_to: str, actor: str, now: datetime
) -> Left:
    """The technician takes no tickets from here on; `to` takes over open tickets and shifts. Without, the tickets are
    assigned anew, the shifts are gone, and what was escalated to the technician is escalated to `escalate_to`, a
    technician or a group, if that is another. Raises NoTechnicianError or TechnicianError."""
    groups = (await require_active(connection, technician)).groups
    if to == technician:
        raise TechnicianError(f"{technician} cannot take over from {technician}; name another, or nobody")
    if to is not None:
        await require_active(connection, to)
    is_at = await running_of(connection, technician)
    if is_at is not None:
        await work.stop(connection, author=technician, actor=actor, now=now)
    await connection.execute(update(technicians).where(technicians.c.id == technician).values(left_at=now))
    await connection.execute(delete(absences).where(absences.c.technician == technician, absences.c.starts_at > now))
    numbers = await _hand_over_tickets(connection, technician, to, actor, now)
    shifts = await _hand_over_shifts(connection, technician, to, actor, now)
    heir = to or (None if escalate_to == technician else escalate_to)
    escalated = await _hand_over_escalations(connection, technician, heir, actor, now)
    remaining = await list_shifts(connection, not_over_at=now)
    gaps = [gap for shift in shifts for gap in uncovered(Span(max(shift.starts_at, now), shift.ends_at), remaining)]
    left = Left(
        tuple(numbers),
        len(shifts),
        tuple(gaps),
        tuple(escalated),
        heir if escalated else None,
        await _close_accounts(connection, technician, now),
        tuple(sorted(set(groups) - await reachable(connection))),
        None if is_at is None else is_at.ticket,
    )
    data = {"to": to, "tickets": list(left.tickets), "shifts": len(shifts), "accounts": list(left.accounts)}
    await audit.record(connection, actor=actor, action="technicians.leave", subject=technician, now=now, data=data)
    return left


async def _close_accounts(connection: AsyncConnection, technician: str, now: datetime) -> tuple[str, ...]:
    """The technician's users cannot sign in any more, and their tokens are no longer taken."""
    mine = (users.c.technician == technician, users.c.disabled_at.is_(None))
    names = tuple(await connection.scalars(select(users.c.id).where(*mine).order_by(users.c.id)))
    if names:
        await connection.execute(update(users).where(*mine).values(disabled_at=now))
        await connection.execute(
            update(tokens).where(tokens.c.user.in_(names), tokens.c.revoked_at.is_(None)).values(revoked_at=now)
        )
        await bump(connection, Topic.FLEET)
    return names


async def _hand_over_tickets(
    connection: AsyncConnection, technician: str, to: str | None, actor: str, now: datetime
) -> Sequence[int]:
    mine = (tickets.c.assignee == technician, tickets.c.resolved_at.is_(None))
    rows = (
        await connection.execute(
            select(tickets.c.number, tickets.c.status).where(*mine).order_by(tickets.c.number).with_for_update()
        )
    ).all()
    reason = f"{technician} left"
    told = [(row.number, {"to": to, "from": technician, "reason": reason}) for row in rows]
    await connection.execute(update(tickets).where(*mine).values(assignee=to))
    await events.add_all(connection, told, EventType.ASSIGNED, actor=actor, now=now)
    # What waits for the customer goes on waiting; what nobody has is new again, and what was begun is not.
    for status in (TicketStatus.ASSIGNED, TicketStatus.IN_PROGRESS):
        after = advance(status, TicketAction.RELEASE if to is None else TicketAction.HAND_OVER)
        numbers = [row.number for row in rows if row.status == status]
        if numbers and after is not status:
            await connection.execute(update(tickets).where(tickets.c.number.in_(numbers)).values(status=after))
            moved = {"from": status, "to": after, "reason": reason}
            await events.add_all(
                connection, [(number, moved) for number in numbers], EventType.STATUS, actor=actor, now=now
            )
    return [row.number for row in rows]


async def _hand_over_escalations(
    connection: AsyncConnection, technician: str, heir: str | None, actor: str, now: datetime
) -> list[int]:
    """The open tickets that were escalated to the technician."""
    query = select(tickets.c.number).where(tickets.c.escalated_to == technician, tickets.c.resolved_at.is_(None))
    numbers = list(await connection.scalars(query.order_by(tickets.c.number).with_for_update()))
    if heir is not None and numbers:
        await connection.execute(update(tickets).where(tickets.c.number.in_(numbers)).values(escalated_to=heir))
        told = {"to": heir, "reason": f"{technician} left"}
        await events.add_all(
            connection, [(number, told) for number in numbers], EventType.ESCALATED, actor=actor, now=now
        )
    return numbers


async def _hand_over_shifts(
    connection: AsyncConnection, technician: str, to: str | None, actor: str, now: datetime
) -> list[Shift]:
    """A shift that holds now ends now, and the rest of it is the other's; returns the shifts as they were."""
    shifts = await list_shifts(connection, technician=technician, not_over_at=now)
    if to is not None and shifts:
        rest = [{"technician": to, "starts_at": max(one.starts_at, now), "ends_at": one.ends_at} for one in shifts]
        await connection.execute(insert(on_call), [{**row, "author": actor[:200]} for row in rest])
    await connection.execute(
        update(on_call)
        .where(on_call.c.technician == technician, on_call.c.starts_at < now, on_call.c.ends_at > now)
        .values(ends_at=now)
    )
    await connection.execute(delete(on_call).where(on_call.c.technician == technician, on_call.c.starts_at >= now))
    return shifts
