"""`tickets`: what there is to do, and what was done about it."""

from datetime import timedelta

import click

from collector.alerting import records
from collector.cli.common import Row, actor, iso, json_option, print_fields, print_rows, printable, with_database
from collector.cli.ticket_assignment import assign, hand_over, take
from collector.cli.ticket_sla import sla
from collector.cli.ticket_work import parts, work
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.desk import shadows
from collector.desk import tickets as store
from collector.desk.shadows import ShadowTicket
from collector.desk.states import TicketStatus
from collector.desk.tickets import Ticket
from collector.incidents import by_hand

RECENT = timedelta(days=7)
ALERT_COLUMNS = ["id", "rule", "device", "state", "active_since", "resolved_at"]
COLUMNS = ["number", "customer", "device", "rule", "status", "priority", "opened_at", "resolved_at", "title"]


@click.group()
def tickets() -> None:
    """Tickets and shadow tickets.

    E.g. `tickets list`.
    """


for command in (assign, take, hand_over):
    tickets.add_command(command)
tickets.add_command(work)
tickets.add_command(sla)
tickets.add_command(parts)


@tickets.command("list")
@click.option("--customer", help="Only those of this customer.")
@click.option(
    "--status", type=click.Choice([status.value for status in TicketStatus]), help="Only those in this state."
)
@click.option("--shadow", is_flag=True, help="What would have been tickets under a plan that opens them.")
@click.option("--all", "everything", is_flag=True, help="Also those resolved more than 7 days ago.")
@json_option
@with_database
async def list_command(
    database: Database,
    _settings: Settings,
    *,
    customer: str | None,
    status: TicketStatus | None,
    shadow: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """List open tickets and those resolved lately, newest first.

    E.g. `tickets list --customer acme --json`.
    """
    if shadow and status is not None:
        raise click.UsageError("shadow tickets have no status: leave out --status")
    since = None if everything else system_clock() - RECENT
    rows: list[Row]
    async with database.connect() as connection:
        if shadow:
            kept = await shadows.list_shadows(connection, customer=customer, resolved_since=since)
            rows = [_shadow_row(ticket) for ticket in kept]
        else:
            found = await store.list_tickets(
                connection, customer=customer, status=TicketStatus(status) if status else None, resolved_since=since
            )
            rows = [_row(ticket) for ticket in found]
    print_rows(rows, as_json=as_json, columns=COLUMNS)


@tickets.command("show")
@click.argument("number", type=int)
@json_option
@with_database
async def show(database: Database, _settings: Settings, number: int, as_json: bool) -> None:
    """Show a ticket with its alerts and its history; of a storm, an alert is a line, and its children are named.

    E.g. `tickets show 1001`.
    """
    async with database.connect() as connection:
        ticket = await store.get_ticket(connection, number)
        events = await store.history(connection, number)
        children = await store.children(connection, number)
        behind = await records.list_alerts(connection, resolved_since=None, ticket=number)
    lines = [{name: alert[name] for name in ALERT_COLUMNS} for alert in behind]
    row = {**_row(ticket), "children": children}
    if as_json:
        told = [{"at": event.at, "actor": event.actor, "type": event.type, "data": event.data} for event in events]
        print_fields({**row, "alerts": lines, "history": told}, as_json=True)
        return
    print_fields(row, as_json=False)
    if lines:
        click.echo()
        print_rows(lines, as_json=False)
    click.echo()
    for event in events:
        words = " ".join(f"{key}={value}" for key, value in event.data.items() if value is not None)
        click.echo(f"{iso(event.at)}  {printable(event.actor)}  {event.type}  {printable(words)}")


@tickets.command("comment")
@click.argument("number", type=int)
@click.argument("text")
@with_database
async def comment(database: Database, _settings: Settings, number: int, text: str) -> None:
    """Comment on a ticket, which keeps it from resolving by itself.

    E.g. `tickets comment 1001 "on my way"`.
    """
    async with database.begin() as connection:
        await store.comment(connection, number, text=text, actor=actor(), now=system_clock())
    click.echo(f"commented on ticket {number}", err=True)


@tickets.command("set-status")
@click.argument("number", type=int)
@click.argument("status", type=click.Choice([status.value for status in TicketStatus]))
@click.option("--force", is_flag=True, help="Resolve or close it even while its alerts fire.")
@with_database
async def set_status(
    database: Database, _settings: Settings, number: int, status: TicketStatus, *, force: bool
) -> None:
    """Set a ticket's status by hand. A fault that is still there is not resolved without --force.

    E.g. `tickets set-status 1001 in_progress`.
    """
    async with database.begin() as connection:
        await by_hand.set_status(
            connection, number, status=TicketStatus(status), actor=actor(), now=system_clock(), force=force
        )
    click.echo(f"ticket {number} is {status} now", err=True)


def _row(ticket: Ticket) -> Row:
    return {
        "number": ticket.number,
        "customer": ticket.customer,
        "site": ticket.site,
        "device": ticket.device,
        "rule": ticket.rule,
        "incident": ticket.incident,
        "title": ticket.title,
        "status": ticket.status,
        "priority": ticket.priority,
        "opened_at": ticket.opened_at,
        "began_at": ticket.began_at,
        "resolved_at": ticket.resolved_at,
        "closed_at": ticket.closed_at,
        "follows": ticket.follows,
        "parent": ticket.parent,
        "unstable_since": ticket.unstable_since,
        "shadow": False,
    }


def _shadow_row(shadow: ShadowTicket) -> Row:
    """The same fields; `number` counts shadows by themselves."""
    return {
        "number": shadow.id,
        "customer": shadow.customer,
        "site": shadow.site,
        "device": shadow.device,
        "rule": shadow.rule,
        "incident": shadow.incident,
        "title": shadow.title,
        "status": TicketStatus.NEW if shadow.resolved_at is None else TicketStatus.RESOLVED,
        "priority": shadow.priority,
        "opened_at": shadow.would_have_opened_at,
        "began_at": shadow.began_at,
        "resolved_at": shadow.resolved_at,
        "closed_at": None,
        "follows": None,
        "parent": shadow.parent,
        "unstable_since": shadow.unstable_since,
        "shadow": True,
    }
