"""`db`: the state database."""

import click

from collector.cli.common import with_database, with_new_database
from collector.config import Settings
from collector.db.check import problems_of
from collector.db.database import Database
from collector.db.migrate import HEAD


@click.group()
def db() -> None:
    """The state database.

    E.g. `db check`.
    """


@db.command("migrate")
@with_new_database
async def migrate(database: Database, _settings: Settings) -> None:
    """Bring the schema up to date and say where it stands. Every command does so by itself; this
    one also begins a database where there is none.

    E.g. `db migrate`.
    """
    click.echo(f"the {database.dialect} database is at schema {HEAD}")


@db.command("check")
@with_database
async def check(database: Database, _settings: Settings) -> None:
    """Look for damage. Exit code: 0 nothing found, 1 problems found.

    E.g. `db check`.
    """
    problems = await problems_of(database)
    click.echo("\n".join(problems) or "no problems")
    if problems:
        raise SystemExit(1)
