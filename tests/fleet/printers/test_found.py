"""Printers that agents come upon."""

import json
from itertools import count

import pytest
from sqlalchemy import select

from collector.clock import to_milliseconds
from collector.db import audit
from collector.db.database import Database
from collector.db.tables import device_events, devices
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.printers import found as finds
from collector.fleet.printers.asking import checked_asking
from collector.fleet.printers.found import FoundPrinter, accept_found, dismiss_found, list_found, take_found
from collector.fleet.printers.seen import take_seen, take_told
from collector.fleet.printers.store import NewPrinter, add_printer, get_printer
from collector.series.labels import Target
from protocol.models import Event
from tests.fleet.world import ACTOR, MODELS, NOW

SNMP = checked_asking({}, None, 300)
AGENT = Target("srv-1", "acme", "hq", "server")
_numbers = count(1)


def event(kind: str = "printer_found", **told: object) -> Event:
    written = {"id": f"e-{next(_numbers)}", "t": to_milliseconds(NOW) + next(_numbers), "type": kind, **told}
    return Event.model_validate_json(json.dumps(written))


async def find(database: Database, *told: dict[str, object], agent: Target = AGENT, answers: bool = False) -> None:
    async with database.begin() as connection:
        await take_found(connection, agent, [event(**one) for one in told], lambda _: answers, NOW)  # type: ignore[arg-type] # JSON


async def proposals(database: Database, **which: object) -> list[FoundPrinter]:
    async with database.connect() as connection:
        return await list_found(connection, **which)  # type: ignore[arg-type] # of the test's own


async def accept(database: Database, number: int, **more: object) -> str:
    async with database.begin() as connection:
        return await accept_found(
            connection,
            MODELS,
            number,
            asking=SNMP,
            max_devices=100,
            actor=ACTOR,
            now=NOW,
            **more,  # type: ignore[arg-type] # likewise
        )


async def test_each_is_proposed_once_by_serial_or_else_by_address(fleet: Database) -> None:
    first = {"address": "192.0.2.31", "serial": "S1", "model": "M1", "snmp": True, "ipp": False}
    await find(fleet, first, {"address": "192.0.2.32", "ipp": True}, first)
    await find(fleet, first | {"address": "192.0.2.41"}, {"address": "192.0.2.32", "serial": "S2", "ipp": True})
    await find(fleet, first, agent=Target("srv-oven", "bakkerij", "hq", "server"))
    one, two = await proposals(fleet, customer="acme")
    assert (one.address, one.serial, one.model, one.ways) == ("192.0.2.41", "S1", "M1", ["snmp"])
    assert (two.address, two.serial, two.ways, two.found_by) == ("192.0.2.32", "S2", ["ipp"], "srv-1")
    assert len(await proposals(fleet)) == 3


@pytest.mark.parametrize(
    "told", [{}, {"address": 7}, {"address": ""}, {"address": "; rm -rf"}, {"address": "x" * 300}, {"address": "\x00"}]
)
async def test_what_makes_no_sense_is_left_out(fleet: Database, told: dict[str, object]) -> None:
    await find(fleet, told)
    assert await proposals(fleet) == []


async def test_a_site_has_so_many_proposals_and_no_more(fleet: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finds, "MAX_PROPOSALS", 3)
    told: list[dict[str, object]] = [{"address": f"192.0.2.{number}"} for number in range(9)]
    await find(fleet, *told)
    assert len(await proposals(fleet)) == 3


async def test_an_accepted_one_is_a_device_and_not_proposed_again(fleet: Database) -> None:
    told = {"address": "192.0.2.31", "serial": "S1", "model": "LaserJet", "snmp": True}
    await find(fleet, told)
    (found,) = await proposals(fleet)
    device = await accept(fleet, found.id, name="hall")
    await find(fleet, told)
    assert await proposals(fleet) == []
    (kept,) = await proposals(fleet, everything=True)
    assert kept.device == device
    async with fleet.connect() as connection:
        printer = await get_printer(connection, device)
        actions = [one.action for one in await audit.latest(connection, 2)]
    assert (printer.serial, printer.told("model"), printer.site) == ("S1", "LaserJet", "hq")
    assert actions == ["printers.accept", "printers.add"]
    with pytest.raises(FleetError, match=device):
        await accept(fleet, found.id)
    with pytest.raises(NotFoundError):
        await accept(fleet, 99)


