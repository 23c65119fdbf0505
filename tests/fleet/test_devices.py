import json
import logging
from datetime import timedelta

import pytest
from sqlalchemy import select

from collector.clock import to_milliseconds
from collector.db.database import Database
from collector.db.tables import device_events
from collector.fleet.devices import (
    get_device,
    get_inventory,
    revoke_device,
    save_last_seen,
)
from collector.fleet.errors import NotFoundError
from collector.fleet.events import delete_events, record_events
from protocol.models import Event
from protocol.wire import MAX_INVENTORY_BYTES
from tests.fleet.world import ACTOR, NOW, World, after, make_customer, make_token, request


@pytest.fixture
async def device(database: Database) -> str:
    async with database.begin() as connection:
        await make_customer(connection)
        token = await make_token(connection)
        return (await World().enrollment.enroll(connection, request(token), NOW)).device_id


def event(number: int, kind: str = "probe_unavailable", seconds: float = 0, **more: object) -> Event:
    written = {"id": f"e-{number}", "t": to_milliseconds(after(seconds=seconds)), "type": kind, **more}
    return Event.model_validate_json(json.dumps(written))


async def test_events_that_come_twice_are_kept_once(database: Database, device: str) -> None:
    pushed = [event(1, probe="smart"), event(2, "printer_found", host="192.0.2.7"), event(1, probe="smart")]
    for _ in range(2):
        async with database.begin() as connection:
            await record_events(connection, device, pushed, {"model": "X1"}, NOW)
    async with database.begin() as connection:
        rows = (await connection.execute(select(device_events.c.type, device_events.c.data))).all()
        assert sorted(row.type for row in rows) == ["printer_found", "probe_unavailable"]
        assert {"host": "192.0.2.7"} in [row.data for row in rows]
        assert await get_inventory(connection, device) == {"model": "X1", "read_at": to_milliseconds(NOW)}
        assert await delete_events(connection, after(seconds=1)) == 2


async def test_hostile_events_and_inventories_are_left_out_not_refused(
    database: Database, device: str, caplog: pytest.LogCaptureFixture
) -> None:
    pushed = [
        event(1, "\x00type\x1b", text="\x00"),
        event(2, text="x" * 20_000),
        Event(id="e-3", t=0, type="x", value=float("nan")),
        Event(id="e-4", t=(1 << 53) - 1, type="far"),
    ]
    with caplog.at_level(logging.WARNING):
        async with database.begin() as connection:
            await record_events(connection, device, pushed, {"blob": "x" * MAX_INVENTORY_BYTES}, NOW)
    async with database.connect() as connection:
        rows = (await connection.execute(select(device_events.c.id, device_events.c.type, device_events.c.data))).all()
        assert await get_inventory(connection, device) is None
    assert sorted(rows) == [("e-1", "type", {"text": "\x00"}), ("e-2", "probe_unavailable", {}), ("e-3", "x", {})]
    assert len(caplog.records) == 3


@pytest.mark.parametrize(("seconds_late", "counts"), [(0, True), (59, True), (120, False)])
async def test_a_goodbye_counts_unless_it_was_spooled(
    database: Database, device: str, seconds_late: float, counts: bool
) -> None:
    received = after(seconds=seconds_late)
    async with database.begin() as connection:
        await record_events(connection, device, [event(1, "goodbye", reason="shutdown")], None, received)
        found = await get_device(connection, device)
    assert (found.goodbye_at, found.goodbye_reason) == ((received, "shutdown") if counts else (None, None))


async def test_last_seen_only_moves_on(database: Database, device: str) -> None:
    for seen in (after(minutes=2), after(minutes=1)):
        async with database.begin() as connection:
            await save_last_seen(connection, {device: seen, "nobody": seen})
            await save_last_seen(connection, {})
    async with database.connect() as connection:
        assert (await get_device(connection, device)).last_seen_at == after(minutes=2)


async def test_an_unknown_device_cannot_be_revoked_and_a_second_time_changes_nothing(
    database: Database, device: str
) -> None:
    async with database.begin() as connection:
        for hours in (0, 1):
            await revoke_device(connection, device, actor=ACTOR, now=NOW + timedelta(hours=hours))
        assert (await get_device(connection, device)).revoked_at == NOW
        with pytest.raises(NotFoundError):
            await revoke_device(connection, "nobody", actor=ACTOR, now=NOW)
