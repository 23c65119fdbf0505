"""`/technicians` and `/on-call`: who works on tickets, at what, for whom and when. For the provider's own tokens."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, time
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Patch, Request
from collector.api.desk.paging import Page, PagingByName, PagingByNumber, cut
from collector.api.desk.refusals import Refusal
from collector.api.desk.shapes import Day, Number
from collector.contracts.office_hours import DEFAULT_HOLIDAYS, DEFAULT_HOURS, MAX_HOURS_CHARS
from collector.contracts.promises import SlaBook
from collector.desk import leaving, on_call
from collector.desk import technicians as store
from collector.desk.on_call import MAX_TURNS, Rota
from collector.desk.technicians import (
    DEFAULT_MAX_OPEN,
    DEFAULT_TIME_ZONE,
    MAX_EMAIL_CHARS,
    MAX_LISTED,
    MAX_NAME_CHARS,
    MAX_OPEN,
    MAX_REASON_CHARS,
    NameTakenError,
    NoTechnicianError,
    Profile,
)
from collector.desk.working_hours import Span
from collector.fleet.roles import Role

NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
Slug = Annotated[str, Field(pattern=NAME)]
Slugs = Annotated[list[Slug], Field(max_length=MAX_LISTED)]
Served = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}(/[a-z0-9][a-z0-9_-]{0,62})?$", examples=["acme/hq"])]
FullName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]
Email = Annotated[str, Field(min_length=3, max_length=MAX_EMAIL_CHARS)]
Language = Annotated[str, Field(pattern="^(nl|en)$")]
Hours = Annotated[str, Field(min_length=1, max_length=MAX_HOURS_CHARS, examples=["Mon-Fri 08:00-12:00"])]
Zone = Annotated[str, Field(min_length=1, max_length=64)]
Country = Annotated[str, Field(min_length=2, max_length=8)]
MaxOpen = Annotated[int, Field(ge=1, le=MAX_OPEN)]


class Technician(BaseModel, from_attributes=True):
    id: str
    name: str
    email: str | None
    language: str
    skills: list[str] = Field(description="Categories of tickets; empty: all.")
    serves: list[str] = Field(description="Customers, or sites as customer/site; empty: all.")
    groups: list[str] = Field(description="To which tickets escalate.")
    hours: str
    time_zone: str
    holidays: str
    max_open: int = Field(description="Tickets in hand before others are asked first.")
    created_at: datetime
    left_at: datetime | None


class TechnicianPage(Page[Technician]):
    pass


class TechnicianFilter(PagingByName):
    all: bool = Field(default=False, description="Also those who have left.")


class TechnicianId(Request):
    id: Slug


class NewTechnician(Request):
    id: Slug
    name: FullName
    email: Email | None = None
    language: Language = "nl"
    skills: Slugs = Field(default_factory=list)
    serves: list[Served] = Field(default_factory=list, max_length=MAX_LISTED)
    groups: Slugs = Field(default_factory=list)
    hours: Hours = DEFAULT_HOURS
    time_zone: Zone = DEFAULT_TIME_ZONE
    holidays: Country = DEFAULT_HOLIDAYS
    max_open: MaxOpen = DEFAULT_MAX_OPEN


class TechnicianChange(Patch):
    name: FullName = "-"
    email: Email | None = None
    language: Language = "nl"
    skills: Slugs = Field(default_factory=list)
    serves: list[Served] = Field(default_factory=list, max_length=MAX_LISTED)
    groups: Slugs = Field(default_factory=list)
    hours: Hours = DEFAULT_HOURS
    time_zone: Zone = DEFAULT_TIME_ZONE
    holidays: Country = DEFAULT_HOLIDAYS
    max_open: MaxOpen = DEFAULT_MAX_OPEN


class Absence(BaseModel, from_attributes=True):
    id: int
    technician: str
    starts_at: datetime
    ends_at: datetime
    reason: str
    author: str


class AbsencePage(Page[Absence]):
    pass


class AbsencesOf(PagingByNumber):
    id: Slug


class AbsenceOf(Request):
    id: Slug
    absence: Number


class NewAbsence(Request):
    starts_at: AwareDatetime | None = Field(default=None, description="Now, if it is left out.")
    ends_at: AwareDatetime
    reason: str = Field(min_length=1, max_length=MAX_REASON_CHARS)


class Leaving(Request):
    to: Slug | None = Field(
        default=None, description="Who takes over tickets and shifts; null: tickets are assigned anew, shifts are gone."
    )


class Gap(BaseModel, from_attributes=True):
    starts_at: datetime
    ends_at: datetime


class Left(BaseModel, from_attributes=True):
    tickets: list[int] = Field(description="Handed over, or to be assigned anew.")
    gaps: list[Gap] = Field(description="Where nobody is on call now who would have been.")
    escalated: list[int] = Field(description="Open tickets that were escalated to who left.")
    escalated_to: str | None = Field(description="To whom they are escalated now; null: nobody else is known.")
    slas: list[str] = Field(description="SLAs that still escalate to who left: sla.yaml is to name another.")
    accounts: list[str] = Field(description="Users that may no longer sign in.")
    emptied_groups: list[str] = Field(
        description="Groups that nobody is in any more: escalations to them reach nobody."
    )


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


async def list_technicians(call: Call[TechnicianFilter, None]) -> TechnicianPage:
    _require_provider(call)
    asked = call.params
    found = await store.list_technicians(call.connection, everybody=asked.all, after=asked.after, limit=asked.limit + 1)
    page, cursor = cut(found, asked.limit, lambda one: one.id)
    return TechnicianPage(items=[Technician.model_validate(one) for one in page], next_cursor=cursor)


async def get_technician(call: Call[TechnicianId, None]) -> Technician:
    return await _found(call, call.params.id)


async def add_technician(call: Call[NoParameters, NewTechnician]) -> Technician:
    _require_provider(call)
    given = call.body.model_dump()
    technician = given.pop("id")
    try:
        await store.add_technician(
            call.connection, technician, Profile(**_tuples(given)), actor=call.caller.name, now=call.now
        )
    except NameTakenError as error:
        raise Refusal(409, "conflict", str(error)) from error
    return await _found(call, technician)


async def change_technician(call: Call[TechnicianId, TechnicianChange]) -> Technician:
    technician = call.params.id
    await _found(call, technician)
    try:
        await store.change_technician(
            call.connection, technician, _tuples(call.body.given()), actor=call.caller.name, now=call.now
        )
    except NameTakenError as error:
        raise Refusal(409, "conflict", str(error)) from error
    return await _found(call, technician)


@dataclass(frozen=True, slots=True)
class Departures:
    """`escalate_to` hears where no SLA names anybody."""

    book: SlaBook
    escalate_to: str

    async def leave_technician(self, call: Call[TechnicianId, Leaving]) -> Left:
        technician, actor = call.params.id, call.caller.name
        await _found(call, technician)
        left = await leaving.leave(
            call.connection, technician, to=call.body.to, escalate_to=self.escalate_to, actor=actor, now=call.now
        )
        return Left.model_validate({**asdict(left), "slas": self.book.escalating_to(technician)})


async def list_absences(call: Call[AbsencesOf, None]) -> AbsencePage:
    asked = call.params
    await _found(call, asked.id)
    found = await store.list_absences(call.connection, technician=asked.id, not_over_at=call.now)
    return AbsencePage(**_page([Absence.model_validate(one) for one in found], asked))


async def add_absence(call: Call[TechnicianId, NewAbsence]) -> Absence:
    technician, asked = call.params.id, call.body
    await _found(call, technician)
    number = await store.add_absence(
        call.connection,
        technician,
        Span(asked.starts_at or call.now, asked.ends_at),
        reason=asked.reason,
        actor=call.caller.name,
        now=call.now,
    )
    found = await store.list_absences(call.connection, technician=technician)
    return Absence.model_validate(next(one for one in found if one.id == number))


async def get_absence(call: Call[AbsenceOf, None]) -> Absence:
    technician, wanted = call.params.id, call.params.absence
    await _found(call, technician)
    found = await store.list_absences(call.connection, technician=technician)
    return Absence.model_validate(_one(found, wanted, technician))


async def end_absence(call: Call[AbsenceOf, None]) -> Absence:
    """To end what is over changes nothing."""
    technician, wanted = call.params.id, call.params.absence
    await _found(call, technician)
    ended = await store.end_absence(call.connection, technician, wanted, actor=call.caller.name, now=call.now)
    if ended is None:
        raise missing(f"absence {wanted} of {technician}")
    return Absence.model_validate(ended)


def _one(found: Sequence[store.Absence], wanted: int, technician: str) -> store.Absence:
    """Raises Refusal (404)."""
    for one in found:
        if one.id == wanted:
            return one
    raise missing(f"absence {wanted} of {technician}")


async def list_shifts(call: Call[PagingByNumber, None]) -> ShiftPage:
    _require_provider(call)
    found = await on_call.list_shifts(call.connection, not_over_at=call.now)
    return ShiftPage(**_page([Shift.model_validate(one) for one in found], call.params))


async def get_shift(call: Call[ShiftId, None]) -> Shift:
    _require_provider(call)
    found = await on_call.list_shifts(call.connection, shift=call.params.id)
    if not found:
        raise missing(f"shift {call.params.id}")
    return Shift.model_validate(found[0])


async def add_shift(call: Call[NoParameters, NewShift]) -> Shift:
    _require_provider(call)
    asked = call.body
    number = await on_call.add_shift(
        call.connection,
        asked.technician,
        Span(asked.starts_at, asked.ends_at),
        actor=call.caller.name,
        now=call.now,
    )
    return Shift.model_validate((await on_call.list_shifts(call.connection, shift=number))[0])


async def add_rota(call: Call[NoParameters, NewRota]) -> RotaMade:
    _require_provider(call)
    asked = call.body
    rota = Rota(
        tuple(asked.technicians),
        asked.first_day,
        asked.days,
        asked.turns or len(asked.technicians),
        time.fromisoformat(asked.hand_over),
        asked.time_zone,
    )
    added = set(await on_call.add_rota(call.connection, rota, actor=call.caller.name, now=call.now))
    shifts = await on_call.list_shifts(call.connection, not_over_at=call.now)
    return RotaMade(
        shifts=[Shift.model_validate(one) for one in shifts if one.id in added],
        gaps=[Gap.model_validate(one) for one in on_call.coverage(shifts).gaps],
    )


async def remove_shift(call: Call[ShiftId, None]) -> Shift:
    shift = await get_shift(call)
    await on_call.remove_shift(call.connection, shift.id, actor=call.caller.name, now=call.now)
    return shift


def _require_provider(call: Call[Any, Any]) -> None:
    """Raises Refusal (403)."""
    if call.caller.customer is not None:
        raise Refusal(
            403, "forbidden", "technicians are the provider's: this takes a token that is bound to no customer"
        )


async def _found(call: Call[Any, Any], technician: str) -> Technician:
    """Raises Refusal (403 or 404)."""
    _require_provider(call)
    try:
        return Technician.model_validate(await store.get_technician(call.connection, technician))
    except NoTechnicianError:
        raise missing(f"technician {technician}") from None


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _page(rows: Sequence[Absence] | Sequence[Shift], asked: PagingByNumber) -> dict[str, Any]:
    """Of what is still to come, which is not much; in the order of ids."""
    found = sorted((one for one in rows if asked.after is None or one.id > asked.after), key=lambda one: one.id)
    page, cursor = cut(found[: asked.limit + 1], asked.limit, lambda one: one.id)
    return {"items": list(page), "next_cursor": cursor}


def operations(book: SlaBook, escalate_to: str) -> list[AnyOperation]:
    manager = Role.MANAGER
    one: AnyOperation = Operation(
        "GET", "/technicians/{id}", "One technician", TechnicianId, None, Technician, get_technician
    )
    absence: AnyOperation = Operation(
        "GET", "/technicians/{id}/absences/{absence}", "One absence", AbsenceOf, None, Absence, get_absence
    )
    shift: AnyOperation = Operation("GET", "/on-call/{id}", "One shift", ShiftId, None, Shift, get_shift)
    return [
        Operation(
            "GET", "/technicians", "Technicians, by id", TechnicianFilter, None, TechnicianPage, list_technicians
        ),
        one,
        Operation(
            "POST",
            "/technicians",
            "Add a technician",
            NoParameters,
            NewTechnician,
            Technician,
            add_technician,
            creates=True,
            role=manager,
        ),
        Operation(
            "PATCH",
            "/technicians/{id}",
            "Change what is known of a technician",
            TechnicianId,
            TechnicianChange,
            Technician,
            change_technician,
            changes=one,
            role=manager,
        ),
        Operation(
            "POST",
            "/technicians/{id}/leave",
            "A technician leaves; tickets and shifts go to others",
            TechnicianId,
            Leaving,
            Left,
            Departures(book, escalate_to).leave_technician,
            changes=one,
            role=manager,
        ),
        Operation(
            "GET",
            "/technicians/{id}/absences",
            "A technician's absences that are not over",
            AbsencesOf,
            None,
            AbsencePage,
            list_absences,
        ),
        Operation(
            "POST",
            "/technicians/{id}/absences",
            "Note days off",
            TechnicianId,
            NewAbsence,
            Absence,
            add_absence,
            creates=True,
        ),
        absence,
        Operation(
            "DELETE",
            "/technicians/{id}/absences/{absence}",
            "End an absence, or call it off",
            AbsenceOf,
            None,
            Absence,
            end_absence,
            changes=absence,
        ),
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
