"""`printers`: devices that an agent of their site reads by SNMP or IPP."""

from collections.abc import Sequence

import click

from collector.cli.common import Row, actor, json_option, print_fields, print_rows, with_database
from collector.cli.printer_options import asking_of, asking_options, changed_asking, reader_option
from collector.cli.printer_usage import supply_row, usage
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.fleet.printers import found as finds
from collector.fleet.printers import store
from collector.fleet.printers.asking import shown_asking
from collector.fleet.printers.found import FoundPrinter
from collector.fleet.printers.store import NewPrinter, Printer, PrinterChange
from collector.fleet.printers.supplies import load_supplies


@click.group()
def printers() -> None:
    """Printers, and those that agents came upon.

    E.g. `printers list`.
    """


printers.add_command(usage)


@printers.command("add")
@click.argument("host")
@click.option("--customer", required=True, help="Whose it is.")
@click.option("--site", required=True, help="Where it stands; an agent of this site reads it.")
@click.option("--name", help="What people call it, such as 'reception'.  [default: its address]")
@reader_option
@asking_options
@with_database
async def add(
    database: Database,
    settings: Settings,
    /,
    host: str,
    *,
    customer: str,
    site: str,
    name: str | None,
    reader: str | None,
    **asking: object,
) -> None:
    """Add a printer at an address, and print the id of its device.

    E.g. `printers add 192.0.2.31 --customer acme --site hq --name reception`.
    """
    new = NewPrinter(customer, site, host, asking_of(asking), name, reader)
    async with database.begin() as connection:
        device = await store.add_printer(
            connection,
            load_service_models(settings.data),
            new,
            max_devices=settings.max_devices,
            actor=actor(),
            now=system_clock(),
        )
    click.echo(device)


@printers.command("list")
@click.option("--customer", help="Only those of this customer.")
@click.option("--site", help="Only those of this site.")
@click.option("--all", "everything", is_flag=True, help="Also those that are no longer looked after.")
@json_option
@with_database
async def list_command(
    database: Database,
    _settings: Settings,
    customer: str | None,
    site: str | None,
    *,
    everything: bool,
    as_json: bool,
) -> None:
    """List printers with who reads them.

    E.g. `printers list --customer acme --json`.
    """
    async with database.connect() as connection:
        found = await store.list_printers(connection, customer=customer, site=site, with_ended=everything)
    columns = ["id", "customer", "site", "name", "address", "model", "reader", "last_seen"]
    print_rows([_row(one) for one in found], as_json=as_json, columns=columns)


@printers.command("show")
@click.argument("printer")
@json_option
@with_database
async def show(database: Database, _settings: Settings, printer: str, as_json: bool) -> None:
    """Show all that is known of a printer, save its passwords.

    E.g. `printers show prn-reception-7k3p`.
    """
    async with database.connect() as connection:
        found = await store.get_printer(connection, printer)
        supplies = await load_supplies(connection, [printer])
    fields = {**_row(found), "refusal": found.told("refusal"), "display": found.told("display")}
    tables: dict[str, Sequence[Row]] = {"trays": found.trays(), "supplies": [supply_row(one) for one in supplies]}
    if as_json:
        print_fields({**fields, **tables}, as_json=True)
        return
    print_fields(fields, as_json=False)
    for name, rows in tables.items():
        if rows:
            click.echo(f"\n{name}:")
            print_rows(rows, as_json=False)


@printers.command("update")
@click.argument("printer")
@click.option("--address", help="Where it is now.")
@click.option("--name", help="What people call it.")
@click.option("--any-reader", is_flag=True, help="Leave it to the collector which agent of the site reads it.")
@reader_option
@asking_options
@with_database
async def update(
    database: Database,
    _settings: Settings,
    /,
    printer: str,
    *,
    address: str | None,
    name: str | None,
    any_reader: bool,
    reader: str | None,
    **asking: object,
) -> None:
    """Change a printer's name, address or reader, or how it is asked. What is not named stays.

    E.g. `printers update prn-reception-7k3p --ipp`.
    """
    if any_reader and reader is not None:
        raise click.UsageError("name a reader, or leave it to the collector with --any-reader")
    async with database.begin() as connection:
        was = await store.get_printer(connection, printer)
        change = PrinterChange(
            name=name, address=address, asking=changed_asking(was.asking, asking), reader="" if any_reader else reader
        )
        await store.change_printer(connection, printer, change, actor=actor(), now=system_clock())
    click.echo(f"printer {printer} is changed", err=True)


@printers.command("end")
@click.argument("printer")
@with_database
async def end(database: Database, _settings: Settings, printer: str) -> None:
    """Read a printer no longer, and forget its passwords.

    E.g. `printers end prn-reception-7k3p`.
    """
    async with database.begin() as connection:
        await store.end_printer(connection, printer, actor=actor(), now=system_clock())
    click.echo(f"{printer} is no longer looked after", err=True)


@printers.command("found")
@click.option("--customer", help="Only those of this customer.")
@click.option("--all", "everything", is_flag=True, help="Also those that were accepted or dismissed.")
@json_option
@with_database
async def found_command(
    database: Database, _settings: Settings, customer: str | None, *, everything: bool, as_json: bool
) -> None:
    """List the printers that agents came upon and that nobody has accepted or dismissed.

    E.g. `printers found --json`.
    """
    async with database.connect() as connection:
        found = await finds.list_found(connection, customer=customer, everything=everything)
    columns = ["number", "customer", "site", "address", "model", "serial", "ways", "last_found_at"]
    print_rows([_found_row(one) for one in found], as_json=as_json, columns=columns)


@printers.command("accept")
@click.argument("number", type=int)
@click.option("--name", help="What people call it.  [default: its address]")
@reader_option
@asking_options
@with_database
async def accept(
    database: Database, settings: Settings, /, number: int, *, name: str | None, reader: str | None, **asking: object
) -> None:
    """Make a printer that was found a device, and print its id. Without more it is asked in the ways that it was found.

    E.g. `printers accept 3 --name reception`.
    """
    async with database.begin() as connection:
        found = await finds.get_found(connection, number)
        device = await finds.accept_found(
            connection,
            load_service_models(settings.data),
            number,
            asking=asking_of(asking, found.ways),
            name=name,
            reader=reader,
            max_devices=settings.max_devices,
            actor=actor(),
            now=system_clock(),
        )
    click.echo(device)


@printers.command("dismiss")
@click.argument("number", type=int)
@with_database
async def dismiss(database: Database, _settings: Settings, number: int) -> None:
    """Propose a printer that was found no more.

    E.g. `printers dismiss 4`.
    """
    async with database.begin() as connection:
        await finds.dismiss_found(connection, number, actor=actor(), now=system_clock())
    click.echo(f"found printer {number} is dismissed", err=True)


def _row(printer: Printer) -> Row:
    return {
        **printer.shown(),
        **shown_asking(printer.asking),
    }


def _found_row(found: FoundPrinter) -> Row:
    return {
        "number": found.id,
        "customer": found.customer,
        "site": found.site,
        "address": found.address,
        "model": found.model,
        "serial": found.serial,
        "ways": list(found.ways),
        "found_by": found.found_by,
        "first_found_at": found.first_found_at,
        "last_found_at": found.last_found_at,
        "device": found.device,
        "dismissed_at": found.dismissed_at,
    }
