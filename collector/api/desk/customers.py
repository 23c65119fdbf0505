"""`/customers`: who is looked after, and on which plan."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.contracts import MonitoringConsent, Terms, as_agreed
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Patch, Request
from collector.api.desk.paging import Page, PagingByName, cut
from collector.api.desk.refusals import Refusal
from collector.api.desk.shapes import Id, When
from collector.contracts import ServiceModels
from collector.fleet import customers as store
from collector.fleet import silent
from collector.fleet.agreements import Agreement, Consent
from collector.fleet.contract_terms import Held, held_at
from collector.fleet.contracts import contracts_of
from collector.fleet.errors import NotFoundError
from collector.fleet.privacy import Privacy, load_privacy, set_privacy
from collector.fleet.roles import Role


class Customer(BaseModel):
    id: str
    name: str
    plan: str | None = Field(description="The one that holds now; null: there is no contract.")
    plan_since: datetime | None = Field(description="A change of anything else in the contract does not count.")
    silent_days: int = Field(description="After how many working days of silence it is asked about a device.")
    retire_automatically: bool = Field(description="Whether a device is retired when nobody answers that question.")
    created_at: datetime
    ended_at: datetime | None = Field(description="No longer looked after since then.")


class SiteOfCustomer(BaseModel):
    id: str
    name: str
    time_zone: str


class AllowedInInventories(Request):
    """What inventories may hold beside counts."""

    user_names: bool = False
    software: bool = False


class CustomerInFull(Customer):
    privacy: AllowedInInventories
    sites: list[SiteOfCustomer] = Field(description="Those that the token sees.")


class CustomerPage(Page[Customer]):
    pass


class NewCustomer(Terms):
    id: Id = Field(examples=["acme"])
    name: str = Field(min_length=1, max_length=200, examples=["Acme BV"])
    plan: Id = Field(examples=["monthly"], description="The service model of its contract.")
    valid_from: When | None = Field(
        default=None, description="When the contract began or begins, which may be long past: now, if it is left out."
    )
    monitoring_consent: MonitoringConsent | None = None


class CustomerPatch(Patch):
    name: str = Field(default="", min_length=1, max_length=200, examples=["Acme BV"])
    silent_days: int = Field(default=15, ge=1, le=silent.MAX_SILENT_DAYS)
    retire_automatically: bool = False
    privacy: AllowedInInventories = AllowedInInventories()


class CustomerFilter(PagingByName):
    pass


class CustomerId(Request):
    id: Id


@dataclass(frozen=True, slots=True)
class CustomerOperations:
    models: ServiceModels

    async def list_customers(self, call: Call[CustomerFilter, None]) -> CustomerPage:
        asked = call.params
        found = await store.customers_after(call.connection, asked.after, asked.limit + 1, only=call.caller.customer)
        page, cursor = cut(found, asked.limit, lambda one: one.id)
        held = held_at(await contracts_of(call.connection, [one.id for one in page]), call.now)
        return CustomerPage(items=[Customer(**_fields(one, held.get(one.id))) for one in page], next_cursor=cursor)

    async def get_customer(self, call: Call[CustomerId, None]) -> CustomerInFull:
        customer, caller = call.params.id, call.caller
        caller.require(f"customer {customer}", customer, caller.site)
        try:
            found = await store.get_customer(call.connection, customer)
        except NotFoundError:
            raise missing(f"customer {customer}") from None
        held = held_at(await contracts_of(call.connection, [customer]), call.now).get(customer)
        sites = [
            SiteOfCustomer(id=one.id, name=one.name, time_zone=one.time_zone)
            for one in await store.list_sites(call.connection, customer)
            if caller.sees(customer, one.id)
        ]
        allowed = (await load_privacy(call.connection, customer)).get(customer, Privacy())
        privacy = AllowedInInventories(user_names=allowed.user_names, software=allowed.software)
        return CustomerInFull(**_fields(found, held), sites=sites, privacy=privacy)

    async def add_customer(self, call: Call[NoParameters, NewCustomer]) -> CustomerInFull:
        asked, caller = call.body, call.caller
        if caller.customer is not None:
            raise Refusal(403, "forbidden", f"this token is of {caller.customer} alone")
        consent = asked.monitoring_consent
        await store.add_customer(
            call.connection,
            self.models,
            customer=asked.id,
            name=asked.name,
            plan=asked.plan,
            consent=None if consent is None else Consent.parse(f"{consent.by}, {consent.on}"),
            agreement=Agreement(**as_agreed({name: getattr(asked, name) for name in Terms.model_fields})),
            valid_from=asked.valid_from,
            actor=caller.name,
            now=call.now,
        )
        return await self._now(call, asked.id)

    async def change_customer(self, call: Call[CustomerId, CustomerPatch]) -> CustomerInFull:
        customer, given, actor = call.params.id, call.body.given(), call.caller.name
        was = await store.get_customer(call.connection, customer)
        if "name" in given:
            await store.rename_customer(call.connection, customer, given["name"], actor=actor, now=call.now)
        if "silent_days" in given or "retire_automatically" in given:
            await silent.set_silence(
                call.connection,
                customer,
                days=given.get("silent_days", was.silent_days),
                retire_automatically=given.get("retire_automatically", was.retire_automatically),
                actor=actor,
                now=call.now,
            )
        if "privacy" in given:
            allowed = call.body.privacy
            await set_privacy(
                call.connection,
                customer,
                user_names=allowed.user_names,
                software=allowed.software,
                actor=actor,
                now=call.now,
            )
        return await self._now(call, customer)

    async def _now(
        self, call: Call[NoParameters, NewCustomer] | Call[CustomerId, CustomerPatch], customer: str
    ) -> CustomerInFull:
        return await self.get_customer(Call(call.caller, call.connection, call.now, CustomerId(id=customer), None))

    def operations(self) -> list[AnyOperation]:
        one = Operation(
            "GET",
            "/customers/{id}",
            "One customer with its sites",
            CustomerId,
            None,
            CustomerInFull,
            self.get_customer,
            role=Role.CONTACT,
        )
        return [
            Operation(
                "GET",
                "/customers",
                "Customers, by id",
                CustomerFilter,
                None,
                CustomerPage,
                self.list_customers,
                role=Role.CONTACT,
            ),
            one,
            Operation(
                "POST",
                "/customers",
                "Add a customer",
                NoParameters,
                NewCustomer,
                CustomerInFull,
                self.add_customer,
                creates=True,
                role=Role.MANAGER,
                description="With a contract that begins now.",
            ),
            Operation(
                "PATCH",
                "/customers/{id}",
                "Change a customer",
                CustomerId,
                CustomerPatch,
                CustomerInFull,
                self.change_customer,
                changes=one,
                role=Role.MANAGER,
            ),
        ]


def _fields(customer: store.Customer, held: Held | None) -> dict[str, object]:
    return {
        "id": customer.id,
        "name": customer.name,
        "plan": held.contract.plan if held else None,
        "plan_since": held.plan_since if held else None,
        "silent_days": customer.silent_days,
        "retire_automatically": customer.retire_automatically,
        "created_at": customer.created_at,
        "ended_at": customer.ended_at,
    }
