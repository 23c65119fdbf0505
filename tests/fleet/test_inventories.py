"""What machines are made of: kept, compared, and held to what the customer allowed."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import from_milliseconds, to_milliseconds
from collector.db.database import Database
from collector.db.revisions import revisions
from collector.db.tables import customers
from collector.fleet.devices import get_device, get_inventory
from collector.fleet.erasure import erase_people
from collector.fleet.inventories import (
    MAX_KEPT,
    Difference,
    differences,
    inventories_before,
    inventory_at,
    keep_inventory,
)
from collector.fleet.privacy import set_privacy
from tests.fleet.world import ACTOR, NOW, World, make_customer, make_token, request

FULL: dict[str, Any] = {
    "read_at": 1_000,
    "hostname": "ws-1",
    "model": "Latitude 5420",
    "serial": "7XQ1R92",
    "hardware": {"memory_bytes": 16 << 30},
    "disks": [{"name": "nvme0n1", "serial": "S1", "size_bytes": 512}],
    "software": {"count": 2, "packages": [{"name": "openssl", "version": "3.0.11", "source": "dpkg"}]},
    "users": {"logged_in": 1, "names": ["jan"]},
}


@pytest.fixture
async def device(database: Database) -> str:
    return await enrolled(database)


async def enrolled(database: Database) -> str:
    async with database.begin() as connection:
        await make_customer(connection)
        token = await make_token(connection)
        return (await World().enrollment.enroll(connection, request(token), NOW)).device_id


async def keep(database: Database, device: str, content: dict[str, Any], minutes: int = 0) -> None:
    async with database.begin() as connection:
        await keep_inventory(connection, device, content, NOW + timedelta(minutes=minutes))


async def kept(database: Database, device: str) -> list[dict[str, Any]]:
    async with database.connect() as connection:
        return [dict(one.content) for one in await inventories_before(connection, device, None, 1_000)]


async def allow(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(update(customers).values(user_names_allowed=True, software_allowed=True))


async def test_what_was_not_allowed_is_not_kept(database: Database, device: str) -> None:
    await keep(database, device, FULL)
    (content,) = await kept(database, device)
    assert content["software"] == {"count": 2}
    assert content["users"] == {"logged_in": 1}
    await allow(database)
    await keep(database, device, FULL)
    assert await kept(database, device) == [FULL, content]


async def test_only_changes_make_history_and_who_is_logged_in_is_none(database: Database, device: str) -> None:
    await allow(database)
    await keep(database, device, FULL)
    await keep(database, device, {**FULL, "read_at": 2_000, "users": {"logged_in": 0}})
    assert len(await kept(database, device)) == 1
    async with database.connect() as connection:
        newest = await get_inventory(connection, device)
        before = await revisions(connection)
    assert newest is not None
    assert newest["users"] == {"logged_in": 0}
    await keep(database, device, {**FULL, "read_at": 3_000, "model": "Latitude 7440"}, minutes=5)
    assert len(await kept(database, device)) == 2
    async with database.connect() as connection:
        after = await revisions(connection)
        assert after["fleet"] > before["fleet"]
        then = await inventory_at(connection, device, from_milliseconds(2_999))
    assert then is not None
    assert then.content["model"] == "Latitude 5420"


def ago(minutes: int, model: str) -> dict[str, Any]:
    """As it was read some minutes before NOW."""
    return {**FULL, "read_at": to_milliseconds(NOW - timedelta(minutes=minutes)), "model": model}


async def models(database: Database, device: str) -> list[tuple[datetime, Any]]:
    async with database.connect() as connection:
        return await models_in(connection, device)


async def models_in(connection: AsyncConnection, device: str) -> list[tuple[datetime, Any]]:
    return [(one.at, one.content["model"]) for one in await inventories_before(connection, device, None, 1_000)]


async def test_those_of_a_day_offline_take_their_places_behind_the_newest(database: Database, device: str) -> None:
    """The live one comes first, then the gap, the oldest first."""
    await keep(database, device, ago(1440, "before"))
    await keep(database, device, {**ago(0, "now"), "serial": "NOW"})
    for one in (ago(1080, "first"), ago(720, "second"), {**ago(360, "now"), "serial": "NOW"}):
        await keep(database, device, one, minutes=1)
    await keep(database, device, ago(720, "second"), minutes=2)  # its answer was lost
    assert await models(database, device) == [
        (NOW - timedelta(minutes=360), "now"),
        (NOW - timedelta(minutes=720), "second"),
        (NOW - timedelta(minutes=1080), "first"),
        (NOW - timedelta(minutes=1440), "before"),
    ]
    async with database.connect() as connection:
        newest = await get_inventory(connection, device)
        assert (await get_device(connection, device)).serial == "NOW"
        then = await inventory_at(connection, device, NOW - timedelta(minutes=700))
        first = await inventories_before(connection, device, None, 2)
        rest = await inventories_before(connection, device, first[-1].id, 10)
    assert newest is not None
    assert (newest["model"], newest["read_at"]) == ("now", to_milliseconds(NOW))
    assert then is not None
    assert then.content["model"] == "second"
    assert [one.content["model"] for one in first + rest] == ["now", "second", "first", "before"]


async def test_what_was_otherwise_for_a_while_is_again_as_before(database: Database, device: str) -> None:
    await keep(database, device, ago(60, "docked"))
    await keep(database, device, ago(0, "docked"))
    assert len(await models(database, device)) == 1
    await keep(database, device, ago(30, "undocked"))
    assert [model for _, model in await models(database, device)] == ["docked", "undocked", "docked"]


async def test_a_clock_that_is_ahead_keeps_no_later_one_out(database: Database, device: str) -> None:
    await keep(database, device, ago(-3000, "ahead"))
    await keep(database, device, ago(-1, "right"), minutes=1)
    assert await models(database, device) == [(NOW + timedelta(minutes=1), "right"), (NOW, "ahead")]


@pytest.mark.parametrize("read_at", [None, "now", -1, 1e300, {}], ids=repr)
async def test_one_that_does_not_say_when_was_read_now(database: Database, device: str, read_at: object) -> None:
    await keep(database, device, ago(60, "before"))
    await keep(database, device, {**ago(0, "now"), "read_at": read_at})
    assert [model for _, model in await models(database, device)] == ["now", "before"]


def test_in_whatever_order_they_come_the_newest_is_current(database_url: str) -> None:
    """And in the history each stands at its time: of two that are the same in a row, the later one may be left out."""

    async def tell(told: list[tuple[int, str]]) -> tuple[Any, list[tuple[datetime, Any]]]:
        async with database.connect() as connection:  # nothing of it stays for the next example
            for minutes, model in told:
                await keep_inventory(connection, device, ago(10 - minutes, model), NOW + timedelta(minutes=10))
            newest = await get_inventory(connection, device)
            assert newest is not None
            return newest["model"], await models_in(connection, device)

    @given(st.permutations([(minutes, "ABAACCB"[minutes]) for minutes in range(7)]))
    @settings(max_examples=30)
    def holds(told: list[tuple[int, str]]) -> None:
        current, history = runner.run(tell(told))
        assert current == "B"
        assert history[0][1] == "B"
        at_its_time = {NOW - timedelta(minutes=10 - minutes): model for minutes, model in told}
        assert all(at_its_time[at] == model for at, model in history)
        assert all(one[1] != other[1] for one, other in pairwise(history))

    with asyncio.Runner() as runner:
        database = runner.run(Database.open(database_url))
        device = runner.run(enrolled(database))
        holds()
        runner.run(database.close())


async def test_the_serial_number_becomes_the_devices(database: Database, device: str) -> None:
    await keep(database, device, FULL)
    await keep(database, device, {**FULL, "serial": "To be filled by O.E.M.", "read_at": 2_000})
    async with database.connect() as connection:
        assert (await get_device(connection, device)).serial == "7XQ1R92"


async def test_history_is_bounded(database: Database, device: str) -> None:
    for number in range(MAX_KEPT + 3):
        await keep(database, device, {"read_at": number, "model": f"M{number}"})
    found = await kept(database, device)
    assert [found[0]["model"], found[-1]["model"], len(found)] == [f"M{MAX_KEPT + 2}", "M3", MAX_KEPT]


async def test_erasing_a_customer_leaves_what_the_machine_is(database: Database, device: str) -> None:
    await allow(database)
    await keep(database, device, FULL)
    async with database.begin() as connection:
        await erase_people(connection, "acme", actor=ACTOR, now=NOW)
    async with database.connect() as connection:
        assert await get_inventory(connection, device) == {"model": "Latitude 5420"}
    assert await kept(database, device) == []


async def test_a_withdrawn_allowance_is_taken_out_of_what_is_kept(database: Database, device: str) -> None:
    await allow(database)
    await keep(database, device, FULL)
    await keep(database, device, {**FULL, "read_at": 2_000, "model": "Latitude 5430"})
    async with database.begin() as connection:
        await set_privacy(connection, "acme", software=False, actor=ACTOR, now=NOW)
    for content in await kept(database, device):
        assert (content["software"], content["users"]) == ({"count": 2}, {"logged_in": 1, "names": ["jan"]})
    async with database.begin() as connection:
        await set_privacy(connection, "acme", user_names=False, actor=ACTOR, now=NOW)
    found = await kept(database, device)
    assert [content["model"] for content in found] == ["Latitude 5430", "Latitude 5420"]
    async with database.connect() as connection:
        newest = await get_inventory(connection, device)
    assert newest is not None
    for left in (*found, newest):
        assert (left["software"], left["users"]) == ({"count": 2}, {"logged_in": 1})


async def test_of_a_device_that_is_not_there_nothing_is_kept(database: Database) -> None:
    await keep(database, "nobody", FULL)
    assert await kept(database, "nobody") == []


def test_a_new_version_is_one_difference() -> None:
    after = {
        **FULL,
        "hardware": {"memory_bytes": 32 << 30},
        "disks": [{"name": "nvme1n1", "serial": "S1", "size_bytes": 512}, {"name": "sda", "size_bytes": 8}],
        "software": {"count": 2, "packages": [{"name": "openssl", "version": "3.0.13", "source": "dpkg"}]},
    }
    assert differences(FULL, after) == [
        Difference("disks.S1.name", "nvme0n1", "nvme1n1"),
        Difference("disks.sda.name", None, "sda"),
        Difference("disks.sda.size_bytes", None, 8),
        Difference("hardware.memory_bytes", 16 << 30, 32 << 30),
        Difference("software.packages.dpkg openssl", "3.0.11", "3.0.13"),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "serial", "source", "version", "mac", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_nothing_differs_from_itself(content: dict[str, Any]) -> None:
    assert differences(content, content) == []
    assert all(one.before is None for one in differences({}, content))
