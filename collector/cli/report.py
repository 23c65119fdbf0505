"""`report`: what a month was."""

import csv
import io
from collections.abc import Iterator, Sequence
from decimal import Decimal

import click

from collector.cli.common import Row, json_option, print_rows, with_database
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import load_service_models
from collector.contracts.charging import Line
from collector.contracts.months import Month
from collector.db.database import Database
from collector.fleet.customers import get_customer
from collector.reporting.billing import Bill, ContractBill
from collector.reporting.usage import billed_customers, read_bills

CSV_COLUMNS = (
    "month",
    "customer",
    "name",
    "contract",
    "model",
    "kind",
    "text",
    "tickets",
    "minutes",
    "rounded_minutes",
    "included_minutes",
    "charged_minutes",
    "days",
    "of_days",
    "quantity",
    "unit_price",
    "price_from",
    "amount",
    "vat_percent",
    "currency",
)
# What a spreadsheet takes for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "|", "%")


@click.group()
def report() -> None:
    """What a month was: what it costs, what was maintained.

    E.g. `report billing --month 2026-03`.
    """


@report.command("billing")
@click.option("--month", required=True, help="By the customer's clock, such as 2026-03.")
@click.option("--customer", help="Only this customer.")
@click.option("--csv", "as_csv", is_flag=True, help="A line of CSV for each line, with VAT as lines of their own.")
@json_option
@with_database
async def billing(
    database: Database, settings: Settings, *, month: str, customer: str | None, as_csv: bool, as_json: bool
) -> None:
    """What a month costs each customer, line by line, with what each is for and where its price is from.

    E.g. `report billing --month 2026-03 --customer acme --csv`.
    """
    if as_csv and as_json:
        raise click.UsageError("choose one of --csv and --json")
    wanted, models = Month.parse(month), load_service_models(settings.data)
    async with database.connect() as connection:
        if customer is not None:
            await get_customer(connection, customer)
        ids = await billed_customers(connection, wanted, customer=customer)
        bills = await read_bills(connection, models, wanted, ids, system_clock())
    if as_csv:
        click.echo(_csv(bills), nl=False)
    elif as_json:
        print_rows([bill_row(bill) for bill in bills], as_json=True)
    elif bills:
        for bill in bills:
            _print_bill(bill)
    else:
        click.echo(f"nothing to bill for {wanted}", err=True)


def bill_row(bill: Bill) -> Row:
    """Amounts as text: JSON's numbers are floats to many who read them."""
    return {
        "customer": bill.customer,
        "name": bill.name,
        "month": str(bill.month),
        "time_zone": bill.time_zone,
        "minutes": bill.minutes,
        "contracts": [
            {
                "contract": one.contract,
                "model": one.model,
                "days": one.days,
                "lines": [_line_row(line) for line in one.lines],
                "uncharged": [
                    {"ticket": told.ticket, "minutes": told.minutes, "why": told.why} for told in one.uncharged
                ],
            }
            for one in bill.contracts
        ],
        "totals": [
            {
                "currency": total.currency,
                "net": _text(total.net),
                "vat": [
                    {"percent": _text(vat.percent), "net": _text(vat.net), "amount": _text(vat.amount)}
                    for vat in total.vat
                ],
                "gross": _text(total.gross),
            }
            for total in bill.totals
        ],
        "notices": list(bill.notices),
    }


def _line_row(line: Line) -> Row:
    return {
        "kind": line.kind,
        "text": line.text,
        "tickets": list(line.tickets),
        "minutes": line.minutes,
        "rounded_minutes": line.rounded_minutes,
        "included_minutes": line.included_minutes,
        "charged_minutes": line.charged_minutes,
        "days": line.days,
        "of_days": line.of_days,
        "quantity": _text(line.quantity),
        "unit_price": _text(line.price.amount),
        "price_from": line.price.source,
        "amount": _text(line.amount),
        "vat_percent": None if line.vat_percent is None else _text(line.vat_percent),
        "currency": line.currency,
    }


def _csv(bills: Sequence[Bill]) -> str:
    written = io.StringIO()
    writer = csv.DictWriter(written, CSV_COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for bill in bills:
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in _csv_rows(bill))
    return written.getvalue()


def _csv_rows(bill: Bill) -> Iterator[Row]:
    whose = {"month": str(bill.month), "customer": bill.customer, "name": bill.name}
    for contract, line in bill.lines:
        of = {"contract": contract.contract, "model": contract.model}
        tickets = " ".join(map(str, line.tickets))
        yield {**whose, **of, **_line_row(line), "tickets": tickets}
    for total in bill.totals:
        for vat in total.vat:
            percent = _text(vat.percent)
            text = f"VAT {percent} % of {_text(vat.net)}"
            amounts = {"amount": _text(vat.amount), "vat_percent": percent, "currency": total.currency}
            yield {**whose, "kind": "vat", "text": text, **amounts}


def _cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula is written so that it stays a text."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _print_bill(bill: Bill) -> None:
    click.echo(f"{bill.name} ({bill.customer}), {bill.month}, {bill.time_zone}")
    for contract in bill.contracts:
        click.echo(f"\ncontract {contract.contract}, {contract.title}, {contract.days} of {bill.month.days} days")
        rows = [*_shown(contract)]
        if rows:
            print_rows(rows, as_json=False)
    click.echo()
    for total in bill.totals:
        for name, amount in (
            ("net", total.net),
            *((f"VAT {_text(vat.percent)} % of {_text(vat.net)}", vat.amount) for vat in total.vat),
            ("total", total.gross),
        ):
            click.echo(f"{name:<30}{total.currency} {amount:>12,.2f}")
    click.echo(f"{bill.minutes} minutes logged")
    for notice in bill.notices:
        click.echo(f"note: {notice}")
    click.echo()


def _shown(contract: ContractBill) -> Iterator[Row]:
    for line in contract.lines:
        yield {
            "what": line.text,
            "price": f"{line.price.amount:f}",
            "from": line.price.source,
            "amount": f"{line.amount:f}",
            "currency": line.currency,
        }
    for told in contract.uncharged:
        what = f"{told.minutes} min on ticket {told.ticket}: {told.why}"
        yield {"what": what, "price": None, "from": None, "amount": None, "currency": None}


def _text(amount: Decimal) -> str:
    return f"{amount:f}"
