"""`/tickets`: what there is to do, and what was done about it."""

import base64
import binascii
import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, field_validator

from collector.alerting import records
from collector.api.desk.attachment_shapes import Attachment
from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Request
from collector.api.desk.paging import CURSOR, Page, Paging, cut
from collector.api.desk.refusals import Refusal
from collector.api.desk.shapes import Number, When
from collector.contracts import Level, Priority
from collector.db.tables import tickets as table
from collector.desk import attachments, editing, events, links, resolving
from collector.desk import reading as store
from collector.desk import tickets as incidents
from collector.desk.fields import TicketKind, TicketSource
from collector.desk.links import LinkKind
from collector.desk.listing import MAX_WORDS_CHARS, Order, Place, Wanted, page_of
from collector.desk.states import TicketStatus
from collector.desk.words import in_words

MAX_ALERTS = 200  # told with one ticket; /alerts tells of all
_CURSOR = re.compile(r"(number|priority:P[1-4]|due:[-+:.T0-9]{0,40})/([0-9]{1,18})")


class Ticket(BaseModel, from_attributes=True):
    number: int
    customer: str
    site: str | None
    device: str | None
    incident: str
    rule: str | None = Field(description="Null: no alert opened it.")
    title: str
    status: TicketStatus
    priority: Priority
    opened_at: datetime
    began_at: datetime = Field(description="When the condition began to hold.")
    resolved_at: datetime | None
    closed_at: datetime | None
    touched: bool = Field(description="Somebody commented on it or set its status: it does not resolve by itself.")
    follows: int | None = Field(description="An earlier ticket for the same, too old to reopen.")
    parent: int | None = Field(description="The storm that it was the beginning of, or a greater ticket.")
    unstable_since: datetime | None = Field(description="Its fault comes and goes since then.")
    kind: TicketKind
    source: TicketSource = Field(description="What it came from.")
    category: str | None
    contact: int | None = Field(description="Who reported it, or is asked.")
    impact: Level | None
    urgency: Level | None
    assignee: str | None = Field(description="The technician who has it.")
    escalated_to: str | None
    merged_into: int | None = Field(description="Work on that one.")
    due_at: datetime | None = Field(description="When the first of its SLA clocks runs out.")

    @field_validator("rule", mode="before")
    @classmethod
    def _none(cls, rule: str | None) -> str | None:
        return rule or None


class HistoryEvent(BaseModel, from_attributes=True):
    at: datetime
    actor: str
    type: str
    data: dict[str, Any]
    told: str = Field(description="In plain words.")


class TicketLink(BaseModel, from_attributes=True):
    other: int
    kind: LinkKind


class TicketAlert(BaseModel):
    id: int
    rule: str
    device: str | None
    state: str
    active_since: datetime
    resolved_at: datetime | None


class TicketInFull(Ticket):
    description: str | None
    cause: str | None
    solution: str | None
    devices: list[str] = Field(description="Further ones, beside its own and its alerts'.")
    children: list[int] = Field(description="The tickets that are part of it.")
    watchers: list[str]
    links: list[TicketLink]
    attachments: list[Attachment]
    alerts: list[TicketAlert] = Field(description=f"Newest first, the last {MAX_ALERTS}.")
    history: list[HistoryEvent] = Field(description="Oldest first.")


class TicketPage(Page[Ticket]):
    pass


def _decoded(cursor: str) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii")
        found = _CURSOR.fullmatch(text)
        if found is not None and found[1].startswith("due:") and found[1] != "due:":
            datetime.fromisoformat(found[1].removeprefix("due:"))
    except (binascii.Error, ValueError) as exc:
        raise ValueError("not a cursor that an earlier page gave") from exc
    if found is None:
        raise ValueError("not a cursor that an earlier page of this list gave")
    return text


class TicketFilter(Paging):
    cursor: Annotated[str, AfterValidator(_decoded)] | None = CURSOR
    sort: Order = Field(
        default=Order.NUMBER,
        description="number: newest first; priority: most urgent and oldest first; due: what falls due first.",
    )
    status: TicketStatus | None = Field(default=None, description="Only those in this state.")
    customer: str | None = Field(default=None, max_length=64)
    site: str | None = Field(default=None, max_length=64)
    device: str | None = Field(
        default=None, max_length=64, description="Their own, a further one, or one of their alerts'."
    )
    assignee: str | None = Field(default=None, max_length=64)
    priority: Priority | None = None
    kind: TicketKind | None = None
    category: str | None = Field(default=None, max_length=64)
    text: str | None = Field(default=None, min_length=1, max_length=MAX_WORDS_CHARS, description="In the title.")
    opened_since: When | None = None
    opened_until: When | None = None
    open: bool | None = Field(default=None, description="Neither resolved nor closed.")
    assigned: bool | None = Field(default=None, description="Whether somebody has it.")


