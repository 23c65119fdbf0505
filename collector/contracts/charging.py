"""What a month costs: pure functions of what was agreed and what was done, in Decimal alone.

Every line is rounded to the cent, half up, and a total is the sum of its lines; VAT is reckoned on the sum of what
bears it. The quantity of a line has as many places as it takes that it makes the amount, times the price and rounded.
The minutes of a unit, which is a ticket or a day of it, are rounded up; included minutes are used up ticket by ticket,
by number. So more minutes never cost less, and tickets charged one by one cost what they cost together, unless they
share included minutes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from itertools import count

from collector.contracts.charge import Charge, Hours, MaintenanceHours, Per, Travel

CENT = Decimal("0.01")
MINUTES_PER_HOUR = 60


class LineKind(StrEnum):
    FEE = "fee"
    DEVICES = "devices"
    HOURS = "hours"
    CALL_OUT = "call_out"
    PART = "part"


@dataclass(frozen=True, slots=True)
class Price:
    amount: Decimal
    source: str  # who says so: `model monthly`, `contract 12`, `ticket 1001`


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a contract says itself; None: as its model says."""

    contract: int
    fee: Decimal | None = None  # a month
    hourly_rate: Decimal | None = None
    included_minutes: int | None = None  # a month
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds under a contract, each price with who says so. `hours` None: time is told, not charged."""

    contract: int
    model: str
    currency: str
    vat_percent: Decimal | None
    fee: Price
    per_device: Mapping[str, Price]
    hours: Hours | None
    rate: Price | None
    included_minutes: int
    notices: tuple[str, ...] = ()  # what of the contract or its model cannot be charged, and why


@dataclass(frozen=True, slots=True)
class Worked:
    """One entry of the work log. `day` is the local one on which it began."""

    ticket: int
    day: date
    minutes: int
    is_travel: bool = False
    is_billable: bool = True
    is_maintenance: bool = False


@dataclass(frozen=True, slots=True)
class PartUsed:
    ticket: int
    description: str
    quantity: Decimal
    unit_price: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class DeviceDays:
    """Devices of one kind, and for how many days in sum they were looked after."""

    devices: int
    days: int


@dataclass(frozen=True, slots=True)
class Line:
    """`amount` is without VAT; minutes are the ticket's: as logged, rounded up, of these included, and charged."""

    kind: LineKind
    amount: Decimal
    currency: str
    vat_percent: Decimal | None
    price: Price  # of one unit
    quantity: Decimal  # months, months of devices, hours, visits, pieces; times the price, rounded, it is the amount
    of: str = ""  # the kind of the devices; what the part is
    tickets: tuple[int, ...] = ()
    devices: int | None = None
    days: int | None = None  # of `of_days`, that a fee is for; of devices in sum
    of_days: int | None = None
    on: tuple[date, ...] = ()  # the days of call-outs
    minutes: int | None = None
    rounded_minutes: int | None = None
    included_minutes: int | None = None
    charged_minutes: int | None = None


class WhyNot(StrEnum):
    """Why time is only told."""

    NO_HOURS = "no_hours"  # the model charges none
    NOT_BILLABLE = "not_billable"
    IN_THE_FEE = "in_the_fee"  # maintenance
    BY_THE_VISIT = "by_the_visit"  # travel
    FREE = "free"  # travel


@dataclass(frozen=True, slots=True)
class Uncharged:
    """Time that is only told."""

    ticket: int
    minutes: int
    why: WhyNot


@dataclass(frozen=True, slots=True)
class Charged:
    lines: tuple[Line, ...]
    uncharged: tuple[Uncharged, ...] = ()


@dataclass(frozen=True, slots=True)
class VatLine:
    percent: Decimal
    net: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Total:
    currency: str
    net: Decimal
    vat: tuple[VatLine, ...]
    gross: Decimal


