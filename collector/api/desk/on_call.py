"""`/on-call` and `/on-call-rotas`: who answers when nobody is at work. For the provider's own tokens."""

from datetime import datetime, time

from pydantic import AwareDatetime, BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Request
from collector.api.desk.paging import Page, PagingByNumber, cut
from collector.api.desk.shapes import Day, Number
from collector.api.desk.technicians import AbsentOnCall, Gap, Slug, Zone, require_provider, unanswered_shifts
from collector.desk import on_call as store
from collector.desk.on_call import MAX_TURNS, Rota
from collector.desk.technicians import DEFAULT_TIME_ZONE, MAX_LISTED
from collector.desk.working_hours import Span
from collector.fleet.roles import Role


class Shift(BaseModel, from_attributes=True):
    id: int
    technician: str
    starts_at: datetime
    ends_at: datetime
    author: str


class ShiftPage(Page[Shift]):
    pass


class NewShift(Request):
    technician: Slug
    starts_at: AwareDatetime
    ends_at: AwareDatetime


class ShiftId(Request):
    id: Number


class NewRota(Request):
    technicians: list[Slug] = Field(min_length=1, max_length=MAX_LISTED, description="In their order, again and again.")
    first_day: Day
    days: int = Field(default=7, ge=1, le=MAX_TURNS, description="How long each turn is.")
    turns: int | None = Field(default=None, ge=1, le=MAX_TURNS, description="How many in all; left out: each once.")
    hand_over: str = Field(
        default="09:00", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="By the clock of the time zone."
    )
    time_zone: Zone = DEFAULT_TIME_ZONE


class RotaMade(BaseModel):
    shifts: list[Shift]
    gaps: list[Gap] = Field(description="Where nobody is on call, between all shifts that are not over.")
    absent: list[AbsentOnCall] = Field(description="Where who is on call is absent, in all shifts that are not over.")


async def list_shifts(call: Call[PagingByNumber, None]) -> ShiftPage:
    require_provider(call)
    asked = call.params
    found = await store.shifts_after(call.connection, asked.after, asked.limit + 1, not_over_at=call.now)
    page, cursor = cut(found, asked.limit, lambda one: one.id)
    return ShiftPage(items=[Shift.model_validate(one) for one in page], next_cursor=cursor)


async def get_shift(call: Call[ShiftId, None]) -> Shift:
    require_provider(call)
    found = await store.list_shifts(call.connection, shift=call.params.id)
    if not found:
        raise missing(f"shift {call.params.id}")
    return Shift.model_validate(found[0])


async def add_shift(call: Call[NoParameters, NewShift]) -> Shift:
    require_provider(call)
    asked = call.body
    number = await store.add_shift(
        call.connection,
        asked.technician,
        Span(asked.starts_at, asked.ends_at),
        actor=call.caller.name,
        now=call.now,
    )
    return Shift.model_validate((await store.list_shifts(call.connection, shift=number))[0])


async def add_rota(call: Call[NoParameters, NewRota]) -> RotaMade:
    require_provider(call)
    asked = call.body
    rota = Rota(
        tuple(asked.technicians),
        asked.first_day,
        asked.days,
        asked.turns or len(asked.technicians),
        time.fromisoformat(asked.hand_over),
        asked.time_zone,
    )
    added = set(await store.add_rota(call.connection, rota, actor=call.caller.name, now=call.now))
    roster = await store.roster(call.connection, call.now)
    return RotaMade(
        shifts=[Shift.model_validate(one) for one in roster.shifts if one.id in added],
        gaps=[Gap.model_validate(one) for one in roster.coverage.gaps],
        absent=unanswered_shifts(roster.unanswered),
    )


async def remove_shift(call: Call[ShiftId, None]) -> Shift:
    shift = await get_shift(call)
    await store.remove_shift(call.connection, shift.id, actor=call.caller.name, now=call.now)
    return shift


def operations() -> list[AnyOperation]:
    manager = Role.MANAGER
    shift: AnyOperation = Operation("GET", "/on-call/{id}", "One shift", ShiftId, None, Shift, get_shift)
    return [
        Operation("GET", "/on-call", "Shifts that are not over", PagingByNumber, None, ShiftPage, list_shifts),
        shift,
        Operation(
            "POST", "/on-call", "Add a shift", NoParameters, NewShift, Shift, add_shift, creates=True, role=manager
        ),
        Operation(
            "DELETE",
            "/on-call/{id}",
            "Take a shift away",
            ShiftId,
            None,
            Shift,
            remove_shift,
            changes=shift,
            role=manager,
        ),
        Operation(
            "POST",
            "/on-call-rotas",
            "Add shifts for several technicians in turns",
            NoParameters,
            NewRota,
            RotaMade,
            add_rota,
            creates=True,
            role=manager,
            description="Handed over at one local time, summer and winter.",
        ),
    ]
