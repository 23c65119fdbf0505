"""Printers as people add, change and end them."""

from itertools import count

import pytest
from sqlalchemy import select, update

from collector.db import audit
from collector.db.database import Database
from collector.db.tables import devices, printers
from collector.fleet.directory import load_directory
from collector.fleet.errors import AlreadyExistsError, FleetError, NotFoundError
from collector.fleet.policy import Policy
from collector.fleet.printers.asking import Asking, checked_asking, shown_asking
from collector.fleet.printers.configs import printer_configs
from collector.fleet.printers.store import (
    NewPrinter,
    PrinterChange,
    add_printer,
    change_printer,
    end_printer,
    get_printer,
    list_printers,
)
from protocol.models import PrinterConfig, SnmpConfig
from tests.fleet.world import ACTOR, MODELS, NOW, make_customer

SNMP = checked_asking({"community": "s3cret"}, None, 300)
V3 = {"version": "3", "user": "quark", "auth": "sha256", "auth_password": "auth-pass-1"}
_numbers = count(1)


async def add(database: Database, address: str = "192.0.2.31", *, max_devices: int = 100, **changes: object) -> str:
    new = NewPrinter(**{"customer": "acme", "site": "hq", "address": address, "asking": SNMP, **changes})  # type: ignore[arg-type] # of the test's own
    async with database.begin() as connection:
        return await add_printer(
            connection,
            MODELS,
            new,
            max_devices=max_devices,
            actor=ACTOR,
            now=NOW,
            new_suffix=lambda: f"{next(_numbers):04}",
        )


async def configs(database: Database, agent: str) -> list[PrinterConfig]:
    async with database.connect() as connection:
        return printer_configs((await load_directory(connection)).printers_of(agent))


async def test_a_printer_is_a_device_that_an_agent_is_told_to_read(fleet: Database) -> None:
    device = await add(fleet, name="Réception", reader="srv-2")
    assert device.startswith("prn-reception-")
    (config,) = await configs(fleet, "srv-2")
    assert (config.device_id, config.host, config.snmp) == (device, "192.0.2.31", SNMP.snmp)
    assert await configs(fleet, "srv-1") == []
    async with fleet.connect() as connection:
        member = (await load_directory(connection)).members[device]
        assert (member.policy, member.is_printer, member.has_agent) == (Policy.NONE, True, False)
        (told,) = [one.data for one in await audit.latest(connection, 50) if one.action == "printers.add"]
    assert "s3cret" not in str(told)
    assert "s3cret" not in repr(config) + repr(member)


async def test_printers_are_spread_over_the_agents_of_their_site(fleet: Database) -> None:
    made = [await add(fleet, f"192.0.2.{number}") for number in range(4)]
    async with fleet.connect() as connection:
        readers = [(await get_printer(connection, one)).reader for one in made]
    assert sorted(map(str, readers)) == ["srv-1", "srv-1", "srv-2", "srv-2"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"address": "http://192.0.2.31"}, "without scheme"),
        ({"address": "a b"}, "host name"),
        ({"site": "nowhere"}, "no site"),
        ({"reader": "srv-ny"}, "no agent at this site"),
        ({"reader": "srv-oven"}, "no agent at this site"),
        ({"name": "\x1b"}, "characters"),
        ({"max_devices": 4}, "max_devices"),
    ],
)
async def test_what_makes_no_sense_is_refused(fleet: Database, changes: dict[str, object], why: str) -> None:
    with pytest.raises(FleetError, match=why):
        await add(fleet, **changes)  # type: ignore[arg-type] # of the test's own


async def test_an_address_is_one_printer_until_that_ends(fleet: Database) -> None:
    first = await add(fleet)
    with pytest.raises(AlreadyExistsError, match=first):
        await add(fleet)
    async with fleet.begin() as connection:
        await end_printer(connection, first, actor=ACTOR, now=NOW)
        assert (await get_printer(connection, first)).asking == Asking()
        assert await list_printers(connection) == []
        assert [one.id for one in await list_printers(connection, with_ended=True)] == [first]
        assert (await connection.execute(select(printers.c.snmp))).scalars().all() == [None]
    assert await add(fleet) != first
    assert len(await configs(fleet, "srv-1") + await configs(fleet, "srv-2")) == 1


