"""`/portal/tickets`: what a customer's own people see and say of its tickets.

Its shapes are its own. Nothing that is internal can slip into them when a ticket gets another field.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Download, NoParameters, Operation, Request, Upload
from collector.api.desk.paging import Page, PagingByNumber, cut
from collector.api.desk.refusals import Refusal
from collector.api.desk.shapes import Id
from collector.api.desk.ticket_changes import ALevel, Text, Title, require_places
from collector.api.desk.ticket_files import AttachmentId
from collector.api.desk.tickets import TicketNumber, found_ticket
from collector.contracts import Level, Priority
from collector.desk import attachments, events, resolving, said
from collector.desk import reading as store
from collector.desk.attachments import MAX_FILE_BYTES, NoAttachmentError
from collector.desk.customer_words import customer_summary_of
from collector.desk.events import EventType
from collector.desk.fields import MAX_DEVICES, TicketKind, TicketSource
from collector.desk.listing import MAX_WORDS_CHARS, Place, Wanted, page_of
from collector.desk.reported import Report, open_reported
from collector.desk.states import TicketStatus
from collector.fleet.roles import Role


class ReportedKind(StrEnum):
    INCIDENT = TicketKind.INCIDENT
    REQUEST = TicketKind.REQUEST
    QUESTION = TicketKind.QUESTION


class PublicTicket(BaseModel, from_attributes=True):
    number: int
    title: str
    status: TicketStatus
    kind: TicketKind
    priority: Priority
    site: str | None
    device: str | None
    opened_at: datetime
    resolved_at: datetime | None
    closed_at: datetime | None
    merged_into: int | None = Field(description="It goes on as part of that one.")
    contact: int | None = Field(description="Who reported it, or is asked.")


class PublicComment(BaseModel):
    at: datetime
    contact: int | None = Field(description="Who at the customer said it; null: the provider did.")
    text: str


class PublicStatus(BaseModel):
    at: datetime
    status: TicketStatus


class PublicFile(BaseModel, from_attributes=True):
    id: int
    name: str
    media_type: str
    size_bytes: int
    added_at: datetime


class PublicSummary(BaseModel, from_attributes=True):
    nl: str | None
    en: str | None


class PublicTicketInFull(PublicTicket):
    summary: PublicSummary = Field(description="What the alert that opened it says to customers.")
    description: str | None
    cause: str | None
    solution: str | None
    comments: list[PublicComment] = Field(description="Oldest first.")
    statuses: list[PublicStatus] = Field(description="What it became, oldest first.")
    attachments: list[PublicFile]


class PublicTicketPage(Page[PublicTicket]):
    pass


class PublicFilter(PagingByNumber):
    status: TicketStatus | None = Field(default=None, description="Only those in this state.")
    kind: TicketKind | None = None
    text: str | None = Field(default=None, min_length=1, max_length=MAX_WORDS_CHARS, description="In the title.")
    open: bool | None = Field(default=None, description="Neither resolved nor closed.")


class NewReport(Request):
    title: Title
    description: Text | None = None
    kind: Annotated[ReportedKind, Field(strict=False)] = ReportedKind.INCIDENT
    site: Id | None = Field(default=None, description="That of its devices, if it is left out.")
    devices: list[Id] = Field(default_factory=list, max_length=MAX_DEVICES, description="What it is about.")
    impact: ALevel = Level.MEDIUM
    urgency: ALevel = Level.MEDIUM


class NewPublicComment(Request):
    text: Text
    still_wrong: bool = Field(default=False, description="It is resolved, and not mended: it reopens.")


class NewPublicFile(TicketNumber):
    name: str = Field(min_length=1, max_length=255, description="With its type, such as screen.png.")


async def list_portal_tickets(call: Call[PublicFilter, None]) -> PublicTicketPage:
    asked = call.params
    wanted = Wanted(
        customer=_customer_of(call),
        site=call.caller.site,
        status=asked.status,
        kind=asked.kind,
        words=asked.text,
        is_open=asked.open,
    )
    after = None if asked.after is None else Place(asked.after)
    found = await page_of(call.connection, wanted, after=after, limit=asked.limit + 1)
    page, cursor = cut(found, asked.limit, lambda one: one.number)
    return PublicTicketPage(items=[PublicTicket.model_validate(one) for one in page], next_cursor=cursor)


async def get_portal_ticket(call: Call[TicketNumber, None]) -> PublicTicketInFull:
    """The row is locked, where rows can be, as that of a ticket is that somebody here reads."""
    await _found(call, call.params.number)
    return await _shown(call, call.params.number)


async def open_portal_ticket(call: Call[NoParameters, NewReport]) -> PublicTicketInFull:
    asked, customer, contact = call.body, _customer_of(call), _contact_of(call)
    site = asked.site or call.caller.site
    await require_places(call, customer, site, asked.devices)
    report = Report(
        customer=customer,
        title=asked.title,
        description=asked.description,
        kind=TicketKind(asked.kind),
        source=TicketSource.CUSTOMER,
        site=site,
        devices=asked.devices,
        contact=contact,
        impact=asked.impact,
        urgency=asked.urgency,
    )
    return await _shown(call, await open_reported(call.connection, report, actor=call.caller.name, now=call.now))


async def comment_portal_ticket(call: Call[TicketNumber, NewPublicComment]) -> PublicTicketInFull:
    """Answers with the ticket, which may go on by it."""
    number, asked, contact = call.params.number, call.body, _contact_of(call)
    await _found(call, number)
    await said.by_customer(
        call.connection,
        number,
        text=asked.text,
        contact=contact,
        still_wrong=asked.still_wrong,
        actor=call.caller.name,
        now=call.now,
    )
    return await _shown(call, number)


async def attach_portal_file(call: Call[NewPublicFile, Upload]) -> PublicFile:
    asked = call.params
    _contact_of(call)
    ticket = await _found(call, asked.number)
    if ticket.status is TicketStatus.CLOSED:
        raise Refusal(422, "refused", f"ticket {asked.number} is closed: open a new one")
    made = await attachments.attach(
        call.connection,
        asked.number,
        name=asked.name,
        content=call.body.content,
        is_public=True,
        actor=call.caller.name,
        now=call.now,
    )
    return PublicFile.model_validate(made)


async def download_portal_file(call: Call[AttachmentId, None]) -> Download:
    number, wanted = call.params.number, call.params.id
    await _found(call, number)
    try:
        kept = await attachments.get_attachment(call.connection, number, wanted)
    except NoAttachmentError:
        kept = None
    if kept is None or not kept.is_public:
        raise missing(f"file {wanted} of ticket {number}")
    return Download(kept.name, await attachments.content_of(call.connection, number, wanted))


def _customer_of(call: Call[Any, Any]) -> str:
    """Raises Refusal (403) unless a customer's contact asks."""
    caller = call.caller
    if caller.role is not Role.CONTACT or caller.customer is None:
        raise Refusal(403, "forbidden", f"this is for people of customers; a {caller.role} asks for /tickets")
    return caller.customer


