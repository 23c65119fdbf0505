"""Bills as programs read them: the same from the command line and from the API."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field, PlainSerializer

from collector.contracts.charging import Line, LineKind
from collector.fleet.people import Language
from collector.reporting.bill_words import BillWords
from collector.reporting.billing import Bill, ContractBill

# As text: JSON's numbers are floats to many who read them.
Amount = Annotated[Decimal, PlainSerializer(lambda amount: f"{amount:f}", return_type=str)]


class BillLine(BaseModel):
    kind: LineKind
    text: str
    tickets: Sequence[int]
    minutes: int | None = Field(description="As logged, on the ticket.")
    rounded_minutes: int | None
    included_minutes: int | None = Field(description="Of the rounded ones, those that the month's fee includes.")
    charged_minutes: int | None
    days: int | None = Field(description="Days, or days of devices in sum, of `of_days` that a fee is for.")
    of_days: int | None
    quantity: Amount = Field(
        description="Months, months of devices, hours, visits or pieces; times the unit price, rounded to the cent, "
        "half up, it is the amount."
    )
    unit_price: Amount
    price_from: str = Field(description="Who sets the price: model, contract or ticket.")
    amount: Amount = Field(description="Without VAT.")
    vat_percent: Amount | None
    currency: str


class UnchargedTime(BaseModel):
    ticket: int
    minutes: int
    why: str


class ContractOfBill(BaseModel):
    contract: int
    model: str
    days: int = Field(description="Of the month, that count for this contract.")
    lines: list[BillLine]
    uncharged: list[UnchargedTime]


class Vat(BaseModel, from_attributes=True):
    percent: Amount
    net: Amount
    amount: Amount


class TotalOfBill(BaseModel, from_attributes=True):
    currency: str
    net: Amount
    vat: list[Vat]
    gross: Amount


class MonthlyBill(BaseModel):
    customer: str
    name: str
    language: Language = Field(description="Of `text` and `why`: the main contact's, Dutch without one.")
    month: str
    time_zone: str
    minutes: int = Field(description="Logged in the month, charged or not.")
    contracts: list[ContractOfBill]
    totals: list[TotalOfBill]
    notices: list[str] = Field(
        description="For who sends the bill, in English: what is not billed, or not known yet, and why."
    )


def told(bill: Bill) -> MonthlyBill:
    words = BillWords(bill.language)
    return MonthlyBill(
        customer=bill.customer,
        name=bill.name,
        language=bill.language,
        month=str(bill.month),
        time_zone=bill.time_zone,
        minutes=bill.minutes,
        contracts=[_contract(one, words) for one in bill.contracts],
        totals=[TotalOfBill.model_validate(one) for one in bill.totals],
        notices=list(bill.notices),
    )


def _contract(bill: ContractBill, words: BillWords) -> ContractOfBill:
    return ContractOfBill(
        contract=bill.contract,
        model=bill.model,
        days=bill.days,
        lines=[told_line(line, words) for line in bill.lines],
        uncharged=[
            UnchargedTime(ticket=one.ticket, minutes=one.minutes, why=words.why_not(one, bill.model))
            for one in bill.uncharged
        ],
    )


def told_line(line: Line, words: BillWords) -> BillLine:
    return BillLine(
        kind=line.kind,
        text=words.line(line),
        tickets=line.tickets,
        minutes=line.minutes,
        rounded_minutes=line.rounded_minutes,
        included_minutes=line.included_minutes,
        charged_minutes=line.charged_minutes,
        days=line.days,
        of_days=line.of_days,
        quantity=line.quantity,
        unit_price=line.price.amount,
        price_from=line.price.source,
        amount=line.amount,
        vat_percent=line.vat_percent,
        currency=line.currency,
    )
