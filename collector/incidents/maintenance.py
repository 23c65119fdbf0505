"""Regular maintenance: what a contract promises to do again and again. Each round becomes one ticket some days before
it is due, with a checklist; a maintenance window of the same recurrence holds back what the round causes.

After an absence of the collector the latest of the rounds that were missed opens late; its ticket names the others.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import Clock
from collector.contracts import Priority, ServiceModels, model_named
from collector.contracts.maintenance_tasks import DEFAULT_LEAD, MaintenanceTasks, task_named
from collector.contracts.recurrence import MAX_LENGTH, checked_recurrence
from collector.db import audit
from collector.db.tables import maintenance_plans
from collector.desk import maintenance as store
from collector.desk import tickets
from collector.desk.events import SYSTEM
from collector.desk.fields import checked_category, checked_title
from collector.desk.maintenance import MaintenanceError, Plan, Standing, Step
from collector.desk.rounds import due
from collector.fleet.contracts import Contract, contract_at, list_contracts
from collector.fleet.customers import get_customer
from collector.fleet.names import checked_name
from collector.incidents.windows import Scope, add_window, end_window, get_window, zone_of

logger = logging.getLogger(__name__)

AT_ONCE = 200  # plans looked at together
MAX_TOLD = 20  # rounds that a ticket names as missed
MAX_TITLE_CHARS = 150  # the date of a round is added


class Transactions(Protocol):
    def connect(self) -> AbstractAsyncContextManager[AsyncConnection]: ...

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


@dataclass(frozen=True, slots=True)
class NewPlan:
    """What is asked for; None: as the task says, or as the contract in force."""

    scope: Scope
    task: str
    starts_local: datetime
    recurrence: str
    length: timedelta | None = None
    time_zone: str | None = None
    title: str | None = None
    skill: str | None = None
    priority: Priority = Priority.P4
    contract: int | None = None
    holds_back: bool | None = None


async def add_plan(
    connection: AsyncConnection,
    models: ServiceModels,
    tasks: MaintenanceTasks,
    wanted: NewPlan,
    *,
    author: str,
    now: datetime,
) -> int:
    """The id of a new plan, with its maintenance window where it has one.

    Raises MaintenanceError, UnknownTaskError, RecurrenceError, WindowError, FleetError or TicketError."""
    scope, task = wanted.scope, task_named(tasks, wanted.task)
    await get_customer(connection, scope.customer)
    await _require_agreed(connection, models, wanted, now)
    zone = await zone_of(connection, scope, wanted.time_zone)
    if scope.tag is not None:
        checked_name("tag", scope.tag)
    length = timedelta(minutes=task.minutes) if wanted.length is None else wanted.length
    if not timedelta(minutes=1) <= length <= MAX_LENGTH:
        raise MaintenanceError(f"a round lasts 1 minute to {MAX_LENGTH.days} days")
    if wanted.starts_local.tzinfo is not None:
        raise MaintenanceError("a round starts by the clock on the wall: leave the offset out and name a time zone")
    title = checked_title(wanted.title or f"{task.title.nl} / {task.title.en}")
    if len(title) > MAX_TITLE_CHARS:
        raise MaintenanceError(f"a plan's title has at most {MAX_TITLE_CHARS} characters, not {len(title)}")
    skill = task.skill if wanted.skill is None else checked_category(wanted.skill)
    plan = Plan(
        id=0,
        customer=scope.customer,
        contract=wanted.contract,
        task=wanted.task,
        title=title,
        site=scope.site,
        device=scope.device,
        tag=scope.tag,
        starts_local=wanted.starts_local,
        time_zone=zone,
        recurrence=checked_recurrence(wanted.recurrence, wanted.starts_local, zone),
        length=length,
        checklist=tuple(Step(item.nl, item.en, item.evidence) for item in task.checklist),
        skill=skill,
        priority=wanted.priority,
        window=None,
        author=author[:200],
        created_at=now,
        ended_at=None,
    )
    number = await store.insert_plan(connection, plan)
    if task.holds_back if wanted.holds_back is None else wanted.holds_back:
        window = await add_window(
            connection,
            scope=scope,
            starts_local=plan.starts_local,
            length=length,
            recurrence=plan.recurrence,
            time_zone=zone,
            author=author,
            reason=f"maintenance plan {number}: {title}",
            now=now,
        )
        await store.set_window(connection, number, window)
    data = {"customer": scope.customer, "task": plan.task, "recurrence": plan.recurrence, "where": str(scope)}
    data |= {"starts": f"{plan.starts_local:%Y-%m-%d %H:%M} {zone}", "minutes": str(length // timedelta(minutes=1))}
    await audit.record(connection, actor=author, action="maintenance.add", subject=str(number), now=now, data=data)
    return number


async def end_plan(
    connection: AsyncConnection, plan: int, *, actor: str, now: datetime, why: str | None = None
) -> None:
    """No more rounds from now on, and its window is called off; tickets that are open stay, and tell of it.

    Raises MaintenanceError if there is no such plan or it has ended."""
    found = await store.get_plan(connection, plan)
    if not await store.end_plan(connection, plan, now):
        raise MaintenanceError(f"maintenance plan {plan} has ended before")
    if found.window is not None and (await get_window(connection, found.window)).ended_at is None:
        await end_window(connection, found.window, actor=actor, now=now)
    for round_ in await store.rounds_of(connection, [plan]):
        if (await tickets.get_ticket(connection, round_.ticket)).resolved_at is None:
            text = f"maintenance plan {plan} was ended" + (f": {why}" if why else "")
            await tickets.note(connection, round_.ticket, now, text)
    data = {"reason": why} if why else {}
    await audit.record(connection, actor=actor, action="maintenance.end", subject=str(plan), now=now, data=data)


def is_agreed(contracts: Iterable[Contract], models: ServiceModels, standing: Standing, now: datetime) -> bool:
    """Whether one of a customer's contracts that holds or is to come maintains a plan's task: the plan's own, or any.

    A contract whose service model no file has tells nothing, so nothing ends for it."""
    for one in contracts:
        if standing.contract in (None, one.id) and (one.valid_to is None or one.valid_to > now):
            model = models.get(one.plan)
            if model is None or standing.task in model.maintained:
                return True
    return False


@dataclass(slots=True)
class MaintenanceRounds:
    """Opens the rounds that have come due, and ends the plans whose contract has. `contracts_of` may be behind the
    database by a moment."""

    database: Transactions
    models: ServiceModels
    tasks: MaintenanceTasks
    contracts_of: Callable[[str], Iterable[Contract]]
    clock: Clock
    quiet_until: dict[int, datetime] = field(default_factory=dict)  # by plan: when there may be something to do

    async def turn(self) -> None:
        now = self.clock()
        async with self.database.connect() as connection:
            found = await store.standings(connection)
        self.quiet_until = {one.plan: self.quiet_until[one.plan] for one in found if one.plan in self.quiet_until}
        waiting: list[Standing] = []
        for one in found:
            if not is_agreed(self.contracts_of(one.customer), self.models, one, now):
                await self._end(one, now)
            elif self.quiet_until.get(one.plan, now) <= now:
                waiting.append(one)
        for start in range(0, len(waiting), AT_ONCE):
            await self._look(waiting[start : start + AT_ONCE], now)

    async def _end(self, standing: Standing, now: datetime) -> None:
        why = "its contract has ended" if standing.contract else f"no contract of {standing.customer} maintains it"
        async with self.database.begin() as connection:
            plan = await store.get_plan(connection, standing.plan)
            contracts = await list_contracts(connection, plan.customer)
            if plan.ended_at is None and not is_agreed(contracts, self.models, standing, now):
                await end_plan(connection, plan.id, actor=SYSTEM, now=now, why=why)
                logger.info("maintenance plan ended: plan=%d reason=%s", plan.id, why)

    async def _look(self, standings: Sequence[Standing], now: datetime) -> None:
        latest = {one.plan: one.latest for one in standings}
        async with self.database.connect() as connection:
            plans = await store.list_plans(connection, wanted=[maintenance_plans.c.id.in_(list(latest))])
        # Recurrences take a while to unfold.
        looked = await asyncio.to_thread(lambda: [due(one, latest[one.id], self._lead_of(one), now) for one in plans])
        for plan, found in zip(plans, looked, strict=True):
            for due_at in found.to_open:
                missed = found.missed if due_at == found.to_open[0] else ()
                async with self.database.begin() as connection:
                    current = await store.get_plan(connection, plan.id)
                    if current.ended_at is None and not await store.has_round(connection, plan.id, due_at):
                        await _open(connection, current, due_at, missed, now)
            self.quiet_until[plan.id] = found.next_look

    def _lead_of(self, plan: Plan) -> timedelta:
        task = self.tasks.get(plan.task)
        return DEFAULT_LEAD if task is None else task.lead


async def _open(
    connection: AsyncConnection, plan: Plan, due_at: datetime, missed: tuple[datetime, ...], now: datetime
) -> None:
    local = f"{due_at.astimezone(ZoneInfo(plan.time_zone)):%Y-%m-%d %H:%M}"
    number = await store.open_round(connection, plan, due_at, title=f"{plan.title}, {local}", now=now)
    if number is None:
        return
    scope = Scope(plan.customer, plan.site, plan.device, plan.tag)
    told = [f"round of maintenance plan {plan.id} at {scope}, due {local} {plan.time_zone}"]
    if plan.window is not None:
        minutes = plan.length // timedelta(minutes=1)
        told.append(f"maintenance window {plan.window} holds back what fires there then, for {minutes} minutes")
    if missed:
        days = ", ".join(f"{one.astimezone(ZoneInfo(plan.time_zone)):%Y-%m-%d}" for one in missed[-MAX_TOLD:])
        told.append(f"missed before: {days}" + (" and earlier ones" if len(missed) > MAX_TOLD else ""))
    await tickets.note(connection, number, now, "; ".join(told))


async def _require_agreed(connection: AsyncConnection, models: ServiceModels, wanted: NewPlan, now: datetime) -> None:
    """Raises MaintenanceError unless the contract, the one named or the one in force, maintains the task."""
    customer = wanted.scope.customer
    if wanted.contract is not None:
        of_customer = await list_contracts(connection, customer)
        contract = next((one for one in of_customer if one.id == wanted.contract), None)
        if contract is None or (contract.valid_to is not None and contract.valid_to <= now):
            raise MaintenanceError(
                f"customer {customer} has no contract {wanted.contract} that holds or is to come; see: contracts list"
            )
    else:
        contract = await contract_at(connection, customer, now)
        if contract is None:
            raise MaintenanceError(f"customer {customer} has no contract in force; see: contracts list")
    maintained = model_named(models, contract.plan).maintained
    if wanted.task not in maintained:
        told = f"it maintains {', '.join(maintained)}" if maintained else "it maintains nothing"
        raise MaintenanceError(
            f"contract {contract.id} of {customer} is of plan {contract.plan}, which has no {wanted.task}: {told}; see "
            "'maintained' in service_models.yaml"
        )
