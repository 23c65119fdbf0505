"""Printers that agents came upon: proposals, for a technician to accept or dismiss. A known one that has moved to
another address stays what it is, as its serial number tells."""

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import ServiceModels
from collector.db import audit
from collector.db.revisions import Topic, bump
from collector.db.tables import device_events, devices, found_printers
from collector.db.text import one_line
from collector.fleet.enrollment import known_serial
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.printers.asking import Asking, checked_address
from collector.fleet.printers.store import NewPrinter, add_printer
from collector.series.labels import Target
from protocol.models import Event
from protocol.wire import EventType, Kind

logger = logging.getLogger(__name__)

MAX_PROPOSALS = 1_000  # of a site: a network full of printers, or an agent gone mad
ADDRESS_CHANGED = "address_changed"  # an event of the printer: {from, to, found_by}

Answers = Callable[[str], bool]  # whether a printer answered when it was last asked


@dataclass(frozen=True, slots=True)
class FoundPrinter:
    id: int
    customer: str
    site: str
    found_by: str
    address: str
    serial: str | None
    model: str | None
    ways: Sequence[str]  # of reading it: snmp, ipp
    first_found_at: datetime
    last_found_at: datetime
    device: str | None  # accepted as
    dismissed_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Sighting:
    address: str
    serial: str | None
    model: str | None
    ways: list[str]


async def take_found(
    connection: AsyncConnection, agent: Target, events: Sequence[Event], answers: Answers, now: datetime
) -> None:
    """What an agent came upon. The same may come again and again; what makes no sense is left out."""
    sightings = [one for event in events if event.type == EventType.PRINTER_FOUND and (one := _sighting(event))]
    for sighting in sightings:
        known = await _known(connection, agent, sighting)
        if known is None:
            await _propose(connection, agent, sighting, now)
            continue
        await _settle(connection, agent, sighting, known.id)
        if known.address != sighting.address and not answers(known.id):
            await readdress(connection, agent, known.id, known.address, sighting.address, now=now)


async def list_found(
    connection: AsyncConnection,
    *,
    customer: str | None = None,
    site: str | None = None,
    everything: bool = False,
    after: int | None = None,
    limit: int | None = None,
) -> list[FoundPrinter]:
    """By number, those beyond `after`; without `everything` only what nobody has accepted or dismissed."""
    query = _FOUND.order_by(found_printers.c.id).limit(limit)
    if customer is not None:
        query = query.where(found_printers.c.customer == customer)
    if site is not None:
        query = query.where(found_printers.c.site == site)
    if not everything:
        query = query.where(found_printers.c.device.is_(None), found_printers.c.dismissed_at.is_(None))
    if after is not None:
        query = query.where(found_printers.c.id > after)
    return [FoundPrinter(*row) for row in await connection.execute(query)]


async def get_found(connection: AsyncConnection, number: int) -> FoundPrinter:
    """Raises NotFoundError."""
    row = (await connection.execute(_FOUND.where(found_printers.c.id == number))).one_or_none()
    if row is None:
        raise NotFoundError(f"nobody found a printer {number}; see: printers found")
    return FoundPrinter(*row)


async def accept_found(
    connection: AsyncConnection,
    models: ServiceModels,
    number: int,
    *,
    asking: Asking,
    name: str | None = None,
    reader: str | None = None,
    max_devices: int,
    actor: str,
    now: datetime,
) -> str:
    """The id of the device that it becomes. Raises FleetError."""
    found = await get_found(connection, number)
    if found.device is not None:
        raise FleetError(f"found printer {number} is {found.device} already")
    new = NewPrinter(
        found.customer, found.site, found.address, asking, name, reader, serial=found.serial, model=found.model
    )
    device = await add_printer(connection, models, new, max_devices=max_devices, actor=actor, now=now)
    await connection.execute(
        update(found_printers).where(found_printers.c.id == number).values(device=device, dismissed_at=None)
    )
    data = {"device": device, "address": found.address}
    await audit.record(connection, actor=actor, action="printers.accept", subject=str(number), now=now, data=data)
    return device


async def dismiss_found(connection: AsyncConnection, number: int, *, actor: str, now: datetime) -> None:
    """It is not proposed again. Raises FleetError."""
    found = await get_found(connection, number)
    if found.device is not None:
        raise FleetError(f"found printer {number} is {found.device} by now: end that with printers end {found.device}")
    if found.dismissed_at is not None:
        return
    await connection.execute(update(found_printers).where(found_printers.c.id == number).values(dismissed_at=now))
    data = {"customer": found.customer, "address": found.address}
    await audit.record(connection, actor=actor, action="printers.dismiss", subject=str(number), now=now, data=data)