def terms_of(model: str, charge: Charge, agreed: Agreed) -> Terms:
    """A contract's own fee, rate and minutes stand before its model's. If it is in another currency than its model, the
    model's amounts hold for nothing, since nobody said what they are in that currency: a notice names each."""
    ours, theirs = f"contract {agreed.contract}", f"model {model}"
    currency = agreed.currency or charge.currency
    notices: list[str] = []

    def of_model(what: str, amount: Decimal) -> Price:
        if currency != charge.currency and amount:
            notices.append(
                f"{ours} is in {currency}, and its {what} stands in {theirs} in {charge.currency}: it is not charged"
            )
            return Price(Decimal(0), theirs)
        return Price(amount, theirs)

    def either(what: str, own: Decimal | None, amount: Decimal) -> Price:
        return of_model(what, amount) if own is None else Price(own, ours)

    hours = charge.hours
    rate, included = None, 0
    if hours is not None:
        rate = either("hourly rate", agreed.hourly_rate, hours.rate)
        included = hours.included_minutes if agreed.included_minutes is None else agreed.included_minutes
        if hours.call_out_fee is not None:
            fee = of_model("call-out fee", hours.call_out_fee)
            hours = hours.model_copy(update={"call_out_fee": fee.amount})
    elif agreed.hourly_rate is not None:
        notices.append(f"{ours} names an hourly rate, and {theirs} charges no hours: they are told, not charged")
    return Terms(
        contract=agreed.contract,
        model=model,
        currency=currency,
        vat_percent=charge.vat_percent,
        fee=either("monthly fee", agreed.fee, charge.monthly_fee),
        per_device={
            kind.value: of_model(f"fee for a {kind}", amount) for kind, amount in sorted(charge.per_device.items())
        },
        hours=hours,
        rate=rate,
        included_minutes=included,
        notices=tuple(notices),
    )


