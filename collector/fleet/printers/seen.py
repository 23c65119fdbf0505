"""What readers tell of printers beside samples: what each is, and what is in it."""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.revisions import Topic, bump
from collector.db.tables import devices
from collector.db.text import one_line
from collector.fleet.enrollment import known_serial
from collector.fleet.printers.found import readdress
from collector.series.labels import Target
from protocol.models import Event
from protocol.wire import EventType, Kind

logger = logging.getLogger(__name__)

FIELDS = ("model", "serial", "firmware", "name", "location")
SUPPLY_FIELDS = ("index", "description", "type", "color", "unit")
MAX_SUPPLIES = 64
MAX_CAPACITY = 1e12
MAX_CHARS = 256


async def take_seen(
    connection: AsyncConnection, agent: Target, read: Collection[str], events: Sequence[Event], now: datetime
) -> None:
    """Keeps what an agent tells of the printers that it reads, and of no others. Told twice it changes nothing.

    A printer with another serial number is another printer, which has taken the address over."""
    newest: dict[str, dict[str, object]] = {}
    for event in sorted(events, key=lambda one: one.t):
        told = event.model_extra or {}
        device = told.get("device_id")
        if event.type == EventType.PRINTER_SEEN and isinstance(device, str) and device in read:
            newest[device] = told
    for device, told in newest.items():
        inventory: dict[str, object] = {**_texts(told, FIELDS), "supplies": _supplies(told.get("supplies"))}
        query = select(devices.c.inventory, devices.c.serial).where(devices.c.id == device)
        row = (await connection.execute(query)).one_or_none()
        serial = known_serial(_texts(told, ("serial",)).get("serial"))
        if row is None or (row.inventory == inventory and serial in (None, row.serial)):
            continue
        if row.serial is not None and serial not in (None, row.serial):
            await _take_another(connection, agent, device, str(serial), now)
            continue
        values: dict[str, object] = {"inventory": inventory}
        if serial is not None:
            values["serial"] = serial
        await connection.execute(update(devices).where(devices.c.id == device).values(values))
        await bump(connection, Topic.FLEET)


async def _take_another(connection: AsyncConnection, agent: Target, device: str, serial: str, now: datetime) -> None:
    """Where the device is read, another printer answers. If it is one of the site's, each gets the other's address:
    leases have moved, and whoever answers there will tell."""
    query = select(devices.c.id, devices.c.address).where(
        devices.c.customer == agent.customer,
        devices.c.site == agent.site,
        devices.c.kind == Kind.PRINTER,
        devices.c.ended_at.is_(None),
    )
    here = (await connection.execute(query.where(devices.c.id == device))).one_or_none()
    other = (await connection.execute(query.where(devices.c.serial == serial))).first()
    if here is None or other is None or other.address == here.address:
        logger.warning("another printer answers, it keeps its serial number: device=%s told=%r", device, serial)
        return
    await readdress(connection, agent, other.id, other.address, here.address, now=now)
    await readdress(connection, agent, device, here.address, other.address, now=now)


def _texts(told: Mapping[str, object], names: Sequence[str]) -> dict[str, str]:
    """Those that are texts, fit to be stored."""
    found = {name: one_line(value).strip()[:MAX_CHARS] for name in names if isinstance(value := told.get(name), str)}
    return {name: text for name, text in found.items() if text}


def _supplies(told: object) -> list[dict[str, object]]:
    """With `max_capacity`, in `unit`, where the printer tells one."""
    found: list[dict[str, object]] = []
    for one in told[:MAX_SUPPLIES] if isinstance(told, list) else ():
        if isinstance(one, Mapping):
            capacity = one.get("max_capacity")
            is_known = (
                isinstance(capacity, int | float) and not isinstance(capacity, bool) and 0 < capacity < MAX_CAPACITY
            )
            found.append(_texts(one, SUPPLY_FIELDS) | ({"max_capacity": capacity} if is_known else {}))
    return found
