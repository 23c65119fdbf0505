"""What devices tell beside their samples: events and inventories, and what these change in what is known of them."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import from_milliseconds, to_milliseconds
from collector.db.inserts import insert_absent
from collector.db.tables import device_events, devices
from collector.db.text import one_line
from collector.fleet.inventories import keep_inventory
from protocol.models import Event
from protocol.wire import MAX_INVENTORY_BYTES, EventType, LastRun, PowerSource

logger = logging.getLogger(__name__)

MAX_EVENT_BYTES = 16 << 10
MAX_VERSION_CHARS = 256
LAST_MILLISECOND = to_milliseconds(datetime.max.replace(tzinfo=UTC))
# What comes so late was spooled: the device has said more since, and may be up again.
HOLDS_FOR = timedelta(seconds=60)

# How the last run ended, to the column that counts it.
COUNTED = {LastRun.CRASHED: "agent_crashes", LastRun.CUT: "machine_cuts"}


@dataclass(frozen=True, slots=True)
class Told:
    """What a push told of its device's presence, where it holds now."""

    goodbye: str | None = None  # its reason
    power: PowerSource | None = None
    agent_crashes: int = 0  # told now and not before
    machine_cuts: int = 0
    agent_version: str | None = None  # of an agent that has started


async def record_events(
    connection: AsyncConnection,
    device: str,
    events: Sequence[Event],
    inventory: Mapping[str, object] | None,
    now: datetime,
    *,
    newest_at: datetime | None = None,
) -> Told:
    """Keeps what a push told beside its frames. The same events may come again: (id, device) tells them.

    `now` is when the push was received, `newest_at` the time of the device's newest frame: an older goodbye is history.
    What cannot be stored is left out and logged, since no resend could mend it.
    """
    kept = [event for event in events if event.t <= LAST_MILLISECOND]
    told = Told(
        goodbye=_goodbye(kept, now, newest_at),
        power=_power(kept, now),
        agent_version=_version(kept),
        **await _unexpected_ends(connection, device, kept),
    )
    if kept:
        rows = [
            {
                "id": one_line(event.id),
                "device": device,
                "at": from_milliseconds(event.t),
                "received_at": now,
                "type": one_line(event.type),
                "data": _storable(event.model_extra or {}, MAX_EVENT_BYTES, device) or {},
            }
            for event in kept
        ]
        await insert_absent(connection, device_events, rows)
    changes: dict[str, object] = {}
    if told.goodbye is not None:
        changes |= {"goodbye_at": now, "goodbye_reason": told.goodbye}
    if told.power is not None:
        changes["on_battery_since"] = now if told.power is PowerSource.BATTERY else None
    if told.agent_version is not None:
        changes["agent_version"] = told.agent_version
    if told.agent_crashes:
        changes["agent_crashes"] = devices.c.agent_crashes + told.agent_crashes
    if told.machine_cuts:
        changes["machine_cuts"] = devices.c.machine_cuts + told.machine_cuts
    if changes:
        await connection.execute(update(devices).where(devices.c.id == device).values(**changes))
    if inventory is not None and (storable := _storable(inventory, MAX_INVENTORY_BYTES, device)) is not None:
        await keep_inventory(connection, device, storable, now)
    return told


async def delete_events(connection: AsyncConnection, received_before: datetime) -> int:
    """Forgets the events that were received before that time; returns how many."""
    deleted = await connection.execute(delete(device_events).where(device_events.c.received_at < received_before))
    return deleted.rowcount


def _goodbye(events: Sequence[Event], now: datetime, newest_at: datetime | None) -> str | None:
    since = max(to_milliseconds(now - HOLDS_FOR), 0 if newest_at is None else to_milliseconds(newest_at))
    reasons = [_text(event, "reason")[:64] for event in events if event.type == EventType.GOODBYE and since <= event.t]
    return reasons[-1] if reasons else None


def _power(events: Sequence[Event], now: datetime) -> PowerSource | None:
    since = to_milliseconds(now - HOLDS_FOR)
    sources = [_text(event, "source") for event in events if event.type == EventType.POWER and since <= event.t]
    return PowerSource(sources[-1]) if sources and sources[-1] in set(PowerSource) else None


def _version(events: Sequence[Event]) -> str | None:
    versions = [_text(event, "version") for event in events if event.type == EventType.AGENT_STARTED]
    return versions[-1][:MAX_VERSION_CHARS] if versions and versions[-1] else None


async def _unexpected_ends(connection: AsyncConnection, device: str, events: Sequence[Event]) -> dict[str, int]:
    """By column, how many starts tell that the run before ended without a goodbye; those told before count no more."""
    starts = {
        one_line(event.id): COUNTED[LastRun(ended)]
        for event in events
        if event.type == EventType.AGENT_STARTED and (ended := _text(event, "last_run")) in set(COUNTED)
    }
    if not starts:
        return {}
    known = await connection.scalars(
        select(device_events.c.id).where(device_events.c.device == device, device_events.c.id.in_(starts))
    )
    fresh = [starts[one] for one in starts.keys() - set(known)]
    return {column: fresh.count(column) for column in COUNTED.values()}


def _text(event: Event, key: str) -> str:
    """Empty if the event has no such text."""
    value = (event.model_extra or {}).get(key)
    return one_line(value) if isinstance(value, str) else ""


def _storable(data: Mapping[str, object], max_bytes: int, device: str) -> dict[str, object] | None:
    """`data` if it is plain JSON of at most `max_bytes`."""
    try:
        size = len(json.dumps(data, allow_nan=False).encode())
    except ValueError:
        logger.warning("left out, not plain JSON: device=%s", device)
        return None
    if size > max_bytes:
        logger.warning("left out, too large: device=%s size_bytes=%d max_bytes=%d", device, size, max_bytes)
        return None
    return dict(data)