def _contact_of(call: Call[Any, Any]) -> int:
    """Who writes. Raises Refusal (403)."""
    customer = _customer_of(call)
    if call.caller.contact is None:
        raise Refusal(
            403,
            "forbidden",
            "this token is no contact's, so nobody would know who wrote: make one with tokens create --role contact "
            f"--user NAME, for a user that is a contact of {customer} (users add NAME --contact ID)",
        )
    return call.caller.contact


async def _found(call: Call[Any, Any], number: int) -> store.Ticket:
    """Raises Refusal (403 or 404)."""
    _customer_of(call)
    return await found_ticket(call, number)


async def _shown(call: Call[Any, Any], number: int) -> PublicTicketInFull:
    connection = call.connection
    ticket = await store.get_ticket(connection, number)
    texts = await resolving.texts_of(connection, number)
    happened = await events.history(connection, number)
    files = await attachments.list_attachments(connection, number)
    return PublicTicketInFull(
        **PublicTicket.model_validate(ticket).model_dump(),
        summary=PublicSummary.model_validate(await customer_summary_of(connection, number)),
        description=texts.description,
        cause=texts.cause,
        solution=texts.solution,
        comments=[
            PublicComment(at=one.at, contact=_number(one.data.get("contact")), text=str(one.data["text"]))
            for one in happened
            if one.type == EventType.COMMENT and one.data.get("public") is True
        ],
        statuses=[
            PublicStatus(at=one.at, status=TicketStatus(str(one.data["to"])))
            for one in happened
            if one.type == EventType.STATUS
        ],
        attachments=[PublicFile.model_validate(one) for one in files if one.is_public],
    )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def operations() -> list[AnyOperation]:
    path, contact = "/portal/tickets", Role.CONTACT
    one: AnyOperation = Operation(
        "GET",
        f"{path}/{{number}}",
        "One ticket as its customer sees it",
        TicketNumber,
        None,
        PublicTicketInFull,
        get_portal_ticket,
        role=contact,
    )
    return [
        Operation(
            "GET",
            path,
            "A contact's list of the customer's tickets, newest first",
            PublicFilter,
            None,
            PublicTicketPage,
            list_portal_tickets,
            role=contact,
            description="For contacts alone: everybody else has /tickets.",
        ),
        one,
        Operation(
            "POST",
            path,
            "Report something, or ask for it",
            NoParameters,
            NewReport,
            PublicTicketInFull,
            open_portal_ticket,
            creates=True,
            role=contact,
            description="The token is that of a user who is a contact.",
        ),
        Operation(
            "POST",
            f"{path}/{{number}}/comments",
            "Say something as the customer",
            TicketNumber,
            NewPublicComment,
            PublicTicketInFull,
            comment_portal_ticket,
            creates=True,
            works_on=one,
            role=contact,
            description="A ticket that waits for the customer goes on.",
        ),
        Operation(
            "POST",
            f"{path}/{{number}}/attachments",
            "Put a file beside a ticket as the customer",
            NewPublicFile,
            Upload,
            PublicFile,
            attach_portal_file,
            creates=True,
            works_on=one,
            max_body_bytes=MAX_FILE_BYTES,
            role=contact,
        ),
        Operation(
            "GET",
            f"{path}/{{number}}/attachments/{{id}}",
            "A public file beside a ticket, to be saved",
            AttachmentId,
            None,
            Download,
            download_portal_file,
            role=contact,
        ),
    ]
