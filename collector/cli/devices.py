"""`devices`: what is looked after."""

from collections.abc import Mapping
from dataclasses import asdict

import click

from collector.cli.common import Row, actor, json_option, print_fields, print_rows, with_database
from collector.cli.device_events import events
from collector.cli.local_time import DAY_OR_TIME, LocalTime
from collector.cli.tables import iso
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.fleet import devices as store
from collector.fleet import inventories, tags
from collector.fleet.customers import get_site
from collector.fleet.devices import Device
from collector.fleet.errors import NotFoundError
from collector.fleet.policies import customer_policies, set_device_policy
from collector.fleet.policy import Policy, policy_of
from collector.fleet.presence import Presence

INHERIT = "inherit"


@click.group()
def devices() -> None:
    """Devices. An agent's enrolment makes them.

    E.g. `devices list`.
    """


devices.add_command(events)


@devices.command("list")
@click.option("--customer", help="Only those of this customer.")
@json_option
@with_database
async def list_command(database: Database, _settings: Settings, customer: str | None, as_json: bool) -> None:
    """List devices with their presence, as `serve` last judged it.

    E.g. `devices list --customer acme --json`.
    """
    async with database.connect() as connection:
        found = await store.list_devices(connection, customer)
        policies = await customer_policies(connection)
    print_rows(
        [_row(device, policies) for device in found],
        as_json=as_json,
        columns=["id", "customer", "site", "kind", "hostname", "presence", "since", "last_seen", "status"],
    )


@devices.command("show")
@click.argument("device")
@json_option
@with_database
async def show(database: Database, _settings: Settings, device: str, as_json: bool) -> None:
    """Show all that is known of a device.

    E.g. `devices show ws-reception-7k3p`.
    """
    async with database.connect() as connection:
        found = await store.get_device(connection, device)
        inventory = await store.get_inventory(connection, device)
        tagged = (await tags.load_tags(connection)).get(device, frozenset())
        policies = await customer_policies(connection)
    print_fields({**_row(found, policies), "tags": sorted(tagged), "inventory": inventory}, as_json=as_json)


@devices.command("diff")
@click.argument("device")
@click.option("--from", "since", type=DAY_OR_TIME, help="From what it was then; by default, before its last change.")
@click.option("--to", "until", type=DAY_OR_TIME, help="To what it was then; by default, what it is now.")
@json_option
@with_database
async def diff(
    database: Database,
    _settings: Settings,
    device: str,
    since: LocalTime | None,
    until: LocalTime | None,
    as_json: bool,
) -> None:
    """Show what has changed in what a device is made of. Times are in the time zone of its site.

    E.g. `devices diff ws-reception-7k3p --from 2026-01-01`.
    """
    async with database.connect() as connection:
        found = await store.get_device(connection, device)
        zone = (await get_site(connection, found.customer, found.site)).time_zone
        to_at = until.is_over(zone) if until else system_clock()
        after = await inventories.inventory_at(connection, device, to_at)
        if after is None:
            raise NotFoundError(f"{device} had told no inventory by then; it tells one a day, and when it changes")
        if since is not None:
            before = await inventories.inventory_at(connection, device, since.begins(zone))
        else:
            before = next(iter(await inventories.inventories_before(connection, device, after.id, 1)), None)
    if not as_json:
        begun = "nothing that is known" if before is None else iso(before.at)
        click.echo(f"{device}: from {begun} to {iso(after.at)}", err=True)
    changes = inventories.differences(before.content if before else {}, after.content)
    print_rows([asdict(one) for one in changes], as_json=as_json, columns=["place", "before", "after"])


@devices.command("set-policy")
@click.argument("device")
@click.argument("policy", metavar="POLICY", type=click.Choice([*(policy.value for policy in Policy), INHERIT]))
@with_database
async def set_policy(database: Database, _settings: Settings, device: str, policy: str) -> None:
    """Say when a device is expected to be there: its silence at other times is no fault.

    POLICY is always, office_hours, roaming, none, or inherit: what holds for its customer and kind.

    E.g. `devices set-policy ws-reception-7k3p roaming`.
    """
    chosen = None if policy == INHERIT else Policy(policy)
    async with database.begin() as connection:
        await set_device_policy(connection, device, chosen, actor=actor(), now=system_clock())
    click.echo(f"{device}: {policy}", err=True)


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


def _row(device: Device, policies: Mapping[tuple[str, str], str]) -> Row:
    return {
        "id": device.id,
        "customer": device.customer,
        "site": device.site,
        "kind": device.kind,
        "hostname": device.hostname,
        "presence": device.presence or Presence.NEVER_SEEN,
        "since": device.presence_since,
        "last_seen": device.last_seen_at,
        "status": device.status,
        "presence_reason": device.presence_reason,
        "policy": policy_of(device.policy, policies.get((device.customer, device.kind)), device.kind),
        "on_battery_since": device.on_battery_since,
        "agent_crashes": device.agent_crashes,
        "machine_cuts": device.machine_cuts,
        "serial": device.serial,
        "os": device.os,
        "arch": device.arch,
        "agent_version": device.agent_version,
        "enrolled_at": device.enrolled_at,
        "possible_clone_of": device.possible_clone_of,
        "read_by": device.read_by,
        "address": device.address,
    }
