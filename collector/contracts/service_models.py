"""Service models: what a provider sells, as data. A third one is a paragraph of YAML, not code."""

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, TypeAdapter, model_validator

from collector.contracts.agreement_files import AgreementFileError, Written, own_text, parse, place_of
from collector.contracts.charge import Charge
from collector.contracts.promises import Name, SlaBook, Title, load_sla_book
from protocol.errors import PermanentError
from protocol.wire import Kind

SHIPPED = Path(__file__).with_name("service_models.yaml")
OWN_NAME = "service_models.yaml"  # in the data folder

ServiceModelError = AgreementFileError


class UnknownPlanError(PermanentError):
    """There is no service model of this name."""


class AlertOutcome(StrEnum):
    """What a firing alert becomes."""

    TICKET = "ticket"
    SHADOW = "shadow"
    ASK_TECHNICIAN = "ask_technician"


class Report(StrEnum):
    """The reports that there are: `report NAME`."""

    BILLING = "billing"
    MAINTENANCE = "maintenance"


def _kinds(value: object) -> object:
    match value:
        case True:
            return tuple(Kind)
        case False:
            return ()
        case _:
            return value


# Of devices. In the file `true` is all of them, and `false` none.
Kinds = Annotated[tuple[Kind, ...], BeforeValidator(_kinds)]


class Seen(StrEnum):
    """What the collector can see by itself of taking a customer on."""

    CONTRACT_SIGNED = "contract_signed"  # with the day on which it was
    CONTACT_HAS_ACCESS = "contact_has_access"  # a password, or a token
    DEVICES_REPORT = "devices_report"  # all that were enrolled, and at least one
    TICKET_ASSIGNED = "ticket_assigned"  # one of the customer's since then, rounds of maintenance excepted
    TICKET_RESOLVED = "ticket_resolved"
    TICKET_EXPLAINED = "ticket_explained"  # resolved, with cause and solution


class Step(Written):
    """A step of taking a customer on, in both languages. `seen`: by what it is done without anybody ticking it."""

    nl: Title
    en: Title
    seen: Seen | None = None


class WrittenModel(Written):
    """A model as it stands in the file, under its name."""

    title: Title
    on_alert: AlertOutcome
    requires_monitoring_consent: bool = False
    priority_shift: int = Field(default=0, ge=0, le=3)
    charge: Charge = Charge()
    sla: Name | None = None
    slas: tuple[Name, ...] = Field(default=(), max_length=100)
    support_level: Name | None = None
    support_levels: tuple[Name, ...] = Field(default=(), max_length=100)
    monitored: Kinds = tuple(Kind)
    maintained: tuple[Name, ...] = Field(default=(), max_length=100)
    reported: tuple[Report, ...] = Field(default=tuple(Report), max_length=100)
    onboarding: tuple[Step, ...] = Field(default=(), max_length=50)
    onboards_by_itself: bool = False

    @model_validator(mode="after")
    def _a_promise_is_whole(self) -> Self:
        if (self.sla is None) != (self.support_level is None):
            raise ValueError("'sla' and 'support_level' belong together: write both or neither")
        if self.slas and not (self.support_levels or self.support_level):
            raise ValueError("names 'slas' that a contract may have, and no 'support_levels' for their hours")
        return self

    @model_validator(mode="after")
    def _there_are_steps(self) -> Self:
        if self.onboards_by_itself and not self.onboarding:
            raise ValueError("'onboards_by_itself' needs steps: name them under 'onboarding'")
        return self

    @property
    def may_carry_slas(self) -> tuple[str, ...]:
        """What a contract may name, the default first."""
        return _with_default(self.sla, self.slas)

    @property
    def may_carry_support_levels(self) -> tuple[str, ...]:
        return _with_default(self.support_level, self.support_levels)


class ServiceModel(WrittenModel):
    name: str


ServiceModels = Mapping[str, ServiceModel]  # by name


def model_named(models: ServiceModels, name: str) -> ServiceModel:
    """Raises UnknownPlanError, which lists what there is."""
    if name not in models:
        raise UnknownPlanError(f"there is no plan {name!r}; choose one of {', '.join(models)}")
    return models[name]


def load_service_models(data: Path | None = None) -> ServiceModels:
    """The models shipped, with those of `data`/service_models.yaml added or in their place; the SLAs and support levels
    that they name are there.

    Raises ServiceModelError, also for what `data`/sla.yaml has wrong.
    """
    models = dict(_shipped())
    path = data / OWN_NAME if data is not None else None
    text = own_text(path) if path is not None else None
    if text is not None:
        book = load_sla_book(data)
        models |= parse_service_models(text, str(path), book)
    return models


def parse_service_models(text: str, source: str, book: SlaBook | None = None) -> dict[str, ServiceModel]:
    """The models that `text` (YAML) describes; `source` names it in errors, `book` has the SLAs that they may name: by
    default what is shipped.

    Raises ServiceModelError with all problems at once."""
    written = parse(_FILE, text, source)
    known = load_sla_book() if book is None else book
    unknown = [
        f"{source}:{place_of(text, name, field)}: {name}.{field}: there is no {what} {wanted!r}; "
        f"write it into sla.yaml, or name one of {', '.join(there)}"
        for name, model in written.items()
        for field, what, wanted, there in _unknown_names(model, known)
    ]
    if unknown:
        raise ServiceModelError("\n".join(unknown))
    return {name: ServiceModel(name=name, **dict(model)) for name, model in written.items()}


def _unknown_names(model: WrittenModel, book: SlaBook) -> Iterator[tuple[str, str, str, Collection[str]]]:
    """Field, kind of thing, name, and those that there are."""
    named: list[tuple[str, str, tuple[str | None, ...], Collection[str]]] = [
        ("sla", "SLA", (model.sla,), book.slas),
        ("slas", "SLA", model.slas, book.slas),
        ("support_level", "support level", (model.support_level,), book.support_levels),
        ("support_levels", "support level", model.support_levels, book.support_levels),
    ]
    for field, what, names, there in named:
        for name in names:
            if name is not None and name not in there:
                yield field, what, name, there


def _with_default(default: str | None, names: tuple[str, ...]) -> tuple[str, ...]:
    return names if default is None else (default, *(name for name in names if name != default))


@lru_cache(maxsize=1)
def _shipped() -> ServiceModels:
    return parse_service_models(SHIPPED.read_text(encoding="utf-8"), str(SHIPPED))


_FILE = TypeAdapter(dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")], WrittenModel])
