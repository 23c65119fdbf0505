"""What a month costs, by examples and by what must always hold."""

import csv
import io
from dataclasses import fields, is_dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.cli.report import as_csv
from collector.contracts.charge import Charge, Hours, MaintenanceHours, Per, Travel
from collector.contracts.charging import (
    Agreed,
    Charged,
    DeviceDays,
    LineKind,
    PartUsed,
    Terms,
    WhyNot,
    Worked,
    _quantity,
    charge_fees,
    charge_parts,
    charge_work,
    money,
    part_of_included,
    round_up,
    terms_of,
    totals,
)
from collector.contracts.months import Month
from collector.reporting.billing import Bill, ContractBill
from protocol.wire import Kind

MONDAY = date(2026, 3, 2)
AMOUNTS = st.decimals(min_value=0, max_value=1000, places=2)
PERCENTS = st.none() | st.sampled_from([Decimal(0), Decimal(9), Decimal(21)])
HOURS = st.builds(
    lambda rate, rounding, minimum, per, included, travel, maintenance: Hours(
        rate=rate,
        rounding_minutes=rounding,
        minimum_minutes=minimum,
        per=per,
        included_minutes=included,
        travel=travel,
        call_out_fee=Decimal("45.00") if travel is Travel.CALL_OUT else None,
        maintenance=maintenance,
    ),
    AMOUNTS,
    st.sampled_from([1, 6, 10, 15, 30, 60]),
    st.sampled_from([0, 30, 45]),
    st.sampled_from(Per),
    st.integers(0, 600),
    st.sampled_from(Travel),
    st.sampled_from(MaintenanceHours),
)
WORK = st.lists(
    st.builds(
        Worked,
        ticket=st.integers(1001, 1004),
        day=st.integers(0, 3).map(lambda days: MONDAY + timedelta(days=days)),
        minutes=st.integers(1, 600),
        is_travel=st.booleans(),
        is_billable=st.booleans(),
        is_maintenance=st.booleans(),
    ),
    max_size=8,
)
PARTS = st.lists(
    st.builds(
        PartUsed,
        ticket=st.integers(1001, 1004),
        description=st.just("toner"),
        quantity=st.decimals(min_value="0.001", max_value=100, places=3),
        unit_price=AMOUNTS,
        currency=st.sampled_from(["EUR", "USD"]),
    ),
    max_size=4,
)


def terms(hours: Hours | None = None, **charge: object) -> Terms:
    return terms_of("plan", Charge.model_validate({"hours": hours, **charge}), Agreed(7))


def hourly(**hours: object) -> Terms:
    return terms(Hours.model_validate({"rate": "95.00", **hours}))


def cost(charged: Charged) -> Decimal:
    return sum((line.amount for line in charged.lines), Decimal(0))


def test_work_is_rounded_up_by_ticket() -> None:
    done = [Worked(1001, MONDAY, 20), Worked(1001, MONDAY + timedelta(days=1), 20), Worked(1002, MONDAY, 5)]
    first, second = charge_work(hourly(minimum_minutes=30), done).lines
    assert (first.minutes, first.rounded_minutes, first.amount) == (40, 45, Decimal("71.25"))
    assert (second.minutes, second.rounded_minutes, second.amount) == (5, 30, Decimal("47.50"))
    assert first.tickets == (1001,) and first.price.source == "model plan"


def test_work_is_rounded_up_by_visit() -> None:
    done = [Worked(1001, MONDAY, 20), Worked(1001, MONDAY, 10), Worked(1001, MONDAY + timedelta(days=1), 20)]
    (line,) = charge_work(hourly(per="visit"), done).lines
    assert (line.minutes, line.rounded_minutes) == (50, 60)


