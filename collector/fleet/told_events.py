"""What devices told beside their samples, for people to read: the newest first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import device_events


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """`data` is what stood beside its type, as the device told it."""

    at: datetime
    received_at: datetime
    type: str
    data: dict[str, Any]


async def events_of(
    connection: AsyncConnection, device: str, limit: int, *, only: str | None = None
) -> list[DeviceEvent]:
    """`limit` at most of a device, of all types or of one."""
    columns = device_events.c
    query = select(*(columns[name] for name in DeviceEvent.__annotations__)).where(columns.device == device)
    if only is not None:
        query = query.where(columns.type == only)
    rows = await connection.execute(query.order_by(columns.at.desc(), columns.id).limit(limit))
    return [DeviceEvent(*row) for row in rows]
