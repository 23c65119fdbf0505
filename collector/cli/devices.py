"""`devices`: what is looked after."""

from datetime import datetime, timedelta

import click

from collector.cli.common import Row, actor, json_option, print_fields, print_rows, with_database
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.fleet import devices as store
from collector.fleet import tags
from collector.fleet.devices import Device
from collector.fleet.presence import presence_of


@click.group()
def devices() -> None:
    """Devices. An agent's enrolment makes them.

    E.g. `devices list`.
    """


@devices.command("list")
@click.option("--customer", help="Only those of this customer.")
@json_option
@with_database
async def list_command(database: Database, settings: Settings, customer: str | None, as_json: bool) -> None:
    """List devices with their presence.

    E.g. `devices list --customer acme --json`.
    """
    now = system_clock()
    async with database.connect() as connection:
        found = await store.list_devices(connection, customer)
    print_rows(
        [_row(device, settings, now) for device in found],
        as_json=as_json,
        columns=["id", "customer", "site", "kind", "hostname", "presence", "last_seen", "status"],
    )


@devices.command("show")
@click.argument("device")
@json_option
@with_database
async def show(database: Database, settings: Settings, device: str, as_json: bool) -> None:
    """Show all that is known of a device.

    E.g. `devices show ws-reception-7k3p`.
    """
    async with database.connect() as connection:
        found = await store.get_device(connection, device)
        inventory = await store.get_inventory(connection, device)
        tagged = (await tags.load_tags(connection)).get(device, frozenset())
    row = {**_row(found, settings, system_clock()), "tags": sorted(tagged), "inventory": inventory}
    print_fields(row, as_json=as_json)


@devices.command("revoke")
@click.argument("device")
@with_database
async def revoke(database: Database, _settings: Settings, device: str) -> None:
    """Refuse a device's secret. A token made later enrols it again.

    E.g. `devices revoke ws-reception-7k3p`.
    """
    async with database.begin() as connection:
        await store.revoke_device(connection, device, actor=actor(), now=system_clock())
    click.echo(f"revoked the secret of {device}", err=True)


@devices.command("end")
@click.argument("device")
@with_database
async def end(database: Database, _settings: Settings, device: str) -> None:
    """Look after a device no longer. Its agent is told to stop.

    E.g. `devices end ws-reception-7k3p`.
    """
    async with database.begin() as connection:
        await store.end_device(connection, device, actor=actor(), now=system_clock())
    click.echo(f"{device} is no longer looked after", err=True)


@devices.command("tag")
@click.argument("device")
@click.argument("tag")
@click.option("--remove", is_flag=True, help="Take the tag away.")
@with_database
async def tag_command(database: Database, _settings: Settings, device: str, tag: str, *, remove: bool) -> None:
    """Give a device a tag, by which maintenance windows can name several devices at once.

    E.g. `devices tag srv-files-7k3p patching`.
    """
    async with database.begin() as connection:
        change = tags.remove_tag if remove else tags.add_tag
        await change(connection, device, tag, actor=actor(), now=system_clock())
    click.echo(f"device {device} {'has no longer' if remove else 'has'} the tag {tag}", err=True)


def _row(device: Device, settings: Settings, now: datetime) -> Row:
    facts = device.presence_facts(timedelta(seconds=settings.push_interval_seconds))
    status = "ended" if device.ended_at else "revoked" if device.revoked_at else "active"
    return {
        "id": device.id,
        "customer": device.customer,
        "site": device.site,
        "kind": device.kind,
        "hostname": device.hostname,
        "presence": presence_of(facts, now),
        "last_seen": device.last_seen_at,
        "status": status,
        "serial": device.serial,
        "os": device.os,
        "arch": device.arch,
        "agent_version": device.agent_version,
        "enrolled_at": device.enrolled_at,
        "possible_clone_of": device.possible_clone_of,
        "read_by": device.read_by,
        "address": device.address,
    }
