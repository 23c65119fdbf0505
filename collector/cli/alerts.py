"""`alerts`: what holds and held, and what became of it."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta

import click
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.records import AlertState, Outcome
from collector.cli.common import actor, json_option, print_rows, with_database
from collector.cli.local_time import in_own_zone
from collector.cli.pages import PAGE, print_pages
from collector.cli.tables import printable
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import load_service_models
from collector.db import tables
from collector.db.database import Database
from collector.fleet.customers import get_customer
from collector.fleet.devices import get_device
from collector.incidents import reasons
from collector.incidents.convert import convert as convert_alert
from collector.incidents.convert import decline as decline_alert

RECENT = timedelta(hours=24)
COLUMNS = ["id", "rule", "customer", "device", "state", "active_since", "outcome", "ticket", "reason"]


@click.group()
def alerts() -> None:
    """Alerts: pending, firing, unknown and resolved.

    E.g. `alerts list`.
    """


@alerts.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those resolved more than 24 hours ago.")
@click.option("--customer", help="Only this one's.")
@click.option("--device", help="Only those of the device with this id.")
@click.option("--state", type=click.Choice([*map(str, AlertState)]), help="Only those that are in this state now.")
@click.option("--outcome", type=click.Choice([*map(str, Outcome)]), help="Only those that became this.")
@json_option
@with_database
async def list_command(
    database: Database,
    _settings: Settings,
    *,
    everything: bool,
    customer: str | None,
    device: str | None,
    state: str | None,
    outcome: str | None,
    as_json: bool,
) -> None:
    """List the open alerts and those of the last 24 hours, newest first. Those that wait for a decision are
    `--outcome asked --state firing`.

    E.g. `alerts list --customer acme --state firing`.
    """
    since = None if everything else system_clock() - RECENT
    async with database.connect() as connection:
        if customer is not None:
            await get_customer(connection, customer)
        if device is not None:
            await get_device(connection, device)
        asked = {"customer": customer, "device": device, "state": state}
        wanted = [tables.alerts.c[name] == value for name, value in asked.items() if value is not None]
        if outcome is not None:
            wanted.append(records.has_outcome(Outcome(outcome)))
        await print_pages(_pages(connection, since, wanted), as_json=as_json, columns=COLUMNS)


async def _pages(
    connection: AsyncConnection, since: datetime | None, wanted: Sequence[ColumnElement[bool]]
) -> AsyncGenerator[list[dict[str, object]], None]:
    beyond: list[ColumnElement[bool]] = []
    while True:
        page = await records.list_alerts(connection, resolved_since=since, wanted=[*wanted, *beyond], limit=PAGE)
        yield page
        if len(page) < PAGE:
            return
        beyond = [tables.alerts.c.id < page[-1]["id"]]


@alerts.command("convert")
@click.argument("alert", type=int)
@with_database
async def convert(database: Database, settings: Settings, alert: int) -> None:
    """Make an alert that fires without a ticket a ticket: a shadow of a break/fix customer, or one that the plan leaves
    to a technician. Prints the ticket's number.

    E.g. `alerts convert 12`.
    """
    models = load_service_models(settings.data)
    async with database.begin() as connection:
        number = await convert_alert(connection, models, alert, actor=actor(), now=system_clock())
    click.echo(number)


@alerts.command("decline")
@click.argument("alert", type=int)
@click.option("--reason", required=True, help="Why it becomes no ticket.")
@with_database
async def decline(database: Database, _settings: Settings, alert: int, *, reason: str) -> None:
    """Make an alert that the plan leaves to a technician no ticket, as long as it fires, with whatever else the same
    ticket would cover.

    E.g. `alerts decline 12 --reason "a known peak of the backup"`.
    """
    async with database.begin() as connection:
        declined = await decline_alert(connection, alert, reason=reason, actor=actor(), now=system_clock())
    click.echo(f"no ticket for alert {', '.join(map(str, declined))}", err=True)


@alerts.command("why")
@click.argument("alert", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of the decisions and nothing else.")
@with_database
async def why(database: Database, _settings: Settings, alert: int, as_json: bool) -> None:
    """Tell why an alert opened a ticket, or why it opened none: every decision with what it was made by.

    E.g. `alerts why 12`.
    """
    async with database.connect() as connection:
        found = await reasons.why(connection, alert)
    if as_json:
        rows = [{"at": one.at, "outcome": one.outcome, "reason": one.reason, "data": one.data} for one in found.reasons]
        print_rows(rows, as_json=True)
        return
    for line in found.told():
        click.echo(printable(in_own_zone(line)))
