"""What a service model charges, as `service_models.yaml` says it: fees, hours, travel. `charging` reckons with it."""

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from protocol.wire import Kind

MAX_INCLUDED_MINUTES = 60 * 24 * 31
DEFAULT_CURRENCY = "EUR"
_WRITTEN = re.compile(r"\d{1,9}(\.\d{1,2})?")


def _exact(value: object) -> object:
    """Amounts come as text or as whole numbers: 95.10 without quotes is a binary fraction before we ever see it."""
    match value:
        case bool() | float():
            raise ValueError(f"write it in quotes, such as '95.50', not {value}")
        case str() if not _WRITTEN.fullmatch(value):
            raise ValueError(f"is an amount with at most two decimals, such as '95.50', not {value[:40]!r}")
        case _:
            return value


Money = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, max_digits=11, decimal_places=2)]
Percent = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, le=100, max_digits=5, decimal_places=2)]


class Per(StrEnum):
    """What is rounded, and has a minimum, as one."""

    TICKET = "ticket"  # all of a month's work on a ticket
    VISIT = "visit"  # all of a day's


class Travel(StrEnum):
    """How the way to the customer is charged."""

    AS_WORK = "as_work"
    CALL_OUT = "call_out"  # a fee for each day on which somebody travelled for a ticket
    FREE = "free"


class MaintenanceHours(StrEnum):
    """Whether work on rounds of regular maintenance counts as hours used."""

    CHARGED = "charged"
    FREE = "free"


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hours(_Written):
    """Work is charged by the hour."""

    rate: Money
    rounding_minutes: int = Field(default=15, ge=1, le=480)
    minimum_minutes: int = Field(default=0, ge=0, le=1440)
    per: Per = Per.TICKET
    included_minutes: int = Field(default=0, ge=0, le=MAX_INCLUDED_MINUTES)  # a month
    travel: Travel = Travel.AS_WORK
    call_out_fee: Money | None = None
    maintenance: MaintenanceHours = MaintenanceHours.CHARGED

    @model_validator(mode="after")
    def _a_call_out_has_its_fee(self) -> Self:
        if (self.travel is Travel.CALL_OUT) != (self.call_out_fee is not None):
            raise ValueError("'travel: call_out' and 'call_out_fee' belong together: write both or neither")
        return self


class Charge(_Written):
    """Without `hours`, time is only told. Parts are charged by what they cost, whatever the model."""

    currency: str = Field(default=DEFAULT_CURRENCY, pattern=r"^[A-Z]{3}$")
    vat_percent: Percent | None = None  # null: bills have no line for it
    monthly_fee: Money = Decimal(0)
    per_device: dict[Kind, Money] = Field(default_factory=dict)  # a month, by the device's kind
    hours: Hours | None = None
