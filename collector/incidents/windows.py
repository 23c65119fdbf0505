"""Maintenance windows: planned work at a customer, a site, a device or all devices of a tag. What fires meanwhile is
held back; what is still wrong at its end opens its ticket, and what healed stays quiet."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Row, Table, and_, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts.recurrence import MAX_LENGTH, checked_recurrence, next_start, occurrence_at
from collector.db import audit
from collector.db.revisions import Topic, bump
from collector.db.tables import maintenance_windows
from collector.db.text import one_line
from collector.fleet.customers import DEFAULT_TIME_ZONE, checked_time_zone, get_customer, get_site, list_sites
from collector.fleet.devices import get_device, ids_at
from collector.fleet.names import checked_name
from protocol.errors import PermanentError

MAX_REASON_CHARS = 2_000
AROUND_THE_WORLD = timedelta(hours=26)  # between the clocks on the walls of two time zones, at most


class WindowError(PermanentError):
    """The window cannot be as asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where work is done: at one device, at all of a tag, at a site, or at the whole customer."""

    customer: str
    site: str | None = None
    device: str | None = None
    tag: str | None = None

    def __str__(self) -> str:
        if self.device is not None:
            return f"device {self.device}"
        where = self.customer if self.site is None else f"{self.customer}/{self.site}"
        return f"{where}, devices tagged {self.tag}" if self.tag is not None else where

    def covers(self, labels: Mapping[str, str], tags: Collection[str]) -> bool:
        """Whether an alert of these labels, on a device with these tags, belongs to it."""
        return (
            labels.get("customer") == self.customer
            and self.site in (None, labels.get("site"))
            and self.device in (None, labels.get("device_id"))
            and (self.tag is None or self.tag in tags)
        )


@dataclass(frozen=True, slots=True)
class Window:
    id: int
    scope: Scope
    starts_local: datetime  # naive: the clock on the wall
    time_zone: str
    length: timedelta
    recurrence: str | None
    author: str
    reason: str
    created_at: datetime
    ended_at: datetime | None

    def open_at(self, at: datetime) -> tuple[datetime, datetime] | None:
        """From when to when it is open, if it is open at `at`."""
        if self.ended_at is not None and self.ended_at <= at:
            return None
        return occurrence_at(self.starts_local, self.length, self.recurrence, self.time_zone, at)

    def next_start(self, after: datetime) -> datetime | None:
        """The first after a time, unless it is called off by then."""
        opens = next_start(self.starts_local, self.recurrence, self.time_zone, after)
        return None if opens is None or (self.ended_at is not None and self.ended_at <= opens) else opens


async def add_window(
    connection: AsyncConnection,
    *,
    scope: Scope,
    starts_local: datetime,
    length: timedelta,
    recurrence: str | None,
    time_zone: str | None,
    author: str,
    reason: str,
    now: datetime,
) -> int:
    """The id of a new window. `time_zone` None: that of the site, of the device's site, or of all the customer's sites;
    Europe/Amsterdam for a customer who has no site yet.

    Raises WindowError, RecurrenceError, NotFoundError or FleetError."""
    await get_customer(connection, scope.customer)
    zone = await zone_of(connection, scope, time_zone)
    if scope.tag is not None:
        checked_name("tag", scope.tag)
    reason = _checked(length, reason)
    if starts_local.tzinfo is not None:
        raise WindowError("a window starts by the clock on the wall: leave the offset out and name a time zone")
    if recurrence is None and starts_local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) + length <= now:
        raise WindowError(f"that window, from {starts_local:%Y-%m-%d %H:%M} {zone}, has passed: check the date")
    row = {
        "customer": scope.customer,
        "site": scope.site,
        "device": scope.device,
        "tag": scope.tag,
        "starts_local": starts_local.isoformat(timespec="seconds"),
        "time_zone": zone,
        "duration_seconds": int(length.total_seconds()),
        "recurrence": recurrence and checked_recurrence(recurrence, starts_local, zone),
        "author": author[:200],
        "reason": reason,
        "created_at": now,
    }
    added = await connection.execute(insert(maintenance_windows).values(row).returning(maintenance_windows.c.id))
    window = int(added.scalar_one())
    data = {key: value for key, value in row.items() if value is not None and key != "created_at"}
    await bump(connection, Topic.WINDOWS)
    await audit.record(connection, actor=author, action="windows.add", subject=str(window), now=now, data=data)
    return window


async def change_window(
    connection: AsyncConnection,
    window: int,
    *,
    length: timedelta | None = None,
    reason: str | None = None,
    actor: str,
    now: datetime,
) -> Window:
    """Another length or reason for one that was not called off. Raises WindowError."""
    was = await get_window(connection, window)
    length, reason = length or was.length, was.reason if reason is None else reason
    values = {"duration_seconds": int(length.total_seconds()), "reason": _checked(length, reason)}
    still = (maintenance_windows.c.id == window, maintenance_windows.c.ended_at.is_(None))
    changed = await connection.execute(update(maintenance_windows).where(*still).values(**values))
    if changed.rowcount == 0:
        raise WindowError(f"window {window} was ended before: add another")
    await bump(connection, Topic.WINDOWS)
    data: dict[str, object] = {**values, "before": int(was.length.total_seconds())}
    await audit.record(connection, actor=actor, action="windows.change", subject=str(window), now=now, data=data)
    return await get_window(connection, window)


def _checked(length: timedelta, reason: str) -> str:
    """The reason as it is kept. Raises WindowError."""
    reason = one_line(reason).strip()
    if not 1 <= len(reason) <= MAX_REASON_CHARS:
        raise WindowError(f"say what is done in a reason of 1 to {MAX_REASON_CHARS} characters")
    if not timedelta(minutes=1) <= length <= MAX_LENGTH:
        raise WindowError(f"a window lasts 1 minute to {MAX_LENGTH.days} days")
    return reason


async def end_window(connection: AsyncConnection, window: int, *, actor: str, now: datetime) -> None:
    """Calls it off from now on. Raises WindowError."""
    ended = await connection.execute(
        update(maintenance_windows)
        .where(maintenance_windows.c.id == window, maintenance_windows.c.ended_at.is_(None))
        .values(ended_at=now)
    )
    if ended.rowcount == 0:
        raise WindowError(f"there is no window {window}, or it was ended before; see: windows list")
    await bump(connection, Topic.WINDOWS)
    await audit.record(connection, actor=actor, action="windows.end", subject=str(window), now=now)


async def list_windows(connection: AsyncConnection, *, open_after: datetime | None = None) -> list[Window]:
    """All windows, or those that may be open at a time or later, in the order in which they were made."""
    table = maintenance_windows.c
    query = select(*_COLUMNS).order_by(table.id)
    if open_after is not None:
        latest = (open_after - MAX_LENGTH - AROUND_THE_WORLD).replace(tzinfo=None).isoformat(timespec="seconds")
        query = query.where(or_(table.ended_at.is_(None), table.ended_at > open_after))
        query = query.where(or_(table.recurrence.is_not(None), table.starts_local > latest))
    return [_to_window(row) for row in await connection.execute(query)]


async def windows_before(
    connection: AsyncConnection,
    before: int | None,
    limit: int,
    *,
    not_ended_at: datetime | None,
    customer: str | None = None,
    within: tuple[str, str | None] | None = None,
) -> list[Window]:
    """`limit` at most, newest first: those with an id below `before`; `not_ended_at`: that nobody had called off by
    then; `within`: only what is about a customer, or one of its sites, and the devices that are there."""
    table = maintenance_windows.c
    query = select(*_COLUMNS).order_by(table.id.desc()).limit(limit)
    if before is not None:
        query = query.where(table.id < before)
    if not_ended_at is not None:
        query = query.where(or_(table.ended_at.is_(None), table.ended_at > not_ended_at))
    if customer is not None:
        query = query.where(table.customer == customer)
    if within is not None:
        query = query.where(is_within(maintenance_windows, *within))
    return [_to_window(row) for row in await connection.execute(query)]


def is_within(table: Table, customer: str, site: str | None) -> ColumnElement[bool]:
    """Whether a row of a table with the columns of a Scope is about a customer, or one of its sites, and the devices
    that are there."""
    is_there = and_(table.c.device.is_(None), table.c.customer == customer)
    if site is not None:
        is_there = and_(is_there, table.c.site == site)
    return or_(is_there, table.c.device.in_(ids_at(customer, site)))


async def get_window(connection: AsyncConnection, window: int) -> Window:
    """Raises WindowError."""
    query = select(*_COLUMNS).where(maintenance_windows.c.id == window)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise WindowError(f"there is no window {window}; see: windows list --all")
    return _to_window(row)


def _to_window(row: Row[Any]) -> Window:
    return Window(
        row.id,
        Scope(row.customer, row.site, row.device, row.tag),
        datetime.fromisoformat(row.starts_local),
        row.time_zone,
        timedelta(seconds=row.duration_seconds),
        row.recurrence,
        row.author,
        row.reason,
        row.created_at,
        row.ended_at,
    )


_COLUMNS = tuple(maintenance_windows.c)


async def zone_of(connection: AsyncConnection, scope: Scope, given: str | None) -> str:
    """The time zone by which work is done there: the one given, or else the site's.

    Raises NotFoundError or WindowError if the scope names what is not the customer's."""
    site = scope.site
    if scope.device is not None:
        device = await get_device(connection, scope.device)
        if device.customer != scope.customer or scope.site not in (None, device.site):
            raise WindowError(f"device {device.id} is at {device.customer}/{device.site}, not at {scope.customer}")
        site = device.site
    of_site = None if site is None else (await get_site(connection, scope.customer, site)).time_zone
    if given is not None:
        return checked_time_zone(given)
    if of_site is not None:
        return of_site
    zones = sorted({one.time_zone for one in await list_sites(connection, scope.customer)})
    if len(zones) > 1:
        raise WindowError(
            f"the sites of {scope.customer} are in several time zones, {', '.join(zones)}: name one with --time-zone, "
            "or add a window for each --site"
        )
    return zones[0] if zones else DEFAULT_TIME_ZONE
