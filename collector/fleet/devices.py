"""Devices: what is known of each, and what becomes of them."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import from_milliseconds, to_milliseconds
from collector.db import audit
from collector.db.inserts import insert_absent
from collector.db.revisions import Topic, bump
from collector.db.tables import device_events, devices
from collector.db.text import one_line
from collector.fleet.errors import NotFoundError
from collector.fleet.presence import PresenceFacts
from protocol.models import Event
from protocol.wire import MAX_INVENTORY_BYTES, EventType

logger = logging.getLogger(__name__)

MAX_EVENT_BYTES = 16 << 10
LAST_MILLISECOND = to_milliseconds(datetime.max.replace(tzinfo=UTC))
# A goodbye that comes so late was spooled: the device has said more since, and may be up again.
GOODBYE_HOLDS_FOR = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Device:
    id: str
    customer: str
    site: str
    kind: str
    hostname: str
    serial: str | None
    os: str
    arch: str
    agent_version: str
    enrolled_at: datetime
    possible_clone_of: str | None
    read_by: str | None
    address: str | None
    revoked_at: datetime | None
    ended_at: datetime | None
    last_seen_at: datetime | None
    goodbye_at: datetime | None
    goodbye_reason: str | None

    def presence_facts(self, push_interval: timedelta) -> PresenceFacts:
        return PresenceFacts(self.last_seen_at, self.goodbye_at, self.goodbye_reason, push_interval)


async def list_devices(connection: AsyncConnection, customer: str | None = None) -> list[Device]:
    query = _DEVICES if customer is None else _DEVICES.where(devices.c.customer == customer)
    rows = await connection.execute(query.order_by(devices.c.customer, devices.c.site, devices.c.id))
    return [_to_device(row) for row in rows]


async def get_device(connection: AsyncConnection, device: str) -> Device:
    """Raises NotFoundError."""
    row = (await connection.execute(_DEVICES.where(devices.c.id == device))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no device {device!r}; see: devices list")
    return _to_device(row)


async def get_inventory(connection: AsyncConnection, device: str) -> dict[str, object] | None:
    """What the device last told of itself, as it told it."""
    found: dict[str, object] | None = await connection.scalar(select(devices.c.inventory).where(devices.c.id == device))
    return found


async def revoke_device(connection: AsyncConnection, device: str, *, actor: str, now: datetime) -> None:
    """Its secret is refused from now on (401); a token made later enrols it again. Raises NotFoundError."""
    await _mark(connection, device, "revoked_at", action="devices.revoke", actor=actor, now=now)


async def end_device(connection: AsyncConnection, device: str, *, actor: str, now: datetime) -> None:
    """The device is no longer looked after: its agent is told to stop (410). Raises NotFoundError."""
    await _mark(connection, device, "ended_at", action="devices.end", actor=actor, now=now)


async def save_last_seen(connection: AsyncConnection, seen: Mapping[str, datetime]) -> None:
    """Notes when each device was last heard, by receive time; a time older than what is there changes nothing."""
    if not seen:
        return
    older = or_(devices.c.last_seen_at.is_(None), devices.c.last_seen_at < bindparam("seen_at"))
    await connection.execute(
        update(devices).where(devices.c.id == bindparam("device"), older).values(last_seen_at=bindparam("seen_at")),
        [{"device": device, "seen_at": at} for device, at in seen.items()],
    )


async def record_events(
    connection: AsyncConnection,
    device: str,
    events: Sequence[Event],
    inventory: Mapping[str, object] | None,
    now: datetime,
) -> str | None:
    """Keeps what a push told beside its frames. The same events may come again: (id, device) tells them.

    `now` is when the push was received. What cannot be stored is left out and logged, since no resend could mend it.
    Returns the reason of a goodbye that holds now.
    """
    if events:
        rows = [
            {
                "id": one_line(event.id),
                "device": device,
                "at": from_milliseconds(event.t),
                "received_at": now,
                "type": one_line(event.type),
                "data": _storable(event.model_extra or {}, MAX_EVENT_BYTES, device) or {},
            }
            for event in events
            if event.t <= LAST_MILLISECOND
        ]
        await insert_absent(connection, device_events, rows)
    changes: dict[str, object] = {}
    goodbye: str | None = None
    for event in events:
        if event.type == EventType.GOODBYE and to_milliseconds(now - GOODBYE_HOLDS_FOR) <= event.t:
            goodbye = one_line(str((event.model_extra or {}).get("reason")))[:64]
            changes |= {"goodbye_at": now, "goodbye_reason": goodbye}
    if inventory is not None and (kept := _storable(inventory, MAX_INVENTORY_BYTES, device)) is not None:
        changes["inventory"] = kept
    if changes:
        await connection.execute(update(devices).where(devices.c.id == device).values(**changes))
    return goodbye


async def delete_events(connection: AsyncConnection, received_before: datetime) -> int:
    """Forgets the events that were received before that time; returns how many."""
    deleted = await connection.execute(delete(device_events).where(device_events.c.received_at < received_before))
    return deleted.rowcount


_DEVICES = select(*(devices.c[name] for name in Device.__annotations__))


def _to_device(row: Sequence[Any]) -> Device:
    return Device(*row)


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


async def _mark(
    connection: AsyncConnection, device: str, column: str, *, action: str, actor: str, now: datetime
) -> None:
    await get_device(connection, device)
    marked = await connection.execute(
        update(devices).where(devices.c.id == device, devices.c[column].is_(None)).values({column: now})
    )
    if marked.rowcount:
        await audit.record(connection, actor=actor, action=action, subject=device, now=now)
        await bump(connection, Topic.FLEET)
