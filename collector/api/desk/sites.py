"""`/customers/{customer}/sites`: where a customer's devices stand."""

from datetime import datetime

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Patch, Request
from collector.api.desk.paging import Page, PagingByName, cut
from collector.api.desk.shapes import Id
from collector.contracts import DEFAULT_HOLIDAYS
from collector.contracts.office_hours import DEFAULT_HOURS, MAX_HOURS_CHARS
from collector.fleet import customers as store
from collector.fleet.customers import DEFAULT_TIME_ZONE
from collector.fleet.errors import NotFoundError
from collector.fleet.roles import Role

HOLIDAYS = "Of which country, or none."


class Site(BaseModel):
    customer: str
    id: str
    name: str
    time_zone: str
    office_hours: str = Field(description="When people work there, by the clock there.")
    holidays: str = Field(description=HOLIDAYS)
    created_at: datetime


class SitePage(Page[Site]):
    pass


class SiteFilter(PagingByName):
    customer: Id


class SiteId(Request):
    customer: Id
    site: Id


class CustomerOfSite(Request):
    customer: Id


class NewSite(Request):
    id: Id = Field(examples=["hq"])
    name: str | None = Field(default=None, min_length=1, max_length=200, description="Its id, if it is left out.")
    time_zone: Id = Field(default=DEFAULT_TIME_ZONE, description="As the IANA names it.")
    office_hours: str = Field(default=DEFAULT_HOURS, min_length=1, max_length=MAX_HOURS_CHARS)
    holidays: str = Field(default=DEFAULT_HOLIDAYS, min_length=1, max_length=8, description=HOLIDAYS)


class SitePatch(Patch):
    name: str = Field(default="", min_length=1, max_length=200, examples=["Head office"])
    time_zone: Id = Field(default="", description="As the IANA names it.")
    office_hours: str = Field(default="", min_length=1, max_length=MAX_HOURS_CHARS)
    holidays: str = Field(default="", min_length=1, max_length=8, description=HOLIDAYS)


async def list_sites(call: Call[SiteFilter, None]) -> SitePage:
    asked, caller = call.params, call.caller
    await _require_customer(call, asked.customer)
    found = await store.sites_after(call.connection, asked.customer, asked.after, asked.limit + 1, only=caller.site)
    page, cursor = cut(found, asked.limit, lambda one: one.id)
    return SitePage(items=[_told(one) for one in page], next_cursor=cursor)


async def get_site(call: Call[SiteId, None]) -> Site:
    customer, site = call.params.customer, call.params.site
    call.caller.require(f"site {customer}/{site}", customer, site)
    try:
        return _told(await store.get_site(call.connection, customer, site))
    except NotFoundError:
        raise missing(f"site {customer}/{site}") from None


async def add_site(call: Call[CustomerOfSite, NewSite]) -> Site:
    customer, asked, actor = call.params.customer, call.body, call.caller.name
    call.caller.require(f"site {customer}/{asked.id}", customer, asked.id)
    await _require_customer(call, customer)
    await store.add_site(
        call.connection,
        customer=customer,
        site=asked.id,
        name=asked.name,
        time_zone=asked.time_zone,
        actor=actor,
        now=call.now,
    )
    if (asked.office_hours, asked.holidays) != (DEFAULT_HOURS, DEFAULT_HOLIDAYS):
        changes = {"office_hours": asked.office_hours, "holidays": asked.holidays}
        await store.change_site(call.connection, customer, asked.id, changes, actor=actor, now=call.now)
    return _told(await store.get_site(call.connection, customer, asked.id))


async def change_site(call: Call[SiteId, SitePatch]) -> Site:
    customer, site = call.params.customer, call.params.site
    found = await store.change_site(
        call.connection, customer, site, call.body.given(), actor=call.caller.name, now=call.now
    )
    return _told(found)


async def _require_customer(call: Call[SiteFilter, None] | Call[CustomerOfSite, NewSite], customer: str) -> None:
    """Raises Refusal (404)."""
    call.caller.require(f"customer {customer}", customer, call.caller.site)
    try:
        await store.get_customer(call.connection, customer)
    except NotFoundError:
        raise missing(f"customer {customer}") from None


def operations() -> list[AnyOperation]:
    at = "/customers/{customer}/sites"
    one = Operation("GET", f"{at}/{{site}}", "One site", SiteId, None, Site, get_site, role=Role.CONTACT)
    return [
        Operation("GET", at, "A customer's sites, by id", SiteFilter, None, SitePage, list_sites, role=Role.CONTACT),
        one,
        Operation("POST", at, "Add a site", CustomerOfSite, NewSite, Site, add_site, creates=True, role=Role.MANAGER),
        Operation(
            "PATCH",
            f"{at}/{{site}}",
            "Change a site",
            SiteId,
            SitePatch,
            Site,
            change_site,
            changes=one,
            role=Role.MANAGER,
        ),
    ]


def _told(site: store.Site) -> Site:
    return Site(
        customer=site.customer,
        id=site.id,
        name=site.name,
        time_zone=site.time_zone,
        office_hours=site.office_hours,
        holidays=site.holidays,
        created_at=site.created_at,
    )
