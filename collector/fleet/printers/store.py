"""Printers as people add and change them. Each is a device of the kind `printer`, and a row of how it is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import ServiceModels
from collector.db import audit
from collector.db.inserts import insert_if_absent
from collector.db.revisions import Topic, bump
from collector.db.tables import devices, printer_days, printers
from collector.db.text import one_line
from collector.fleet.customers import get_site, require_monitoring
from collector.fleet.devices import end_device
from collector.fleet.enrollment import SUFFIX_ATTEMPTS, random_suffix
from collector.fleet.errors import AlreadyExistsError, FleetError, NotFoundError
from collector.fleet.names import slug
from collector.fleet.printers.asking import Asking, checked_address, columns_of, shown_asking, stored_asking
from collector.fleet.printers.readers import choose_reader, readers_at, require_reader, set_reader
from protocol.wire import DEFAULT_PRINTER_INTERVAL_SECONDS, Kind

MAX_NAME_CHARS = 200
TRAY_FIELDS = ("index", "name", "media", "max_capacity")


@dataclass(frozen=True, slots=True)
class Printer:
    id: str
    customer: str
    site: str
    name: str
    address: str | None
    serial: str | None
    inventory: Mapping[str, object]  # model, firmware, location: as it told
    asking: Asking
    reader: str | None  # the device whose agent reads it; None: nobody yet
    preferred_reader: str | None
    reader_since: datetime | None
    added_at: datetime
    ended_at: datetime | None
    last_seen_at: datetime | None

    def told(self, name: str) -> str | None:
        """`model`, `firmware`, `location`, `display` or `refusal`."""
        value = self.inventory.get(name)
        return value if isinstance(value, str) and value else None

    def trays(self) -> list[dict[str, Any]]:
        """As it told them: index, name, media and max_capacity, as far as it knows them."""
        listed = self.inventory.get("trays")
        return [
            {name: one.get(name) for name in TRAY_FIELDS}
            for one in (listed if isinstance(listed, list) else ())
            if isinstance(one, Mapping)
        ]

    def shown(self) -> dict[str, object]:
        """What lists and pages tell of it, beside how it is asked."""
        return {
            "id": self.id,
            "customer": self.customer,
            "site": self.site,
            "name": self.name,
            "address": self.address,
            "model": self.told("model"),
            "serial": self.serial,
            "firmware": self.told("firmware"),
            "location": self.told("location"),
            "reader": self.reader,
            "preferred_reader": self.preferred_reader,
            "reader_since": self.reader_since,
            "last_seen": self.last_seen_at,
            "added_at": self.added_at,
            "ended_at": self.ended_at,
        }


@dataclass(frozen=True, slots=True)
class NewPrinter:
    customer: str
    site: str
    address: str
    asking: Asking
    name: str | None = None  # None: its address
    reader: str | None = None  # None: any of the site
    serial: str | None = None
    model: str | None = None


async def add_printer(
    connection: AsyncConnection,
    models: ServiceModels,
    new: NewPrinter,
    *,
    max_devices: int,
    actor: str,
    now: datetime,
    new_suffix: Callable[[], str] = random_suffix,
) -> str:
    """The id of the new device. Raises FleetError, ConsentMissingError if the plan asks for consent and has none."""
    await require_monitoring(connection, models, new.customer, now, Kind.PRINTER)
    await get_site(connection, new.customer, new.site)
    address = checked_address(new.address)
    name = _checked_name(new.name) if new.name else address
    await _require_free(connection, new.customer, new.site, address)
    count = await connection.scalar(select(func.count()).select_from(devices).where(devices.c.ended_at.is_(None)))
    if count is not None and count >= max_devices:
        raise FleetError(f"there are {count} devices, and max_devices allows no more: raise it in the settings")
    candidates = await readers_at(connection, new.customer, new.site)
    if new.reader is not None:
        require_reader(candidates, new.reader)
    reader = new.reader or choose_reader(candidates)
    values = dict.fromkeys(("machine_id", "os", "arch", "agent_version"), "") | {
        "customer": new.customer,
        "site": new.site,
        "kind": Kind.PRINTER,
        "hostname": name,
        "serial": new.serial,
        "instance": "printer",
        "enrolled_at": now,
        "read_by": reader,
        "address": address,
        "inventory": {"model": new.model} if new.model else None,
    }
    base = f"prn-{slug(name)}"
    for _ in range(SUFFIX_ATTEMPTS):
        device = f"{base}-{new_suffix()}"
        if await insert_if_absent(connection, devices, {**values, "id": device}):
            break
    else:
        raise FleetError(f"no name was left for {base}: give it another --name")
    row = {"device": device, "preferred_reader": new.reader, "reader_since": now if reader else None}
    await connection.execute(insert(printers).values(**row, **columns_of(new.asking)))
    told = {"customer": new.customer, "site": new.site, "address": address, "reader": reader} | shown_asking(new.asking)
    await audit.record(connection, actor=actor, action="printers.add", subject=device, now=now, data=told)
    await bump(connection, Topic.FLEET)
    return device


async def list_printers(
    connection: AsyncConnection,
    *,
    customer: str | None = None,
    site: str | None = None,
    after: str | None = None,
    limit: int | None = None,
    with_ended: bool = False,
    active_or_told: tuple[date, date] | None = None,
) -> list[Printer]:
    """By id, those after `after`, `limit` at most. `active_or_told`: also those that have ended and told something
    from one day to another, both included."""
    query = _PRINTERS.order_by(devices.c.id).limit(limit)
    if active_or_told is not None:
        first, last = active_or_told
        is_told = (printer_days.c.device == devices.c.id, printer_days.c.day >= first, printer_days.c.day <= last)
        told = select(printer_days.c.device).where(*is_told).exists()
        query = query.where(or_(devices.c.ended_at.is_(None), told))
    elif not with_ended:
        query = query.where(devices.c.ended_at.is_(None))
    if customer is not None:
        query = query.where(devices.c.customer == customer)
    if site is not None:
        query = query.where(devices.c.site == site)
    if after is not None:
        query = query.where(devices.c.id > after)
    return [_to_printer(row) for row in await connection.execute(query)]


async def get_printer(connection: AsyncConnection, device: str) -> Printer:
    """Raises NotFoundError."""
    row = (await connection.execute(_PRINTERS.where(devices.c.id == device))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no printer {device[:80]!r}; see: printers list")
    return _to_printer(row)


@dataclass(frozen=True, slots=True)
class PrinterChange:
    """What becomes of a printer; None leaves a thing as it is."""

    name: str | None = None
    address: str | None = None
    asking: Asking | None = None
    reader: str | None = None  # a device's id; "" for any of the site


async def change_printer(
    connection: AsyncConnection, device: str, change: PrinterChange, *, actor: str, now: datetime
) -> Printer:
    """Raises FleetError."""
    was = await get_printer(connection, device)
    if was.ended_at is not None:
        raise FleetError(f"printer {device} is no longer looked after")
    values: dict[str, object] = {}
    told: dict[str, object] = {}
    if change.name is not None and (name := _checked_name(change.name)) != was.name:
        values["hostname"] = told["name"] = name
    if change.address is not None and (address := checked_address(change.address)) != was.address:
        await _require_free(connection, was.customer, was.site, address)
        values["address"] = told["address"] = address
    if values:
        await connection.execute(update(devices).where(devices.c.id == device).values(values))
    if change.asking is not None and change.asking != was.asking:
        await _write_row(connection, device, columns_of(change.asking))
        told |= shown_asking(change.asking)
    if change.reader is not None:
        told |= await _prefer(connection, was, change.reader or None, now)
    if told:
        await audit.record(connection, actor=actor, action="printers.change", subject=device, now=now, data=told)
        await bump(connection, Topic.FLEET)
    return await get_printer(connection, device)


async def end_printer(connection: AsyncConnection, device: str, *, actor: str, now: datetime) -> None:
    """It is no longer read, and its passwords are forgotten. Raises NotFoundError."""
    await get_printer(connection, device)
    await end_device(connection, device, actor=actor, now=now)


async def _prefer(connection: AsyncConnection, was: Printer, reader: str | None, now: datetime) -> dict[str, object]:
    """Names who shall read it, who begins at once. Raises FleetError."""
    if reader is not None:
        require_reader(await readers_at(connection, was.customer, was.site), reader)
    if reader == was.preferred_reader and (reader is None or reader == was.reader):
        return {}
    await _write_row(connection, was.id, {"preferred_reader": reader})
    if reader is not None and reader != was.reader:
        await set_reader(connection, was.id, was.reader, reader, why="a person named it", now=now)
    return {"preferred_reader": reader}


async def _write_row(connection: AsyncConnection, device: str, values: Mapping[str, object]) -> None:
    if not await insert_if_absent(connection, printers, {"device": device, **values}):
        await connection.execute(update(printers).where(printers.c.device == device).values(**values))


async def _require_free(connection: AsyncConnection, customer: str, site: str, address: str) -> None:
    taken = await connection.scalar(
        select(devices.c.id).where(
            devices.c.customer == customer,
            devices.c.site == site,
            devices.c.kind == Kind.PRINTER,
            devices.c.address == address,
            devices.c.ended_at.is_(None),
        )
    )
    if taken is not None:
        raise AlreadyExistsError(f"{address} is printer {taken} already; change it with: printers update {taken}")


def _checked_name(name: str) -> str:
    name = one_line(name).strip()
    if not 1 <= len(name) <= MAX_NAME_CHARS:
        raise FleetError(f"a printer's name has 1 to {MAX_NAME_CHARS} characters")
    return name


_PRINTERS = (
    select(
        devices.c.id,
        devices.c.customer,
        devices.c.site,
        devices.c.hostname,
        devices.c.address,
        devices.c.serial,
        devices.c.inventory,
        printers.c.snmp,
        printers.c.ipp,
        printers.c.interval_seconds,
        devices.c.read_by,
        printers.c.preferred_reader,
        printers.c.reader_since,
        devices.c.enrolled_at,
        devices.c.ended_at,
        devices.c.last_seen_at,
    )
    .outerjoin(printers, printers.c.device == devices.c.id)
    .where(devices.c.kind == Kind.PRINTER)
)


def _to_printer(row: Sequence[Any]) -> Printer:
    device, customer, site, name, address, serial, inventory, snmp, ipp, interval, *rest = row
    asking = stored_asking(snmp, ipp, interval or DEFAULT_PRINTER_INTERVAL_SECONDS)
    inventory = inventory if isinstance(inventory, Mapping) else {}
    return Printer(device, customer, site, name, address, serial, inventory, asking, *rest)
