"""What devices told beside their samples, for people to read: the newest first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import device_events


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """`data` is what stood beside its type, as the device told it."""

    id: str
    at: datetime
    received_at: datetime
    type: str
    data: dict[str, Any]


async def events_of(
    connection: AsyncConnection,
    device: str,
    limit: int,
    *,
    only: str | None = None,
    after: tuple[datetime, str] | None = None,
) -> list[DeviceEvent]:
    """`limit` at most of a device, of all types or of one; `after`: time and id of the last of the page before."""
    columns = device_events.c
    query = select(*(columns[name] for name in DeviceEvent.__annotations__)).where(columns.device == device)
    if only is not None:
        query = query.where(columns.type == only)
    if after is not None:
        at, id_ = after
        query = query.where(columns.at <= at, or_(columns.at < at, columns.id > id_))
    rows = await connection.execute(query.order_by(columns.at.desc(), columns.id).limit(limit))
    return [DeviceEvent(*row) for row in rows]