async def test_a_dismissed_one_is_not_proposed_again(fleet: Database) -> None:
    await find(fleet, {"address": "192.0.2.31"})
    (found,) = await proposals(fleet)
    for _ in range(2):
        async with fleet.begin() as connection:
            await dismiss_found(connection, found.id, actor=ACTOR, now=NOW)
    await find(fleet, {"address": "192.0.2.31"})
    assert await proposals(fleet) == []
    await accept(fleet, found.id)  # for whoever thinks better of it
    async with fleet.begin() as connection:
        with pytest.raises(FleetError, match="printers end"):
            await dismiss_found(connection, found.id, actor=ACTOR, now=NOW)


async def printer(database: Database, serial: str | None, address: str = "192.0.2.31") -> str:
    new = NewPrinter("acme", "hq", address, SNMP, serial=serial)
    async with database.begin() as connection:
        return await add_printer(connection, MODELS, new, max_devices=100, actor=ACTOR, now=NOW)


@pytest.mark.parametrize(
    ("answers", "told", "moves"),
    [
        (False, {"serial": "S1"}, True),
        (True, {"serial": "S1"}, False),  # it has two addresses, or somebody claims to be it
        (False, {"serial": "S2"}, False),
        (False, {}, False),
    ],
)
async def test_a_known_one_that_moved_stays_what_it_is(
    fleet: Database, answers: bool, told: dict[str, object], moves: bool
) -> None:
    device = await printer(fleet, "S1")
    await find(fleet, {"address": "192.0.2.77", **told}, answers=answers)
    async with fleet.connect() as connection:
        assert (await get_printer(connection, device)).address == ("192.0.2.77" if moves else "192.0.2.31")
        events = (await connection.execute(select(device_events.c.type, device_events.c.data))).all()
    moved = ("address_changed", {"from": "192.0.2.31", "to": "192.0.2.77", "found_by": "srv-1"})
    assert [tuple(one) for one in events] == ([moved] if moves else [])
    assert len(await proposals(fleet)) == (0 if told.get("serial") == "S1" else 1)


async def test_nobody_moves_the_printer_of_another_site(fleet: Database) -> None:
    device = await printer(fleet, "S1")
    for agent in (Target("srv-ny", "acme", "ny", "server"), Target("srv-oven", "bakkerij", "hq", "server")):
        await find(fleet, {"address": "192.0.2.77", "serial": "S1"}, agent=agent)
    async with fleet.connect() as connection:
        assert (await get_printer(connection, device)).address == "192.0.2.31"


async def test_a_reader_tells_of_its_own_printers_alone(fleet: Database) -> None:
    device, other = await printer(fleet, None), await printer(fleet, None, "192.0.2.32")
    supplies: list[object] = [
        {"index": "1", "description": "TK\x00", "unit": "impressions", "max_capacity": 7200, "more": 1},
        {"index": "2", "max_capacity": "many"},
        "?",
    ]
    told = {"serial": "S9", "supplies": supplies, "model": "M", "firmware": "1.2", "location": "Hall\x00 2", "more": 7}
    for _ in range(2):
        async with fleet.begin() as connection:
            events = [event("printer_seen", device_id=one, **told) for one in (device, other, "srv-1")]
            await take_seen(connection, AGENT, {device}, [*events, event("printer_seen", device_id=7)], NOW)
    async with fleet.connect() as connection:
        seen = await get_printer(connection, device)
        assert (seen.serial, seen.told("firmware"), seen.told("location")) == ("S9", "1.2", "Hall 2")
        assert seen.inventory["supplies"] == [
            {"index": "1", "description": "TK", "unit": "impressions", "max_capacity": 7200},
            {"index": "2"},
        ]
        assert (await get_printer(connection, other)).serial is None
        inventories = await connection.execute(select(devices.c.inventory).where(devices.c.id == "srv-1"))
        assert inventories.scalar_one() is None


