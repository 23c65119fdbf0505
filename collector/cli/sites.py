"""`sites`: where a customer's devices stand."""

import click

from collector.cli.common import actor, json_option, print_rows, with_database
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import DEFAULT_HOLIDAYS, NO_HOLIDAYS
from collector.db.database import Database
from collector.fleet import customers as store
from collector.fleet.customers import DEFAULT_TIME_ZONE


@click.group()
def sites() -> None:
    """Sites of customers. `tokens create` makes an unknown site by itself.

    E.g. `sites list`.
    """


@sites.command("add")
@click.argument("site")
@click.option("--customer", required=True, help="Whose site it is.")
@click.option("--name", help="The full name.  [default: the site's id]")
@click.option("--time-zone", default=DEFAULT_TIME_ZONE, show_default=True, help="As the IANA names it.")
@with_database
async def add(
    database: Database, _settings: Settings, *, site: str, customer: str, name: str | None, time_zone: str
) -> None:
    """Add a site.

    E.g. `sites add hq --customer acme --name "Head office"`.
    """
    async with database.begin() as connection:
        await store.add_site(
            connection,
            customer=customer,
            site=site,
            name=name,
            time_zone=time_zone,
            actor=actor(),
            now=system_clock(),
        )
    click.echo(f"added site {customer}/{site}", err=True)


@sites.command("set-hours")
@click.argument("site")
@click.argument("hours")
@click.option("--customer", required=True, help="Whose site it is.")
@click.option(
    "--holidays",
    default=DEFAULT_HOLIDAYS,
    show_default=True,
    help=f"The country whose public holidays are free, by its two letters; {NO_HOLIDAYS}: none are.",
)
@with_database
async def set_hours(
    database: Database, _settings: Settings, *, site: str, hours: str, customer: str, holidays: str
) -> None:
    """Say when people work at a site, by its time zone. Desktops are expected to be there then, and not at other times.

    E.g. `sites set-hours hq "Mon-Fri 07:30-17:00, Sat 09:00-13:00" --customer acme`.
    """
    async with database.begin() as connection:
        await store.set_hours(
            connection, customer, site, hours=hours, holidays=holidays, actor=actor(), now=system_clock()
        )
    click.echo(f"{customer}/{site}: {hours}; holidays: {holidays}", err=True)


@sites.command("list")
@click.option("--customer", help="Only those of this customer.")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, customer: str | None, as_json: bool) -> None:
    """List sites.

    E.g. `sites list --customer acme --json`.
    """
    async with database.connect() as connection:
        found = await store.list_sites(connection, customer)
    rows = [
        {
            "customer": site.customer,
            "id": site.id,
            "name": site.name,
            "time_zone": site.time_zone,
            "office_hours": site.office_hours,
            "holidays": site.holidays,
            "created_at": site.created_at,
        }
        for site in found
    ]
    print_rows(rows, as_json=as_json)
