"""Plans of regular maintenance and their rounds, as the database keeps them: each round is one ticket."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, func, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Priority
from collector.db.tables import maintenance_plans, maintenance_rounds, onboardings, tickets
from collector.desk import events
from collector.desk.events import SYSTEM, EventType
from collector.desk.fields import TicketKind, TicketSource
from collector.desk.incident_names import MAINTENANCE
from collector.desk.opening import NewTicket, insert_open
from collector.desk.states import TicketStatus
from protocol.errors import PermanentError


class MaintenanceError(PermanentError):
    """What was asked of regular maintenance cannot be done; the message says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """An item of a checklist. It is over when it is done, or left out for a reason."""

    nl: str
    en: str
    needs_evidence: bool = False
    done_at: str | None = None  # ISO 8601, UTC
    done_by: str | None = None
    note: str | None = None
    evidence: str | None = None  # what shows that it was done
    attachment: int | None = None  # or a file beside the ticket
    digest: str | None = None  # of that file, SHA-256, hex
    left_out: str | None = None  # why it is not done
    seen: str | None = None  # by what the collector sees that it is done; gone as soon as a person decided about it

    @property
    def is_over(self) -> bool:
        return self.done_at is not None or self.left_out is not None


@dataclass(frozen=True, slots=True)
class Plan:
    id: int
    customer: str
    contract: int | None  # None: whichever holds
    task: str
    title: str
    site: str | None
    device: str | None
    tag: str | None
    starts_local: datetime  # naive: the clock on the wall
    time_zone: str
    recurrence: str
    length: timedelta
    checklist: tuple[Step, ...]
    skill: str | None
    priority: Priority
    window: int | None
    author: str
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Round:
    """A ticket with a checklist: a round of a plan, or with None the taking on of a customer."""

    plan: int | None
    due_at: datetime
    ticket: int
    checklist: tuple[Step, ...]

    @property
    def left(self) -> list[tuple[int, Step]]:
        """What is not over, with its number from 1."""
        return [(number, step) for number, step in enumerate(self.checklist, start=1) if not step.is_over]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a plan has come. `latest`: when its latest round is, or was, due; None before its first."""

    plan: int
    customer: str
    task: str
    contract: int | None
    latest: datetime | None


async def insert_plan(connection: AsyncConnection, plan: Plan) -> int:
    """The id of a new plan; that of `plan` itself counts for nothing."""
    row = {name: getattr(plan, name) for name in Plan.__annotations__ if name not in ("id", "length", "checklist")}
    row |= {
        "starts_local": plan.starts_local.isoformat(timespec="seconds"),
        "duration_seconds": int(plan.length.total_seconds()),
        "checklist": [asdict(step) for step in plan.checklist],
    }
    added = await connection.execute(insert(maintenance_plans).values(row).returning(maintenance_plans.c.id))
    return int(added.scalar_one())


async def set_window(connection: AsyncConnection, plan: int, window: int) -> None:
    await connection.execute(update(maintenance_plans).where(maintenance_plans.c.id == plan).values(window=window))


async def end_plan(connection: AsyncConnection, plan: int, now: datetime) -> bool:
    """Says whether it had not ended before."""
    ended = await connection.execute(
        update(maintenance_plans)
        .where(maintenance_plans.c.id == plan, maintenance_plans.c.ended_at.is_(None))
        .values(ended_at=now)
    )
    return ended.rowcount == 1


async def get_plan(connection: AsyncConnection, plan: int) -> Plan:
    """Raises MaintenanceError."""
    row = (await connection.execute(_PLANS.where(maintenance_plans.c.id == plan))).one_or_none()
    if row is None:
        raise MaintenanceError(f"there is no maintenance plan {plan}; see: maintenance list --all")
    return _to_plan(row)


async def list_plans(
    connection: AsyncConnection,
    *,
    customer: str | None = None,
    only_active: bool = True,
    wanted: Sequence[ColumnElement[bool]] = (),
    limit: int | None = None,
) -> list[Plan]:
    """In the order in which they were made, `limit` at most."""
    query = _PLANS.where(*wanted).order_by(maintenance_plans.c.id).limit(limit)
    if customer is not None:
        query = query.where(maintenance_plans.c.customer == customer)
    if only_active:
        query = query.where(maintenance_plans.c.ended_at.is_(None))
    return [_to_plan(row) for row in await connection.execute(query)]


async def standings(connection: AsyncConnection) -> list[Standing]:
    """Of each plan that has not ended."""
    return [Standing(row[0], row[1], row[2], row[3], row[4]) for row in await connection.execute(_STANDINGS)]


_STANDING = [maintenance_plans.c[name] for name in ("id", "customer", "task", "contract")]
_STANDINGS = (
    select(*_STANDING, func.max(maintenance_rounds.c.due_at))
    .outerjoin(maintenance_rounds, maintenance_rounds.c.plan == maintenance_plans.c.id)
    .where(maintenance_plans.c.ended_at.is_(None))
    .group_by(*_STANDING)
    .order_by(maintenance_plans.c.id)
)


async def open_round(
    connection: AsyncConnection, plan: Plan, due_at: datetime, title: str, now: datetime
) -> int | None:
    """The ticket of a round, which opens now; None if another process opened it before."""
    key = f"{plan.customer}/plan:{plan.id}/{due_at:%Y-%m-%dT%H:%MZ}"
    wanted = NewTicket(
        key=key,
        customer=plan.customer,
        site=plan.site,
        device=plan.device,
        incident=MAINTENANCE,
        rule=plan.task,
        title=title,
        priority=plan.priority,
        began_at=min(due_at, now),
        category=plan.skill,
    )
    kind, source = TicketKind.MAINTENANCE, TicketSource.PLAN
    opened = await insert_open(
        connection, tickets, wanted, status=TicketStatus.NEW, opened_at=now, kind=kind, source=source
    )
    if not opened:
        return None
    number = int((await connection.execute(select(tickets.c.number).where(tickets.c.key == key))).scalars().one())
    row = {"plan": plan.id, "due_at": due_at, "ticket": number}
    row |= {"checklist": [asdict(step) for step in plan.checklist]}
    await connection.execute(insert(maintenance_rounds).values(row))
    data = {"priority": plan.priority, "follows": None, "kind": kind, "source": source}
    await events.add(connection, number, EventType.OPENED, data, actor=SYSTEM, now=now)
    return number


async def has_round(connection: AsyncConnection, plan: int, due_at: datetime) -> bool:
    found = select(maintenance_rounds.c.ticket).where(
        maintenance_rounds.c.plan == plan, maintenance_rounds.c.due_at == due_at
    )
    return await connection.scalar(found) is not None


async def find_round(connection: AsyncConnection, ticket: int) -> Round | None:
    """What a ticket is that has a checklist, locked until the end of the transaction where rows can be."""
    for query, of_ticket in ((_ROUNDS, maintenance_rounds.c.ticket), (_ONBOARDINGS, onboardings.c.ticket)):
        row = (await connection.execute(query.where(of_ticket == ticket).with_for_update())).one_or_none()
        if row is not None:
            return _to_round(row)
    return None


async def get_round(connection: AsyncConnection, ticket: int) -> Round:
    """Raises MaintenanceError."""
    found = await find_round(connection, ticket)
    if found is None:
        raise MaintenanceError(f"ticket {ticket} has no checklist: it is no round of maintenance; see: maintenance due")
    return found


async def rounds_of(connection: AsyncConnection, plans: Sequence[int], *wanted: ColumnElement[bool]) -> list[Round]:
    query = _ROUNDS.where(maintenance_rounds.c.plan.in_(plans), *wanted)
    rows = await connection.execute(query.order_by(maintenance_rounds.c.due_at, maintenance_rounds.c.plan))
    return [_to_round(row) for row in rows]


async def rounds_before(connection: AsyncConnection, plan: int, before: int | None, limit: int) -> list[Round]:
    """`limit` of a plan's rounds at most, newest first: those whose ticket has a number below `before`."""
    query = _ROUNDS.where(maintenance_rounds.c.plan == plan).order_by(maintenance_rounds.c.ticket.desc()).limit(limit)
    if before is not None:
        query = query.where(maintenance_rounds.c.ticket < before)
    return [_to_round(row) for row in await connection.execute(query)]


