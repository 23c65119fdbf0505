"""`thresholds`: exceptions to the rules' limits, for a plan, customer, site or device, at all times or by the hour."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from collector.cli.common import actor, json_option, print_rows, with_database, with_settings
from collector.cli.layers import chosen_layer
from collector.cli.local_time import MOMENT
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import WeekHours, load_service_models
from collector.db.database import Database
from collector.fleet import thresholds as store
from collector.fleet.devices import get_device
from collector.fleet.directory import load_directory
from collector.pidfile import server_of

if TYPE_CHECKING:
    from collector.alerting.definitions import Definition

P = ParamSpec("P")
R = TypeVar("R")


hours_option = click.option(
    "--hours",
    help="Only during these hours of the week, by the clock at each site: 'mon-fri 22:00-02:00, sun 00:00-06:00'.",
)


def layer_options(command: Callable[P, R]) -> Callable[P, R]:
    for option in (
        click.option("--device", help="For one device."),
        click.option("--site", help="For a site: CUSTOMER/SITE, or the site with --customer."),
        click.option("--customer", help="For a customer."),
        click.option("--plan", help="For every customer on a plan."),
    ):
        command = option(command)
    return command


@click.group()
def thresholds() -> None:
    """Thresholds other than the defaults. The nearest wins: device, site, customer, plan.

    E.g. `thresholds list`.
    """


@thresholds.command("set")
@click.argument("name")
@click.argument("value", type=float)
@layer_options
@hours_option
@with_database
async def set_command(
    database: Database,
    settings: Settings,
    *,
    name: str,
    value: float,
    plan: str | None,
    customer: str | None,
    site: str | None,
    device: str | None,
    hours: str | None,
) -> None:
    """Set a threshold from now on. E.g. `thresholds set filesystem_full 0.95 --customer acme`.

    `thresholds defaults` tells which there are, in which units. A negative
    value stands after two dashes: `thresholds set room_temperature --site acme/hq -- -5`.

    With hours it holds only then, each week, and wins over the value for all times:
    `thresholds set cpu_busy 0.99 --device srv-files-7k3p --hours "mon-fri 22:00-02:00"`.
    Hours that end at or before their beginning end on the day after.
    """
    from collector.alerting.definitions import definition_named  # noqa: PLC0415 - `list` needs none

    layer, subject = chosen_layer(customer, site, device, plan, with_plan=True)
    only = None if hours is None else WeekHours.parse(hours)
    definition_named(_definitions(settings), name).check(value, layer, by_hours=only is not None)
    models = load_service_models(settings.data)
    async with database.begin() as connection:
        await store.set_threshold(
            connection,
            models,
            name=name,
            layer=layer,
            subject=subject,
            value=value,
            hours=only,
            actor=actor(),
            now=system_clock(),
        )
    when = "" if only is None else f", {only}"
    click.echo(f"{name} is {value:g} for {layer} {subject}{when}", err=True)


@thresholds.command("unset")
@click.argument("name")
@layer_options
@hours_option
@with_database
async def unset(
    database: Database,
    _settings: Settings,
    *,
    name: str,
    plan: str | None,
    customer: str | None,
    site: str | None,
    device: str | None,
    hours: str | None,
) -> None:
    """Let the next wider layer count again, or after those of some hours the value for all times.

    E.g. `thresholds unset filesystem_full --customer acme`.
    """
    layer, subject = chosen_layer(customer, site, device, plan, with_plan=True)
    only = None if hours is None else WeekHours.parse(hours)
    async with database.begin() as connection:
        await store.unset_threshold(
            connection, name=name, layer=layer, subject=subject, hours=only, actor=actor(), now=system_clock()
        )
    click.echo(f"{name} is no longer set for {layer} {subject}", err=True)


@thresholds.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that no longer hold.")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, everything: bool, as_json: bool) -> None:
    """List what was set.

    E.g. `thresholds list --json`.
    """
    async with database.connect() as connection:
        found = await store.list_thresholds(connection, since=None if everything else system_clock())
    rows = [
        {
            "name": threshold.name,
            "layer": threshold.layer,
            "subject": threshold.subject,
            "value": threshold.value,
            "hours": None if threshold.hours is None else str(threshold.hours),
            "valid_from": threshold.valid_from,
            "valid_to": threshold.valid_to,
            "set_by": threshold.set_by,
        }
        for threshold in found
    ]
    print_rows(rows, as_json=as_json)


@thresholds.command("explain")
@click.argument("name")
@click.option("--device", required=True, help="What is measured.")
@click.option(
    "--at",
    type=MOMENT,
    help="When, by this machine's time zone.  [default: now]",
)
@json_option
@with_database
async def explain(
    database: Database, settings: Settings, *, name: str, device: str, at: datetime | None, as_json: bool
) -> None:
    """Tell what a device is measured by, and all that is set where it is: the last that counts now wins.

    E.g. `thresholds explain cpu_busy --device srv-files-7k3p --at "2026-03-02 23:30"`.
    """
    from collector.alerting.definitions import definition_named  # noqa: PLC0415 - as above
    from collector.alerting.thresholds import standing_of  # noqa: PLC0415

    definition = definition_named(_definitions(settings), name)
    async with database.connect() as connection:
        await get_device(connection, device)
        directory = await load_directory(connection)
        overrides = await store.list_thresholds(connection, name=name)
    when = system_clock() if at is None else at.astimezone(UTC)
    standing = standing_of({name: definition}, directory, overrides, device, when).get(name, [])
    if not standing:
        raise click.ClickException(f"device {device} is no longer looked after, so that nothing is measured")
    counts = max(place for place, one in enumerate(standing) if one.is_now)
    rows = [
        {
            "layer": one.effective.layer or "default",
            "subject": one.effective.subject or None,
            "value": one.effective.value,
            "hours": one.effective.hours,
            "time_zone": one.effective.time_zone,
            "counts": place == counts,
        }
        for place, one in enumerate(standing)
    ]
    print_rows(rows, as_json=as_json)


@thresholds.command("defaults")
@json_option
@with_settings
def defaults(settings: Settings, *, as_json: bool) -> None:
    """List the thresholds there are, with their units and the values where nothing is set.

    E.g. `thresholds defaults --json`.
    """
    rows = [
        {
            "name": one.name,
            "default": one.default,
            "unit": one.unit,
            "by_kind": dict(one.by_kind),
            "per": one.per,
            "min": one.lowest if math.isfinite(one.lowest) else None,
            "max": one.highest if math.isfinite(one.highest) else None,
            "description": one.description,
        }
        for one in _definitions(settings).values()
    ]
    print_rows(rows, as_json=as_json, columns=["name", "default", "unit", "by_kind", "per", "description"])


def _definitions(settings: Settings) -> "Mapping[str, Definition]":
    """Those of the rules in force: of the process that serves the folder, or else of the settings."""
    from collector.alerting.definitions import load_thresholds, thresholds_file  # noqa: PLC0415 - as above

    server = server_of(settings.data)
    return load_thresholds(thresholds_file(settings.rules_dir if server is None else server.rules_dir))