class TicketNumber(Request):
    number: Number


class OtherTicket(TicketNumber):
    other: Number


async def list_tickets(call: Call[TicketFilter, None]) -> TicketPage:
    asked, caller = call.params, call.caller
    customer, site = asked.customer or caller.customer, asked.site or caller.site
    if not caller.sees(customer, site):
        return TicketPage(items=[], next_cursor=None)
    wanted = Wanted(
        customer=customer,
        site=site,
        device=asked.device,
        assignee=asked.assignee,
        status=asked.status,
        priority=asked.priority,
        kind=asked.kind,
        category=asked.category,
        words=asked.text,
        opened_since=asked.opened_since,
        opened_until=asked.opened_until,
        is_open=asked.open,
        is_assigned=asked.assigned,
    )
    after = None if asked.cursor is None else _place(asked.cursor, asked.sort)
    found = await page_of(call.connection, wanted, order=asked.sort, after=after, limit=asked.limit + 1)
    page, cursor = cut(found, asked.limit, lambda one: _cursor(one, asked.sort))
    return TicketPage(items=[Ticket.model_validate(one) for one in page], next_cursor=cursor)


async def get_ticket(call: Call[TicketNumber, None]) -> TicketInFull:
    """The row is locked, where rows can be: who changes the ticket compares this answer first."""
    await found_ticket(call, call.params.number)
    return await shown(call, call.params.number)


async def found_ticket(call: Call[Any, Any], number: int) -> store.Ticket:
    """Without a lock. Raises Refusal (404) unless there is one that the caller sees."""
    found = await store.list_tickets(call.connection, wanted=[table.c.number == number], limit=1)
    if not found:
        raise missing(f"ticket {number}")
    call.caller.require(f"ticket {number}", found[0].customer, found[0].site)
    return found[0]


async def shown(call: Call[Any, Any], number: int) -> TicketInFull:
    """A ticket with everything, such as after a change. The row is locked, where rows can be."""
    ticket = await store.get_ticket(call.connection, number)
    connection = call.connection
    texts = await resolving.texts_of(connection, number)
    behind = await records.list_alerts(connection, resolved_since=None, ticket=number, limit=MAX_ALERTS)
    return TicketInFull(
        **Ticket.model_validate(ticket).model_dump(),
        description=texts.description,
        cause=texts.cause,
        solution=texts.solution,
        devices=await editing.further_devices(connection, number),
        children=await incidents.ROWS.children(connection, number),
        watchers=await editing.watchers(connection, number),
        links=[TicketLink.model_validate(one) for one in await links.links_of(connection, number)],
        attachments=[Attachment.model_validate(one) for one in await attachments.list_attachments(connection, number)],
        alerts=[TicketAlert.model_validate({name: one[name] for name in TicketAlert.model_fields}) for one in behind],
        history=[
            HistoryEvent(at=one.at, actor=one.actor, type=one.type, data=one.data, told=in_words(one))
            for one in await events.history(connection, number)
        ],
    )


def operations() -> list[AnyOperation]:
    return [Operation("GET", "/tickets", "Tickets, page by page", TicketFilter, None, TicketPage, list_tickets), ONE]


ONE: AnyOperation = Operation(
    "GET",
    "/tickets/{number}",
    "One ticket with everything that happened to it",
    TicketNumber,
    None,
    TicketInFull,
    get_ticket,
    # What alerts and clocks do to it is no reason to refuse a person's change.
    moving=frozenset({"alerts", "history", "due_at", "unstable_since"}),
)


def _cursor(ticket: store.Ticket, order: Order) -> str:
    match order:
        case Order.NUMBER:
            return f"number/{ticket.number}"
        case Order.PRIORITY:
            return f"priority:{ticket.priority}/{ticket.number}"
        case Order.DUE:
            return f"due:{ticket.due_at.isoformat() if ticket.due_at else ''}/{ticket.number}"


def _place(cursor: str, order: Order) -> Place:
    """Raises Refusal (422) if the cursor is one of another order."""
    found = _CURSOR.fullmatch(cursor)
    name, _, value = (found[1] if found else "").partition(":")
    if found is None or name != order:
        raise Refusal(422, "invalid", "cursor: not a cursor that an earlier page of this list gave, in this order")
    return Place(
        int(found[2]),
        Priority(value) if order is Order.PRIORITY else None,
        datetime.fromisoformat(value) if order is Order.DUE and value else None,
    )
