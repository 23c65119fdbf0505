"""Gives tickets to technicians: by itself those that nobody has, and what people decide by hand.

| event | data | |
|---|---|---|
| assigned | to, from, reason | `to` null: nobody has it any more; by the system, or by a person |
| escalated | to, reason | a technician or a group shall look at it |

A ticket that was assigned by itself counts as touched by nobody, and still resolves with its alert. Who takes one has
it in hand.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, case, exists, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts.business_time import BusinessCalendar
from collector.db import audit
from collector.db.tables import technicians, ticket_clocks, tickets
from collector.desk import events
from collector.desk.assignment import Decision, Job, Team, Verdict, decide
from collector.desk.events import SYSTEM, EventType
from collector.desk.fields import TicketError, checked_text
from collector.desk.opening import TicketConflictError
from collector.desk.reading import Ticket, get_ticket
from collector.desk.states import ALLOWED, TicketAction, TicketStatus
from collector.desk.team import had_technicians, load_team
from collector.desk.technicians import require_active
from collector.desk.tickets import move, touch

logger = logging.getLogger(__name__)

AT_ONCE = 200  # tickets looked at together, so that evaluations need not wait
BATCHES = 10  # in one turn; what is left is for the next


@dataclass(frozen=True, slots=True)
class Agreed:
    """What was agreed about a ticket, as far as it matters here."""

    is_support_open: bool = False  # the contract's hours, now
    escalate_to: str | None = None
    support_hours: BusinessCalendar | None = field(default=None, compare=False)  # the contract's hours


class Agreements(Protocol):
    """What was agreed about some tickets, by number; those about which nothing was are left out."""

    async def __call__(
        self, connection: AsyncConnection, numbers: Collection[int], now: datetime, /
    ) -> Mapping[int, Agreed]: ...


class Database(Protocol):
    def connect(self) -> AbstractAsyncContextManager[AsyncConnection]: ...

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


class TakenError(TicketError):
    """Somebody else has the ticket; the message says who."""


class Assigner:
    """`turn` is called every few seconds. It does nothing until there is a technician; when the last has left, every
    ticket escalates."""

    def __init__(self, database: Database, agreements: Agreements, escalate_to: str) -> None:
        """`escalate_to`: a technician or a group, where nothing was agreed."""
        self._database = database
        self._agreements = agreements
        self._escalate_to = escalate_to
        self._after: tuple[str, int] | None = None  # priority and number of the last ticket looked at; None: begin

    async def turn(self, now: datetime) -> int:
        """Assigns what can be, and escalates what nobody will do in time; returns how many tickets that were."""
        changed = 0
        for _ in range(BATCHES):
            async with self._database.connect() as connection:
                jobs = await _waiting_jobs(connection, self._after, self._agreements, now)
                team = await load_team(connection, now) if jobs else Team([], now)
                decides = bool(team.members) or (bool(jobs) and await had_technicians(connection))
            self._after = (jobs[-1].priority, jobs[-1].number) if len(jobs) == AT_ONCE else None
            if decides:
                changed += await self._settle(jobs, team, now)
            if self._after is None:
                break
        return changed

    async def _settle(self, jobs: Sequence[Job], team: Team, now: datetime) -> int:
        given: dict[str, list[tuple[Job, Decision]]] = defaultdict(list)
        escalated: list[tuple[Job, Decision]] = []
        for job in jobs:
            decision = decide(job, team)
            if decision.assignee is not None:
                team.give(decision.assignee, job.priority)
                given[decision.assignee].append((job, decision))
            elif decision.verdict is Verdict.ESCALATE and not job.is_escalated:
                escalated.append((job, decision))
        if not given and not escalated:
            return 0
        changed = 0
        async with self._database.begin() as connection:
            for technician in sorted(given):
                changed += await _assign_all(connection, technician, given[technician], now)
            for to in sorted({job.escalate_to or self._escalate_to for job, _ in escalated}):
                these = [(job, decision) for job, decision in escalated if (job.escalate_to or self._escalate_to) == to]
                changed += await _escalate_all(connection, these, to, now)
        return changed


async def explain(connection: AsyncConnection, number: int, agreements: Agreements, now: datetime) -> Decision:
    """What would become of the ticket if it had to be assigned now. Raises TicketError if there is no such ticket, or
    it is over."""
    row = (await connection.execute(_JOBS.where(tickets.c.number == number))).one_or_none()
    if row is None or row.resolved_at is not None:
        raise TicketError(f"there is no open ticket {number}; see: tickets list")
    agreed = await agreements(connection, [number], now)
    return decide(_to_job(row, agreed.get(number, Agreed())), await load_team(connection, now))


async def take(connection: AsyncConnection, number: int, technician: str, *, actor: str, now: datetime) -> None:
    """The technician has it in hand from here on, if nobody else has it.

    Raises TakenError, which says who has it, TicketError, NoTechnicianError or TechnicianError."""
    await require_active(connection, technician)
    ticket = await _open_ticket(connection, number)
    if ticket.assignee not in (None, technician):
        raise TakenError(
            f"ticket {number} is {ticket.assignee}'s; ask for it, or: tickets assign {number} {technician}"
        )
    if ticket.assignee != technician or ticket.status is TicketStatus.NEW:
        await _give(connection, ticket, technician, why="taken", actor=actor, now=now)
    elif ticket.touched:
        return  # who takes it twice has it once
    await touch(connection, number)
    data = {"to": technician, "from": ticket.assignee}
    await audit.record(connection, actor=actor, action="tickets.take", subject=str(number), now=now, data=data)


async def assign(
    connection: AsyncConnection, number: int, technician: str, *, actor: str, now: datetime, why: str | None = None
) -> str | None:
    """A person's decision who does it. Returns what the technician lacks for it by the rules of assignment, None if
    nothing. Raises TicketError, NoTechnicianError or TechnicianError."""
    await require_active(connection, technician)
    ticket = await _open_ticket(connection, number)
    if ticket.assignee != technician or ticket.status is TicketStatus.NEW:
        await _give(connection, ticket, technician, why=why or "assigned by hand", actor=actor, now=now)
        data = {"to": technician, "from": ticket.assignee}
        await audit.record(connection, actor=actor, action="tickets.assign", subject=str(number), now=now, data=data)
    return await _lacking(connection, ticket, technician, now)


async def release(connection: AsyncConnection, number: int, *, actor: str, now: datetime) -> None:
    """Nobody has it any more: it is in the queue again, for whoever can. One that waits for the customer goes on
    waiting. Raises TicketError, or TicketConflictError."""
    ticket = await _open_ticket(connection, number)
    is_new_again = TicketAction.RELEASE in ALLOWED[ticket.status]
    if ticket.assignee is None and not is_new_again:
        return  # nobody has it
    why = "given back by hand"
    if ticket.assignee is not None:
        await _change_assignee(connection, ticket, None, why=why, actor=actor, now=now)
    if is_new_again:
        await move(connection, ticket, TicketAction.RELEASE, actor=actor, now=now, why=why)
    data = {"to": None, "from": ticket.assignee}
    await audit.record(connection, actor=actor, action="tickets.assign", subject=str(number), now=now, data=data)


async def hand_over(
    connection: AsyncConnection, number: int, technician: str, *, note: str, actor: str, now: datetime
) -> str | None:
    """Another technician goes on with it, and the note, an internal comment, tells how things stand. Returns what the
    technician lacks for it, as `assign` does.

    Raises TicketError, NoTechnicianError or TechnicianError."""
    await require_active(connection, technician)
    text = checked_text("a note", note)
    ticket = await _open_ticket(connection, number)
    if ticket.assignee == technician:
        raise TicketError(f"ticket {number} is {technician}'s already")
    data = {"text": text, "public": False}
    await events.add(connection, number, EventType.COMMENT, data, actor=actor, now=now)
    await _give(connection, ticket, technician, why="handed over", actor=actor, now=now)
    await touch(connection, number)
    told = {"to": technician, "from": ticket.assignee}
    await audit.record(connection, actor=actor, action="tickets.hand-over", subject=str(number), now=now, data=told)
    return await _lacking(connection, ticket, technician, now)


async def _lacking(connection: AsyncConnection, ticket: Ticket, technician: str, now: datetime) -> str | None:
    team = await load_team(connection, now)
    job = Job(ticket.number, ticket.customer, ticket.site, ticket.category, ticket.priority, ticket.opened_at)
    member = next(one for one in team.members if one.id == technician)
    return member.unfit(job) or (None if team.is_at_work(member) else team.where(member))


async def _open_ticket(connection: AsyncConnection, number: int) -> Ticket:
    ticket = await get_ticket(connection, number)
    if ticket.resolved_at is not None:
        raise TicketError(f"ticket {number} is {ticket.status}: reopen it first")
    return ticket


async def _give(
    connection: AsyncConnection, ticket: Ticket, technician: str, *, why: str, actor: str, now: datetime
) -> None:
    """Raises TicketConflictError."""
    await _change_assignee(connection, ticket, technician, why=why, actor=actor, now=now)
    # Who takes over has not begun; a ticket that waits for the customer goes on waiting.
    if ticket.status is TicketStatus.NEW:
        await move(connection, ticket, TicketAction.ASSIGN, actor=actor, now=now, why=why)
    elif ticket.status is TicketStatus.IN_PROGRESS and ticket.assignee is not None:
        await move(connection, ticket, TicketAction.HAND_OVER, actor=actor, now=now, why=why)


async def _change_assignee(
    connection: AsyncConnection, ticket: Ticket, technician: str | None, *, why: str, actor: str, now: datetime
) -> None:
    """Changes who has it if that is still the one who was read. Raises TicketConflictError."""
    had = tickets.c.assignee.is_(None) if ticket.assignee is None else tickets.c.assignee == ticket.assignee
    changed = await connection.execute(
        update(tickets).where(tickets.c.number == ticket.number, had).values(assignee=technician)
    )
    if changed.rowcount == 0:
        raise TicketConflictError(f"somebody else changed ticket {ticket.number} just now: look at it and try again")
    data = {"to": technician, "from": ticket.assignee, "reason": why}
    await events.add(connection, ticket.number, EventType.ASSIGNED, data, actor=actor, now=now)


async def _assign_all(
    connection: AsyncConnection, technician: str, chosen: Sequence[tuple[Job, Decision]], now: datetime
) -> int:
    """Those of the tickets that are still as they were read; the others are left to the next turn."""
    is_there = exists().where(technicians.c.id == technician, technicians.c.left_at.is_(None))
    given = set(
        await connection.scalars(
            update(tickets)
            .where(tickets.c.number.in_([job.number for job, _ in chosen]), _NOBODY_HAS_IT, is_there)
            .values(assignee=technician, status=case((_IS_NEW, TicketStatus.ASSIGNED), else_=tickets.c.status))
            .returning(tickets.c.number)
        )
    )
    done = [(job, decision) for job, decision in chosen if job.number in given]
    moved = {"from": TicketStatus.NEW, "to": TicketStatus.ASSIGNED, "reason": "assigned by itself"}
    told = [(job.number, {"to": technician, "from": job.had, "reason": decision.why}) for job, decision in done]
    await events.add_all(connection, told, EventType.ASSIGNED, actor=SYSTEM, now=now)
    await events.add_all(
        connection, [(job.number, moved) for job, _ in done if job.is_new], EventType.STATUS, actor=SYSTEM, now=now
    )
    return len(done)


async def _escalate_all(
    connection: AsyncConnection, chosen: Sequence[tuple[Job, Decision]], to: str, now: datetime
) -> int:
    if not chosen:
        return 0
    found = set(
        await connection.scalars(
            update(tickets)
            .where(
                tickets.c.number.in_([job.number for job, _ in chosen]),
                _NOBODY_HAS_IT,
                tickets.c.escalated_to.is_(None),
            )
            .values(escalated_to=to)
            .returning(tickets.c.number)
        )
    )
    told = [(job.number, {"to": to, "reason": decision.why}) for job, decision in chosen if job.number in found]
    await events.add_all(connection, told, EventType.ESCALATED, actor=SYSTEM, now=now)
    return len(told)


_IS_NEW: ColumnElement[bool] = tickets.c.status == TicketStatus.NEW
# A reopened ticket is new, and its assignee is who had it before. What waits for the customer lost its technician.
_NOBODY_HAS_IT: ColumnElement[bool] = or_(
    _IS_NEW, and_(tickets.c.status == TicketStatus.WAITING_CUSTOMER, tickets.c.assignee.is_(None))
)

_parents = tickets.alias("parents")
_response = and_(ticket_clocks.c.ticket == tickets.c.number, ticket_clocks.c.clock == "response")
_JOBS: Select[Any] = (
    select(
        tickets.c.number,
        tickets.c.status,
        tickets.c.customer,
        tickets.c.site,
        tickets.c.category,
        tickets.c.priority,
        tickets.c.opened_at,
        tickets.c.resolved_at,
        tickets.c.assignee,
        tickets.c.escalated_to,
        ticket_clocks.c.due_at,
        ticket_clocks.c.warned_at,
        ticket_clocks.c.breached_at,
    )
    .outerjoin(ticket_clocks, _response)
    .outerjoin(_parents, _parents.c.number == tickets.c.parent)
)


_WAITING = (
    _JOBS.where(
        tickets.c.resolved_at.is_(None),
        _NOBODY_HAS_IT,
        or_(tickets.c.parent.is_(None), _parents.c.resolved_at.is_not(None)),
    )
    .order_by(tickets.c.priority, tickets.c.number)
    .limit(bindparam("at_once", type_=Integer))
)


async def _waiting_jobs(
    connection: AsyncConnection, after: tuple[str, int] | None, agreements: Agreements, now: datetime
) -> list[Job]:
    """What nobody has, the most urgent first. While a storm is open, its beginnings are part of it and not given."""
    query = _WAITING if after is None else _WAITING.where(tuple_(tickets.c.priority, tickets.c.number) > after)
    rows = (await connection.execute(query, {"at_once": AT_ONCE})).all()
    agreed = await agreements(connection, [row.number for row in rows], now) if rows else {}
    return [_to_job(row, agreed.get(row.number, Agreed())) for row in rows]


def _to_job(row: Any, agreed: Agreed) -> Job:  # noqa: ANN401 - a row of _JOBS
    return Job(
        row.number,
        row.customer,
        row.site,
        row.category,
        row.priority,
        row.opened_at,
        had=row.assignee,
        respond_by=row.due_at,
        is_warned=row.warned_at is not None or row.breached_at is not None,
        is_support_open=agreed.is_support_open,
        support_hours=agreed.support_hours,
        is_escalated=row.escalated_to is not None,
        escalate_to=agreed.escalate_to,
        is_new=row.status == TicketStatus.NEW,
    )
