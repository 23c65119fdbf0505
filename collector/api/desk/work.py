"""`/tickets/{number}/work` and `/parts`: what a ticket took."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, Field, field_serializer

from collector.api.desk.alerts import MAX_NUMBER
from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Patch, Request
from collector.api.desk.paging import Page, PagingByNumber, cut
from collector.api.desk.refusals import Refusal
from collector.api.desk.tickets import ONE, TicketNumber
from collector.contracts import ServiceModels
from collector.db.tables import tickets as table
from collector.desk import parts as parts_store
from collector.desk import tickets, work
from collector.desk.work import MAX_AUTHOR_CHARS, MAX_MINUTES, MAX_NOTE_CHARS, Correction, WorkKind
from collector.reporting.currency import currency_of

Author = Annotated[str, Field(min_length=1, max_length=MAX_AUTHOR_CHARS)]
Note = Annotated[str, Field(max_length=MAX_NOTE_CHARS)]
Minutes = Annotated[int, Field(ge=1, le=MAX_MINUTES)]
AUTHOR = Field(default=None, description="Who worked: a technician's id, or a name. Left out: whose token it is.")
# As text: JSON's numbers are floats to many who write them.
Price = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,2})?$", examples=["189.10"])]
Quantity = Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,3})?$", examples=["1", "2.5"])]


class WorkEntry(BaseModel, from_attributes=True):
    id: int
    ticket: int
    author: str
    kind: WorkKind
    started_at: datetime
    ended_at: datetime | None
    minutes: int | None = Field(description="Null while it runs.")
    note: str
    is_billable: bool
    entered_at: datetime
    voided_at: datetime | None = Field(description="A mistake, which counts for nothing.")


class WorkPage(Page[WorkEntry]):
    minutes: int = Field(description="All that counts of the ticket, also beyond this page.")


class NewWork(Request):
    """Work that is done; or, without `minutes`, work that begins now and runs until it is stopped."""

    minutes: Minutes | None = None
    started_at: AwareDatetime | None = Field(default=None, description="Left out: so long ago that it ends now.")
    kind: WorkKind = Field(default=WorkKind.WORK, strict=False)
    author: Author | None = AUTHOR
    is_billable: bool = True
    note: Note = ""


class WorkChange(Patch):
    minutes: Minutes = 1
    started_at: AwareDatetime = datetime(2026, 1, 1, tzinfo=UTC)
    kind: WorkKind = Field(default=WorkKind.WORK, strict=False)
    is_billable: bool = True
    note: Note = ""


class Part(BaseModel, from_attributes=True):
    id: int
    ticket: int
    author: str
    description: str
    quantity: Decimal
    unit_price: Decimal = Field(description="Without VAT.")
    currency: str
    used_at: datetime
    voided_at: datetime | None = Field(description="A mistake, which counts for nothing.")

    @field_serializer("quantity", "unit_price")
    def _as_text(self, amount: Decimal) -> str:
        return f"{amount:f}"


class PartPage(Page[Part]):
    pass


class NewPart(Request):
    """What was used, or paid for, on a ticket; it is charged as it is."""

    description: str = Field(min_length=1, max_length=parts_store.MAX_DESCRIPTION_CHARS, examples=["fuser unit"])
    quantity: Quantity = "1"
    unit_price: Price = Field(description="Without VAT.")
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = Field(
        default=None, description="ISO 4217. Left out: that of the customer's contract, or of its service model."
    )
    used_at: AwareDatetime | None = Field(default=None, description="Left out: now.")
    author: Author | None = AUTHOR


class OfTicket(PagingByNumber):
    number: int = Field(ge=1, le=MAX_NUMBER)


class EntryOfTicket(TicketNumber):
    id: int = Field(ge=1, le=MAX_NUMBER)


class VoidedOfTicket(EntryOfTicket):
    reason: str = Field(min_length=1, max_length=200, description="Why it was a mistake.")  # stands in an address


async def list_work(call: Call[OfTicket, None]) -> WorkPage:
    number, asked = call.params.number, call.params
    await _require(call, number)
    found = await work.list_entries(call.connection, number, after=asked.after or 0, limit=asked.limit + 1)
    page, cursor = cut(found, asked.limit, lambda one: one.id)
    minutes = (await work.minutes_on(call.connection, [number])).get(number, 0)
    return WorkPage(items=[WorkEntry.model_validate(one) for one in page], next_cursor=cursor, minutes=minutes)


async def get_work(call: Call[EntryOfTicket, None]) -> WorkEntry:
    return WorkEntry.model_validate(await _entry(call))


async def add_work(call: Call[TicketNumber, NewWork]) -> WorkEntry:
    number, asked = call.params.number, call.body
    await _require(call, number)
    author = asked.author or call.caller.name
    if asked.minutes is None:
        if asked.started_at is not None:
            raise Refusal(422, "invalid", "started_at: work that runs begins now; give minutes for work that is done")
        entry = await work.start(
            call.connection,
            number,
            author=author,
            kind=asked.kind,
            is_billable=asked.is_billable,
            note=asked.note,
            actor=call.caller.name,
            now=call.now,
        )
    else:
        entry = await work.add(
            call.connection,
            number,
            author=author,
            minutes=asked.minutes,
            started_at=asked.started_at or work.ending_at(call.now, asked.minutes),
            kind=asked.kind,
            is_billable=asked.is_billable,
            note=asked.note,
            actor=call.caller.name,
            now=call.now,
        )
    return WorkEntry.model_validate(await work.get_entry(call.connection, entry))


async def stop_work(call: Call[EntryOfTicket, None]) -> WorkEntry:
    entry = await _entry(call)
    if entry.is_running:  # who asks twice gets the same answer
        entry = await work.stop(call.connection, author=entry.author, actor=call.caller.name, now=call.now)
    return WorkEntry.model_validate(entry)


async def correct_work(call: Call[EntryOfTicket, WorkChange]) -> WorkEntry:
    entry = await _entry(call)
    wanted = Correction(**call.body.given())
    corrected = await work.correct(call.connection, entry.id, wanted, actor=call.caller.name, now=call.now)
    return WorkEntry.model_validate(corrected)


async def void_work(call: Call[VoidedOfTicket, None]) -> WorkEntry:
    entry = await _entry(call)
    if entry.voided_at is None:
        await work.void(call.connection, entry.id, reason=call.params.reason, actor=call.caller.name, now=call.now)
    return WorkEntry.model_validate(await work.get_entry(call.connection, entry.id))


async def list_parts(call: Call[OfTicket, None]) -> PartPage:
    number, asked = call.params.number, call.params
    await _require(call, number)
    found = await parts_store.list_parts(call.connection, number, after=asked.after or 0, limit=asked.limit + 1)
    page, cursor = cut(found, asked.limit, lambda one: one.id)
    return PartPage(items=[Part.model_validate(one) for one in page], next_cursor=cursor)


async def get_part(call: Call[EntryOfTicket, None]) -> Part:
    return Part.model_validate(await _part(call))


@dataclass(frozen=True, slots=True)
class NewParts:
    models: ServiceModels

    async def add_part(self, call: Call[TicketNumber, NewPart]) -> Part:
        number, asked = call.params.number, call.body
        await _require(call, number)
        used_at = asked.used_at or call.now
        part = await parts_store.add(
            call.connection,
            number,
            author=asked.author or call.caller.name,
            description=asked.description,
            quantity=Decimal(asked.quantity),
            unit_price=Decimal(asked.unit_price),
            currency=asked.currency or await currency_of(call.connection, self.models, number, used_at),
            used_at=used_at,
            actor=call.caller.name,
            now=call.now,
        )
        return Part.model_validate(await parts_store.get_part(call.connection, part))


async def void_part(call: Call[VoidedOfTicket, None]) -> Part:
    part = await _part(call)
    if part.voided_at is None:
        await parts_store.void(
            call.connection, part.id, reason=call.params.reason, actor=call.caller.name, now=call.now
        )
    return Part.model_validate(await parts_store.get_part(call.connection, part.id))


async def _require(call: Call[Any, Any], number: int) -> None:
    """Raises Refusal (404) unless the caller sees the ticket."""
    found = await tickets.list_tickets(call.connection, wanted=[table.c.number == number], limit=1)
    if not found:
        raise missing(f"ticket {number}")
    call.caller.require(f"ticket {number}", found[0].customer, found[0].site)


async def _entry(call: Call[Any, Any]) -> work.WorkEntry:
    """Raises Refusal (404)."""
    await _require(call, call.params.number)
    wanted = call.params.id
    found = await work.list_entries(call.connection, call.params.number, after=wanted - 1, limit=1)
    if not found or found[0].id != wanted:
        raise missing(f"entry {wanted} of ticket {call.params.number}")
    return found[0]


async def _part(call: Call[Any, Any]) -> parts_store.Part:
    """Raises Refusal (404)."""
    await _require(call, call.params.number)
    wanted = call.params.id
    found = await parts_store.list_parts(call.connection, call.params.number, after=wanted - 1, limit=1)
    if not found or found[0].id != wanted:
        raise missing(f"part {wanted} of ticket {call.params.number}")
    return found[0]


def operations(models: ServiceModels) -> list[AnyOperation]:
    entry: AnyOperation = Operation(
        "GET", "/tickets/{number}/work/{id}", "One entry of the work log", EntryOfTicket, None, WorkEntry, get_work
    )
    part: AnyOperation = Operation(
        "GET", "/tickets/{number}/parts/{id}", "One part of a ticket", EntryOfTicket, None, Part, get_part
    )
    return [
        Operation("GET", "/tickets/{number}/work", "A ticket's work log", OfTicket, None, WorkPage, list_work),
        Operation(
            "POST",
            "/tickets/{number}/work",
            "Enter work, or begin it",
            TicketNumber,
            NewWork,
            WorkEntry,
            add_work,
            creates=True,
            works_on=ONE,
        ),
        entry,
        Operation(
            "POST",
            "/tickets/{number}/work/{id}/stop",
            "Stop work that runs",
            EntryOfTicket,
            None,
            WorkEntry,
            stop_work,
            changes=entry,
        ),
        Operation(
            "PATCH",
            "/tickets/{number}/work/{id}",
            "Correct an entry",
            EntryOfTicket,
            WorkChange,
            WorkEntry,
            correct_work,
            changes=entry,
        ),
        Operation(
            "DELETE",
            "/tickets/{number}/work/{id}",
            "Void an entry; it stays on record",
            VoidedOfTicket,
            None,
            WorkEntry,
            void_work,
            changes=entry,
        ),
        Operation("GET", "/tickets/{number}/parts", "A ticket's parts", OfTicket, None, PartPage, list_parts),
        Operation(
            "POST",
            "/tickets/{number}/parts",
            "Enter a part",
            TicketNumber,
            NewPart,
            Part,
            NewParts(models).add_part,
            creates=True,
            works_on=ONE,
        ),
        part,
        Operation(
            "DELETE",
            "/tickets/{number}/parts/{id}",
            "Void a part; it stays on record",
            VoidedOfTicket,
            None,
            Part,
            void_part,
            changes=part,
        ),
    ]
