"""Who reads a printer: one agent of its site at a time.

`serve` moves a printer to another agent when its reader has been silent for two push intervals, and back to the reader
that a person named when that one has reported for ten minutes. Frames that the former reader took while it was the
reader, and sends later, are taken: `former_readers` remembers until when that was.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import Clock
from collector.db.inserts import insert_if_absent
from collector.db.revisions import Topic, bump
from collector.db.tables import device_events, devices, former_readers, printers
from collector.fleet.devices import DeviceStatus
from collector.fleet.errors import FleetError
from collector.fleet.presence import Presence
from protocol.wire import MAX_AGE_SECONDS, MAX_PRINTERS_PER_AGENT, Kind

logger = logging.getLogger(__name__)

BACK_AFTER = timedelta(minutes=10)  # so long the preferred reader must have reported before it reads again
REMEMBERED = timedelta(seconds=MAX_AGE_SECONDS)  # older frames are refused anyhow
READER_CHANGED = "reader_changed"  # an event of the printer: {from, to, why}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent that may read a site's printers."""

    device: str
    is_online: bool
    reads: int  # printers, by now


def choose_reader(candidates: Sequence[Candidate]) -> str | None:
    """One that is online before one that is not, and among these the one with the fewest printers; None: all are full,
    or there is none."""
    free = [one for one in candidates if one.reads < MAX_PRINTERS_PER_AGENT]
    best = min(free, key=lambda one: (not one.is_online, one.reads, one.device), default=None)
    return None if best is None else best.device


def require_reader(candidates: Sequence[Candidate], reader: str) -> None:
    """Raises FleetError unless it is one of them and has room."""
    found = next((one for one in candidates if one.device == reader), None)
    if found is None:
        raise FleetError(f"{reader[:80]} has no agent at this site that could read a printer; see: devices list")
    if found.reads >= MAX_PRINTERS_PER_AGENT:
        raise FleetError(f"{reader} reads {found.reads} printers already, as many as an agent may")


async def readers_at(connection: AsyncConnection, customer: str, site: str) -> list[Candidate]:
    """The agents of a site, as the database knows them."""
    read = devices.alias("read")
    rows = await connection.execute(
        select(devices.c.id, devices.c.presence, func.count(read.c.id))
        .outerjoin(read, and_(read.c.read_by == devices.c.id, read.c.ended_at.is_(None)))
        .where(
            devices.c.customer == customer,
            devices.c.site == site,
            devices.c.kind != Kind.PRINTER,
            devices.c.secret_hash.is_not(None),
            devices.c.revoked_at.is_(None),
            devices.c.ended_at.is_(None),
        )
        .group_by(devices.c.id, devices.c.presence)
    )
    return [Candidate(device, presence == Presence.ONLINE, reads) for device, presence, reads in rows]


async def set_reader(
    connection: AsyncConnection, printer: str, before: str | None, after: str, *, why: str, now: datetime
) -> bool:
    """Moves a printer from one reader to another, unless somebody else has moved it; says whether."""
    is_before = devices.c.read_by.is_(None) if before is None else devices.c.read_by == before
    moved = await connection.execute(
        update(devices).where(devices.c.id == printer, is_before, devices.c.ended_at.is_(None)).values(read_by=after)
    )
    if moved.rowcount == 0:
        return False
    row = {"device": printer, "reader_since": now}
    if not await insert_if_absent(connection, printers, row):
        await connection.execute(update(printers).where(printers.c.device == printer).values(reader_since=now))
    await connection.execute(delete(former_readers).where(_is_former(printer, after)))
    if before is not None:
        row = {"device": printer, "reader": before, "until": now}
        if not await insert_if_absent(connection, former_readers, row):
            await connection.execute(update(former_readers).where(_is_former(printer, before)).values(until=now))
    event: dict[str, object] = {"id": str(uuid.uuid4()), "device": printer, "at": now, "received_at": now}
    data = {"from": before, "to": after, "why": why}
    await connection.execute(insert(device_events).values(**event, type=READER_CHANGED, data=data))
    await bump(connection, Topic.FLEET)
    return True


async def load_former(connection: AsyncConnection) -> dict[str, dict[str, datetime]]:
    """By reader and printer, until when it was the reader."""
    found: dict[str, dict[str, datetime]] = {}
    for printer, reader, until in await connection.execute(
        select(former_readers.c.device, former_readers.c.reader, former_readers.c.until)
    ):
        found.setdefault(reader, {})[printer] = until
    return found


