"""`/shadow-tickets`: what would have been a ticket under a plan that opens tickets."""

from datetime import datetime

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Request
from collector.api.desk.paging import Page, PagingByNumber, cut
from collector.api.desk.shapes import Number
from collector.contracts import Priority
from collector.desk import shadows as store


class ShadowTicket(BaseModel, from_attributes=True):
    id: int
    customer: str
    site: str | None
    device: str | None
    incident: str
    rule: str
    title: str
    priority: Priority
    would_have_opened_at: datetime
    began_at: datetime = Field(description="When the condition began to hold.")
    resolved_at: datetime | None = Field(description="When it was over, or became a ticket.")
    parent: int | None = Field(description="The shadow of the storm that it was the beginning of.")
    unstable_since: datetime | None = Field(description="Its fault comes and goes since then.")


class ShadowTicketPage(Page[ShadowTicket]):
    pass


class ShadowTicketFilter(PagingByNumber):
    customer: str | None = Field(default=None, max_length=64)
    site: str | None = Field(default=None, max_length=64)
    open: bool | None = Field(default=None, description="Not over yet.")


class ShadowTicketId(Request):
    id: Number


async def list_shadow_tickets(call: Call[ShadowTicketFilter, None]) -> ShadowTicketPage:
    asked, caller = call.params, call.caller
    customer, site = asked.customer or caller.customer, asked.site or caller.site
    if not caller.sees(customer, site):
        return ShadowTicketPage(items=[], next_cursor=None)
    found = await store.shadows_before(
        call.connection, asked.after, asked.limit + 1, customer=customer, site=site, is_open=asked.open
    )
    page, cursor = cut(found, asked.limit, lambda one: one.id)
    return ShadowTicketPage(items=[ShadowTicket.model_validate(one) for one in page], next_cursor=cursor)


async def get_shadow_ticket(call: Call[ShadowTicketId, None]) -> ShadowTicket:
    found = await store.find_shadow(call.connection, call.params.id)
    what = f"shadow ticket {call.params.id}"
    if found is None:
        raise missing(what)
    call.caller.require(what, found.customer, found.site)
    return ShadowTicket.model_validate(found)


def operations() -> list[AnyOperation]:
    return [
        Operation(
            "GET",
            "/shadow-tickets",
            "Shadow tickets, newest first",
            ShadowTicketFilter,
            None,
            ShadowTicketPage,
            list_shadow_tickets,
        ),
        Operation(
            "GET", "/shadow-tickets/{id}", "One shadow ticket", ShadowTicketId, None, ShadowTicket, get_shadow_ticket
        ),
    ]