async def test_without_consent_no_printer_is_read(fleet: Database) -> None:
    async with fleet.begin() as connection:
        await make_customer(connection, "kapper", "break_fix")
    with pytest.raises(FleetError, match="consent"):
        await add(fleet, customer="kapper")


async def test_a_change_leaves_what_it_does_not_name(fleet: Database) -> None:
    device = await add(fleet, name="hall", reader="srv-1")
    async with fleet.begin() as connection:
        asking = checked_asking(V3, {"tls": True}, 60)
        await change_printer(connection, device, PrinterChange(asking=asking, reader="srv-2"), actor=ACTOR, now=NOW)
        found = await get_printer(connection, device)
        (told, *_) = [one.data for one in await audit.latest(connection, 9) if one.action == "printers.change"]
    assert (found.name, found.address, found.reader, found.preferred_reader) == ("hall", "192.0.2.31", "srv-2", "srv-2")
    assert found.asking == asking
    assert "auth-pass-1" not in str(told)
    (config,) = await configs(fleet, "srv-2")
    assert config.snmp is not None
    assert config.snmp.auth_password == "auth-pass-1"
    async with fleet.begin() as connection:
        count_before = len(await audit.latest(connection, 100))
        await change_printer(connection, device, PrinterChange(name="hall"), actor=ACTOR, now=NOW)
        assert len(await audit.latest(connection, 100)) == count_before
        with pytest.raises(NotFoundError):
            await change_printer(connection, "srv-1", PrinterChange(name="x"), actor=ACTOR, now=NOW)


async def test_a_row_that_nobody_understands_leaves_the_others_readable(fleet: Database) -> None:
    device, other = await add(fleet, reader="srv-1"), await add(fleet, "192.0.2.32", reader="srv-1")
    async with fleet.begin() as connection:
        await connection.execute(update(printers).where(printers.c.device == device).values(snmp={"version": "4"}))
        await connection.execute(update(devices).where(devices.c.id == device).values(inventory=["?"]))
        assert (await get_printer(connection, device)).told("model") is None
    assert [(one.device_id, one.snmp is None) for one in await configs(fleet, "srv-1")] == [
        (device, True),
        (other, False),
    ]


@pytest.mark.parametrize(
    ("snmp", "why"),
    [
        ({"version": "3"}, "needs a user"),
        ({"version": "3", "user": "u", "community": "c"}, "version 3 has a user"),
        ({"version": "3", "user": "u", "auth": "sha1"}, "protocol and a password"),
        ({"version": "3", "user": "u", "auth": "sha1", "auth_password": "short"}, "8 characters"),
        (
            {"version": "3", "user": "u", "privacy": "aes128", "privacy_password": "long enough"},
            "without authentication",
        ),
        ({"version": "2c", "user": "u"}, "has a community"),
        ({"port": 0}, "port"),
        ({"version": "9"}, "version"),
    ],
)
def test_a_way_of_asking_that_cannot_work_is_refused(snmp: dict[str, object], why: str) -> None:
    with pytest.raises(FleetError, match=why):
        checked_asking(snmp, None, 300)


def test_something_must_be_asked_and_not_all_the_time() -> None:
    with pytest.raises(FleetError, match="leave one of them on"):
        checked_asking(None, None, 300)
    with pytest.raises(FleetError, match="30 to 86400 seconds"):
        checked_asking({}, None, 1)
    assert checked_asking({}, None, 300).snmp == SnmpConfig(community="public")


def test_passwords_are_shown_as_set() -> None:
    asking = checked_asking({**V3, "privacy": "aes128", "privacy_password": "privacy-pass"}, None, 300)
    assert shown_asking(asking)["snmp"] == {
        "version": "3",
        "port": 161,
        "user": "quark",
        "auth": "sha256",
        "auth_password": "set",
        "privacy": "aes128",
        "privacy_password": "set",
    }
