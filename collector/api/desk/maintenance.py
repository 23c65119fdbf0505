"""`/maintenance-plans`, `/maintenance-tasks`: what is promised to be done again and again, and its rounds."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Request
from collector.api.desk.paging import Page, PagingByName, PagingByNumber, cut
from collector.api.desk.places import sees_scope
from collector.api.desk.shapes import Number
from collector.api.desk.ticket_changes import APriority, Word
from collector.api.desk.windows import MAX_MINUTES, LocalTime, Name
from collector.contracts import Priority, ServiceModels
from collector.contracts.maintenance_tasks import MaintenanceTasks
from collector.contracts.recurrence import MAX_RULE_CHARS, next_start
from collector.db.tables import maintenance_plans as table
from collector.desk import maintenance as store
from collector.desk.maintenance import MaintenanceError
from collector.fleet.directory import FleetDirectory
from collector.fleet.roles import Role
from collector.incidents.maintenance import MAX_TITLE_CHARS, NewPlan, add_plan, end_plan
from collector.incidents.windows import Scope, is_within

MINUTE = timedelta(minutes=1)


class Item(BaseModel):
    nl: str
    en: str
    needs_evidence: bool = Field(description="Ticked only with something that shows it.")


class MaintenanceTask(BaseModel):
    name: str
    title_nl: str
    title_en: str
    lead_days: int = Field(description="So long before it is due a round's ticket opens.")
    minutes: int
    holds_back: bool = Field(description="What a round causes opens no ticket.")
    skill: str | None
    checklist: list[Item]


class MaintenanceTaskPage(Page[MaintenanceTask]):
    pass


class MaintenancePlan(BaseModel):
    id: int
    customer: str
    site: str | None
    device: str | None
    tag: str | None
    task: str
    title: str
    starts_local: LocalTime = Field(description="The first round, by the clock on the wall.")
    time_zone: str
    recurrence: str = Field(description="An RRULE of RFC 5545.")
    minutes: int
    checklist: list[Item]
    skill: str | None
    priority: Priority
    contract: int | None = Field(description="Ends with this one; null: when none maintains the task.")
    window: int | None = Field(description="The maintenance window that holds back what it causes.")
    author: str
    created_at: datetime
    ended_at: datetime | None
    next_due: datetime | None


class MaintenancePlanPage(Page[MaintenancePlan]):
    pass


class MaintenanceRound(BaseModel):
    plan: int
    due_at: datetime
    ticket: int
    items: int
    left: int = Field(description="Neither done nor left out.")


class MaintenanceRoundPage(Page[MaintenanceRound]):
    pass


class NewMaintenancePlan(Request):
    """What is left out is as the task says."""

    customer: Name
    site: Name | None = None
    device: Name | None = None
    tag: Name | None = None
    task: Name = Field(examples=["patch_round"])
    starts_local: LocalTime = Field(description="When the first round is due.")
    recurrence: str = Field(min_length=1, max_length=MAX_RULE_CHARS, examples=["FREQ=MONTHLY;BYDAY=2SU"])
    minutes: int | None = Field(default=None, ge=1, le=MAX_MINUTES)
    time_zone: Name | None = Field(default=None, description="As the IANA names it; the site's, if it is left out.")
    title: Annotated[str, Field(min_length=1, max_length=MAX_TITLE_CHARS)] | None = None
    skill: Word | None = None
    priority: APriority = Priority.P4
    contract: Number | None = None
    holds_back: bool | None = None


class PlanFilter(PagingByNumber):
    customer: str | None = Field(default=None, max_length=64)
    all: bool = Field(default=False, description="Also those that have ended.")


class PlanId(Request):
    id: Number


class RoundsOf(PagingByNumber):
    id: Number


@dataclass(frozen=True, slots=True)
class MaintenanceOperations:
    """`directory` tells at which site a device is."""

    directory: Callable[[], FleetDirectory]
    models: ServiceModels
    tasks: MaintenanceTasks

    async def list_maintenance_tasks(self, call: Call[PagingByName, None]) -> MaintenanceTaskPage:
        after = call.params.after
        names = sorted(name for name in self.tasks if after is None or name > after)
        page, cursor = cut(names[: call.params.limit + 1], call.params.limit, lambda name: name)
        return MaintenanceTaskPage(items=[self._task(name) for name in page], next_cursor=cursor)

    async def list_maintenance_plans(self, call: Call[PlanFilter, None]) -> MaintenancePlanPage:
        asked, bounds = call.params, call.caller.bounds
        wanted = [] if asked.after is None else [table.c.id > asked.after]
        if bounds is not None:
            wanted.append(is_within(table, *bounds))
        found = await store.list_plans(
            call.connection,
            customer=asked.customer,
            only_active=not asked.all,
            wanted=wanted,
            limit=asked.limit + 1,
        )
        page, cursor = cut(found, asked.limit, lambda one: one.id)
        # Recurrences take a while to unfold.
        items = await asyncio.to_thread(lambda: [_told(one, call.now) for one in page])
        return MaintenancePlanPage(items=items, next_cursor=cursor)

    async def get_maintenance_plan(self, call: Call[PlanId, None]) -> MaintenancePlan:
        return await asyncio.to_thread(_told, await self._found(call, call.params.id), call.now)

    async def add_maintenance_plan(self, call: Call[NoParameters, NewMaintenancePlan]) -> MaintenancePlan:
        asked, caller = call.body, call.caller
        scope = Scope(asked.customer, asked.site or caller.site, asked.device, asked.tag)
        if not sees_scope(caller, scope, self.directory()):
            raise missing(f"customer, site or device like {scope}")
        wanted = NewPlan(
            scope=scope,
            task=asked.task,
            starts_local=asked.starts_local,
            recurrence=asked.recurrence,
            length=None if asked.minutes is None else asked.minutes * MINUTE,
            time_zone=asked.time_zone,
            title=asked.title,
            skill=asked.skill,
            priority=asked.priority,
            contract=asked.contract,
            holds_back=asked.holds_back,
        )
        made = await add_plan(call.connection, self.models, self.tasks, wanted, author=caller.name, now=call.now)
        return await asyncio.to_thread(_told, await store.get_plan(call.connection, made), call.now)

    async def end_maintenance_plan(self, call: Call[PlanId, None]) -> MaintenancePlan:
        """To end what has ended changes nothing."""
        plan = await self._found(call, call.params.id)
        if plan.ended_at is None:
            await end_plan(call.connection, plan.id, actor=call.caller.name, now=call.now)
            plan = await store.get_plan(call.connection, plan.id)
        return await asyncio.to_thread(_told, plan, call.now)

    async def list_maintenance_rounds(self, call: Call[RoundsOf, None]) -> MaintenanceRoundPage:
        asked = call.params
        await self._found(call, asked.id)
        found = await store.rounds_before(call.connection, asked.id, asked.after, asked.limit + 1)
        page, cursor = cut(found, asked.limit, lambda one: one.ticket)
        items = [
            MaintenanceRound(
                plan=one.plan, due_at=one.due_at, ticket=one.ticket, items=len(one.checklist), left=len(one.left)
            )
            for one in page
        ]
        return MaintenanceRoundPage(items=items, next_cursor=cursor)

    async def _found(self, call: Call[PlanId, None] | Call[RoundsOf, None], number: int) -> store.Plan:
        """Raises Refusal (404) unless there is one that the caller sees."""
        try:
            plan = await store.get_plan(call.connection, number)
        except MaintenanceError:
            raise missing(f"maintenance plan {number}") from None
        if not sees_scope(call.caller, Scope(plan.customer, plan.site, plan.device, plan.tag), self.directory()):
            raise missing(f"maintenance plan {number}")
        return plan

    def _task(self, name: str) -> MaintenanceTask:
        task = self.tasks[name]
        return MaintenanceTask(
            name=name,
            title_nl=task.title.nl,
            title_en=task.title.en,
            lead_days=task.lead_days,
            minutes=task.minutes,
            holds_back=task.holds_back,
            skill=task.skill,
            checklist=[Item(nl=one.nl, en=one.en, needs_evidence=one.evidence) for one in task.checklist],
        )

    def operations(self) -> list[AnyOperation]:
        path, manager = "/maintenance-plans", Role.MANAGER
        one: AnyOperation = Operation(
            "GET",
            f"{path}/{{id}}",
            "One maintenance plan",
            PlanId,
            None,
            MaintenancePlan,
            self.get_maintenance_plan,
            moving=frozenset({"next_due"}),
        )
        return [
            Operation(
                "GET",
                "/maintenance-tasks",
                "What there is to plan, by name",
                PagingByName,
                None,
                MaintenanceTaskPage,
                self.list_maintenance_tasks,
            ),
            Operation(
                "GET",
                path,
                "Maintenance plans, oldest first",
                PlanFilter,
                None,
                MaintenancePlanPage,
                self.list_maintenance_plans,
            ),
            one,
            Operation(
                "POST",
                path,
                "Add a maintenance plan",
                NoParameters,
                NewMaintenancePlan,
                MaintenancePlan,
                self.add_maintenance_plan,
                creates=True,
                role=manager,
                description="The customer's contract must maintain the task.",
            ),
            Operation(
                "DELETE",
                f"{path}/{{id}}",
                "End a maintenance plan, with its window",
                PlanId,
                None,
                MaintenancePlan,
                self.end_maintenance_plan,
                changes=one,
                role=manager,
                description="Tickets that are open stay.",
            ),
            Operation(
                "GET",
                f"{path}/{{id}}/rounds",
                "A plan's rounds that have a ticket, newest first",
                RoundsOf,
                None,
                MaintenanceRoundPage,
                self.list_maintenance_rounds,
            ),
        ]


def _told(plan: store.Plan, now: datetime) -> MaintenancePlan:
    ended = plan.ended_at is not None
    return MaintenancePlan(
        id=plan.id,
        customer=plan.customer,
        site=plan.site,
        device=plan.device,
        tag=plan.tag,
        task=plan.task,
        title=plan.title,
        starts_local=plan.starts_local,
        time_zone=plan.time_zone,
        recurrence=plan.recurrence,
        minutes=plan.length // MINUTE,
        checklist=[Item(nl=one.nl, en=one.en, needs_evidence=one.needs_evidence) for one in plan.checklist],
        skill=plan.skill,
        priority=plan.priority,
        contract=plan.contract,
        window=plan.window,
        author=plan.author,
        created_at=plan.created_at,
        ended_at=plan.ended_at,
        next_due=None if ended else next_start(plan.starts_local, plan.recurrence, plan.time_zone, now),
    )
