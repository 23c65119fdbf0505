"""What is agreed in a contract beside its plan, and what of it cannot be."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Self

from collector.contracts import ServiceModel
from collector.contracts.charge import MAX_INCLUDED_MINUTES
from collector.contracts.currencies import is_currency
from collector.contracts.scope import ContractScope
from collector.db.text import one_line
from collector.fleet.errors import FleetError
from protocol.wire import Kind

MAX_TERM_MONTHS = 600
MAX_AMOUNT = Decimal(10**9)
MAX_NUMBER_CHARS = 64
MAX_SCOPE_NAMES = 200


@dataclass(frozen=True, slots=True)
class Consent:
    """Who at the customer agreed to be monitored, and when, as it was given."""

    by: str
    on: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """`who, date`. Raises FleetError."""
        by, _, on = (part.strip() for part in one_line(text).rpartition(","))
        if not by or not on:
            raise FleetError(
                f"write a monitoring consent as 'who, date', such as 'J. Jansen, 2026-03-01', not {text!r}"
            )
        if len(by) > 200 or len(on) > 64:
            raise FleetError("a monitoring consent names a person in at most 200 characters and a date in at most 64")
        return cls(by, on)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a contract says itself; None: as its service model says, and for all that the customer has."""

    number: str | None = None  # of the signed document
    signed_on: date | None = None
    term_months: int | None = None
    fee: Decimal | None = None  # a month
    hourly_rate: Decimal | None = None
    included_minutes: int | None = None  # a month
    currency: str | None = None
    sla: str | None = None
    support_level: str | None = None
    scope: ContractScope | None = None

    def told(self) -> dict[str, object]:
        """What it says, as JSON holds it; money as text."""
        told: dict[str, object] = {}
        for field in fields(self):
            match getattr(self, field.name):
                case None:
                    continue
                case ContractScope() as scope:
                    told[field.name] = scope.as_json()
                case date() | Decimal() as value:
                    told[field.name] = str(value)
                case value:
                    told[field.name] = value
        return told


AS_THE_MODEL_SAYS = Agreement()


def problems_of(agreement: Agreement, model: ServiceModel) -> Iterator[str]:
    """What is wrong with an agreement under a service model."""
    if agreement.number is not None and not (
        1 <= len(agreement.number) <= MAX_NUMBER_CHARS and one_line(agreement.number) == agreement.number
    ):
        yield f"the number of the document has 1 to {MAX_NUMBER_CHARS} characters on one line"
    if agreement.term_months is not None and not 1 <= agreement.term_months <= MAX_TERM_MONTHS:
        yield f"the term is 1 to {MAX_TERM_MONTHS} months, not {agreement.term_months}"
    for name, amount in (("fee", agreement.fee), ("hourly rate", agreement.hourly_rate)):
        if amount is not None and not (amount.is_finite() and 0 <= amount < MAX_AMOUNT):
            yield f"the {name} is an amount from 0 to {MAX_AMOUNT:,}, not {amount}"
        elif amount is not None and amount != round(amount, 2):
            yield f"the {name} has at most two decimals, not {amount}"
    if agreement.included_minutes is not None and not 0 <= agreement.included_minutes <= MAX_INCLUDED_MINUTES:
        yield f"included are 0 to {MAX_INCLUDED_MINUTES} minutes a month, not {agreement.included_minutes}"
    if agreement.currency is not None and not is_currency(agreement.currency):
        yield f"there is no currency {agreement.currency[:40]!r}: write its ISO 4217 code, such as EUR"
    carried = (
        ("SLA", agreement.sla, model.may_carry_slas),
        ("support level", agreement.support_level, model.may_carry_support_levels),
    )
    for what, wanted, allowed in carried:
        if wanted is not None and wanted not in allowed:
            yield (
                f"a contract of plan {model.name} may not have the {what} {wanted[:64]!r}; "
                + (f"it may have {', '.join(allowed)}" if allowed else "it has none")
            )
    if agreement.scope is not None:
        yield from _odd_scope(agreement.scope)


def _odd_scope(scope: ContractScope) -> Iterator[str]:
    for what, names in asdict(scope).items():
        if len(names) > MAX_SCOPE_NAMES:
            yield f"a scope names at most {MAX_SCOPE_NAMES} {what}"
    if not any(asdict(scope).values()):
        yield "a scope that names nothing covers nothing: name sites, kinds, tags or devices, or leave it out"
    unknown = sorted(set(scope.kinds) - {kind.value for kind in Kind})
    if unknown:
        yield f"the scope names unknown kinds: {', '.join(unknown)[:200]}; there are {', '.join(Kind)}"
