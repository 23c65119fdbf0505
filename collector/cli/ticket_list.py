"""`tickets list` and `tickets show`."""

from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
from itertools import repeat

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.cli.common import Row, json_option, print_fields, print_rows, with_database
from collector.cli.local_time import DAY_OR_TIME, LocalTime, in_own_zone
from collector.cli.pages import PAGE, print_pages
from collector.cli.tables import printable
from collector.cli.ticket_rows import row_of, shadow_row_of
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import Priority
from collector.db.database import Database
from collector.desk import attachments, editing, events, links, resolving, shadows
from collector.desk import tickets as store
from collector.desk.events import HistoryEvent
from collector.desk.fields import TicketKind
from collector.desk.listing import Order, Place, Wanted, page_of
from collector.desk.states import TicketStatus
from collector.desk.technicians import DEFAULT_TIME_ZONE
from collector.desk.words import in_words

RECENT = timedelta(days=7)
ALERT_COLUMNS = ["id", "rule", "device", "state", "active_since", "resolved_at"]
COLUMNS = [
    "number",
    "customer",
    "device",
    "rule",
    "status",
    "priority",
    "assignee",
    "due_at",
    "opened_at",
    "resolved_at",
    "title",
]


@click.command("list")
@click.option("--customer", help="Only those of this customer.")
@click.option("--site", help="Only those at this site.")
@click.option("--device", help="Only those about this device: their own, a further one, or one of their alerts'.")
@click.option("--assignee", help="Only those that this technician has.")
@click.option(
    "--status", type=click.Choice([status.value for status in TicketStatus]), help="Only those in this state."
)
@click.option("--priority", type=click.Choice([one.value for one in Priority]), help="Only those of this priority.")
@click.option("--kind", type=click.Choice([one.value for one in TicketKind]), help="Only those of this kind.")
@click.option("--category", help="Only those of this category.")
@click.option("--text", help="Only those with these words in the title.")
@click.option("--since", type=DAY_OR_TIME, help="Only those opened since this day or time.")
@click.option("--until", type=DAY_OR_TIME, help="Only those opened up to this day or time.")
@click.option("--time-zone", default=DEFAULT_TIME_ZONE, show_default=True, help="Of --since and --until.")
@click.option(
    "--sort",
    type=click.Choice([one.value for one in Order]),
    default=Order.NUMBER.value,
    show_default=True,
    help="number: newest first; priority: most urgent first; due: what falls due first.",
)
@click.option("--limit", type=click.IntRange(min=1), help="How many at most.")
@click.option("--shadow", is_flag=True, help="What would have been tickets under a plan that opens them.")
@click.option("--all", "everything", is_flag=True, help="Also those resolved more than 7 days ago.")
@json_option
@with_database
async def list_command(
    database: Database,
    _settings: Settings,
    /,
    *,
    status: str | None,
    priority: str | None,
    kind: str | None,
    text: str | None,
    since: LocalTime | None,
    until: LocalTime | None,
    time_zone: str,
    sort: str,
    limit: int | None,
    shadow: bool,
    everything: bool,
    as_json: bool,
    **named: str | None,
) -> None:
    """List open tickets and those resolved lately, newest first.

    E.g. `tickets list --customer acme --json` or `tickets list --assignee anna --sort due`.
    """
    resolved_since = None if everything else system_clock() - RECENT
    wanted = Wanted(
        customer=named["customer"],
        site=named["site"],
        device=named["device"],
        assignee=named["assignee"],
        category=named["category"],
        status=TicketStatus(status) if status else None,
        priority=Priority(priority) if priority else None,
        kind=TicketKind(kind) if kind else None,
        words=text,
        opened_since=since.begins(time_zone) if since else None,
        opened_until=until.is_over(time_zone) if until else None,
        resolved_since=resolved_since,
    )
    if shadow and wanted != Wanted(customer=wanted.customer, resolved_since=resolved_since):
        raise click.UsageError("shadow tickets are listed by customer alone: leave the other filters out")
    async with database.connect() as connection:
        pages = _shadows(connection, wanted, limit) if shadow else _tickets(connection, wanted, Order(sort), limit)
        await print_pages(pages, as_json=as_json, columns=COLUMNS)


