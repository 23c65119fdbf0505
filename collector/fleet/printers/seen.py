"""What readers tell of printers beside samples: what each is, and what is in it."""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import from_milliseconds
from collector.db.inserts import insert_absent
from collector.db.revisions import Topic, bump
from collector.db.tables import device_events, devices
from collector.db.text import one_line
from collector.fleet.enrollment import known_serial
from collector.fleet.events import LAST_MILLISECOND
from collector.fleet.printers.found import readdress
from collector.series.labels import Target
from protocol.models import Event
from protocol.wire import EventType, Kind

logger = logging.getLogger(__name__)

FIELDS = ("model", "serial", "firmware", "name", "location", "display", "refusal")
TRAY_FIELDS = ("index", "name", "media")
MOVING = ("display", "refusal")  # what changes all the time, and nothing hangs on
SUPPLY_FIELDS = ("index", "description", "type", "color", "unit")
MAX_ROWS = 64
OF_PRINTERS = frozenset({EventType.PRINTER_ALERT, EventType.PRINTER_REFUSED})
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
        inventory: dict[str, object] = {
            **_texts(told, FIELDS),
            "supplies": _listed(told.get("supplies"), SUPPLY_FIELDS),
            "trays": _listed(told.get("trays"), TRAY_FIELDS),
        }
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
        if serial not in (None, row.serial) or _lasting(inventory) != _lasting(row.inventory):
            await bump(connection, Topic.FLEET)


async def take_told(connection: AsyncConnection, read: Collection[str], events: Sequence[Event], now: datetime) -> None:
    """Keeps what happened to the printers that an agent reads, and that they refuse, as events of theirs. That one is
    read again stands in what is told of it then."""
    rows = []
    refused: dict[str, str] = {}
    for event in sorted(events, key=lambda one: one.t):
        told = dict(event.model_extra or {})
        device = told.pop("device_id", None)
        if event.type in OF_PRINTERS and isinstance(device, str) and device in read and event.t <= LAST_MILLISECOND:
            data = _texts(told, ("group", "code", "description", "reason"))
            row: dict[str, object] = {"id": one_line(event.id), "device": device, "type": event.type, "data": data}
            rows.append(row | {"at": from_milliseconds(event.t), "received_at": now})
            if event.type == EventType.PRINTER_REFUSED:
                refused[device] = data.get("reason", "")
        elif event.type == EventType.PRINTER_SEEN and isinstance(device, str):
            refused.pop(device, None)
    await insert_absent(connection, device_events, rows)
    for device, reason in refused.items():
        known = await connection.scalar(select(devices.c.inventory).where(devices.c.id == device))
        inventory = {**(known if isinstance(known, Mapping) else {}), "refusal": reason}
        await connection.execute(update(devices).where(devices.c.id == device).values(inventory=inventory))


def _lasting(inventory: object) -> dict[str, object]:
    return (
        {name: one for name, one in inventory.items() if name not in MOVING} if isinstance(inventory, Mapping) else {}
    )


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


def _listed(told: object, fields: Sequence[str]) -> list[dict[str, object]]:
    """Supplies or trays, with `max_capacity`, in `unit`, where the printer tells one."""
    found: list[dict[str, object]] = []
    for one in told[:MAX_ROWS] if isinstance(told, list) else ():
        if isinstance(one, Mapping):
            capacity = one.get("max_capacity")
            is_known = (
                isinstance(capacity, int | float) and not isinstance(capacity, bool) and 0 < capacity < MAX_CAPACITY
            )
            found.append(_texts(one, fields) | ({"max_capacity": capacity} if is_known else {}))
    return found
