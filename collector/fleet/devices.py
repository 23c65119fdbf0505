"""Devices: what is known of each, and what becomes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.revisions import Topic, bump
from collector.db.tables import customers, devices, printers
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.names import COLLECTOR
from collector.fleet.presence import State


class DeviceStatus(StrEnum):
    ACTIVE = "active"
    REVOKED = "revoked"  # its secret is refused: 401
    ENDED = "ended"  # it or its customer is no longer looked after: 410


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
    policy: str | None  # its own; None: what holds for its customer and kind
    presence: str | None  # as `serve` last judged it; None: not yet
    presence_since: datetime | None
    presence_reason: str | None
    on_battery_since: datetime | None
    agent_crashes: int
    machine_cuts: int

    @property
    def status(self) -> DeviceStatus:
        if self.ended_at is not None:
            return DeviceStatus.ENDED
        return DeviceStatus.ACTIVE if self.revoked_at is None else DeviceStatus.REVOKED


async def list_devices(connection: AsyncConnection, customer: str | None = None) -> list[Device]:
    """A customer's, or all but the collector itself, which is listed with the customer `provider` only."""
    query = _DEVICES.where(devices.c.id != COLLECTOR if customer is None else devices.c.customer == customer)
    rows = await connection.execute(query.order_by(devices.c.customer, devices.c.site, devices.c.id))
    return [_to_device(row) for row in rows]


async def devices_after(
    connection: AsyncConnection, after: str | None, limit: int, *, customer: str | None, site: str | None
) -> list[Device]:
    """`limit` devices at most, of all or of one customer or site, in the order of their ids: those after `after`."""
    query = _DEVICES.order_by(devices.c.id).limit(limit)
    if after is not None:
        query = query.where(devices.c.id > after)
    if customer is not None:
        query = query.where(devices.c.customer == customer)
    if site is not None:
        query = query.where(devices.c.site == site)
    return [_to_device(row) for row in await connection.execute(query)]


def ids_at(customer: str, site: str | None) -> Select[tuple[str]]:
    """The ids of a customer's devices, or of one site's, to be part of a statement."""
    query = select(devices.c.id).where(devices.c.customer == customer)
    return query if site is None else query.where(devices.c.site == site)


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
    """Its secret is refused from now on (401); a token made later enrols it again. Raises FleetError."""
    await _mark(connection, device, "revoked_at", action="devices.revoke", actor=actor, now=now)


async def ended_devices(connection: AsyncConnection) -> dict[str, datetime]:
    """Since when devices, by id, or their customers are no longer looked after."""
    ends = devices.c.ended_at, customers.c.ended_at
    query = select(devices.c.id, *ends).join(customers, customers.c.id == devices.c.customer)
    rows = await connection.execute(query.where(or_(*(one.is_not(None) for one in ends))))
    return {device: min(at for at in both if at is not None) for device, *both in rows}


async def end_device(connection: AsyncConnection, device: str, *, actor: str, now: datetime) -> None:
    """The device is no longer looked after: its agent is told to stop (410), a printer's passwords are forgotten.

    Raises FleetError."""
    await connection.execute(update(printers).where(printers.c.device == device).values(snmp=None, ipp=None))
    await _mark(connection, device, "ended_at", action="devices.end", actor=actor, now=now)


async def save_last_seen(connection: AsyncConnection, seen: Mapping[str, datetime]) -> None:
    """Notes when each device was last heard, by receive time; a time older than what is there changes nothing."""
    if not seen:
        return
    await connection.execute(_SEEN, [{"device": device, "seen_at": at} for device, at in seen.items()])


_SEEN = (
    update(devices)
    .where(
        devices.c.id == bindparam("device"),
        or_(devices.c.last_seen_at.is_(None), devices.c.last_seen_at < bindparam("seen_at")),
    )
    .values(last_seen_at=bindparam("seen_at"))
)


async def save_presence(connection: AsyncConnection, changed: Mapping[str, State]) -> None:
    """What the devices are judged to be, for those who read the database."""
    if not changed:
        return
    await connection.execute(
        update(devices)
        .where(devices.c.id == bindparam("device"))
        .values(
            presence=bindparam("state"),
            presence_since=bindparam("since"),
            presence_reason=bindparam("reason"),
            presence_policy=bindparam("judged_by"),
        ),
        [
            {
                "device": device,
                "state": state.presence,
                "since": state.since,
                "reason": state.reason,
                "judged_by": state.policy,
            }
            for device, state in changed.items()
        ],
    )


_DEVICES = select(*(devices.c[name] for name in Device.__annotations__))


def _to_device(row: Sequence[Any]) -> Device:
    return Device(*row)


async def _mark(
    connection: AsyncConnection, device: str, column: str, *, action: str, actor: str, now: datetime
) -> None:
    await get_device(connection, device)
    if device == COLLECTOR:
        raise FleetError(f"the device {COLLECTOR} is the collector itself: it has no agent, and it does not end")
    marked = await connection.execute(
        update(devices).where(devices.c.id == device, devices.c[column].is_(None)).values({column: now})
    )
    if marked.rowcount:
        await audit.record(connection, actor=actor, action=action, subject=device, now=now)
        await bump(connection, Topic.FLEET)
