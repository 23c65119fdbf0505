"""What people do with one ticket: open it, change it, say something, resolve it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Patch, Request
from collector.api.desk.shapes import Id, Number
from collector.api.desk.tickets import ONE, TicketInFull, TicketNumber, found_ticket, shown
from collector.contracts import Level, Priority
from collector.desk import editing, said
from collector.desk import tickets as store
from collector.desk.fields import MAX_DEVICES, MAX_TEXT_CHARS, MAX_TITLE_CHARS, TicketKind, TicketSource
from collector.desk.reported import Report, open_reported, sites_of
from collector.desk.states import TicketStatus
from collector.incidents import by_hand

Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE_CHARS)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]
Word = Annotated[str, Field(min_length=1, max_length=64, examples=["storage"])]
# Enumerations come as text, which a strict reader of JSON takes only where it is told so.
AKind = Annotated[TicketKind, Field(strict=False)]
ALevel = Annotated[Level, Field(strict=False)]
APriority = Annotated[Priority, Field(strict=False)]


class NewTicket(Request):
    customer: Id
    title: Title
    description: Text | None = None
    kind: AKind = TicketKind.INCIDENT
    by_customer: bool = Field(default=False, description="The customer reported it, rather than found here.")
    site: Id | None = Field(default=None, description="That of its devices, if it is left out.")
    devices: list[Id] = Field(default_factory=list, max_length=MAX_DEVICES, description="What it is about.")
    category: Word | None = None
    contact: Number | None = None
    impact: ALevel = Level.MEDIUM
    urgency: ALevel = Level.MEDIUM
    priority: APriority | None = Field(default=None, description="Instead of what impact and urgency lead to.")


class TicketPatch(Patch):
    title: Title = ""
    description: Text | None = None
    kind: AKind = TicketKind.INCIDENT
    site: Id | None = None
    device: Id | None = None
    category: Word | None = None
    contact: Number | None = None
    impact: ALevel = Level.MEDIUM
    urgency: ALevel = Level.MEDIUM
    priority: APriority = Priority.P3


class NewComment(Request):
    text: Text
    public: bool = Field(default=False, description="The customer sees it; else it is internal.")
    contact: Number | None = Field(
        default=None, description="Who at the customer said it, such as by phone: it is the customer's, and public."
    )


class Comment(BaseModel):
    ticket: int
    at: datetime
    actor: str
    public: bool
    contact: int | None = Field(description="Who at the customer said it.")


class Working(Request):
    status: Annotated[TicketStatus, Field(strict=False)] = Field(description="As the table of states allows.")
    force: bool = Field(default=False, description="Close it even while its alerts fire.")


class Resolution(Request):
    """Both are asked for, unless they were written before or there is nothing to say."""

    cause: Text | None = Field(default=None, description="What was wrong.")
    solution: Text | None = Field(default=None, description="What was done about it.")
    without: bool = Field(default=False, description="There is nothing to say; that is recorded.")
    force: bool = Field(default=False, description="Even while its alerts fire: it rests until one fires anew.")


class Closing(Request):
    force: bool = Field(default=False, description="Even while its alerts fire.")


async def open_ticket(call: Call[NoParameters, NewTicket]) -> TicketInFull:
    asked, caller = call.body, call.caller
    site = asked.site or caller.site
    await require_places(call, asked.customer, site, asked.devices)
    report = Report(
        customer=asked.customer,
        title=asked.title,
        description=asked.description,
        kind=asked.kind,
        source=TicketSource.CUSTOMER if asked.by_customer else TicketSource.PERSON,
        site=site,
        devices=asked.devices,
        category=asked.category,
        contact=asked.contact,
        impact=asked.impact,
        urgency=asked.urgency,
        priority=asked.priority,
    )
    return await shown(call, await open_reported(call.connection, report, actor=caller.name, now=call.now))


async def require_places(call: Call[Any, Any], customer: str, site: str | None, devices: Sequence[str]) -> None:
    """Raises Refusal (404) for what the caller does not see, TicketError for devices that the customer has not."""
    caller = call.caller
    caller.require(f"customer {customer}", customer, site)
    if caller.site is not None:
        at = await sites_of(call.connection, customer, devices)
        if any(one != caller.site for one in at.values()):
            raise missing("such device")


async def change_ticket(call: Call[TicketNumber, TicketPatch]) -> TicketInFull:
    number, changes = call.params.number, call.body.given()
    await found_ticket(call, number)
    if "site" in changes and call.caller.site not in (None, changes["site"]):
        raise missing(f"site {changes['site']}")
    await editing.change(call.connection, number, changes, actor=call.caller.name, now=call.now)
    return await shown(call, number)


async def add_comment(call: Call[TicketNumber, NewComment]) -> Comment:
    number, asked = call.params.number, call.body
    await found_ticket(call, number)
    connection, actor, now = call.connection, call.caller.name, call.now
    if asked.contact is None:
        await store.comment(connection, number, text=asked.text, is_public=asked.public, actor=actor, now=now)
    else:
        await said.by_customer(connection, number, text=asked.text, contact=asked.contact, actor=actor, now=now)
    is_public = asked.public or asked.contact is not None
    return Comment(ticket=number, at=now, actor=actor, public=is_public, contact=asked.contact)


async def set_ticket_status(call: Call[TicketNumber, Working]) -> TicketInFull:
    return await _moved(call, call.body.status, force=call.body.force)


async def close_ticket(call: Call[TicketNumber, Closing]) -> TicketInFull:
    return await _moved(call, TicketStatus.CLOSED, force=call.body.force)


async def reopen_ticket(call: Call[TicketNumber, None]) -> TicketInFull:
    return await _moved(call, TicketStatus.NEW, force=False)


async def resolve_ticket(call: Call[TicketNumber, Resolution]) -> TicketInFull:
    number, asked = call.params.number, call.body
    await found_ticket(call, number)
    await by_hand.resolve(
        call.connection,
        number,
        cause=asked.cause,
        solution=asked.solution,
        without=asked.without,
        force=asked.force,
        actor=call.caller.name,
        now=call.now,
    )
    return await shown(call, number)


async def _moved(call: Call[Any, Any], status: TicketStatus, *, force: bool) -> TicketInFull:
    number: int = call.params.number
    await found_ticket(call, number)
    await by_hand.set_status(call.connection, number, status=status, actor=call.caller.name, now=call.now, force=force)
    return await shown(call, number)


def operations() -> list[AnyOperation]:
    one = "/tickets/{number}"
    return [
        Operation(
            "POST", "/tickets", "Open a ticket", NoParameters, NewTicket, TicketInFull, open_ticket, creates=True
        ),
        Operation("PATCH", one, "Change a ticket", TicketNumber, TicketPatch, TicketInFull, change_ticket, changes=ONE),
        Operation(
            "POST",
            f"{one}/comments",
            "Say something",
            TicketNumber,
            NewComment,
            Comment,
            add_comment,
            creates=True,
            works_on=ONE,
        ),
        Operation(
            "POST",
            f"{one}/status",
            "Start, wait, …",
            TicketNumber,
            Working,
            TicketInFull,
            set_ticket_status,
            works_on=ONE,
        ),
        Operation(
            "POST", f"{one}/resolve", "Resolve it", TicketNumber, Resolution, TicketInFull, resolve_ticket, works_on=ONE
        ),
        Operation(
            "POST",
            f"{one}/close",
            "Close what is resolved",
            TicketNumber,
            Closing,
            TicketInFull,
            close_ticket,
            works_on=ONE,
        ),
        Operation(
            "POST",
            f"{one}/reopen",
            "Reopen what is resolved",
            TicketNumber,
            None,
            TicketInFull,
            reopen_ticket,
            works_on=ONE,
        ),
    ]
