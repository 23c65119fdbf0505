"""`/service-models`, `/slas`, `/support-levels`: what is sold and promised, as the files say. For the provider's own
tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Request
from collector.api.desk.paging import Page, PagingByName, cut
from collector.api.desk.refusals import Refusal
from collector.api.desk.shapes import Id
from collector.contracts import AlertOutcome, Priority, ServiceModels
from collector.contracts import service_models as models_store
from collector.contracts.charge import Charge
from collector.contracts.promises import Sla, SlaBook, SupportLevel
from collector.contracts.service_models import Seen
from protocol.wire import Kind

SECOND = timedelta(seconds=1)
T = TypeVar("T")


class OnboardingStep(BaseModel):
    nl: str
    en: str
    seen: Seen | None = Field(description="By what it is ticked without anybody; null: by a person.")


class ServiceModel(BaseModel):
    name: str
    title: str
    on_alert: AlertOutcome
    requires_monitoring_consent: bool
    priority_shift: int = Field(description="How many steps lower than the severity says a ticket starts.")
    charge: Charge
    sla: str | None = Field(description="Of a contract that names none; null: nothing is promised.")
    slas: list[str] = Field(description="That a contract may have.")
    support_level: str | None
    support_levels: list[str]
    monitored: list[Kind]
    maintained: list[str]
    reported: list[str]
    onboarding: list[OnboardingStep]
    onboards_by_itself: bool = Field(description="The ticket with these steps opens for a new customer unasked.")


class ServiceModelPage(Page[ServiceModel]):
    pass


class SlaTarget(BaseModel):
    priority: Priority
    response_seconds: int | None = Field(description="Null: not promised.")
    resolution_seconds: int | None


class PromisedSla(BaseModel):
    name: str
    title: str
    targets: list[SlaTarget]
    warn_at: float = Field(description="The share of a target at which a warning is given.")
    escalate_to: str | None


class SlaPage(Page[PromisedSla]):
    pass


class SupportHours(BaseModel):
    name: str
    title: str
    hours: str = Field(description="In which minutes count.")
    time_zone: str
    holidays: str
    worked_days: list[str]
    closing_days: dict[str, str] = Field(description="By date, or month and day of every year, its name.")


class SupportLevelPage(Page[SupportHours]):
    pass


class OfferName(Request):
    name: Id


@dataclass(frozen=True, slots=True)
class OfferOperations:
    models: ServiceModels
    book: SlaBook

    async def list_service_models(self, call: Call[PagingByName, None]) -> ServiceModelPage:
        page, cursor = _page(call, self.models)
        return ServiceModelPage(items=[_model(one) for one in page.values()], next_cursor=cursor)

    async def get_service_model(self, call: Call[OfferName, None]) -> ServiceModel:
        return _model(_named(call, "service model", self.models))

    async def list_slas(self, call: Call[PagingByName, None]) -> SlaPage:
        page, cursor = _page(call, self.book.slas)
        return SlaPage(items=[_sla(name, one) for name, one in page.items()], next_cursor=cursor)

    async def get_sla(self, call: Call[OfferName, None]) -> PromisedSla:
        return _sla(call.params.name, _named(call, "SLA", self.book.slas))

    async def list_support_levels(self, call: Call[PagingByName, None]) -> SupportLevelPage:
        page, cursor = _page(call, self.book.support_levels)
        return SupportLevelPage(items=[_level(name, one) for name, one in page.items()], next_cursor=cursor)

    async def get_support_level(self, call: Call[OfferName, None]) -> SupportHours:
        return _level(call.params.name, _named(call, "support level", self.book.support_levels))

    def operations(self) -> list[AnyOperation]:
        found: list[AnyOperation] = []
        for path, what, one, page, get_all, get_one in (
            (
                "/service-models",
                "service model",
                ServiceModel,
                ServiceModelPage,
                self.list_service_models,
                self.get_service_model,
            ),
            ("/slas", "SLA", PromisedSla, SlaPage, self.list_slas, self.get_sla),
            (
                "/support-levels",
                "support level",
                SupportHours,
                SupportLevelPage,
                self.list_support_levels,
                self.get_support_level,
            ),
        ):
            found += [
                Operation("GET", path, f"Each {what}, by name", PagingByName, None, page, get_all),
                Operation("GET", f"{path}/{{name}}", f"One {what}", OfferName, None, one, get_one),
            ]
        return found


def _require_provider(call: Call[Any, Any]) -> None:
    """Raises Refusal (403)."""
    if call.caller.customer is not None:
        raise Refusal(
            403, "forbidden", "what is sold is the provider's: this takes a token that is bound to no customer"
        )


def _page(call: Call[PagingByName, None], there: Mapping[str, T]) -> tuple[Mapping[str, T], str | None]:
    _require_provider(call)
    asked = call.params
    names = sorted(name for name in there if asked.after is None or name > asked.after)
    page, cursor = cut(names[: asked.limit + 1], asked.limit, lambda name: name)
    return {name: there[name] for name in page}, cursor


def _named(call: Call[OfferName, None], what: str, there: Mapping[str, T]) -> T:
    """Raises Refusal (403 or 404)."""
    _require_provider(call)
    name = call.params.name
    if name not in there:
        raise missing(f"{what} {name}")
    return there[name]


def _model(model: models_store.ServiceModel) -> ServiceModel:
    return ServiceModel(
        name=model.name,
        title=model.title,
        on_alert=model.on_alert,
        requires_monitoring_consent=model.requires_monitoring_consent,
        priority_shift=model.priority_shift,
        charge=model.charge,
        sla=model.sla,
        slas=list(model.may_carry_slas),
        support_level=model.support_level,
        support_levels=list(model.may_carry_support_levels),
        monitored=list(model.monitored),
        maintained=list(model.maintained),
        reported=list(model.reported),
        onboarding=[OnboardingStep(nl=one.nl, en=one.en, seen=one.seen) for one in model.onboarding],
        onboards_by_itself=model.onboards_by_itself,
    )


def _sla(name: str, sla: Sla) -> PromisedSla:
    return PromisedSla(
        name=name,
        title=sla.title,
        targets=[
            SlaTarget(
                priority=priority,
                response_seconds=_seconds(of.response),
                resolution_seconds=_seconds(of.resolution),
            )
            for priority, of in sorted(sla.targets.items())
        ],
        warn_at=sla.warn_at,
        escalate_to=sla.escalate_to,
    )


def _level(name: str, level: SupportLevel) -> SupportHours:
    return SupportHours(
        name=name,
        title=level.title,
        hours=level.hours,
        time_zone=level.time_zone,
        holidays=level.holidays,
        worked_days=list(level.worked_days),
        closing_days=dict(level.closing_days),
    )


def _seconds(length: timedelta | None) -> int | None:
    return None if length is None else length // SECOND