def test_included_minutes_are_used_up_ticket_by_ticket() -> None:
    done = [Worked(1002, MONDAY, 60), Worked(1001, MONDAY, 60)]
    first, second = charge_work(hourly(included_minutes=90), done).lines
    assert (first.tickets, first.included_minutes, first.amount) == ((1001,), 60, Decimal("0.00"))
    assert (second.tickets, second.included_minutes, second.amount) == ((1002,), 30, Decimal("47.50"))


@pytest.mark.parametrize(
    ("travel", "expected"),
    [
        ({"travel": "as_work"}, [(LineKind.HOURS, "142.50")]),
        ({"travel": "free"}, [(LineKind.HOURS, "95.00")]),
        ({"travel": "call_out", "call_out_fee": "45.00"}, [(LineKind.HOURS, "95.00"), (LineKind.CALL_OUT, "45.00")]),
    ],
)
def test_travel(travel: dict[str, str], expected: list[tuple[LineKind, str]]) -> None:
    done = [Worked(1001, MONDAY, 60), *[Worked(1001, MONDAY, 15, is_travel=True)] * 2]
    charged = charge_work(hourly(**travel), done)
    assert [(line.kind, str(line.amount)) for line in charged.lines] == expected
    assert bool(charged.uncharged) is (travel["travel"] != "as_work")


def test_what_is_not_charged_is_told() -> None:
    done = [Worked(1001, MONDAY, 10, is_billable=False), Worked(1002, MONDAY, 20, is_maintenance=True)]
    charged = charge_work(hourly(maintenance="free"), done)
    assert charged.lines == ()
    assert [(one.ticket, one.minutes, one.why) for one in charged.uncharged] == [
        (1001, 10, WhyNot.NOT_BILLABLE),
        (1002, 20, WhyNot.IN_THE_FEE),
    ]
    (told,) = charge_work(terms(), [Worked(1003, MONDAY, 15)]).uncharged
    assert told.why is WhyNot.NO_HOURS


def test_fees_by_days() -> None:
    agreed = terms(monthly_fee="100.00", per_device={"server": "62.00", "printer": "5.00"})
    fee, servers = charge_fees(agreed, {"server": DeviceDays(2, 41), "laptop": DeviceDays(1, 31)}, 20, 31)
    assert (fee.days, fee.of_days, str(fee.amount)) == (20, 31, "64.52")
    assert (servers.of, servers.devices, servers.days, str(servers.amount)) == ("server", 2, 41, "82.00")
    assert charge_fees(agreed, {}, 0, 31) == []


def test_a_contract_stands_before_its_model() -> None:
    charge = Charge(monthly_fee=Decimal(75), hours=Hours(rate=Decimal(95), included_minutes=60))
    own = terms_of("plan", charge, Agreed(12, Decimal(50), Decimal(80), 120))
    assert own.rate is not None
    assert [(own.fee.amount, own.fee.source), (own.rate.amount, own.rate.source)] == [
        (Decimal(50), "contract 12"),
        (Decimal(80), "contract 12"),
    ]
    assert own.included_minutes == 120 and own.notices == ()


def test_a_models_euros_are_never_charged_as_another_currency() -> None:
    charge = Charge(
        monthly_fee=Decimal(75),
        per_device={Kind.SERVER: Decimal(65)},
        hours=Hours(rate=Decimal(95), travel=Travel.CALL_OUT, call_out_fee=Decimal(45)),
    )
    found = terms_of("plan", charge, Agreed(12, fee=Decimal(80), currency="USD"))
    assert (found.fee.amount, found.currency) == (Decimal(80), "USD")
    assert [notice.split(", and its ")[1].split(" stands")[0] for notice in found.notices] == [
        "hourly rate",
        "call-out fee",
        "fee for a server",
    ]
    done = [Worked(1001, MONDAY, 60), Worked(1001, MONDAY, 30, is_travel=True)]
    assert cost(charge_work(found, done)) == 0


def test_a_rate_under_a_model_without_hours_is_told() -> None:
    (notice,) = terms_of("plan", Charge(), Agreed(12, hourly_rate=Decimal(80))).notices
    assert notice.startswith("contract 12 names an hourly rate")


