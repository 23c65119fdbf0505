"""`devices events`: what a device told beside its samples."""

import click

from collector.cli.common import json_option, print_rows, with_database
from collector.config import Settings
from collector.db.database import Database
from collector.fleet.devices import get_device
from collector.fleet.told_events import events_of

MAX_LIMIT = 10_000


@click.command("events")
@click.argument("device")
@click.option("--type", "only", help="Only these, e.g. check_changed.")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=50, show_default=True, help="How many at most.")
@json_option
@with_database
async def events(
    database: Database, _settings: Settings, *, device: str, only: str | None, limit: int, as_json: bool
) -> None:
    """List what a device told beside its samples, the newest first: starts and goodbyes, probes that cannot be read,
    checks that changed with what they said, a configuration or a buffer that cannot be used.

    E.g. `devices events srv-files-7k3p --type check_changed`.
    """
    async with database.connect() as connection:
        await get_device(connection, device)
        found = await events_of(connection, device, limit, only=only)
    rows = [{"at": one.at, "type": one.type, "data": one.data, "received_at": one.received_at} for one in found]
    print_rows(rows, as_json=as_json, columns=["at", "type", "data"])
