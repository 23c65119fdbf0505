"""`silences`: what is known, and shall open no ticket for a while."""

from datetime import timedelta

import click

from collector.alerting.matching import write_matcher
from collector.cli.common import DURATION, Row, actor, json_option, print_rows, with_database
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.incidents import silences as store


@click.group()
def silences() -> None:
    """Silences. What they match opens no ticket while they last; what is still wrong at their end does.

    E.g. `silences list`.
    """


@silences.command("add")
@click.option(
    "--match",
    "matchers",
    multiple=True,
    required=True,
    help='What is meant: a label and its value, such as customer=acme or alertname=~"Disk.*". Several must all match.',
)
@click.option("--for", "length", type=DURATION, required=True, help="How long from now on, such as 2h or 3d.")
@click.option("--comment", required=True, help="Why: others will wonder.")
@with_database
async def add(
    database: Database, _settings: Settings, *, matchers: tuple[str, ...], length: timedelta, comment: str
) -> None:
    """Add a silence, print its id, and tell how many of the alerts that are open now it matches.

    E.g. `silences add --match customer=acme --match 'alertname=~Disk.*' --for 2h --comment "new disk on its way"`.
    """
    now = system_clock()
    async with database.begin() as connection:
        silence = await store.add_silence(
            connection,
            matchers=matchers,
            starts_at=now,
            ends_at=now + length,
            author=actor(),
            comment=comment,
            now=now,
        )
        matched = await store.count_matched(connection, matchers)
    click.echo(silence)
    click.echo(_matched(matched), err=True)


@silences.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, everything: bool, as_json: bool) -> None:
    """List silences.

    E.g. `silences list --json`.
    """
    async with database.connect() as connection:
        found = await store.list_silences(connection, ends_after=None if everything else system_clock())
    rows: list[Row] = [
        {
            "id": one.id,
            "matchers": written if as_json else ", ".join(written),
            "starts_at": one.starts_at,
            "ends_at": one.ends_at,
            "author": one.author,
            "comment": one.comment,
        }
        for one in found
        for written in [[write_matcher(matcher) for matcher in one.matchers]]
    ]
    print_rows(rows, as_json=as_json)


@silences.command("expire")
@click.argument("silence", type=int)
@with_database
async def expire(database: Database, _settings: Settings, silence: int) -> None:
    """End a silence now. What it held back and is still wrong opens its tickets.

    E.g. `silences expire 3`.
    """
    async with database.begin() as connection:
        await store.expire_silence(connection, silence, actor=actor(), now=system_clock())
    click.echo(f"silence {silence} has ended", err=True)


def _matched(count: int) -> str:
    if count == 0:
        return "it matches no alert that is open now: check the matchers, unless it is for what is still to come"
    return "it matches 1 alert that is open now" if count == 1 else f"it matches {count} alerts that are open now"
