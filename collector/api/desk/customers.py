"""`/customers`: who is looked after, and on which plan."""

from datetime import datetime

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Request
from collector.api.desk.paging import Page, PagingByName, cut
from collector.fleet import customers as store
from collector.fleet.contracts import Contract, contract_at, list_contracts
from collector.fleet.errors import NotFoundError


class Customer(BaseModel):
    id: str
    name: str
    plan: str | None = Field(description="The one that holds now.")
    plan_since: datetime | None
    created_at: datetime
    ended_at: datetime | None


class Site(BaseModel):
    id: str
    name: str
    time_zone: str


class CustomerInFull(Customer):
    sites: list[Site] = Field(description="Those that the token sees.")


class CustomerPage(Page[Customer]):
    pass


class CustomerFilter(PagingByName):
    pass


class CustomerId(Request):
    id: str = Field(min_length=1, max_length=64)


async def list_customers(call: Call[CustomerFilter, None]) -> CustomerPage:
    asked = call.params
    found = [
        one
        for one in await store.list_customers(call.connection)
        if call.caller.sees(one.id, call.caller.site) and (asked.after is None or one.id > asked.after)
    ]
    page, cursor = cut(found[: asked.limit + 1], asked.limit, lambda one: one.id)
    held = {one.customer: one for one in await list_contracts(call.connection) if one.holds_at(call.now)}
    return CustomerPage(items=[Customer(**_fields(one, held.get(one.id))) for one in page], next_cursor=cursor)


async def get_customer(call: Call[CustomerId, None]) -> CustomerInFull:
    customer, caller = call.params.id, call.caller
    caller.require(f"customer {customer}", customer, caller.site)
    try:
        found = await store.get_customer(call.connection, customer)
    except NotFoundError:
        raise missing(f"customer {customer}") from None
    contract = await contract_at(call.connection, customer, call.now)
    sites = [
        Site(id=one.id, name=one.name, time_zone=one.time_zone)
        for one in await store.list_sites(call.connection, customer)
        if caller.sees(customer, one.id)
    ]
    return CustomerInFull(**_fields(found, contract), sites=sites)


def operations() -> list[AnyOperation]:
    return [
        Operation("GET", "/customers", "Customers, by id", CustomerFilter, None, CustomerPage, list_customers),
        Operation(
            "GET", "/customers/{id}", "One customer with its sites", CustomerId, None, CustomerInFull, get_customer
        ),
    ]


def _fields(customer: store.Customer, contract: Contract | None) -> dict[str, object]:
    return {
        "id": customer.id,
        "name": customer.name,
        "plan": contract.plan if contract else None,
        "plan_since": contract.valid_from if contract else None,
        "created_at": customer.created_at,
        "ended_at": customer.ended_at,
    }
