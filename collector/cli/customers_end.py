"""`customers end`: the end of a customer, step by step."""

import sys
from datetime import datetime
from pathlib import Path

import click

from collector.cli.common import actor, with_database
from collector.cli.local_time import DAY
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.fleet.customers import get_customer
from collector.fleet.erasure import erase_people, is_erased
from collector.incidents import offboarding
from collector.reporting.handover import new_file, write_handover


@click.command("end")
@click.argument("customer")
@click.option(
    "--on",
    "day",
    type=DAY,
    help="End the contract on a later day; run it again on that day for all else.  [default: end everything now]",
)
@click.option(
    "--export",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The ZIP file to hand over, written before anything is erased.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_database
async def end(
    database: Database, _settings: Settings, *, customer: str, day: datetime | None, file: Path | None, yes: bool
) -> None:
    """End a customer: nothing is looked after any more, what is kept is handed over, and people are erased.

    A run that was interrupted is run again, and goes on.

    E.g. `customers end acme --export acme.zip`.
    """
    now, who = system_clock(), actor()
    if day is not None and day.astimezone() > now:
        async with database.begin() as connection:
            count = await offboarding.plan_end(connection, customer, ends_at=day.astimezone(), actor=who, now=now)
        click.echo(f"contracts of {customer} end on {day:%Y-%m-%d} ({count}): run this again on that day", err=True)
        return
    is_sure = yes or sys.stdin.isatty()  # there somebody is asked
    if file is None or not is_sure:
        lacking = [
            *(["--export FILE.zip, which is handed over"] if file is None else []),
            *(["--yes, as this cannot be taken back and nobody can be asked here"] if not is_sure else []),
        ]
        raise click.UsageError(f"name {' and '.join(lacking)}")
    async with database.connect() as connection:
        found = await get_customer(connection, customer)
        if await is_erased(connection, customer):
            click.echo(f"customer {customer} was ended before, and its people are erased: nothing to do", err=True)
            return
    if not yes:
        told = f"End {customer} ({found.name}), and erase its people? This cannot be taken back"
        click.confirm(told, abort=True, err=True)
    with new_file(file, customer) as out:  # first: a file that cannot be written must end nothing
        async with database.begin() as connection:
            done = await offboarding.stop(connection, customer, actor=who, now=now)
        if done is not None:
            click.echo(
                f"ended: devices={done.devices} tokens={done.tokens} tickets={done.tickets}; agents are told to stop",
                err=True,
            )
        async with database.connect() as connection:
            await write_handover(
                connection, customer, out, now=now, progress=lambda told: click.echo(f"exported {told}", err=True)
            )
    click.echo(f"handed over: {file}", err=True)
    async with database.begin() as connection:
        await erase_people(connection, customer, actor=who, now=now)
    click.echo(f"erased: what named people at {customer}", err=True)
