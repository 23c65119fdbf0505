"""`audit`: who changed what."""

import click

from collector.cli.common import json_option, print_rows, with_database
from collector.config import Settings
from collector.db.audit import latest
from collector.db.database import Database


@click.group()
def audit() -> None:
    """What people changed.

    E.g. `audit list`.
    """


@audit.command("list")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many records.")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, limit: int, as_json: bool) -> None:
    """List the latest changes, newest first.

    E.g. `audit list --limit 20`.
    """
    async with database.connect() as connection:
        records = await latest(connection, limit)
    rows = [
        {
            "at": record.at,
            "actor": record.actor,
            "action": record.action,
            "subject": record.subject,
            "data": record.data,
        }
        for record in records
    ]
    print_rows(rows, as_json=as_json)
