"""`report`: what a month was."""

import csv
import io
from collections.abc import Iterator, Sequence

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.cli.common import Row, json_option, print_rows, with_database
from collector.cli.languages import LANGUAGES
from collector.cli.tables import printable
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import ServiceModels, load_service_models
from collector.contracts.months import Month
from collector.contracts.service_models import Report
from collector.db.database import Database
from collector.fleet.contacts import DEFAULT_LANGUAGE, main_languages
from collector.fleet.customers import get_customer
from collector.fleet.people import Language
from collector.reporting import bill_shape, maintenance_shape
from collector.reporting.bill_words import BillWords
from collector.reporting.billing import Bill, ContractBill
from collector.reporting.maintenance import MaintenanceReport, maintained_customers, read_maintenance
from collector.reporting.maintenance_words import MaintenanceWords
from collector.reporting.part_of import customers_sold_to, plans_without
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
MAX_NAMED = 10  # of those left out
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
@click.option("--language", type=LANGUAGES, help="Of the texts.  [default: the main contact's, or nl]")
@click.option("--csv", "in_csv", is_flag=True, help="A line of CSV for each line, with VAT as lines of their own.")
@json_option
@with_database
async def billing(
    database: Database,
    settings: Settings,
    *,
    month: str,
    customer: str | None,
    language: str | None,
    in_csv: bool,
    as_json: bool,
) -> None:
    """What a month costs each customer, line by line, with what each is for and where its price is from.

    It is in the language of the customer's main contact; what only who sends it should know is told beside it, in
    English. CSV has English names of columns and numbers with a point, for programs.

    E.g. `report billing --month 2026-03 --customer acme --csv`.
    """
    if in_csv and as_json:
        raise click.UsageError("choose one of --csv and --json")
    wanted, models = Month.parse(month), load_service_models(settings.data)
    async with database.connect() as connection:
        if customer is not None:
            await get_customer(connection, customer)
        every = await billed_customers(connection, wanted, customer=customer)
        reported = await _reported_of(connection, wanted, every, Report.BILLING, models, asked=customer)
        in_language = None if language is None else Language(language)
        ids = sorted(reported)
        bills = await read_bills(connection, models, wanted, ids, system_clock(), language=in_language)
    if in_csv:
        click.echo(as_csv(bills), nl=False)
    elif as_json:
        print_rows([bill_shape.told(bill).model_dump(mode="json") for bill in bills], as_json=True)
    elif bills:
        for bill in bills:
            _print_bill(bill)
    else:
        click.echo(f"nothing to bill for {wanted}", err=True)


@report.command("maintenance")
@click.option("--month", required=True, help="By the clock of each plan, such as 2026-03.")
@click.option("--customer", help="Only this customer.")
@click.option("--language", type=LANGUAGES, help="Of the table.  [default: the main contact's, or nl]")
@json_option
@with_database
async def maintenance(
    database: Database, settings: Settings, *, month: str, customer: str | None, language: str | None, as_json: bool
) -> None:
    """What was maintained in a month: rounds planned, done and skipped, minutes, and what shows that it was done.

    The table is in the language of the customer's main contact; JSON has both.

    E.g. `report maintenance --month 2026-03 --customer acme`.
    """
    wanted, models = Month.parse(month), load_service_models(settings.data)
    async with database.connect() as connection:
        if customer is not None:
            await get_customer(connection, customer)
        every = await maintained_customers(connection, wanted, customer=customer)
        reported = await _reported_of(connection, wanted, every, Report.MAINTENANCE, models, asked=customer)
        found = await read_maintenance(connection, wanted, system_clock(), sorted(reported))
        languages = await main_languages(connection, sorted(reported))
    if as_json:
        print_rows([maintenance_shape.told(one).model_dump(mode="json") for one in found], as_json=True)
        return
    if not found:
        click.echo(f"no maintenance in {wanted}", err=True)
    for one in found:
        _print_maintenance(one, Language(language or languages.get(one.customer, DEFAULT_LANGUAGE)))


