"""What a month costs a customer: every line with what it is for, at which price, and who says so.

A month, and the day of an entry, are those of the customer's clock. Fees are counted by days, and a day is that
contract's which holds when the day ends. So is what was done on it; if none holds then, it is that contract's which
held at that moment.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from collector.contracts import ServiceModels
from collector.contracts.charging import (
    Agreed,
    DeviceDays,
    Line,
    PartUsed,
    Total,
    Uncharged,
    Worked,
    charge_fees,
    charge_parts,
    charge_work,
    part_of_included,
    terms_of,
    totals,
)
from collector.contracts.months import Month
from collector.desk.parts import Part
from collector.desk.work import WorkKind
from collector.fleet.contacts import DEFAULT_LANGUAGE
from collector.fleet.contracts import Contract
from collector.fleet.people import Language

MAX_TOLD = 20  # entries that a notice names


@dataclass(frozen=True, slots=True)
class BilledDevice:
    """`covered_by`: the contracts whose scope it is in; `count`: how many there are that are alike in all of this."""

    kind: str
    since: datetime
    until: datetime | None
    covered_by: frozenset[int]
    count: int = 1


@dataclass(frozen=True, slots=True)
class Logged:
    """What a bill needs to know of an entry of the work log."""

    id: int
    ticket: int
    author: str
    kind: str
    started_at: datetime
    minutes: int | None  # None: it is still running
    is_billable: bool
    voided_at: datetime | None
    is_maintenance: bool  # a round of it

    @property
    def is_running(self) -> bool:
        return self.minutes is None and self.voided_at is None


@dataclass(frozen=True, slots=True)
class Usage:
    """What is known of a customer's month. Entries and parts may reach beyond it, and are sorted out."""

    customer: str
    name: str
    time_zone: str
    contracts: Sequence[Contract]
    devices: Sequence[BilledDevice] = ()
    entries: Sequence[Logged] = ()
    parts: Sequence[Part] = ()
    language: Language = DEFAULT_LANGUAGE


@dataclass(frozen=True, slots=True)
class ContractBill:
    """What one contract costs in the month; `days` of it count for this contract."""

    contract: int
    model: str
    title: str
    days: int
    lines: tuple[Line, ...]
    uncharged: tuple[Uncharged, ...]


@dataclass(frozen=True, slots=True)
class Bill:
    customer: str
    name: str
    month: Month
    time_zone: str
    contracts: tuple[ContractBill, ...]
    totals: tuple[Total, ...]
    minutes: int  # logged in the month, charged or not
    notices: tuple[str, ...] = field(default=())  # for who sends it, in English
    language: Language = DEFAULT_LANGUAGE  # of who pays it

    @property
    def lines(self) -> Iterator[tuple[ContractBill, Line]]:
        for contract in self.contracts:
            for line in contract.lines:
                yield contract, line


def bill(usage: Usage, month: Month, models: ServiceModels, now: datetime) -> Bill:
    zone = ZoneInfo(usage.time_zone)
    first, end = month.bounds(zone)
    within = [one for one in usage.entries if first <= one.started_at < end]
    left_entries = [one for one in within if one.minutes is not None and one.voided_at is None]
    left_parts = [one for one in usage.parts if first <= one.used_at < end and one.voided_at is None]
    minutes = sum(one.minutes or 0 for one in left_entries)
    notices = [*_told_of_entries(within), *_told_of_parts(usage.parts, first, end)]
    if now < end:
        notices.insert(0, f"{month} is not over: this is what is known at {now.astimezone(zone):%Y-%m-%d %H:%M}")
    bills: list[ContractBill] = []
    days_of = {one.id: month.days_held(one.valid_from, one.valid_to, zone) for one in usage.contracts}
    entries_of, parts_of = defaultdict[int | None, list[Logged]](list), defaultdict[int | None, list[Part]](list)
    for entry in left_entries:
        entries_of[_contract_of(entry.started_at, usage.contracts, days_of, zone)].append(entry)
    for part in left_parts:
        parts_of[_contract_of(part.used_at, usage.contracts, days_of, zone)].append(part)
    for contract in usage.contracts:
        days, of_entries, of_parts = days_of[contract.id], entries_of[contract.id], parts_of[contract.id]
        if not (days or of_entries or of_parts):
            continue
        model = models.get(contract.plan)
        charge = contract.charge or (None if model is None else model.charge)
        if charge is None:
            notices.append(
                f"contract {contract.id} is of plan {contract.plan}, which service_models.yaml has not: "
                "it is not billed"
            )
            continue
        terms = terms_of(contract.plan, charge, amounts_of(contract))
        notices.extend(terms.notices)
        worked = [_worked(one, zone) for one in of_entries]
        included = part_of_included(terms.included_minutes, len(days), month.days)
        charged = charge_work(terms, worked, included)
        lines = [
            *charge_fees(terms, _device_days(usage.devices, contract, days, month, zone), len(days), month.days),
            *charged.lines,
            *charge_parts(terms, [_part(one) for one in sorted(of_parts, key=lambda one: (one.ticket, one.id))]),
        ]
        title = contract.plan if model is None else model.title
        bills.append(ContractBill(contract.id, contract.plan, title, len(days), tuple(lines), charged.uncharged))
    notices.extend(_told_of_what_no_contract_covers(entries_of[None], parts_of[None]))
    return Bill(
        usage.customer,
        usage.name,
        month,
        usage.time_zone,
        tuple(bills),
        totals([line for one in bills for line in one.lines]),
        minutes,
        tuple(notices),
        usage.language,
    )


