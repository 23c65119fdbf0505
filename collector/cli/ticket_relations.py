"""What a ticket has to do with others: merged, linked, part of; devices and watchers."""

import click

from collector.cli.common import actor, with_database
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.desk import editing, links
from collector.desk.links import LinkKind
from collector.incidents import by_hand


@click.command("merge")
@click.argument("number", type=int)
@click.option("--into", type=int, required=True, help="The ticket that goes on for both.")
@with_database
async def merge(database: Database, _settings: Settings, number: int, into: int) -> None:
    """Make a ticket part of another one, with its open alerts, and close it.

    E.g. `tickets merge 1002 --into 1001`.
    """
    async with database.begin() as connection:
        await by_hand.merge(connection, number, into, actor=actor(), now=system_clock())
    click.echo(f"ticket {number} is part of {into} now", err=True)


@click.command("link")
@click.argument("number", type=int)
@click.argument("other", type=int)
@click.option(
    "--kind",
    type=click.Choice([one.value for one in LinkKind]),
    default=LinkKind.RELATED.value,
    show_default=True,
    help="What the other is to this one.",
)
@with_database
async def link(database: Database, _settings: Settings, number: int, other: int, kind: str) -> None:
    """Say that two tickets have to do with each other.

    E.g. `tickets link 1001 1002 --kind blocked_by`.
    """
    async with database.begin() as connection:
        await links.link(connection, number, other, LinkKind(kind), actor=actor(), now=system_clock())
    click.echo(f"ticket {number}: {kind.replace('_', ' ')} {other}", err=True)


@click.command("unlink")
@click.argument("number", type=int)
@click.argument("other", type=int)
@with_database
async def unlink(database: Database, _settings: Settings, number: int, other: int) -> None:
    """Take a link back.

    E.g. `tickets unlink 1001 1002`.
    """
    async with database.begin() as connection:
        await links.unlink(connection, number, other, actor=actor(), now=system_clock())
    click.echo(f"tickets {number} and {other} are no longer linked", err=True)


@click.command("set-parent")
@click.argument("number", type=int)
@click.argument("parent", type=int, required=False)
@click.option("--none", "is_none", is_flag=True, help="It is part of no other ticket any more.")
@with_database
async def set_parent(
    database: Database, _settings: Settings, number: int, parent: int | None, *, is_none: bool
) -> None:
    """Make a ticket part of a greater one, which goes on as long as one of its parts does.

    E.g. `tickets set-parent 1002 1001`.
    """
    if is_none == (parent is not None):
        raise click.UsageError("name the greater ticket, or --none")
    async with database.begin() as connection:
        await links.set_parent(connection, number, parent, actor=actor(), now=system_clock())
    click.echo(f"ticket {number} is part of {parent or 'no other ticket'} now", err=True)


@click.command("devices")
@click.argument("number", type=int)
@click.option("--add", multiple=True, help="A device that it is about too.")
@click.option("--remove", multiple=True, help="One that it is not about after all.")
@with_database
async def devices(
    database: Database, _settings: Settings, number: int, add: tuple[str, ...], remove: tuple[str, ...]
) -> None:
    """Say which further devices a ticket is about, and print them.

    E.g. `tickets devices 1001 --add ws-reception-7k3p`.
    """
    async with database.begin() as connection:
        if add or remove:
            await editing.change_devices(connection, number, add=add, remove=remove, actor=actor(), now=system_clock())
        found = await editing.further_devices(connection, number)
    for one in found:
        click.echo(one)


@click.command("watch")
@click.argument("number", type=int)
@click.argument("watcher")
@click.option("--stop", is_flag=True, help="Watches no longer.")
@with_database
async def watch(database: Database, _settings: Settings, number: int, watcher: str, *, stop: bool) -> None:
    """Have a technician, or a mail address, watch a ticket.

    E.g. `tickets watch 1001 anna`.
    """
    change = editing.unwatch if stop else editing.watch
    async with database.begin() as connection:
        await change(connection, number, watcher, actor=actor(), now=system_clock())
    click.echo(f"ticket {number}: {watcher} {'watches no longer' if stop else 'watches'}", err=True)
