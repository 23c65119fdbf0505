"""What readers tell of printers beside samples: model, serial number, firmware, location."""

from collections.abc import Collection, Sequence

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.revisions import Topic, bump
from collector.db.tables import devices
from collector.db.text import one_line
from collector.fleet.enrollment import known_serial
from protocol.models import Event

PRINTER_SEEN = "printer_seen"  # {device_id, serial, model, firmware, location}: when one of them changes
FIELDS = ("model", "serial", "firmware", "location")
MAX_CHARS = 256


async def take_seen(connection: AsyncConnection, read: Collection[str], events: Sequence[Event]) -> None:
    """Keeps what an agent tells of the printers that it reads, and of no others. Told twice it changes nothing."""
    newest: dict[str, dict[str, object]] = {}
    for event in sorted(events, key=lambda one: one.t):
        told = event.model_extra or {}
        device = told.get("device_id")
        if event.type == PRINTER_SEEN and isinstance(device, str) and device in read:
            newest[device] = told
    for device, told in newest.items():
        inventory = {
            name: text for name in FIELDS if isinstance(value := told.get(name), str) and (text := _line(value))
        }
        query = select(devices.c.inventory, devices.c.serial).where(devices.c.id == device)
        row = (await connection.execute(query)).one_or_none()
        serial = known_serial(inventory.get("serial"))
        if row is None or (row.inventory == inventory and serial in (None, row.serial)):
            continue
        values: dict[str, object] = {"inventory": inventory}
        if serial is not None:
            values["serial"] = serial
        await connection.execute(update(devices).where(devices.c.id == device).values(values))
        await bump(connection, Topic.FLEET)


def _line(text: str) -> str:
    return one_line(text).strip()[:MAX_CHARS]
