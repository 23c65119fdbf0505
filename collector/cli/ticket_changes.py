"""What a person does with one ticket: opens it, says something, changes it, resolves it."""

import sys

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.cli.common import acting_as, actor, as_option, with_database
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import Level, Priority
from collector.db.database import Database
from collector.desk import editing, links, resolving, said
from collector.desk import tickets as store
from collector.desk.fields import TicketKind, TicketSource
from collector.desk.reported import Report, open_reported
from collector.desk.states import TicketStatus
from collector.incidents import by_hand

LEVELS = click.Choice([one.value for one in Level])
PRIORITIES = click.Choice([one.value for one in Priority])
KINDS = click.Choice([one.value for one in TicketKind])


@click.command("add")
@click.option("--customer", required=True, help="Whose it is.")
@click.option("--title", required=True, help="What it is about, in one line.")
@click.option("--description", help="All that is known.")
@click.option("--site", help="Where.  [default: that of its devices]")
@click.option("--device", "devices", multiple=True, help="A device it is about; several may be named.")
@click.option("--category", help="One word, such as storage: technicians are chosen by it.")
@click.option("--impact", type=LEVELS, default=Level.MEDIUM.value, show_default=True, help="How many cannot work.")
@click.option("--urgency", type=LEVELS, default=Level.MEDIUM.value, show_default=True, help="How long it can wait.")
@click.option("--priority", type=PRIORITIES, help="Instead of the one that impact and urgency lead to.")
@click.option("--contact", type=int, help="Who reported it: a contact's id.")
@click.option("--kind", type=KINDS, default=TicketKind.INCIDENT.value, show_default=True, help="What it is.")
@click.option("--by-customer", is_flag=True, help="The customer reported it.")
@with_database
async def add(
    database: Database,
    _settings: Settings,
    *,
    customer: str,
    title: str,
    description: str | None,
    site: str | None,
    devices: tuple[str, ...],
    category: str | None,
    impact: str,
    urgency: str,
    priority: str | None,
    contact: int | None,
    kind: str,
    by_customer: bool,
) -> None:
    """Open a ticket by hand, whatever the customer's plan; prints its number. `add` and `open` are the same.

    E.g. `tickets add --customer acme --title "Outlook is slow" --impact high`.
    """
    report = Report(
        customer=customer,
        title=title,
        description=description,
        kind=TicketKind(kind),
        source=TicketSource.CUSTOMER if by_customer else TicketSource.PERSON,
        site=site,
        devices=devices,
        category=category,
        contact=contact,
        impact=Level(impact),
        urgency=Level(urgency),
        priority=Priority(priority) if priority else None,
    )
    async with database.begin() as connection:
        number = await open_reported(connection, report, actor=actor(), now=system_clock())
    click.echo(number)


@click.command("comment")
@click.argument("number", type=int)
@click.argument("text")
@click.option("--public", "is_public", is_flag=True, help="The customer sees it too.")
@click.option("--contact", type=int, help="Who at the customer said it, such as by phone: a contact's id.")
@click.option("--still-wrong", is_flag=True, help="Of a contact: it is not mended, so a resolved ticket reopens.")
@as_option
@with_database
async def comment(
    database: Database,
    _settings: Settings,
    number: int,
    text: str,
    *,
    is_public: bool,
    contact: int | None,
    still_wrong: bool,
    who: str | None,
) -> None:
    """Comment on a ticket, which keeps it from resolving by itself. What a contact says has a ticket that waits for the
    customer go on.

    E.g. `tickets comment 1001 "on my way" --public` or `tickets comment 1001 "it prints again" --contact 3`.
    """
    if still_wrong and contact is None:
        raise click.UsageError("--still-wrong is the customer's to say: name who said it with --contact")
    by, now = acting_as(who), system_clock()
    async with database.begin() as connection:
        if contact is None:
            await store.comment(connection, number, text=text, is_public=is_public, actor=by, now=now)
        else:
            await said.by_customer(
                connection, number, text=text, contact=contact, still_wrong=still_wrong, actor=by, now=now
            )
    seen = "the customer sees it" if is_public or contact is not None else "internally"
    click.echo(f"commented on ticket {number}, {seen}", err=True)


