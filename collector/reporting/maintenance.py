"""What was maintained in a month: rounds that were planned, what became of each, what it took, and what shows it."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts.months import Month
from collector.db.tables import customers, maintenance_plans, maintenance_rounds, tickets
from collector.desk import maintenance as store
from collector.desk import work
from collector.desk.maintenance import Plan, Round, Step
from collector.desk.rounds import rounds_between
from collector.reporting.part_of import page_of_customers

AT_ONCE = 500


class RoundState(StrEnum):
    DONE = "done"
    SKIPPED = "skipped"  # nothing of its checklist was done
    MISSED = "missed"  # it never opened: nothing was running then
    OPEN = "open"
    COMING = "coming"


@dataclass(frozen=True, slots=True)
class Told:
    """An item of a checklist, of which there is something to tell."""

    item: int
    step: Step


@dataclass(frozen=True, slots=True)
class RoundReport:
    plan: Plan
    due_at: datetime
    state: RoundState
    ticket: int | None
    items: int
    items_done: int
    minutes: int  # logged on its ticket
    evidence: tuple[Told, ...]
    left_out: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """Of one customer. Planned are all of the month's rounds; skipped are those missed, too."""

    customer: str
    name: str
    month: Month
    rounds: tuple[RoundReport, ...]

    def count(self, *states: RoundState) -> int:
        return sum(one.state in states for one in self.rounds)

    @property
    def planned(self) -> int:
        return len(self.rounds)

    @property
    def done(self) -> int:
        return self.count(RoundState.DONE)

    @property
    def skipped(self) -> int:
        return self.count(RoundState.SKIPPED, RoundState.MISSED)

    @property
    def minutes(self) -> int:
        return sum(one.minutes for one in self.rounds)


async def maintained_customers(
    connection: AsyncConnection,
    month: Month,
    *,
    customer: str | None = None,
    after: str | None = None,
    limit: int | None = None,
    without: Collection[str] = (),
) -> list[str]:
    """Who has plans in the month, save whose contracts in it are all under plans that the report is no part of; beyond
    the id `after`, `limit` at most. A month without a round for one of them is possible."""
    has_plan = (
        select(maintenance_plans.c.id)
        .where(maintenance_plans.c.customer == customers.c.id, *_of_month(month))
        .correlate(customers)
        .exists()
    )
    return await page_of_customers(
        connection, month, has_plan, customer=customer, after=after, limit=limit, without=without
    )


async def read_maintenance(
    connection: AsyncConnection, month: Month, now: datetime, wanted: Sequence[str]
) -> list[MaintenanceReport]:
    """Of each of some customers with rounds in the month, by id. A month is that of the plan's time zone."""
    first, end = month.anywhere
    plans: list[Plan] = []
    for start in range(0, len(wanted), AT_ONCE):
        of_some = maintenance_plans.c.customer.in_(wanted[start : start + AT_ONCE])
        plans += await store.list_plans(connection, only_active=False, wanted=[of_some, *_of_month(month)])
    rounds: dict[int, list[Round]] = {}
    is_near = (maintenance_rounds.c.due_at >= first, maintenance_rounds.c.due_at < end)
    for start in range(0, len(plans), AT_ONCE):
        chunk = [plan.id for plan in plans[start : start + AT_ONCE]]
        for round_ in await store.rounds_of(connection, chunk, *is_near):
            if round_.plan is not None:
                rounds.setdefault(round_.plan, []).append(round_)
    numbers = [round_.ticket for some in rounds.values() for round_ in some]
    resolved: set[int] = set()
    minutes: dict[int, int] = {}
    for start in range(0, len(numbers), AT_ONCE):
        some = numbers[start : start + AT_ONCE]
        over = select(tickets.c.number).where(tickets.c.number.in_(some), tickets.c.resolved_at.is_not(None))
        resolved |= set(await connection.scalars(over))
        minutes |= await work.minutes_on(connection, some)
    names: dict[str, str] = {}
    for start in range(0, len(wanted), AT_ONCE):
        named = select(customers.c.id, customers.c.name).where(customers.c.id.in_(wanted[start : start + AT_ONCE]))
        names |= {row.id: row.name for row in await connection.execute(named)}
    known = _Known(resolved, minutes)

    def unfold() -> dict[str, list[RoundReport]]:
        found: dict[str, list[RoundReport]] = defaultdict(list)
        for plan in plans:
            found[plan.customer].extend(_of_plan(plan, rounds.get(plan.id, ()), known, month, now))
        return found

    found = await asyncio.to_thread(unfold)  # recurrences take a while
    return [
        MaintenanceReport(whose, names[whose], month, tuple(sorted(some, key=lambda one: (one.due_at, one.plan.id))))
        for whose, some in sorted(found.items())
        if some
    ]


@dataclass(frozen=True, slots=True)
class _Known:
    """Of tickets: which are resolved, and the minutes logged on each."""

    resolved: Collection[int]
    minutes: Mapping[int, int]


def _of_plan(plan: Plan, rounds: Iterable[Round], known: _Known, month: Month, now: datetime) -> Iterable[RoundReport]:
    first, end = month.bounds(ZoneInfo(plan.time_zone))
    opened = {one.due_at: one for one in rounds if first <= one.due_at < end}
    for due_at in sorted({*opened, *rounds_between(plan, first, end)}):
        round_ = opened.get(due_at)
        if round_ is None:
            state = RoundState.MISSED if due_at <= now else RoundState.COMING
            yield RoundReport(plan, due_at, state, None, len(plan.checklist), 0, 0, (), ())
            continue
        steps = list(enumerate(round_.checklist, start=1))
        done = [step for _, step in steps if step.done_at is not None]
        state = RoundState.OPEN
        if round_.ticket in known.resolved:
            state = RoundState.DONE if done else RoundState.SKIPPED
        yield RoundReport(
            plan,
            due_at,
            state,
            round_.ticket,
            len(steps),
            len(done),
            known.minutes.get(round_.ticket, 0),
            tuple(Told(item, step) for item, step in steps if step.evidence or step.attachment),
            tuple(Told(item, step) for item, step in steps if step.left_out),
        )


def _of_month(month: Month) -> list[ColumnElement[bool]]:
    """Plans that may have a round in it."""
    first, end = month.anywhere
    return [
        maintenance_plans.c.created_at < end,
        or_(maintenance_plans.c.ended_at.is_(None), maintenance_plans.c.ended_at > first, _has_round(first, end)),
    ]


def _has_round(first: datetime, end: datetime) -> ColumnElement[bool]:
    return (
        select(maintenance_rounds.c.ticket)
        .where(maintenance_rounds.c.plan == maintenance_plans.c.id)
        .where(maintenance_rounds.c.due_at >= first, maintenance_rounds.c.due_at < end)
        .correlate(maintenance_plans)
        .exists()
    )
