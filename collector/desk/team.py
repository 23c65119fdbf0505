"""The technicians as the database has them now: who works, who is away or on call, and what each has in hand."""

from collections import Counter, defaultdict
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import tickets
from collector.desk.assignment import LOOK_AHEAD, WEIGHTS, Member, Team
from collector.desk.on_call import list_shifts
from collector.desk.technicians import Technician, list_absences, list_technicians
from collector.desk.working_hours import Span


async def load_team(connection: AsyncConnection, now: datetime) -> Team:
    """Everybody who has not left."""
    there = await list_technicians(connection)
    if not there:
        return Team([], now)
    away, on_call = defaultdict[str, list[Span]](list), defaultdict[str, list[Span]](list)
    for absence in await list_absences(connection, not_over_at=now):
        away[absence.technician].append(absence.span)
    for shift in await list_shifts(connection, not_over_at=now, starts_by=now + LOOK_AHEAD):
        on_call[shift.technician].append(shift.span)
    counts, loads = await _in_hand(connection)
    return Team(
        [Member(one, tuple(away[one.id]), tuple(on_call[one.id]), counts[one.id], loads[one.id]) for one in there], now
    )


async def reachable(connection: AsyncConnection) -> frozenset[str]:
    """Whom an escalation may name: the technicians who have not left, and their groups; empty if there are none."""
    there = await list_technicians(connection)
    return frozenset({one.id for one in there} | {group for one in there for group in one.groups})


async def had_technicians(connection: AsyncConnection) -> bool:
    """Whether there ever was one, who may have left."""
    return bool(await list_technicians(connection, everybody=True, limit=1))


async def at_work(connection: AsyncConnection, target: str, now: datetime) -> list[Technician]:
    """Who hears of an escalation to a technician, whenever it is, or to a group: those of it who are at work; if nobody
    is, those on call; if nobody is, all of them."""
    team = await load_team(connection, now)
    for member in team.members:
        if member.id == target:
            return [member.technician]
    group = [member for member in team.members if target in member.technician.groups]
    heard = [one for one in group if team.is_at_work(one)] or [one for one in group if team.is_on_call(one)] or group
    return [member.technician for member in heard]


async def _in_hand(connection: AsyncConnection) -> tuple[Counter[str], Counter[str]]:
    """Of each technician how many open tickets, and their weights together."""
    rows = await connection.execute(
        select(tickets.c.assignee, tickets.c.priority, func.count())
        .where(tickets.c.resolved_at.is_(None), tickets.c.assignee.is_not(None))
        .group_by(tickets.c.assignee, tickets.c.priority)
    )
    counts, loads = Counter[str](), Counter[str]()
    for technician, priority, count in rows:
        counts[technician] += count
        loads[technician] += count * WEIGHTS.get(priority, 1)
    return counts, loads