@click.command("set")
@click.argument("number", type=int)
@click.option("--title", help="What it is about.")
@click.option("--description", help="All that is known; '' empties it, as it does the next four.")
@click.option("--site", help="Where.")
@click.option("--device", help="The device that it names.")
@click.option("--category", help="One word, such as storage.")
@click.option("--contact", help="Who reported it: a contact's id.")
@click.option("--kind", type=KINDS, help="What it is.")
@click.option("--impact", type=LEVELS, help="How many cannot work.")
@click.option("--urgency", type=LEVELS, help="How long it can wait.")
@click.option("--priority", type=PRIORITIES, help="What a person says of it stays; only what is more urgent raises it.")
@with_database
async def set_command(database: Database, _settings: Settings, /, number: int, **given: str | None) -> None:
    """Change fields of a ticket.

    E.g. `tickets set 1001 --category network --priority P2`.
    """
    wanted: dict[str, object] = {name: value or None for name, value in given.items() if value is not None}
    if not wanted:
        raise click.UsageError("name what to change; see: tickets set --help")
    if isinstance(contact := wanted.get("contact"), str):
        if not contact.isdecimal() or len(contact) > 18:
            raise click.UsageError("--contact is a contact's number; see: contacts list")
        wanted["contact"] = int(contact)
    async with database.begin() as connection:
        await editing.change(connection, number, wanted, actor=actor(), now=system_clock())
    click.echo(f"ticket {number}: {', '.join(wanted)} set", err=True)


@click.command("set-status")
@click.argument("number", type=int)
@click.argument("status", metavar="STATUS", type=click.Choice([status.value for status in TicketStatus]))
@click.option("--force", is_flag=True, help="Resolve or close it even while its alerts fire.")
@as_option
@with_database
async def set_status(
    database: Database, _settings: Settings, number: int, status: str, *, force: bool, who: str | None
) -> None:
    """Set a ticket's status by hand. A fault that is still there is not resolved without --force.

    STATUS is new (which reopens it), assigned, in_progress, waiting_customer, resolved or closed.

    E.g. `tickets set-status 1001 in_progress`.
    """
    wanted = TicketStatus(status)
    async with database.begin() as connection:
        await by_hand.set_status(
            connection, number, status=wanted, actor=acting_as(who), now=system_clock(), force=force
        )
        texts = await resolving.texts_of(connection, number)
        notes = await _left_open(connection, number) if wanted is TicketStatus.RESOLVED else []
    click.echo(f"ticket {number} is {status} now", err=True)
    for note in notes:
        click.echo(note, err=True)
    if wanted is TicketStatus.RESOLVED and None in (texts.cause, texts.solution):
        click.echo("note: it says no cause or solution; tickets resolve NUMBER --cause … --solution … does", err=True)


@click.command("resolve")
@click.argument("number", type=int)
@click.option("--cause", help="What was wrong.")
@click.option("--solution", help="What was done about it.")
@click.option("--without", is_flag=True, help="There is nothing to say of cause and solution; that is recorded.")
@click.option("--force", is_flag=True, help="Even while its alerts fire: it rests until one fires anew.")
@as_option
@with_database
async def resolve(
    database: Database,
    _settings: Settings,
    *,
    number: int,
    cause: str | None,
    solution: str | None,
    without: bool,
    force: bool,
    who: str | None,
) -> None:
    """Resolve a ticket with its cause and solution; on a terminal they are asked for.

    E.g. `tickets resolve 1001 --cause "disk full of logs" --solution "logs rotate now" --as anna`.
    """
    async with database.connect() as connection:
        await store.get_ticket(connection, number)
        known = await resolving.texts_of(connection, number)
    if not without and sys.stdin.isatty():
        cause = cause or known.cause or click.prompt("What was wrong", err=True)
        solution = solution or known.solution or click.prompt("What was done about it", err=True)
    async with database.begin() as connection:
        await by_hand.resolve(
            connection,
            number,
            cause=cause,
            solution=solution,
            without=without,
            force=force,
            actor=acting_as(who),
            now=system_clock(),
        )
        notes = await _left_open(connection, number)
    click.echo(f"ticket {number} is resolved now", err=True)
    for note in notes:
        click.echo(note, err=True)


async def _left_open(connection: AsyncConnection, number: int) -> list[str]:
    left = await links.left_open(connection, number)
    told = (("parts of it are", left.parts), ("what it was blocked by is", left.blockers))
    return [f"note: {words} still open: {', '.join(map(str, numbers))}" for words, numbers in told if numbers]