def test_vat_is_a_line_by_rate_and_totals_stand_by_currency() -> None:
    taxed = terms(vat_percent="21")
    untaxed = terms()
    lines = charge_parts(taxed, [PartUsed(1001, "a", Decimal(1), Decimal("0.07"), "EUR")] * 3)
    lines += charge_parts(untaxed, [PartUsed(1001, "b", Decimal(2), Decimal("5.00"), "EUR")])
    lines += charge_parts(taxed, [PartUsed(1001, "c", Decimal("1.5"), Decimal("1.00"), "USD")])
    euros, dollars = totals(lines)
    assert (euros.net, euros.vat[0].net, euros.vat[0].amount, euros.gross) == tuple(
        map(Decimal, ("10.21", "0.21", "0.04", "10.25"))
    )
    assert (dollars.currency, dollars.gross) == ("USD", Decimal("1.82"))


@given(st.integers(0, 10_000), st.integers(1, 480), st.integers(0, 240))
def test_rounding_never_takes_more_than_its_unit(minutes: int, unit: int, minimum: int) -> None:
    rounded = round_up(minutes, unit, minimum)
    assert minutes <= rounded < max(minutes + unit, minimum + 1)
    assert round_up(rounded, unit, minimum) in (rounded, round_up(minimum, unit))


@given(HOURS, WORK)
def test_the_minutes_of_a_line_add_up(hours: Hours, done: list[Worked]) -> None:
    charged = charge_work(terms(hours), done)
    included = 0
    for line in charged.lines:
        assert line.amount >= 0
        if line.kind is LineKind.HOURS:
            assert line.rounded_minutes is not None and line.included_minutes is not None
            assert line.charged_minutes == line.rounded_minutes - line.included_minutes >= 0
            included += line.included_minutes
    assert included <= hours.included_minutes
    logged = sum(line.minutes or 0 for line in charged.lines) + sum(one.minutes for one in charged.uncharged)
    assert logged == sum(one.minutes for one in done)


@given(HOURS, WORK, st.data())
def test_more_minutes_never_cost_less(hours: Hours, done: list[Worked], data: st.DataObject) -> None:
    if not done:
        return
    index = data.draw(st.integers(0, len(done) - 1))
    longer = [*done]
    longer[index] = replace(done[index], minutes=done[index].minutes + data.draw(st.integers(1, 200)))
    assert cost(charge_work(terms(hours), longer)) >= cost(charge_work(terms(hours), done))


@given(HOURS, WORK, WORK.filter(bool))
def test_one_more_entry_never_costs_less(hours: Hours, done: list[Worked], more: list[Worked]) -> None:
    assert cost(charge_work(terms(hours), [*done, more[0]])) >= cost(charge_work(terms(hours), done))


@given(HOURS, WORK)
def test_tickets_cost_one_by_one_what_they_cost_together(hours: Hours, done: list[Worked]) -> None:
    agreed = terms(hours.model_copy(update={"included_minutes": 0}))
    alone = [charge_work(agreed, [one for one in done if one.ticket == ticket]) for ticket in range(1001, 1005)]
    assert sum(map(cost, alone)) == cost(charge_work(agreed, done))


@given(HOURS, WORK)
def test_included_minutes_never_make_it_dearer_and_never_negative(hours: Hours, done: list[Worked]) -> None:
    without = terms(hours.model_copy(update={"included_minutes": 0}))
    assert 0 <= cost(charge_work(terms(hours), done)) <= cost(charge_work(without, done))