async def _tickets(
    connection: AsyncConnection, wanted: Wanted, order: Order, limit: int | None
) -> AsyncGenerator[list[Row], None]:
    after: Place | None = None
    for size in _sizes(limit):
        page = await page_of(connection, wanted, order=order, after=after, limit=size)
        yield [row_of(ticket) for ticket in page]
        if len(page) < size:
            return
        after = Place(page[-1].number, page[-1].priority, page[-1].due_at)


async def _shadows(connection: AsyncConnection, wanted: Wanted, limit: int | None) -> AsyncGenerator[list[Row], None]:
    before: int | None = None
    for size in _sizes(limit):
        page = await shadows.shadows_before(
            connection, before, size, customer=wanted.customer, resolved_since=wanted.resolved_since
        )
        yield [shadow_row_of(shadow) for shadow in page]
        if len(page) < size:
            return
        before = page[-1].id


def _sizes(limit: int | None) -> Iterator[int]:
    """Of each page, `limit` in all."""
    if limit is None:
        yield from repeat(PAGE)
    else:
        yield from (min(PAGE, limit - start) for start in range(0, limit, PAGE))


@click.command("show")
@click.argument("number", type=int)
@json_option
@with_database
async def show(database: Database, _settings: Settings, number: int, as_json: bool) -> None:
    """Show a ticket with its alerts, files, links and everything that happened to it, in plain words.

    E.g. `tickets show 1001`.
    """
    async with database.connect() as connection:
        ticket = await store.get_ticket(connection, number)
        texts = await resolving.texts_of(connection, number)
        behind = await records.list_alerts(connection, resolved_since=None, ticket=number)
        linked = await links.links_of(connection, number)
        files = await attachments.list_attachments(connection, number)
        told = await events.history(connection, number)
        row = {
            **row_of(ticket),
            "devices": await editing.further_devices(connection, number),
            "children": await store.ROWS.children(connection, number),
            "watchers": await editing.watchers(connection, number),
        }
    lines = [{name: alert[name] for name in ALERT_COLUMNS} for alert in behind]
    if as_json:
        more = {
            "description": texts.description,
            "cause": texts.cause,
            "solution": texts.solution,
            "links": [{"other": one.other, "kind": one.kind} for one in linked],
            "attachments": [{"id": one.id, "name": one.name, "size_bytes": one.size_bytes} for one in files],
            "alerts": lines,
            "history": [{"at": one.at, "actor": one.actor, "type": one.type, "data": one.data} for one in told],
        }
        print_fields({**row, **more}, as_json=True)
        return
    row |= {"links": [f"{one.kind.replace('_', ' ')} {one.other}" for one in linked]}
    row |= {"files": [f"{one.id}: {one.name}" for one in files]}
    print_fields({name: value for name, value in row.items() if value not in (None, [])}, as_json=False)
    for name, words in (("description", texts.description), ("cause", texts.cause), ("solution", texts.solution)):
        if words is not None:
            click.echo(f"\n{name}:\n{_indented(words)}")
    if lines:
        click.echo()
        print_rows(lines, as_json=False)
    click.echo()
    for event in told:
        click.echo(_line(event))


def _line(event: HistoryEvent) -> str:
    first, *more = in_own_zone(in_words(event)).splitlines() or [event.type]
    head = f"{event.at.astimezone():%Y-%m-%d %H:%M:%S %Z}  {printable(event.actor)}  {printable(first)}"
    return "\n".join([head, *(_indented(line) for line in more)])


def _indented(text: str) -> str:
    return "\n".join(f"    {printable(line)}" for line in text.splitlines())
