"""`tickets assign`, `take` and `hand-over`: who works on a ticket."""

import click

from collector.cli.common import actor, as_option, json_option, me, print_fields, with_database
from collector.cli.local_time import in_own_zone
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.desk import assigning as store
from collector.desk.agreed import agreed_about


@click.command("assign")
@click.argument("number", type=int)
@click.argument("technician", required=False)
@click.option("--nobody", is_flag=True, help="Back to the queue: nobody has it any more.")
@click.option("--explain", is_flag=True, help="Change nothing: tell who would get it now, and why nobody else.")
@json_option
@with_database
async def assign(
    database: Database,
    _settings: Settings,
    *,
    number: int,
    technician: str | None,
    nobody: bool,
    explain: bool,
    as_json: bool,
) -> None:
    """Give a ticket to a technician, whoever had it, or back to the queue; or tell who would get it by itself.

    E.g. `tickets assign 1001 anna`, `tickets assign 1001 --nobody` or `tickets assign 1001 --explain`.
    """
    if (technician is not None) + nobody + explain != 1:
        raise click.UsageError("name a technician, give it back with --nobody, or ask with --explain who it would be")
    now = system_clock()
    if nobody:
        async with database.begin() as connection:
            await store.release(connection, number, actor=actor(), now=now)
        click.echo(f"ticket {number} is nobody's now, and in the queue", err=True)
        return
    if technician is not None:
        async with database.begin() as connection:
            lacks = await store.assign(connection, number, technician, actor=actor(), now=now)
        _tell(number, technician, lacks)
        return
    async with database.connect() as connection:
        decision = await store.explain(connection, number, agreed_about, now)
    row = {
        "number": number,
        "verdict": decision.verdict.value,
        "assignee": decision.assignee,
        "reason": decision.why,
        "until": decision.until,
    }
    if as_json:
        print_fields({**row, "why_not": decision.why_not}, as_json=True)
        return
    row["reason"] = in_own_zone(decision.why)
    print_fields({**row, **{f"not {name}": why for name, why in sorted(decision.why_not.items())}}, as_json=False)


@click.command("take")
@click.argument("number", type=int)
@as_option
@with_database
async def take(database: Database, _settings: Settings, *, number: int, who: str | None) -> None:
    """Take a ticket that nobody has. If somebody was first, it is told who.

    E.g. `tickets take 1001 --as anna`.
    """
    name = who or me()
    async with database.begin() as connection:
        await store.take(connection, number, name, actor=actor(), now=system_clock())
    click.echo(f"ticket {number} is {name}'s now", err=True)


@click.command("hand-over")
@click.argument("number", type=int)
@click.option("--to", "technician", required=True, help="Who goes on with it.")
@click.option("--note", required=True, help="How things stand; an internal comment.")
@with_database
async def hand_over(database: Database, _settings: Settings, *, number: int, technician: str, note: str) -> None:
    """Hand a ticket over to another technician, with a note.

    E.g. `tickets hand-over 1001 --to bob --note "cable is new, switch is next"`.
    """
    async with database.begin() as connection:
        lacks = await store.hand_over(connection, number, technician, note=note, actor=actor(), now=system_clock())
    _tell(number, technician, lacks)


def _tell(number: int, technician: str, lacks: str | None) -> None:
    click.echo(f"ticket {number} is {technician}'s now", err=True)
    if lacks is not None:
        click.echo(f"note: {technician} {lacks}", err=True)