def round_up(minutes: int, unit: int, minimum: int = 0) -> int:
    """Nothing stays nothing; else up to the next multiple of `unit`, and `minimum` at least. All in minutes."""
    return max(-(-minutes // unit) * unit, minimum) if minutes else 0


def money(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def charge_fees(terms: Terms, devices: Mapping[str, DeviceDays], days: int, of_days: int) -> list[Line]:
    """The fees for a contract that holds on `days` of the `of_days` days of a month."""
    lines = []
    if terms.fee.amount and days:
        amount = money(terms.fee.amount * days / of_days)
        quantity = _quantity(days, of_days, terms.fee.amount, amount)
        each = (terms.currency, terms.vat_percent, terms.fee, quantity)
        lines.append(Line(LineKind.FEE, amount, *each, days=days, of_days=of_days))
    for kind, price in terms.per_device.items():
        found = devices.get(kind)
        if found is None or not found.days or not price.amount:
            continue
        amount = money(price.amount * found.days / of_days)
        lines.append(
            Line(
                LineKind.DEVICES,
                amount,
                terms.currency,
                terms.vat_percent,
                price,
                _quantity(found.days, of_days, price.amount, amount),
                of=kind,
                devices=found.devices,
                days=found.days,
                of_days=of_days,
            )
        )
    return lines


def charge_work(terms: Terms, worked: Iterable[Worked], included_minutes: int | None = None) -> Charged:
    """The hours and call-outs of a contract's month; `included_minutes` None: those of a whole month."""
    hours, rate = terms.hours, terms.rate
    billable: dict[int, list[Worked]] = defaultdict(list)
    told: dict[tuple[int, WhyNot], int] = defaultdict(int)
    for one in worked:
        why = _why_not(hours, one)
        if why is None:
            billable[one.ticket].append(one)
        else:
            told[one.ticket, why] += one.minutes
    lines: list[Line] = []
    if hours is not None and rate is not None:
        left = terms.included_minutes if included_minutes is None else included_minutes
        for ticket, entries in sorted(billable.items()):
            line = _hours_line(terms, hours, rate, entries, included_left=left)
            if line is not None:
                lines.append(line)
                left -= line.included_minutes or 0
            lines.extend(_call_outs(terms, hours, ticket, entries))
            travelled = sum(one.minutes for one in entries if one.is_travel)
            if hours.travel is not Travel.AS_WORK and travelled:
                told[ticket, WhyNot.BY_THE_VISIT if hours.travel is Travel.CALL_OUT else WhyNot.FREE] += travelled
    return Charged(
        tuple(lines), tuple(Uncharged(ticket, minutes, why) for (ticket, why), minutes in sorted(told.items()))
    )


def charge_parts(terms: Terms, parts: Iterable[PartUsed]) -> list[Line]:
    """Each as it was entered, in the currency in which it was bought."""
    return [
        Line(
            LineKind.PART,
            money(one.quantity * one.unit_price),
            one.currency,
            terms.vat_percent,
            Price(one.unit_price, f"ticket {one.ticket}"),
            one.quantity,
            one.description,
            (one.ticket,),
        )
        for one in parts
    ]


def totals(lines: Sequence[Line]) -> tuple[Total, ...]:
    """One for each currency. VAT is reckoned by rate, on the sum of what bears it."""
    by_currency: dict[str, dict[Decimal | None, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for line in lines:
        by_currency[line.currency][line.vat_percent] += line.amount
    found = []
    for currency, by_rate in sorted(by_currency.items()):
        rated = sorted((rate, net) for rate, net in by_rate.items() if rate is not None)
        vat = tuple(VatLine(rate, net, money(net * rate / 100)) for rate, net in rated)
        net = sum(by_rate.values(), Decimal(0))
        found.append(Total(currency, net, vat, net + sum((one.amount for one in vat), Decimal(0))))
    return tuple(found)


def part_of_included(minutes: int, days: int, of_days: int) -> int:
    """Included minutes for a part of a month; a broken minute is the customer's."""
    return -(-minutes * days // of_days)


def _why_not(hours: Hours | None, one: Worked) -> WhyNot | None:
    """Why an entry is not charged; None if it is."""
    if not one.is_billable:
        return WhyNot.NOT_BILLABLE
    if hours is None:
        return WhyNot.NO_HOURS
    if one.is_maintenance and hours.maintenance is MaintenanceHours.FREE:
        return WhyNot.IN_THE_FEE
    return None


def _hours_line(
    terms: Terms, hours: Hours, rate: Price, entries: Sequence[Worked], *, included_left: int
) -> Line | None:
    """Of the entries of one ticket."""
    unit_of: Callable[[Worked], date | None] = (lambda one: one.day) if hours.per is Per.VISIT else (lambda _: None)
    units: dict[date | None, int] = defaultdict(int)
    for one in entries:
        if not one.is_travel or hours.travel is Travel.AS_WORK:
            units[unit_of(one)] += one.minutes
    minutes = sum(units.values())
    if not minutes:
        return None
    rounded = sum(round_up(unit, hours.rounding_minutes, hours.minimum_minutes) for unit in units.values())
    included = min(rounded, max(included_left, 0))
    charged = rounded - included
    amount = money(rate.amount * charged / MINUTES_PER_HOUR)
    return Line(
        LineKind.HOURS,
        amount,
        terms.currency,
        terms.vat_percent,
        rate,
        _quantity(charged, MINUTES_PER_HOUR, rate.amount, amount),
        tickets=(entries[0].ticket,),
        minutes=minutes,
        rounded_minutes=rounded,
        included_minutes=included,
        charged_minutes=charged,
    )


def _call_outs(terms: Terms, hours: Hours, ticket: int, entries: Sequence[Worked]) -> list[Line]:
    days = tuple(sorted({one.day for one in entries if one.is_travel}))
    if hours.call_out_fee is None or not days:
        return []
    price = Price(hours.call_out_fee, f"model {terms.model}")
    amount = money(price.amount * len(days))
    each = (terms.currency, terms.vat_percent, price, Decimal(len(days)))
    return [Line(LineKind.CALL_OUT, amount, *each, tickets=(ticket,), on=days)]


def _quantity(parts: int, of: int, price: Decimal, amount: Decimal) -> Decimal:
    """`parts` / `of` with two places or more, until the price times it rounds to the amount. Rounded up: what is half a
    cent must not fall below it, and what is less comes no nearer than 1 / (200 x `of`)."""
    if parts % of == 0:
        return Decimal(parts // of)
    tries = (Decimal(-(-parts * 10**places // of)).scaleb(-places) for places in count(2))
    return next(quantity for quantity in tries if money(quantity * price) == amount)
