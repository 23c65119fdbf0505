"""`/technicians`: who works on tickets, at what, for whom and when. For the provider's own tokens."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Patch, Request
from collector.api.desk.paging import Page, PagingByName, PagingByNumber, cut
from collector.api.desk.refusals import Refusal
from collector.api.desk.shapes import Number
from collector.contracts.office_hours import DEFAULT_HOLIDAYS, DEFAULT_HOURS, MAX_HOURS_CHARS
from collector.contracts.promises import SlaBook
from collector.desk import leaving
from collector.desk import technicians as store
from collector.desk.on_call import Shift, left_unanswered
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


class Described(Request):
    email: Email | None = None
    language: Language = "nl"
    skills: Slugs = Field(default_factory=list)
    serves: list[Served] = Field(default_factory=list, max_length=MAX_LISTED)
    groups: Slugs = Field(default_factory=list)
    hours: Hours = DEFAULT_HOURS
    time_zone: Zone = DEFAULT_TIME_ZONE
    holidays: Country = DEFAULT_HOLIDAYS
    max_open: MaxOpen = DEFAULT_MAX_OPEN


class NewTechnician(Described):
    id: Slug
    name: FullName


class TechnicianChange(Described, Patch):
    name: FullName = "-"


class Absence(BaseModel, from_attributes=True):
    id: int
    technician: str
    starts_at: datetime
    ends_at: datetime
    reason: str
    author: str


class AbsentOnCall(BaseModel):
    shift: int
    technician: str
    starts_at: datetime
    ends_at: datetime


class NotedAbsence(Absence):
    unanswered: list[AbsentOnCall] = Field(
        description="Shifts that fall in it, as far as they do: others are to be on call then."
    )


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
    stopped_on: int | None = Field(description="The ticket on which time of who left was running: it ended.")


async def list_technicians(call: Call[TechnicianFilter, None]) -> TechnicianPage:
    require_provider(call)
    asked = call.params
    found = await store.list_technicians(call.connection, everybody=asked.all, after=asked.after, limit=asked.limit + 1)
    page, cursor = cut(found, asked.limit, lambda one: one.id)
    return TechnicianPage(items=[Technician.model_validate(one) for one in page], next_cursor=cursor)


async def get_technician(call: Call[TechnicianId, None]) -> Technician:
    return await _found(call, call.params.id)


async def add_technician(call: Call[NoParameters, NewTechnician]) -> Technician:
    require_provider(call)
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
    found = await store.absences_after(call.connection, asked.id, asked.after, asked.limit + 1, not_over_at=call.now)
    page, cursor = cut(found, asked.limit, lambda one: one.id)
    return AbsencePage(items=[Absence.model_validate(one) for one in page], next_cursor=cursor)


async def add_absence(call: Call[TechnicianId, NewAbsence]) -> NotedAbsence:
    technician, asked = call.params.id, call.body
    await _found(call, technician)
    absence = await store.add_absence(
        call.connection,
        technician,
        Span(asked.starts_at or call.now, asked.ends_at),
        reason=asked.reason,
        actor=call.caller.name,
        now=call.now,
    )
    found = await left_unanswered(call.connection, absence, now=call.now)
    return NotedAbsence(**asdict(absence), unanswered=unanswered_shifts(found))


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


def unanswered_shifts(found: Sequence[tuple[Shift, Span]]) -> list[AbsentOnCall]:
    """Where who is on call is absent, as the API tells it."""
    return [
        AbsentOnCall(shift=one.id, technician=one.technician, starts_at=span.starts_at, ends_at=span.ends_at)
        for one, span in found
    ]


def require_provider(call: Call[Any, Any]) -> None:
    """Raises Refusal (403)."""
    if call.caller.customer is not None:
        raise Refusal(
            403, "forbidden", "technicians are the provider's: this takes a token that is bound to no customer"
        )


async def _found(call: Call[Any, Any], technician: str) -> Technician:
    """Raises Refusal (403 or 404)."""
    require_provider(call)
    try:
        return Technician.model_validate(await store.get_technician(call.connection, technician))
    except NoTechnicianError:
        raise missing(f"technician {technician}") from None


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def operations(book: SlaBook, escalate_to: str) -> list[AnyOperation]:
    manager = Role.MANAGER
    one: AnyOperation = Operation(
        "GET", "/technicians/{id}", "One technician", TechnicianId, None, Technician, get_technician
    )
    absence: AnyOperation = Operation(
        "GET", "/technicians/{id}/absences/{absence}", "One absence", AbsenceOf, None, Absence, get_absence
    )
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
            NotedAbsence,
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
    ]