def _print_maintenance(report: MaintenanceReport, language: Language) -> None:
    words = MaintenanceWords(language)
    click.echo(words.summary(report))
    print_rows(list(map(words.row, report.rounds)), as_json=False, columns=words.columns)
    for one in report.rounds:
        for line in words.items(one):
            click.echo(printable(line))
    click.echo()


async def _reported_of(
    connection: AsyncConnection,
    month: Month,
    among: Sequence[str],
    report: Report,
    models: ServiceModels,
    *,
    asked: str | None,
) -> set[str]:
    """Of these customers those that the report is made of. Where no plan of a customer's in the month names the report,
    it is made only of who is `asked` for by name; either is said."""
    sold = await customers_sold_to(connection, month, among, plans_without(models, report))
    others = [one for one in among if one not in sold]
    if not others:
        return sold
    why = f"no plan of theirs in that month has {report} under 'reported' in service_models.yaml"
    if asked is not None:
        click.echo(f"note: {why}; it is shown since you named {asked}", err=True)
        return set(among)
    more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
    click.echo(f"note: left out {', '.join(others[:MAX_NAMED])}{more}: {why}; name one with --customer", err=True)
    return sold


def as_csv(bills: Sequence[Bill]) -> str:
    written = io.StringIO()
    writer = csv.DictWriter(written, CSV_COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for bill in bills:
        writer.writerows({name: spreadsheet_cell(value) for name, value in row.items()} for row in _csv_rows(bill))
    return written.getvalue()


def _csv_rows(bill: Bill) -> Iterator[Row]:
    words = BillWords(bill.language)
    whose = {"month": str(bill.month), "customer": bill.customer, "name": bill.name}
    for contract, line in bill.lines:
        of = {"contract": contract.contract, "model": contract.model}
        tickets = " ".join(map(str, line.tickets))
        yield {**whose, **of, **bill_shape.told_line(line, words).model_dump(mode="json"), "tickets": tickets}
    for total in bill.totals:
        for vat in total.vat:
            amounts = {"amount": f"{vat.amount:f}", "vat_percent": f"{vat.percent:f}", "currency": total.currency}
            yield {**whose, "kind": "vat", "text": words.vat(vat), **amounts}


def spreadsheet_cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula is written so that it stays a text."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _print_bill(bill: Bill) -> None:
    words = BillWords(bill.language)
    click.echo(f"{bill.name} ({bill.customer}), {words.month(bill.month)}, {bill.time_zone}")
    for contract in bill.contracts:
        days = words["of_days"].format(days=contract.days, whole=bill.month.days)
        click.echo(f"\n{words['contract']} {contract.contract}, {contract.title}, {days}")
        rows = [*_shown(contract, words)]
        if rows:
            print_rows(rows, as_json=False)
    click.echo()
    for total in bill.totals:
        for name, amount in (
            (words["net"], total.net),
            *((words.vat(vat), vat.amount) for vat in total.vat),
            (words["total"], total.gross),
        ):
            click.echo(f"{name:<30}{total.currency} {words.amount(amount):>12}")
    click.echo(words["logged"].format(minutes=bill.minutes))
    click.echo()
    for notice in bill.notices:
        click.echo(f"note: {bill.customer}: {notice}", err=True)


def _shown(contract: ContractBill, words: BillWords) -> Iterator[Row]:
    what, *others = (words[name] for name in ("what", "price", "from", "amount", "currency"))
    for line in contract.lines:
        price, amount = words.amount(line.price.amount), words.amount(line.amount)
        values = (price, words.source(line.price.source), amount, line.currency)
        yield {what: words.line(line), **dict(zip(others, values, strict=True))}
    for one in contract.uncharged:
        yield {what: words.uncharged(one, contract.model), **dict.fromkeys(others)}