def _sighting(event: Event) -> _Sighting | None:
    told = event.model_extra or {}

    def text(name: str, longest: int) -> str | None:
        value = told.get(name)
        return one_line(value).strip()[:longest] or None if isinstance(value, str) else None

    try:
        address = checked_address(text("address", 1_000) or "")
    except FleetError:
        return None
    serial = known_serial(text("serial", 256))
    return _Sighting(address, serial, text("model", 256), [way for way in ("snmp", "ipp") if told.get(way) is True])


@dataclass(frozen=True, slots=True)
class _Known:
    id: str
    address: str | None


async def _known(connection: AsyncConnection, agent: Target, sighting: _Sighting) -> _Known | None:
    """The printer of this site that it is: of the same serial number, or of the same address where one of both has no
    serial number."""
    same_place = and_(
        devices.c.address == sighting.address,
        devices.c.serial.is_(None) if sighting.serial is not None else devices.c.address.is_not(None),
    )
    is_it: ColumnElement[bool] = same_place
    if sighting.serial is not None:
        is_it = or_(devices.c.serial == sighting.serial, same_place)
    row = (
        await connection.execute(
            select(devices.c.id, devices.c.address)
            .where(
                devices.c.customer == agent.customer,
                devices.c.site == agent.site,
                devices.c.kind == Kind.PRINTER,
                devices.c.ended_at.is_(None),
                is_it,
            )
            .order_by(devices.c.serial.is_(None), devices.c.id)
            .limit(1)
        )
    ).one_or_none()
    return None if row is None else _Known(*row)


async def readdress(
    connection: AsyncConnection, agent: Target, printer: str, before: str | None, after: str | None, *, now: datetime
) -> None:
    """What an agent saw: the printer is read at another address from now on."""
    await connection.execute(update(devices).where(devices.c.id == printer).values(address=after))
    data = {"from": before, "to": after, "found_by": agent.device_id}
    event: dict[str, object] = {"id": str(uuid.uuid4()), "device": printer, "at": now, "received_at": now}
    await connection.execute(insert(device_events).values(**event, type=ADDRESS_CHANGED, data=data))
    await audit.record(
        connection, actor=f"agent {agent.device_id}", action="printers.readdress", subject=printer, now=now, data=data
    )
    await bump(connection, Topic.FLEET)


async def _settle(connection: AsyncConnection, agent: Target, sighting: _Sighting, device: str) -> None:
    """Nobody is asked any more about a printer that has become known by another way, such as by hand."""
    same = and_(found_printers.c.address == sighting.address, found_printers.c.serial.is_(None))
    is_it: ColumnElement[bool] = found_printers.c.address == sighting.address
    if sighting.serial is not None:
        is_it = or_(same, found_printers.c.serial == sighting.serial)
    at_site = (found_printers.c.customer == agent.customer, found_printers.c.site == agent.site)
    is_open = (found_printers.c.device.is_(None), found_printers.c.dismissed_at.is_(None))
    await connection.execute(update(found_printers).where(*at_site, *is_open, is_it).values(device=device))


async def _propose(connection: AsyncConnection, agent: Target, sighting: _Sighting, now: datetime) -> None:
    at_site = (found_printers.c.customer == agent.customer, found_printers.c.site == agent.site)
    same: Select[int] = select(found_printers.c.id).where(*at_site)
    if sighting.serial is not None:
        same = same.where(
            or_(
                found_printers.c.serial == sighting.serial,
                and_(found_printers.c.serial.is_(None), found_printers.c.address == sighting.address),
            )
        )
    else:
        same = same.where(found_printers.c.address == sighting.address)
    values: dict[str, Any] = {"found_by": agent.device_id, "address": sighting.address, "last_found_at": now}
    values |= {"ways": sighting.ways}
    values |= {
        name: value for name, value in (("serial", sighting.serial), ("model", sighting.model)) if value is not None
    }
    number = await connection.scalar(same.order_by(found_printers.c.serial.is_(None), found_printers.c.id).limit(1))
    if number is not None:
        await connection.execute(update(found_printers).where(found_printers.c.id == number).values(**values))
        return
    count = await connection.scalar(select(func.count()).select_from(found_printers).where(*at_site))
    if count is not None and count >= MAX_PROPOSALS:
        logger.warning(
            "printers found are not proposed, there are too many: customer=%s count=%d", agent.customer, count
        )
        return
    await connection.execute(
        insert(found_printers).values(customer=agent.customer, site=agent.site, first_found_at=now, **values)
    )


_FOUND = select(*(found_printers.c[name] for name in FoundPrinter.__annotations__))
