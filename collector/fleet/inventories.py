"""What machines are made of, as their agents tell it, and how that changed.

`devices.inventory` is the newest; `inventories` has a row for each that differs from the one before, by when they were
read. Their shape is the agent's (agent.inventory.facts), and nothing is taken for granted of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import from_milliseconds, to_milliseconds
from collector.db.revisions import Topic, bump
from collector.db.tables import customers, devices, inventories
from collector.fleet.enrollment import known_serial

MAX_KEPT = 100  # of a device; the oldest goes first
# What tells a thing in a list from the others, the first that it has.
KEYS = ("serial", "mac", "mountpoint", "source", "name")
PASSING = ("read_at", "users")  # who is logged in is no change of the machine
MAX_SERIAL_CHARS = 256
BATCH = 50  # inventories that are in memory at once: with a list of software each has some hundred KiB

Content = Mapping[str, object]

_NEWEST_FIRST = inventories.c.at.desc(), inventories.c.id.desc()


@dataclass(frozen=True, slots=True)
class Inventory:
    id: int
    at: datetime  # when it was read
    content: Content


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that was otherwise; None: it was not there, or is not there now."""

    place: str  # hardware.memory_bytes, software.packages.dpkg openssl
    before: object
    after: object


async def keep_inventory(connection: AsyncConnection, device: str, content: Content, now: datetime) -> None:
    """Takes it into the history, and keeps it as the newest unless one that was read later is there: what waited in a
    spool comes late. What the customer did not allow is left out."""
    query = (
        select(
            devices.c.inventory,
            devices.c.serial,
            customers.c.user_names_allowed,
            customers.c.software_allowed,
        )
        .join(customers, customers.c.id == devices.c.customer)
        .where(devices.c.id == device)
        .with_for_update(read=True, of=customers)  # an allowance that is being withdrawn is waited for
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return
    at = _read_at(content, now) or now
    allowed = _allowed(content, user_names=row.user_names_allowed, software=row.software_allowed)
    kept = {**allowed, "read_at": to_milliseconds(at)}
    newest: Content | None = row.inventory if isinstance(row.inventory, Mapping) else None
    newest_at = None if newest is None else _read_at(newest, now)
    if newest is not None and newest_at is not None and at < newest_at:
        await _note(connection, device, kept, at)
        await _note(connection, device, newest, newest_at)  # it may be as it was before, again
        return
    told = kept.get("serial")
    serial = known_serial(told[:MAX_SERIAL_CHARS]) if isinstance(told, str) else None
    changes: dict[str, object] = {"inventory": kept}
    if serial is not None and serial != row.serial:
        changes["serial"] = serial
    await connection.execute(update(devices).where(devices.c.id == device).values(**changes))
    await _note(connection, device, kept, at)
    if newest is None or _lasting(kept) != _lasting(newest):
        await bump(connection, Topic.FLEET)  # the model is in what `serve` knows of a device


async def _note(connection: AsyncConnection, device: str, content: Content, at: datetime) -> None:
    """A row of the history where it is another than the one before; one after it that is the same then goes."""
    of_device = select(inventories.c.id, inventories.c.content).where(inventories.c.device == device)
    before = of_device.where(inventories.c.at <= at).order_by(*_NEWEST_FIRST).limit(1)
    last = (await connection.execute(before)).one_or_none()
    if last is not None and _lasting(last.content) == _lasting(content):
        return
    await connection.execute(insert(inventories).values(device=device, at=at, content=content))
    after = of_device.where(inventories.c.at > at).order_by(inventories.c.at, inventories.c.id).limit(1)
    following = (await connection.execute(after)).one_or_none()
    if following is not None and _lasting(following.content) == _lasting(content):
        await connection.execute(delete(inventories).where(inventories.c.id == following.id))
    beyond = (
        select(inventories.c.id)
        .where(inventories.c.device == device)
        .order_by(*_NEWEST_FIRST)
        .offset(MAX_KEPT)
        .limit(MAX_KEPT)
    )
    old = list(await connection.scalars(beyond))
    if old:
        await connection.execute(delete(inventories).where(inventories.c.id.in_(old)))


async def inventories_before(
    connection: AsyncConnection, device: str, before: int | None, limit: int
) -> list[Inventory]:
    """`limit` at most, newest first: those that were read before the one with the id `before`."""
    query = select(inventories.c.id, inventories.c.at, inventories.c.content).where(inventories.c.device == device)
    if before is not None:
        known = inventories.alias()
        at = select(known.c.at).where(known.c.id == before, known.c.device == device).scalar_subquery()
        is_same_time = and_(inventories.c.at == at, inventories.c.id < before)
        query = query.where(or_(inventories.c.at < at, is_same_time))
    rows = await connection.execute(query.order_by(*_NEWEST_FIRST).limit(limit))
    return [Inventory(*row) for row in rows]


async def inventory_at(connection: AsyncConnection, device: str, at: datetime) -> Inventory | None:
    """As it was at that time."""
    query = select(inventories.c.id, inventories.c.at, inventories.c.content).where(
        inventories.c.device == device, inventories.c.at <= at
    )
    row = (await connection.execute(query.order_by(*_NEWEST_FIRST).limit(1))).one_or_none()
    return None if row is None else Inventory(*row)


async def erase_inventories(connection: AsyncConnection, customer: str, kept_fields: tuple[str, ...]) -> None:
    """What a machine is stays; who uses it, what is on it, and what it was, does not."""
    of_customer = select(devices.c.id).where(devices.c.customer == customer)
    await connection.execute(delete(inventories).where(inventories.c.device.in_(of_customer)))
    query = select(devices.c.id, devices.c.inventory).where(devices.c.customer == customer)
    for device, content in list(await connection.execute(query)):
        if isinstance(content, dict):
            kept = {name: content[name] for name in kept_fields if isinstance(content.get(name), str)}
            await connection.execute(update(devices).where(devices.c.id == device).values(inventory=kept))


async def strip_inventories(connection: AsyncConnection, customer: str, *, user_names: bool, software: bool) -> None:
    """Takes out of the customer's inventories, those of the past too, what is not allowed (any more). Called under the
    lock of the customer's row, so that none is kept meanwhile."""
    of_customer = list(await connection.scalars(select(devices.c.id).where(devices.c.customer == customer)))
    for device in of_customer:
        ids = list(await connection.scalars(select(inventories.c.id).where(inventories.c.device == device)))
        for start in range(0, len(ids), BATCH):
            query = select(inventories.c.id, inventories.c.content).where(
                inventories.c.id.in_(ids[start : start + BATCH])
            )
            changed = [
                {"of": id_, "stripped": stripped}
                for id_, content in await connection.execute(query)
                if (stripped := _allowed(content, user_names=user_names, software=software)) != content
            ]
            if changed:
                statement = update(inventories).where(inventories.c.id == bindparam("of"))
                await connection.execute(statement.values(content=bindparam("stripped")), changed)
        newest = await connection.scalar(select(devices.c.inventory).where(devices.c.id == device))
        if isinstance(newest, Mapping):
            stripped = _allowed(newest, user_names=user_names, software=software)
            await connection.execute(update(devices).where(devices.c.id == device).values(inventory=stripped))


def differences(before: Content, after: Content) -> list[Difference]:
    """In the order of their places."""
    was, is_now = dict(_leaves(_lasting(before))), dict(_leaves(_lasting(after)))
    return [
        Difference(place, was.get(place), is_now.get(place))
        for place in sorted(was.keys() | is_now.keys())
        if was.get(place) != is_now.get(place)
    ]


def _leaves(content: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Each value with its place. Of a package only the version tells: its place has its name."""
    match content:
        case {"source": str() as source, "name": str() as name, "version": version, **more} if not more:
            yield f"{place}.{source} {name}", version
        case Mapping():
            for name, value in content.items():
                yield from _leaves(value, f"{place}.{name}" if place else str(name))
        case list() if all(isinstance(one, Mapping) for one in content):
            for number, one in enumerate(content):
                is_package = one.keys() == {"source", "name", "version"}
                yield from _leaves(one, place if is_package else f"{place}.{_name_of(one, number)}")
        case _:
            yield place, content


def _name_of(one: Content, number: int) -> str:
    return next((name for key in KEYS if isinstance(name := one.get(key), str) and name), str(number))


def _lasting(content: Content) -> Content:
    return {name: value for name, value in content.items() if name not in PASSING}


def _read_at(content: Content, now: datetime) -> datetime | None:
    """When it was read, by the device's clock; None if it does not say, or tells of a time that is yet to come."""
    at = content.get("read_at")
    if not isinstance(at, int | float) or not 0 <= at <= to_milliseconds(now):
        return None
    return from_milliseconds(int(at))


def _allowed(content: Content, *, user_names: bool, software: bool) -> dict[str, object]:
    kept = dict(content)
    for section, inner, allowed in (("users", "names", user_names), ("software", "packages", software)):
        part = kept.get(section)
        if not allowed and part is not None:
            count = {name: value for name, value in part.items() if name != inner} if isinstance(part, Mapping) else {}
            kept[section] = count
    return kept
