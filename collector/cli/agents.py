"""`agents`: what agents are told to do otherwise than by default, for a customer, a site or a device."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import ParamSpec, TypeVar

import click

from collector.cli.common import DURATION, Row, actor, json_option, print_rows, with_database
from collector.cli.layers import chosen_layer
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.fleet import agent_settings as store
from collector.fleet.agent_keys import Group, Value, known_probes, split_key
from collector.fleet.devices import get_device
from collector.fleet.privacy import Privacy, load_privacy
from collector.series.labels import Target
from protocol.wire import DEFAULT_CHECK_TIMEOUT_SECONDS, DEFAULT_PUSH_INTERVAL_SECONDS

P = ParamSpec("P")
R = TypeVar("R")

WORDS = {"on": True, "off": False}


def layer_options(command: Callable[P, R]) -> Callable[P, R]:
    for option in (
        click.option("--device", help="For one device."),
        click.option("--site", help="For a site: CUSTOMER/SITE, or the site with --customer."),
        click.option("--customer", help="For a customer."),
    ):
        command = option(command)
    return command


@click.group()
def agents() -> None:
    """What agents are told to do otherwise than by default. The nearest wins: device, site, customer.

    E.g. `agents list`.
    """


@agents.command("set")
@click.argument("key")
@click.argument("value", nargs=-1, required=True)
@layer_options
@click.option(
    "--every", type=DURATION, default=f"{DEFAULT_PUSH_INTERVAL_SECONDS:.0f}s", show_default=True, help="Of a check."
)
@click.option(
    "--timeout",
    "patience",
    type=DURATION,
    default=f"{DEFAULT_CHECK_TIMEOUT_SECONDS:.0f}s",
    show_default=True,
    help="Of a check: it is ended then, and not known.",
)
@with_database
async def set_command(
    database: Database,
    _settings: Settings,
    *,
    key: str,
    value: tuple[str, ...],
    customer: str | None,
    site: str | None,
    device: str | None,
    every: timedelta,
    patience: timedelta,
) -> None:
    """Tell agents something. E.g. `agents set interval.smart 6h --customer acme`.

    \b
    push_interval 30s      a frame so often, 1s to 2m
    interval.PROBE 6h      a probe is read so often
    probe.PROBE off        a probe is not read (on: it is, whatever a wider layer says)
    service.NAME on        a service is watched, beside those of agent.toml
    check.NAME PROGRAM …   a Nagios plugin is run (off: it is not)

    The program of a check stands after two dashes, with its arguments:
    `agents set check.root --device srv-files-7k3p --every 5m -- /usr/lib/nagios/plugins/check_disk -w 10% -p /`.
    It runs only where agent.toml allows it. Put no passwords there: command lines are seen by all who may look.
    """
    layer, subject = chosen_layer(customer, site, device)
    async with database.begin() as connection:
        setting = await store.set_setting(
            connection,
            layer=layer,
            subject=subject,
            key=key,
            value=_parsed(key, value, every, patience),
            actor=actor(),
            now=system_clock(),
        )
    click.echo(f"{key} is {_shown(setting.value)} for {layer} {subject}", err=True)


@agents.command("unset")
@click.argument("key")
@layer_options
@with_database
async def unset(
    database: Database, _settings: Settings, *, key: str, customer: str | None, site: str | None, device: str | None
) -> None:
    """Let the next wider layer count again. E.g. `agents unset interval.smart --customer acme`."""
    layer, subject = chosen_layer(customer, site, device)
    async with database.begin() as connection:
        await store.unset_setting(connection, layer=layer, subject=subject, key=key, actor=actor(), now=system_clock())
    click.echo(f"{key} is no longer set for {layer} {subject}", err=True)


@agents.command("list")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, as_json: bool) -> None:
    """List what is set.

    E.g. `agents list --json`.
    """
    async with database.connect() as connection:
        found = await store.list_settings(connection)
    rows = [{**_row(one, as_json=as_json), "set_by": one.set_by, "set_at": one.set_at} for one in found]
    print_rows(rows, as_json=as_json)


@agents.command("explain")
@click.argument("device")
@json_option
@with_database
async def explain(database: Database, settings: Settings, device: str, as_json: bool) -> None:
    """Tell what a device's agent is told, and where each value comes from: with `yes` it counts.

    E.g. `agents explain srv-files-7k3p`.
    """
    async with database.connect() as connection:
        found = await get_device(connection, device)
        standing = await store.standing_of(connection, Target(found.id, found.customer, found.site, found.kind))
        allowed = (await load_privacy(connection, found.customer)).get(found.customer, Privacy())
    last = {one.key: one for one in standing}
    rows: list[Row] = [{**_row(one, as_json=as_json), "counts": last[one.key] is one} for one in standing]
    if Group.PUSH_INTERVAL not in last:
        rows.append(_given(Group.PUSH_INTERVAL, settings.push_interval_seconds, "default", None, as_json=as_json))
    for name, value in asdict(allowed).items():
        rows.append(_given(f"privacy.{name}", value, "customer", found.customer, as_json=as_json))
    print_rows(rows, as_json=as_json)


@agents.command("probes")
@json_option
@with_database
async def probes(database: Database, _settings: Settings, *, as_json: bool) -> None:
    """List the probes that can be named, and how often each is read where nothing is set.

    Those of other packages stand last, with how many devices' inventories name them. E.g. `agents probes --json`.
    """
    rows: list[Row] = [
        {"probe": name, "interval_seconds": one.interval_seconds, "own_process": one.is_isolated, "devices": None}
        for name, one in known_probes().items()
    ]
    async with database.connect() as connection:
        of_others = await store.probes_of_others(connection)
    rows += [
        {"probe": name, "interval_seconds": None, "own_process": None, "devices": devices}
        for name, devices in of_others.items()
    ]
    print_rows(rows, as_json=as_json)


def _parsed(key: str, words: tuple[str, ...], every: timedelta, patience: timedelta) -> object:
    """The words of the command line as a value; whether it is one that the key takes is checked later."""
    group, _ = split_key(key)
    if len(words) == 1 and words[0] in WORDS:
        return WORDS[words[0]]
    if group is Group.CHECK:
        return {
            "command": list(words),
            "interval_seconds": every.total_seconds(),
            "timeout_seconds": patience.total_seconds(),
        }
    if len(words) > 1:
        raise click.UsageError(f"{key} takes one value, got {len(words)}")
    if group in (Group.PUSH_INTERVAL, Group.INTERVAL):
        return DURATION.convert(words[0], None, None).total_seconds()
    raise click.UsageError(f"{key} is on or off, not {words[0]!r}")


def _row(setting: store.AgentSetting, *, as_json: bool) -> dict[str, object]:
    value: object = setting.value if as_json else _shown(setting.value)
    return {"key": setting.key, "value": value, "layer": setting.layer, "subject": setting.subject}


def _given(key: str, value: Value, layer: str, subject: str | None, *, as_json: bool) -> Row:
    """What stands elsewhere than among these settings."""
    shown = value if as_json else _shown(value)
    return {"key": str(key), "value": shown, "layer": layer, "subject": subject, "counts": True}


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return f"{' '.join(value['command'])} (every {value['interval_seconds']:g}s)"
    return f"{value:g}s"