async def test_what_a_printer_refuses_and_shows_reaches_people_and_ends_when_it_is_read(fleet: Database) -> None:
    device, other = await printer(fleet, None), await printer(fleet, None, "192.0.2.32")
    refused = [event("printer_refused", device_id=one, reason="SNMP: wrong user\x00") for one in (device, other)]
    jam = event("printer_alert", device_id=device, group="mediaPath", group_index=1, code="jam", description="cleared")
    async with fleet.begin() as connection:
        await take_told(connection, {device}, [event("goodbye"), event("printer_seen", device_id=device)], NOW)
        assert (await connection.execute(select(device_events.c.id))).all() == []
    for _ in range(2):  # the same may come again
        async with fleet.begin() as connection:
            await take_told(connection, {device}, [*refused, jam, event("printer_refused", device_id=7)], NOW)
    async with fleet.connect() as connection:
        assert (await get_printer(connection, device)).told("refusal") == "SNMP: wrong user"
        assert (await get_printer(connection, other)).told("refusal") is None
        columns = device_events.c.device, device_events.c.type, device_events.c.data["code"].as_string()
        rows = await connection.execute(select(*columns).order_by(device_events.c.at))
        assert [tuple(row) for row in rows] == [(device, "printer_refused", None), (device, "printer_alert", "jam")]
    trays: list[object] = [{"index": "1", "name": "Tray 1", "media": "A4", "max_capacity": 250, "more": 1}, 7]
    async with fleet.begin() as connection:
        told = event("printer_seen", device_id=device, refusal="", display="Ready", trays=trays)
        await take_seen(connection, AGENT, {device}, [told], NOW)
        found = await get_printer(connection, device)
    assert (found.told("refusal"), found.told("display")) == (None, "Ready")
    assert found.trays() == [{"index": "1", "name": "Tray 1", "media": "A4", "max_capacity": 250}]
    for order, refusal in ((("printer_refused", "printer_seen"), None), (("printer_seen", "printer_refused"), "No")):
        events = [event(kind, device_id=device, reason="No", refusal="") for kind in order]  # of a long spool
        async with fleet.begin() as connection:
            await take_seen(connection, AGENT, {device}, events, NOW)
            await take_told(connection, {device}, events, NOW)
            assert (await get_printer(connection, device)).told("refusal") == refusal


async def test_nobody_is_asked_about_a_printer_that_is_known_by_now(fleet: Database) -> None:
    """Proposed, and then added by hand; found without its serial number where it has moved to."""
    await find(fleet, {"address": "192.0.2.31", "ipp": True}, {"address": "192.0.2.39", "serial": "S9"})
    device = await printer(fleet, "S1")
    assert len(await proposals(fleet)) == 2
    await find(fleet, {"address": "192.0.2.31", "serial": "S1"})
    (other,) = await proposals(fleet)
    assert other.serial == "S9"
    await find(fleet, {"address": "192.0.2.50", "ipp": True})
    assert len(await proposals(fleet)) == 2
    await find(fleet, {"address": "192.0.2.50", "serial": "S1"})
    assert [one.serial for one in await proposals(fleet)] == ["S9"]
    assert {one.device for one in await proposals(fleet, everything=True)} == {device, None}


async def test_printers_whose_leases_were_exchanged_are_found_by_their_serial_numbers(fleet: Database) -> None:
    one, other = await printer(fleet, "S1"), await printer(fleet, "S2", "192.0.2.32")
    for device, serial in (
        (one, "S2"),
        (other, "S2"),
        (one, "S1"),
    ):  # the first as it was, then each at its new address
        async with fleet.begin() as connection:
            told = event("printer_seen", device_id=device, serial=serial)
            await take_seen(connection, AGENT, {one, other}, [told], NOW)
    async with fleet.connect() as connection:
        moved = [await get_printer(connection, device) for device in (one, other)]
    assert [(device.serial, device.address) for device in moved] == [("S1", "192.0.2.32"), ("S2", "192.0.2.31")]


async def test_a_stranger_at_a_printers_address_does_not_become_it(fleet: Database) -> None:
    device = await printer(fleet, "S1")
    async with fleet.begin() as connection:
        told = event("printer_seen", device_id=device, serial="S9", model="stranger")
        await take_seen(connection, AGENT, {device}, [told], NOW)
        kept = await get_printer(connection, device)
    assert (kept.serial, kept.address, kept.told("model")) == ("S1", "192.0.2.31", None)
