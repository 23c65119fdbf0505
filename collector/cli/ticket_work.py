"""`tickets work` and `tickets parts`: what tickets took."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.cli.common import Row, actor, as_option, json_option, me, print_rows, with_database
from collector.cli.local_time import MOMENT
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.desk import parts as parts_store
from collector.desk import work as store
from collector.desk.parts import Part
from collector.desk.technicians import list_technicians
from collector.desk.work import Correction, WorkEntry, WorkKind
from collector.reporting.currency import currency_of

WORK_COLUMNS = ["id", "author", "kind", "started_at", "minutes", "is_billable", "is_running", "is_voided", "note"]
MAX_NAMED = 10  # technicians in a note


class Amount(click.ParamType[Decimal]):
    """A decimal number, exact to the last digit."""

    name = "amount"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        if isinstance(value, Decimal):
            return value
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", str(value)):
            self.fail(f"write an amount like 12.50, not {value!r}", param, ctx)
        return Decimal(str(value))


AMOUNT = Amount()
travel_option = click.option("--travel", is_flag=True, help="It is the way there and back, not work.")
free_option = click.option("--not-billable", is_flag=True, help="It is told on the bill, and not charged.")


def at(local: datetime | None, now: datetime) -> datetime:
    """A time by the clock of this machine, in UTC; None: now."""
    return now if local is None else local.astimezone(UTC)


async def _tell_unknown(connection: AsyncConnection, author: str) -> None:
    """Work is anybody's, but a name that is no technician's is most likely a slip."""
    names = [one.id for one in await list_technicians(connection)]
    if names and author not in names:
        click.echo(
            f"note: {author} is no technician; --as says whose time it is: {', '.join(names[:MAX_NAMED])}", err=True
        )


@click.group()
def work() -> None:
    """Minutes spent on tickets, by start and stop or by hand.

    E.g. `tickets work start 1001`.
    """


@work.command("start")
@click.argument("number", type=int)
@as_option
@travel_option
@free_option
@click.option("--note", default="", help="What is done.")
@with_database
async def start(
    database: Database,
    _settings: Settings,
    number: int,
    *,
    who: str | None,
    travel: bool,
    not_billable: bool,
    note: str,
) -> None:
    """Begin to work on a ticket, and print the entry's id. Everybody is at one thing at a time.

    E.g. `tickets work start 1001 --note "at the customer's"`.
    """
    async with database.begin() as connection:
        entry = await store.start(
            connection,
            number,
            author=who or me(),
            kind=_kind(travel),
            is_billable=not not_billable,
            note=note,
            actor=actor(),
            now=system_clock(),
        )
        await _tell_unknown(connection, who or me())
    click.echo(entry)


@work.command("stop")
@as_option
@click.option("--note", help="What was done, instead of the note at the start.")
@with_database
async def stop(database: Database, _settings: Settings, who: str | None, note: str | None) -> None:
    """Stop what was started. What ran for more than 12 hours was forgotten: it is not billable until it is corrected.

    E.g. `tickets work stop --note "new fuser unit"`.
    """
    async with database.begin() as connection:
        entry = await store.stop(connection, author=who or me(), note=note, actor=actor(), now=system_clock())
        await _tell_overlaps(connection, entry.id)
    click.echo(f"{entry.minutes} min of {entry.kind} on ticket {entry.ticket}", err=True)
    if not entry.is_billable and store.FORGOTTEN in entry.note:
        click.echo(f"entry {entry.id} was {store.FORGOTTEN}: tickets work correct {entry.id} --minutes …", err=True)


@work.command("add")
@click.argument("number", type=int)
@click.option("--minutes", type=int, required=True, help="How long it took, 1 to 1440.")
@click.option(
    "--from", "starts", type=MOMENT, help="When it began, by this machine's clock.  [default: so that it ends now]"
)
@as_option
@travel_option
@free_option
@click.option("--note", default="", help="What was done.")
@with_database
async def add(
    database: Database,
    _settings: Settings,
    number: int,
    *,
    minutes: int,
    starts: datetime | None,
    who: str | None,
    travel: bool,
    not_billable: bool,
    note: str,
) -> None:
    """Enter work that is done, and print the entry's id.

    E.g. `tickets work add 1001 --minutes 40 --from "2026-03-02 10:15" --note "new fuser unit"`.
    """
    now = system_clock()
    async with database.begin() as connection:
        entry = await store.add(
            connection,
            number,
            author=who or me(),
            minutes=minutes,
            started_at=store.ending_at(now, minutes) if starts is None else at(starts, now),
            kind=_kind(travel),
            is_billable=not not_billable,
            note=note,
            actor=actor(),
            now=now,
        )
        await _tell_unknown(connection, who or me())
        await _tell_overlaps(connection, entry)
    click.echo(entry)


@work.command("correct")
@click.argument("entry", type=int)
@click.option("--minutes", type=int, help="How long it took, 1 to 1440.")
@click.option("--from", "starts", type=MOMENT, help="When it began, by this machine's clock.")
@click.option("--kind", type=click.Choice([kind.value for kind in WorkKind]), help="Work, or travel.")
@click.option("--billable/--not-billable", default=None, help="Whether it may be charged.")
@click.option("--note", help="What was done.")
@with_database
async def correct(
    database: Database,
    _settings: Settings,
    entry: int,
    *,
    minutes: int | None,
    starts: datetime | None,
    kind: str | None,
    billable: bool | None,
    note: str | None,
) -> None:
    """Correct an entry; what it was stays in the audit and in the ticket's history.

    E.g. `tickets work correct 12 --minutes 35`.
    """
    now = system_clock()
    wanted = Correction(
        minutes, None if starts is None else at(starts, now), None if kind is None else WorkKind(kind), note, billable
    )
    async with database.begin() as connection:
        await store.correct(connection, entry, wanted, actor=actor(), now=now)
        await _tell_overlaps(connection, entry)
    click.echo(f"entry {entry} is corrected", err=True)


@work.command("void")
@click.argument("entry", type=int)
@click.option("--reason", required=True, help="Why it was a mistake.")
@with_database
async def void(database: Database, _settings: Settings, entry: int, reason: str) -> None:
    """Take an entry out of the count. It stays on record.

    E.g. `tickets work void 12 --reason "wrong ticket"`.
    """
    async with database.begin() as connection:
        await store.void(connection, entry, reason=reason, actor=actor(), now=system_clock())
    click.echo(f"entry {entry} counts for nothing now", err=True)


@work.command("list")
@click.argument("number", type=int)
@json_option
@with_database
async def list_work(database: Database, _settings: Settings, number: int, as_json: bool) -> None:
    """List the entries of a ticket in the order in which they were made.

    E.g. `tickets work list 1001`.
    """
    async with database.connect() as connection:
        found = await store.list_entries(connection, number)
    print_rows([_entry_row(entry) for entry in found], as_json=as_json, columns=WORK_COLUMNS)


@click.group()
def parts() -> None:
    """Parts and costs of tickets, which are charged as they are.

    E.g. `tickets parts list 1001`.
    """


@parts.command("add")
@click.argument("number", type=int)
@click.argument("description")
@click.option("--price", type=AMOUNT, required=True, help="Of one, without VAT, such as 89.90.")
@click.option("--quantity", type=AMOUNT, default="1", show_default=True, help="How many, or how much.")
@click.option("--currency", help="As ISO 4217 names it.  [default: the contract's, or its service model's]")
@click.option("--on", "used", type=MOMENT, help="When it was used, by this machine's clock.  [default: now]")
@as_option
@with_database
async def add_part(
    database: Database,
    settings: Settings,
    number: int,
    description: str,
    *,
    price: Decimal,
    quantity: Decimal,
    currency: str | None,
    used: datetime | None,
    who: str | None,
) -> None:
    """Enter a part that was used on a ticket, and print its id.

    E.g. `tickets parts add 1001 "fuser unit" --price 189.00`.
    """
    now, models = system_clock(), load_service_models(settings.data)
    used_at = at(used, now)
    async with database.begin() as connection:
        part = await parts_store.add(
            connection,
            number,
            author=who or me(),
            description=description,
            quantity=quantity,
            unit_price=price,
            currency=currency.upper() if currency else await currency_of(connection, models, number, used_at),
            used_at=used_at,
            actor=actor(),
            now=now,
        )
    click.echo(part)


@parts.command("void")
@click.argument("part", type=int)
@click.option("--reason", required=True, help="Why it was a mistake.")
@with_database
async def void_part(database: Database, _settings: Settings, part: int, reason: str) -> None:
    """Take a part out of the count. It stays on record.

    E.g. `tickets parts void 3 --reason "was not needed"`.
    """
    async with database.begin() as connection:
        await parts_store.void(connection, part, reason=reason, actor=actor(), now=system_clock())
    click.echo(f"part {part} counts for nothing now", err=True)


@parts.command("list")
@click.argument("number", type=int)
@json_option
@with_database
async def list_parts(database: Database, _settings: Settings, number: int, as_json: bool) -> None:
    """List the parts of a ticket in the order in which they were entered.

    E.g. `tickets parts list 1001 --json`.
    """
    async with database.connect() as connection:
        found = await parts_store.list_parts(connection, number)
    print_rows([_part_row(part) for part in found], as_json=as_json)


async def _tell_overlaps(connection: AsyncConnection, entry: int) -> None:
    """Says what else the same person did at that time: the same hour would be charged twice."""
    for one in (await store.overlapping(connection, entry))[:MAX_NAMED]:
        until = "now" if one.ended_at is None else f"{one.ended_at.astimezone():%H:%M %Z}"
        begun = f"{one.started_at.astimezone():%Y-%m-%d %H:%M}"
        told = f"entry {one.id} of {one.author}, on ticket {one.ticket}, is of the same time: {begun} to {until}"
        click.echo(f"note: {told}; correct or void one of them if both are not meant", err=True)


def _kind(travel: bool) -> WorkKind:
    return WorkKind.TRAVEL if travel else WorkKind.WORK


def _entry_row(entry: WorkEntry) -> Row:
    return {
        "id": entry.id,
        "ticket": entry.ticket,
        "author": entry.author,
        "kind": entry.kind,
        "started_at": entry.started_at,
        "ended_at": entry.ended_at,
        "minutes": entry.minutes,
        "is_billable": entry.is_billable,
        "is_running": entry.is_running,
        "is_voided": entry.voided_at is not None,
        "note": entry.note,
        "entered_at": entry.entered_at,
        "voided_at": entry.voided_at,
    }


def _part_row(part: Part) -> Row:
    """Amounts as text: JSON's numbers are floats to many who read them."""
    return {
        "id": part.id,
        "ticket": part.ticket,
        "author": part.author,
        "description": part.description,
        "quantity": f"{part.quantity:f}",
        "unit_price": f"{part.unit_price:f}",
        "currency": part.currency,
        "used_at": part.used_at,
        "is_voided": part.voided_at is not None,
    }