def _contract_of(
    at: datetime, contracts: Sequence[Contract], days_of: Mapping[int, range], zone: ZoneInfo
) -> int | None:
    """The contract, by number, that what was done at a time of the month belongs to; None: no contract."""
    day = at.astimezone(zone).day - 1
    whole = (one.id for one in contracts if day in days_of[one.id])
    return next(whole, next((one.id for one in contracts if one.holds_at(at)), None))


def amounts_of(contract: Contract) -> Agreed:
    """What a contract says of its price."""
    own = contract.agreement
    return Agreed(contract.id, own.fee, own.hourly_rate, own.included_minutes, own.currency)


def _worked(entry: Logged, zone: ZoneInfo) -> Worked:
    return Worked(
        entry.ticket,
        entry.started_at.astimezone(zone).date(),
        entry.minutes or 0,
        entry.kind == WorkKind.TRAVEL,
        entry.is_billable,
        entry.is_maintenance,
    )


def _part(part: Part) -> PartUsed:
    return PartUsed(part.ticket, part.description, part.quantity, part.unit_price, part.currency)


def _device_days(
    devices: Iterable[BilledDevice], contract: Contract, days: range, month: Month, zone: ZoneInfo
) -> dict[str, DeviceDays]:
    """By kind: how many of a contract's devices were looked after on its days, and on how many of these in sum."""
    count: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    for device in devices:
        if contract.id not in device.covered_by:
            continue
        there = month.days_held(device.since, device.until, zone)
        both = min(there.stop, days.stop) - max(there.start, days.start)
        if both > 0:
            count[device.kind] += device.count
            total[device.kind] += both * device.count
    return {kind: DeviceDays(count[kind], total[kind]) for kind in count}


def _told_of_entries(entries: Sequence[Logged]) -> Iterator[str]:
    for entry in [one for one in entries if one.is_running][:MAX_TOLD]:
        yield (
            f"entry {entry.id} of {entry.author} on ticket {entry.ticket} has been running since "
            f"{entry.started_at:%Y-%m-%d %H:%M} UTC: it is not billed"
        )
    if voided := [one.id for one in entries if one.voided_at is not None]:
        yield f"voided entries are not billed: {_numbers(voided)}"


def _told_of_parts(parts: Sequence[Part], first: datetime, end: datetime) -> Iterator[str]:
    if voided := [one.id for one in parts if first <= one.used_at < end and one.voided_at is not None]:
        yield f"voided parts are not billed: {_numbers(voided)}"


def _told_of_what_no_contract_covers(entries: Sequence[Logged], parts: Sequence[Part]) -> Iterator[str]:
    if entries:
        minutes = sum(one.minutes or 0 for one in entries)
        on = _numbers(sorted({one.ticket for one in entries}))
        yield f"{minutes} minutes when no contract was in force are not billed: tickets {on}"
    if parts:
        on = _numbers(sorted({one.ticket for one in parts}))
        yield f"parts used when no contract was in force are not billed: tickets {on}"


def _numbers(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - MAX_TOLD} more" if len(numbers) > MAX_TOLD else ""
    return ", ".join(map(str, numbers[:MAX_TOLD])) + more