@given(HOURS, WORK, PARTS, st.tuples(AMOUNTS, PERCENTS), st.integers(0, 31))
def test_a_total_is_the_sum_of_its_lines_and_no_float_is_in_it(
    hours: Hours, done: list[Worked], parts: list[PartUsed], of_model: tuple[Decimal, Decimal | None], days: int
) -> None:
    fee, percent = of_model
    agreed = terms(hours, monthly_fee=fee, vat_percent=percent)
    lines = [
        *charge_fees(agreed, {"server": DeviceDays(1, days)}, days, 31),
        *charge_work(agreed, done).lines,
        *charge_parts(agreed, parts),
    ]
    for total in totals(lines):
        assert total.net == sum(line.amount for line in lines if line.currency == total.currency)
        assert total.gross == total.net + sum(one.amount for one in total.vat)
        assert bool(total.vat) is (percent is not None)
    assert not list(floats_in([lines, totals(lines), agreed]))
    assert all(line.amount == money(line.amount) for line in lines)


@given(HOURS, WORK, PARTS, st.tuples(st.integers(0, 31), st.integers(0, 93), st.sampled_from([28, 29, 30, 31])))
@example(Hours(rate=Decimal("95.00"), rounding_minutes=20), [Worked(1001, MONDAY, 40)], [], (0, 0, 31))  # 0.66667
@example(Hours(rate=Decimal("0.03"), rounding_minutes=10), [Worked(1001, MONDAY, 50)], [], (0, 0, 31))  # half a cent
def test_quantity_times_price_is_the_amount(
    hours: Hours, done: list[Worked], parts: list[PartUsed], of_month: tuple[int, int, int]
) -> None:
    days, device_days, of_days = of_month
    agreed = terms(hours, monthly_fee=hours.rate, per_device={Kind.SERVER: hours.rate})
    devices = {"server": DeviceDays(3, device_days)} if device_days else {}
    lines = (
        *charge_fees(agreed, devices, min(days, of_days), of_days),
        *charge_work(agreed, done).lines,
        *charge_parts(agreed, parts),
    )
    for line in lines:
        assert money(line.quantity * line.price.amount) == line.amount
    of_contract = ContractBill(7, "plan", "Plan", days, lines, ())
    bill = Bill("acme", "Acme", Month(2026, 3), "Europe/Amsterdam", (of_contract,), (), 0)
    rows = list(csv.DictReader(io.StringIO(as_csv([bill]))))
    assert len(rows) == len(lines)
    for row in rows:
        assert money(Decimal(row["quantity"]) * Decimal(row["unit_price"])) == Decimal(row["amount"])


@given(st.integers(1, 100_000), st.integers(1, 60), st.decimals(min_value=0, max_value=10**9 - 1, places=2))
def test_a_quantity_is_found_for_any_price(parts: int, of: int, price: Decimal) -> None:
    amount = money(price * parts / of)
    assert money(_quantity(parts, of, price, amount) * price) == amount


@given(AMOUNTS, st.integers(0, 31))
def test_the_parts_of_a_month_make_a_whole_to_the_cent(fee: Decimal, days: int) -> None:
    agreed = terms(monthly_fee=fee)
    parts = [*charge_fees(agreed, {}, days, 31), *charge_fees(agreed, {}, 31 - days, 31)]
    assert abs(sum(line.amount for line in parts) - fee) <= Decimal("0.01")


@given(st.integers(0, 10_000), st.integers(0, 31))
def test_included_minutes_of_a_part_are_at_least_its_share(minutes: int, days: int) -> None:
    part = part_of_included(minutes, days, 31)
    assert minutes * days <= part * 31 < minutes * days + 31


def floats_in(value: object) -> list[object]:
    if isinstance(value, float):
        return [value]
    if is_dataclass(value):
        return [found for one in fields(value) for found in floats_in(getattr(value, one.name))]
    if isinstance(value, Charge | Hours):
        return [found for one in value.__dict__.values() for found in floats_in(one)]
    if isinstance(value, list | tuple):
        return [found for one in value for found in floats_in(one)]
    if isinstance(value, dict):
        return [found for one in value.values() for found in floats_in(one)]
    return []
