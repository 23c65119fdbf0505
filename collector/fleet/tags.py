"""Tags: words that people give devices, to name several at once."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.inserts import insert_if_absent
from collector.db.revisions import Topic, bump
from collector.db.tables import device_tags, devices
from collector.fleet.devices import get_device
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.names import checked_name

MAX_TAGS = 50  # of one device


async def load_tags(connection: AsyncConnection) -> Mapping[str, frozenset[str]]:
    """The tags of every device that has any."""
    tags: dict[str, set[str]] = {}
    for device, tag in await connection.execute(select(device_tags.c.device, device_tags.c.tag)):
        tags.setdefault(device, set()).add(tag)
    return {device: frozenset(words) for device, words in tags.items()}


async def tags_of(connection: AsyncConnection, device: str) -> list[str]:
    """Those of one device, sorted."""
    return sorted(await connection.scalars(select(device_tags.c.tag).where(device_tags.c.device == device)))


async def kind_and_tags(connection: AsyncConnection, device: str) -> tuple[str, list[str]]:
    """Of a device that is not known: no kind, no tags."""
    kind = await connection.scalar(select(devices.c.kind).where(devices.c.id == device))
    return kind or "", await tags_of(connection, device)


async def add_tag(connection: AsyncConnection, device: str, tag: str, *, actor: str, now: datetime) -> None:
    """Does nothing if the device has it. Raises NotFoundError or FleetError."""
    await get_device(connection, device)
    checked_name("tag", tag)
    count = select(func.count()).select_from(device_tags).where(device_tags.c.device == device)
    if (await connection.scalar(count) or 0) >= MAX_TAGS:
        raise FleetError(f"device {device} has {MAX_TAGS} tags already: remove one first")
    if await insert_if_absent(connection, device_tags, {"device": device, "tag": tag}):
        await audit.record(connection, actor=actor, action="devices.tag", subject=device, now=now, data={"tag": tag})
        await bump(connection, Topic.FLEET)


async def set_tags(
    connection: AsyncConnection, device: str, tags: Collection[str], *, actor: str, now: datetime
) -> None:
    """These, and no others. Raises NotFoundError or FleetError."""
    had = await tags_of(connection, device)
    for tag in sorted(set(had) - set(tags)):
        await remove_tag(connection, device, tag, actor=actor, now=now)
    for tag in sorted(set(tags) - set(had)):
        await add_tag(connection, device, tag, actor=actor, now=now)


async def remove_tag(connection: AsyncConnection, device: str, tag: str, *, actor: str, now: datetime) -> None:
    """Raises NotFoundError if the device does not have it."""
    removed = await connection.execute(
        delete(device_tags).where(device_tags.c.device == device, device_tags.c.tag == tag)
    )
    if removed.rowcount == 0:
        raise NotFoundError(f"device {device} has no tag {tag!r}; see: devices show {device}")
    await audit.record(connection, actor=actor, action="devices.untag", subject=device, now=now, data={"tag": tag})
    await bump(connection, Topic.FLEET)