async def forget_former(connection: AsyncConnection, now: datetime) -> None:
    """Those whose spool can hold nothing more that would be taken."""
    await connection.execute(delete(former_readers).where(former_readers.c.until < now - REMEMBERED))


def _is_former(printer: str, reader: str) -> ColumnElement[bool]:
    return and_(former_readers.c.device == printer, former_readers.c.reader == reader)


# Taking over while the collector serves


@dataclass(frozen=True, slots=True)
class Site:
    """What is looked at to decide who reads a site's printers."""

    reads: Mapping[str, str | None]  # by printer: who reads it
    prefers: Mapping[str, str]  # by printer: who shall, if a person said so
    reporting: Mapping[str, timedelta]  # agents that report: for how long by now


@dataclass(frozen=True, slots=True)
class Handover:
    printer: str
    before: str | None
    after: str
    why: str


def handovers(site: Site) -> list[Handover]:
    """Which printers go to whom. Where nobody reports, all stays as it is: that is the site's trouble."""
    load = Counter(reader for reader in site.reads.values() if reader is not None)
    found = []
    for printer, before in sorted(site.reads.items()):
        preferred = site.prefers.get(printer)
        back_for = site.reporting.get(preferred) if preferred is not None else None
        after, why = None, ""
        if before is not None and before in site.reporting:
            if preferred is not None and back_for is not None and back_for >= BACK_AFTER:
                after, why = preferred, "the preferred reader reports again"
        else:
            free = [Candidate(one, is_online=True, reads=load[one]) for one in site.reporting]
            after = preferred if back_for is not None else choose_reader(free)
            why = "nobody read it" if before is None else "its reader is silent"
        if after is None or after == before or load[after] >= MAX_PRINTERS_PER_AGENT:
            continue
        load[after] += 1
        if before is not None:
            load[before] -= 1
        found.append(Handover(printer, before, after, why))
    return found


class Transactions(Protocol):
    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


class Agent(Protocol):
    """What is asked of a device of the directory."""

    @property
    def status(self) -> DeviceStatus: ...

    @property
    def has_agent(self) -> bool: ...

    @property
    def read_by(self) -> str | None: ...

    @property
    def site_key(self) -> tuple[str, str]: ...

    @property
    def preferred_reader(self) -> str | None: ...

    @property
    def is_printer(self) -> bool: ...


@dataclass(slots=True)
class Takeover:
    """`turn` is called every few seconds. `reports` says whether an agent reports; None: not known, since nobody has
    listened for long enough."""

    database: Transactions
    members: Callable[[], Mapping[str, Agent]]
    reports: Callable[[str, datetime], bool | None]
    clock: Clock
    moved: int = 0
    _since: dict[str, datetime] = field(default_factory=dict)  # by agent, since when it reports

    async def turn(self) -> bool:
        """Says whether a printer has another reader. Raises what the database raises; the next turn makes up for it."""
        now, members = self.clock(), self.members()
        due = [one for site in self._sites(members, now) for one in handovers(site)]
        if not due:
            return False
        async with self.database.begin() as connection:
            await forget_former(connection, now)
            for one in due:
                if await set_reader(connection, one.printer, one.before, one.after, why=one.why, now=now):
                    self.moved += 1
        logger.info("printers have another reader: count=%d first=%s to=%s", len(due), due[0].printer, due[0].after)
        return True

    def _sites(self, members: Mapping[str, Agent], now: datetime) -> list[Site]:
        printers: dict[tuple[str, str], list[str]] = {}
        for device, member in members.items():
            if member.is_printer and member.status is DeviceStatus.ACTIVE:
                printers.setdefault(member.site_key, []).append(device)
        if not printers:
            return []
        reporting: dict[tuple[str, str], dict[str, timedelta]] = {key: {} for key in printers}
        unsure = set()
        for device, member in members.items():
            if member.site_key not in printers or not member.has_agent or member.status is not DeviceStatus.ACTIVE:
                continue
            reports = self.reports(device, now)
            if reports is None:
                unsure.add(member.site_key)
            elif reports:
                reporting[member.site_key][device] = now - self._since.setdefault(device, now)
            else:
                self._since.pop(device, None)
        return [
            Site(
                {printer: members[printer].read_by for printer in found},
                {printer: wanted for printer in found if (wanted := members[printer].preferred_reader)},
                reporting[key],
            )
            for key, found in printers.items()
            if key not in unsure
        ]
