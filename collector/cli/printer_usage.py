"""`printers usage`: what printers did in a month."""

import csv
import io
from collections.abc import Sequence

import click

from collector.cli.common import Row, json_option, print_rows, with_database
from collector.cli.report import spreadsheet_cell
from collector.config import Settings
from collector.contracts.months import Month
from collector.db.database import Database
from collector.fleet.customers import get_customer
from collector.fleet.printers.supplies import Supply
from collector.fleet.printers.usage import PrinterUsage, SupplyUse, printer_usage

PRINTER_COLUMNS = ("month", "customer", "site", "id", "name", "model", "serial", "pages", "counter", "days")
SUPPLY_COLUMNS = (
    "index",
    "type",
    "color",
    "description",
    "used",
    "changes",
    "level_ratio",
    "days_left",
    "pages_per_cartridge",
    "changed_at",
)


@click.command("usage")
@click.option("--month", required=True, help="By the clock of each site, such as 2026-03.")
@click.option("--customer", help="Only this customer's.")
@click.option("--csv", "in_csv", is_flag=True, help="A line of CSV for each supply; of a printer without any, one.")
@json_option
@with_database
async def usage(
    database: Database, _settings: Settings, *, month: str, customer: str | None, in_csv: bool, as_json: bool
) -> None:
    """Pages and supplies that each printer used in a month, and how long what is in it lasts.

    Use is in cartridges: 1.5 is one and a half. A page counter that goes back makes no pages.

    E.g. `printers usage --month 2026-03 --customer acme --json`.
    """
    if in_csv and as_json:
        raise click.UsageError("choose one of --csv and --json")
    wanted = Month.parse(month)
    async with database.connect() as connection:
        if customer is not None:
            await get_customer(connection, customer)
        found = await printer_usage(connection, wanted, customer=customer)
    if in_csv:
        click.echo(as_csv(found), nl=False)
    elif as_json:
        print_rows([_row(one) for one in found], as_json=True)
    else:
        rows = [_printer(one) | {"supplies": "; ".join(map(told, one.supplies)) or None} for one in found]
        print_rows(rows, as_json=False, columns=("customer", "id", "name", "pages", "counter", "supplies"))


def as_csv(found: Sequence[PrinterUsage]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*PRINTER_COLUMNS, *SUPPLY_COLUMNS], lineterminator="\r\n")
    writer.writeheader()
    for one in found:
        nothing: dict[str, object] = dict.fromkeys(SUPPLY_COLUMNS)
        for supply in [_supply(use) for use in one.supplies] or [nothing]:
            writer.writerow({key: spreadsheet_cell(value) for key, value in {**_printer(one), **supply}.items()})
    return text.getvalue()


def supply_row(supply: Supply) -> dict[str, object]:
    """A supply as `printers show` tells it."""
    return {
        "index": supply.index,
        "type": supply.type,
        "color": supply.color,
        "description": supply.description,
        "level_ratio": supply.level_ratio,
        "is_empty": supply.is_empty,
        "days_left": _rounded(supply.days_left, 1),
        "pages_per_cartridge": _rounded(supply.pages_per_cartridge, 0),
        "changed_at": supply.changed_at,
    }


def _row(usage: PrinterUsage) -> Row:
    return _printer(usage) | {"supplies": [_supply(one) for one in usage.supplies]}


def _printer(usage: PrinterUsage) -> dict[str, object]:
    printer = usage.printer
    return {
        "month": str(usage.month),
        "customer": printer.customer,
        "site": printer.site,
        "id": printer.id,
        "name": printer.name,
        "model": printer.told("model"),
        "serial": printer.serial,
        "pages": usage.pages,
        "counter": None if usage.counter is None else round(usage.counter),
        "days": usage.days,
    }


def _supply(use: SupplyUse) -> dict[str, object]:
    known = supply_row(use.supply)
    return {name: known[name] for name in SUPPLY_COLUMNS if name in known} | {
        "used": round(use.used, 3),
        "changes": use.changes,
    }


def told(use: SupplyUse) -> str:
    """What was used of a supply, and how long it lasts, for people."""
    return f"{use.supply.description or use.supply.type} {use.used:.2f} used{_left(use.supply)}"


def _left(supply: Supply) -> str:
    if supply.is_empty or supply.days_left == 0:
        return ", empty"
    if supply.days_left is None:
        return ""
    days = round(supply.days_left)
    return f", lasts {days} {'day' if days == 1 else 'days'}" if days else ", lasts less than a day"


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
