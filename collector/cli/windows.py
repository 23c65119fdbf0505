"""`windows`: planned work, during which what fires opens no ticket."""

from datetime import datetime, timedelta

import click

from collector.cli.common import DURATION, actor, json_option, print_rows, with_database
from collector.cli.local_time import MOMENT
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.incidents import windows as store
from collector.incidents.windows import Scope, Window


@click.group()
def windows() -> None:
    """Maintenance windows, once or again and again. What is still wrong at their end opens its ticket.

    E.g. `windows list`.
    """


@windows.command("add")
@click.option("--customer", required=True, help="Where work is done.")
@click.option("--site", help="Only at this site.")
@click.option("--device", help="Only on this device.")
@click.option("--tag", help="Only on devices with this tag.")
@click.option(
    "--from",
    "starts",
    type=MOMENT,
    required=True,
    help="When it starts, by the clock on the wall at the site, or at the customer's sites.",
)
@click.option("--lasts", type=DURATION, required=True, help="How long it is, such as 90m or 4h.")
@click.option("--repeat", help="When it comes again: an RRULE of RFC 5545, such as FREQ=WEEKLY;BYDAY=SU.")
@click.option("--time-zone", help="As the IANA names it.  [default: the site's, or the sites' if they agree]")
@click.option("--reason", required=True, help="What is done.")
@with_database
async def add(
    database: Database,
    _settings: Settings,
    *,
    customer: str,
    site: str | None,
    device: str | None,
    tag: str | None,
    starts: datetime,
    lasts: timedelta,
    repeat: str | None,
    time_zone: str | None,
    reason: str,
) -> None:
    """Add a maintenance window, and print its id.

    E.g. `windows add --customer acme --tag patching --from "2026-03-08 02:00" --lasts 4h
    --repeat "FREQ=MONTHLY;BYDAY=2SU" --reason "patch round"`.
    """
    async with database.begin() as connection:
        window = await store.add_window(
            connection,
            scope=Scope(customer, site, device, tag),
            starts_local=starts,
            length=lasts,
            recurrence=repeat,
            time_zone=time_zone,
            author=actor(),
            reason=reason,
            now=system_clock(),
        )
    click.echo(window)


@windows.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are over or were called off.")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, everything: bool, as_json: bool) -> None:
    """List maintenance windows, with whether they are open and when they open next.

    E.g. `windows list --json`.
    """
    now = system_clock()
    async with database.connect() as connection:
        found = await store.list_windows(connection, open_after=None if everything else now)
    rows = [_row(window, now) for window in found]
    if not everything:
        rows = [row for row in rows if row["is_open"] or row["next_start"]]
    print_rows(rows, as_json=as_json)


@windows.command("end")
@click.argument("window", type=int)
@with_database
async def end(database: Database, _settings: Settings, window: int) -> None:
    """Call a window off from now on, with all that would come.

    E.g. `windows end 2`.
    """
    async with database.begin() as connection:
        await store.end_window(connection, window, actor=actor(), now=system_clock())
    click.echo(f"window {window} is called off", err=True)


def _row(window: Window, now: datetime) -> dict[str, object]:
    return {
        "id": window.id,
        "where": str(window.scope),
        "is_open": window.open_at(now) is not None,
        "next_start": window.next_start(now),
        "starts": f"{window.starts_local:%Y-%m-%d %H:%M} {window.time_zone}",
        "minutes": window.length // timedelta(minutes=1),
        "repeat": window.recurrence,
        "author": window.author,
        "reason": window.reason,
        "ended_at": window.ended_at,
    }