_PLANS = select(*maintenance_plans.c)
_ROUNDS = select(*maintenance_rounds.c)
_ONBOARDINGS = select(
    null().label("plan"), onboardings.c.begins_at.label("due_at"), onboardings.c.ticket, onboardings.c.checklist
)


async def open_rounds(connection: AsyncConnection, plans: Sequence[int]) -> list[Round]:
    """Those whose ticket is not resolved."""
    is_open = select(tickets.c.number).where(tickets.c.resolved_at.is_(None), tickets.c.incident == MAINTENANCE)
    return await rounds_of(connection, plans, maintenance_rounds.c.ticket.in_(is_open))


async def set_checklist(connection: AsyncConnection, ticket: int, steps: Sequence[Step]) -> None:
    checklist = [asdict(one) for one in steps]
    for table in (maintenance_rounds, onboardings):
        await connection.execute(update(table).where(table.c.ticket == ticket).values(checklist=checklist))


def _to_plan(row: Row[Any]) -> Plan:
    values = dict(row._mapping)
    values["length"] = timedelta(seconds=values.pop("duration_seconds"))
    values["starts_local"] = datetime.fromisoformat(values["starts_local"])
    values["checklist"] = _to_steps(values["checklist"])
    values["priority"] = Priority(values["priority"])
    return Plan(**values)


def _to_round(row: Row[Any]) -> Round:
    return Round(row.plan, row.due_at, row.ticket, _to_steps(row.checklist))


def _to_steps(kept: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    return tuple(Step(**one) for one in kept)
