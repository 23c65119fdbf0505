"""`outbox`: what is to be told outside, and what could not be."""

import click

from collector.cli.common import Row, actor, json_option, print_rows, with_database
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.desk import outbox as store
from collector.desk.outbox import Entry

COLUMNS = ["id", "connector", "ticket", "kind", "state", "attempts", "next_try_at", "last_error"]


@click.group()
def outbox() -> None:
    """What happens to tickets, on its way to the webhook and to mail. `serve` delivers it.

    E.g. `outbox list`.
    """


@outbox.command("list")
@click.option("--parked", is_flag=True, help="Only what was given up.")
@click.option("--all", "everything", is_flag=True, help="Also what was delivered.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="At most so many.")
@json_option
@with_database
async def list_command(
    database: Database, _settings: Settings, *, parked: bool, everything: bool, limit: int, as_json: bool
) -> None:
    """List what waits and what was given up, oldest first.

    E.g. `outbox list --parked`.
    """
    async with database.connect() as connection:
        found = await store.list_entries(connection, parked=parked, delivered_too=everything, limit=limit)
    print_rows([_row(entry) for entry in found], as_json=as_json, columns=COLUMNS)


@outbox.command("retry")
@click.argument("entry", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="All that was given up.")
@with_database
async def retry(database: Database, _settings: Settings, *, entry: int | None, everything: bool) -> None:
    """Try again what was given up, once its cause is mended.

    E.g. `outbox retry 17` or `outbox retry --all`.
    """
    if everything == (entry is not None):
        raise click.UsageError("name one by its id, or use --all")
    async with database.begin() as connection:
        count = await store.retry(connection, entry, actor=actor(), now=system_clock())
    click.echo(f"to be tried again: {count}", err=True)


def _row(entry: Entry) -> Row:
    return {
        "id": entry.id,
        "key": entry.key,
        "connector": entry.connector,
        "ticket": entry.ticket,
        "kind": entry.kind,
        "state": _state(entry),
        "created_at": entry.created_at,
        "attempts": entry.attempts,
        "next_try_at": entry.next_try_at,
        "delivered_at": entry.delivered_at,
        "last_error": entry.last_error,
    }


def _state(entry: Entry) -> str:
    if entry.delivered_at is not None:
        return "delivered"
    return "waiting" if entry.next_try_at is not None else "parked"
