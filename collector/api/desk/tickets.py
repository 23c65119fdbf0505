"""`/tickets`: what there is to do, and what was done about it."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement

from collector.api.desk.alerts import MAX_NUMBER
from collector.api.desk.callers import Caller, missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Request
from collector.api.desk.paging import Page, PagingByNumber, cut
from collector.contracts import Priority
from collector.db.tables import tickets as table
from collector.desk import tickets as store
from collector.desk.states import TicketStatus


class Ticket(BaseModel, from_attributes=True):
    number: int
    customer: str
    site: str | None
    device: str | None
    incident: str
    rule: str
    title: str
    status: TicketStatus
    priority: Priority
    opened_at: datetime
    began_at: datetime = Field(description="When the condition began to hold.")
    resolved_at: datetime | None
    closed_at: datetime | None
    touched: bool = Field(description="Somebody commented on it or set its status: it does not resolve by itself.")
    follows: int | None = Field(description="An earlier ticket for the same, too old to reopen.")
    parent: int | None = Field(description="The storm that it was the beginning of.")
    unstable_since: datetime | None = Field(description="Its fault comes and goes since then.")


class HistoryEvent(BaseModel, from_attributes=True):
    at: datetime
    actor: str
    type: str
    data: dict[str, Any]


class TicketWithHistory(Ticket):
    history: list[HistoryEvent] = Field(description="Oldest first.")


class TicketPage(Page[Ticket]):
    pass


class TicketFilter(PagingByNumber):
    status: TicketStatus | None = Field(default=None, description="Only those in this state.")
    customer: str | None = Field(default=None, max_length=64)
    device: str | None = Field(default=None, max_length=64)


class TicketNumber(Request):
    number: int = Field(ge=1, le=MAX_NUMBER)


async def list_tickets(call: Call[TicketFilter, None]) -> TicketPage:
    asked = call.params
    wanted = _seen_by(call.caller)
    if asked.after is not None:
        wanted.append(table.c.number < asked.after)
    if asked.device is not None:
        wanted.append(table.c.device == asked.device)
    found = await store.list_tickets(
        call.connection, customer=asked.customer, status=asked.status, wanted=wanted, limit=asked.limit + 1
    )
    page, cursor = cut(found, asked.limit, lambda one: one.number)
    return TicketPage(items=[Ticket.model_validate(one) for one in page], next_cursor=cursor)


async def get_ticket(call: Call[TicketNumber, None]) -> TicketWithHistory:
    number = call.params.number
    wanted = [*_seen_by(call.caller), table.c.number == number]
    found = await store.list_tickets(call.connection, wanted=wanted, limit=1)
    if not found:
        raise missing(f"ticket {number}")
    history = await store.history(call.connection, number)
    ticket = Ticket.model_validate(found[0]).model_dump()
    return TicketWithHistory(**ticket, history=[HistoryEvent.model_validate(event) for event in history])


def _seen_by(caller: Caller) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if caller.customer is not None:
        wanted.append(table.c.customer == caller.customer)
    if caller.site is not None:
        wanted.append(table.c.site == caller.site)
    return wanted


def operations() -> list[AnyOperation]:
    return [
        Operation("GET", "/tickets", "Tickets, newest first", TicketFilter, None, TicketPage, list_tickets),
        Operation(
            "GET", "/tickets/{number}", "One ticket with its history", TicketNumber, None, TicketWithHistory, get_ticket
        ),
    ]
