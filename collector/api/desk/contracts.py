"""`/contracts`: what was agreed with customers, from when to when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Patch, Request
from collector.api.desk.paging import Page, PagingByNumber, cut
from collector.api.desk.refusals import Refusal
from collector.api.desk.shapes import Day, Id, Money, Number, When
from collector.contracts import Charge, ServiceModels
from collector.contracts.charge import MAX_INCLUDED_MINUTES
from collector.contracts.scope import ContractScope
from collector.contracts.term import Term
from collector.fleet import contracts as store
from collector.fleet.agreements import MAX_NUMBER_CHARS, MAX_SCOPE_NAMES, MAX_TERM_MONTHS, Agreement, Consent
from collector.fleet.contract_terms import term_of_contract, terms_of_contracts
from collector.fleet.errors import NotFoundError
from collector.fleet.roles import Role
from collector.incidents.onboarding import OnboardingError, onboard
from protocol.wire import Kind


class ScopeOfContract(Request):
    """What a contract covers: the devices named, and those at one of the sites, of one of the kinds and with one of the
    tags, as far as sites, kinds and tags are named."""

    sites: list[Id] = Field(default_factory=list, max_length=MAX_SCOPE_NAMES)
    kinds: list[Kind] = Field(default_factory=list, max_length=len(Kind))
    tags: list[Id] = Field(default_factory=list, max_length=MAX_SCOPE_NAMES)
    devices: list[Id] = Field(default_factory=list, max_length=MAX_SCOPE_NAMES)


class MonitoringConsent(Request):
    """Who at the customer agreed to be monitored, and when, as it was given."""

    by: str = Field(min_length=1, max_length=200)
    on: str = Field(min_length=1, max_length=64, examples=["2026-03-01"])


MODEL_SAYS = "Null: as the service model says."


class ContractBody(BaseModel):
    number: str | None = Field(description="Of the signed document.")
    signed_on: Day | None
    term_months: int | None = Field(description="For how long it was agreed; null: until further notice.")
    fee: Money | None = Field(description=f"A month. {MODEL_SAYS}")
    hourly_rate: Money | None = Field(description=MODEL_SAYS)
    included_minutes: int | None = Field(description=f"A month. {MODEL_SAYS}")
    currency: str | None = Field(description=f"ISO 4217. {MODEL_SAYS}")
    sla: str | None = Field(description=MODEL_SAYS)
    support_level: str | None = Field(description=MODEL_SAYS)
    scope: ScopeOfContract | None = Field(description="Null: all that the customer has.")
    monitoring_consent: MonitoringConsent | None


class Contract(ContractBody):
    id: int
    customer: str
    plan: str = Field(description="Its service model.")
    valid_from: datetime
    valid_to: datetime | None = Field(description="From when on it no longer holds; null: until further notice.")
    charge: Charge | None = Field(
        description="The model's prices as they were agreed; null: as its file says now, of a contract from before."
    )
    term_ends_at: datetime | None = Field(description="When it is over, or its term is; null: nothing ends by itself.")
    renews_for_months: int | None = Field(description="For how long it then goes on, unless it is ended.")
    followed_by: int | None = Field(description="The contract that holds from then on, such as after a change.")


class ContractPage(Page[Contract]):
    pass


class Terms(Request):
    """What is agreed for all that a customer has; what is left out is as the service model says."""

    number: str | None = Field(default=None, min_length=1, max_length=MAX_NUMBER_CHARS, examples=["2026-014"])
    signed_on: Day | None = None
    term_months: int | None = Field(default=None, ge=1, le=MAX_TERM_MONTHS)
    fee: Money | None = None
    hourly_rate: Money | None = None
    included_minutes: int | None = Field(default=None, ge=0, le=MAX_INCLUDED_MINUTES)
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$", examples=["EUR"])
    sla: Id | None = None
    support_level: Id | None = None


class Wanted(Terms):
    valid_to: When | None = None
    scope: ScopeOfContract | None = None
    monitoring_consent: MonitoringConsent | None = None


class NewContract(Wanted):
    customer: Id
    plan: Id = Field(description="Its service model.", examples=["monthly"])
    valid_from: When | None = Field(default=None, description="Now, if it is left out.")


class ContractPatch(Wanted, Patch):
    """A change, which takes effect at `starts_at`: until then the contract stays as it was, and what follows has an id
    of its own. One that has not begun is changed as it is."""

    starts_at: When | None = Field(default=None, description="Now, if it is left out.")
    current_prices: bool = Field(default=False, description="Take the model's prices of now; else they stay as agreed.")
    plan: Id = Field(default="", description="Another service model.")


class Onboarding(BaseModel, from_attributes=True):
    customer: str
    model: str
    begins_at: datetime
    ticket: int | None = Field(description="Null: it opens when the contract begins.")
    title: str


class ContractFilter(PagingByNumber):
    customer: str | None = Field(default=None, max_length=64, description="Only those of this customer.")
    holding: bool = Field(default=False, description="Only those that hold now.")


class ContractId(Request):
    id: Number


class ContractEnd(ContractId):
    ends_at: When | None = Field(default=None, description="From when on it no longer holds: now, if it is left out.")


@dataclass(frozen=True, slots=True)
class ContractOperations:
    models: ServiceModels

    async def list_contracts(self, call: Call[ContractFilter, None]) -> ContractPage:
        asked, caller = call.params, call.caller
        customer = asked.customer or caller.customer
        if customer is not None and not caller.sees(customer):
            return ContractPage(items=[], next_cursor=None)
        found = await store.contracts_before(
            call.connection,
            asked.after,
            asked.limit + 1,
            customer=customer,
            holding_at=call.now if asked.holding else None,
        )
        page, cursor = cut(found, asked.limit, lambda one: one.id)
        of_customers = await store.contracts_of(call.connection, {one.customer for one in page})
        terms = terms_of_contracts(of_customers, call.now)
        return ContractPage(items=[_told(one, terms[one.id]) for one in page], next_cursor=cursor)

    async def get_contract(self, call: Call[ContractId, None]) -> Contract:
        try:
            found = await store.get_contract(call.connection, call.params.id)
        except NotFoundError:
            raise missing(f"contract {call.params.id}") from None
        call.caller.require(f"contract {call.params.id}", found.customer)
        return await _shown(call, found)

    async def add_contract(self, call: Call[NoParameters, NewContract]) -> Contract:
        asked = call.body
        call.caller.require(f"customer {asked.customer}", asked.customer)
        given = {name: getattr(asked, name) for name in (*Agreement.__annotations__, "monitoring_consent")}
        changes = as_agreed(given)
        consent = changes.pop("consent")
        made = await store.add_contract(
            call.connection,
            self.models,
            customer=asked.customer,
            plan=asked.plan,
            agreement=Agreement(**changes),
            consent=consent,
            valid_from=asked.valid_from or call.now,
            valid_to=asked.valid_to,
            actor=call.caller.name,
            now=call.now,
        )
        return await _shown(call, made)

    async def change_contract(self, call: Call[ContractId, ContractPatch]) -> Contract:
        changes = as_agreed(call.body.given())
        starts_at = changes.pop("starts_at", None) or call.now
        current_prices = bool(changes.pop("current_prices", False))
        found = await store.change_contract(
            call.connection,
            self.models,
            call.params.id,
            changes=changes,
            starts_at=starts_at,
            current_prices=current_prices,
            actor=call.caller.name,
            now=call.now,
        )
        return await _shown(call, found)

    async def end_contract(self, call: Call[ContractEnd, None]) -> Contract:
        ends_at = call.params.ends_at or call.now
        actor = call.caller.name
        ended = await store.end_contract(call.connection, call.params.id, ends_at=ends_at, actor=actor, now=call.now)
        return await _shown(call, ended)

    async def onboard_customer(self, call: Call[ContractId, None]) -> Onboarding:
        await self.get_contract(call)
        try:
            made = await onboard(call.connection, self.models, call.params.id, actor=call.caller.name, now=call.now)
        except OnboardingError as error:
            raise Refusal(409, "conflict", str(error)) from error
        return Onboarding.model_validate(made)

    def operations(self) -> list[AnyOperation]:
        one = Operation(
            "GET",
            "/contracts/{id}",
            "One contract",
            ContractId,
            None,
            Contract,
            self.get_contract,
            moving=frozenset({"term_ends_at", "renews_for_months", "followed_by"}),
        )
        return [
            Operation(
                "GET", "/contracts", "Contracts, newest first", ContractFilter, None, ContractPage, self.list_contracts
            ),
            one,
            Operation(
                "POST",
                "/contracts",
                "Add a contract",
                NoParameters,
                NewContract,
                Contract,
                self.add_contract,
                creates=True,
                role=Role.MANAGER,
                description="For a time in which the customer has no other.",
            ),
            Operation(
                "PATCH",
                "/contracts/{id}",
                "Change a contract from a time on",
                ContractId,
                ContractPatch,
                Contract,
                self.change_contract,
                changes=one,
                role=Role.MANAGER,
                description="Until then it stays as it was; the answer is what holds then, which may have another id.",
            ),
            Operation(
                "POST",
                "/contracts/{id}/onboard",
                "Have the customer taken on, with a ticket",
                ContractId,
                None,
                Onboarding,
                self.onboard_customer,
                creates=True,
                works_on=one,
                role=Role.MANAGER,
                description="Its checklist has the steps that the plan names; once for each customer and plan.",
            ),
            Operation(
                "DELETE",
                "/contracts/{id}",
                "End a contract",
                ContractEnd,
                None,
                Contract,
                self.end_contract,
                changes=one,
                role=Role.MANAGER,
            ),
        ]


def as_agreed(given: Mapping[str, Any]) -> dict[str, Any]:
    """As the store takes it: money as decimals, scope and consent as what they are."""
    changes = dict(given)
    for name in ("fee", "hourly_rate"):
        if changes.get(name) is not None:
            changes[name] = Decimal(changes[name])
    if changes.get("scope") is not None:
        changes["scope"] = ContractScope(**{name: tuple(names) for name, names in changes["scope"]})
    if "monitoring_consent" in changes:
        consent = changes.pop("monitoring_consent")
        changes["consent"] = None if consent is None else Consent.parse(f"{consent.by}, {consent.on}")
    return changes


async def _shown(call: Call[Any, Any], contract: store.Contract) -> Contract:
    return _told(contract, await term_of_contract(call.connection, contract, call.now))


def _told(contract: store.Contract, term: Term | None) -> Contract:
    agreement, consent = contract.agreement, contract.consent
    said = {name: getattr(agreement, name) for name in Agreement.__annotations__ if name != "scope"}
    said |= {name: None if said[name] is None else f"{said[name]:f}" for name in ("fee", "hourly_rate")}
    return Contract(
        id=contract.id,
        customer=contract.customer,
        plan=contract.plan,
        valid_from=contract.valid_from,
        valid_to=contract.valid_to,
        scope=None if agreement.scope is None else ScopeOfContract.model_validate(agreement.scope.as_json()),
        monitoring_consent=None if consent is None else MonitoringConsent(by=consent.by, on=consent.on),
        charge=contract.charge,
        term_ends_at=None if term is None else term.ends_at,
        renews_for_months=None if term is None else term.renews_for,
        followed_by=None if term is None else term.followed_by,
        **said,
    )
