"""The work log: who spent how many minutes on a ticket, by start and stop or by hand.

An entry is a touch of its ticket and an event in its timeline. A mistake is corrected or voided, never deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.inserts import insert_if_absent
from collector.db.tables import work_entries
from collector.desk import events, tickets
from collector.desk.events import SYSTEM, EventType
from collector.desk.opening import TicketConflictError
from protocol.errors import PermanentError

MAX_MINUTES = 24 * 60
MAX_NOTE_CHARS = 2_000
MAX_AUTHOR_CHARS = 200
MAX_AGE = timedelta(days=366)  # of work that is entered by hand
ROUNDED_UP = timedelta(minutes=15)  # by so much minutes may reach beyond now: people round up, and start the clock late
FORGOTTEN_AFTER = timedelta(hours=12)
FORGOTTEN = "forgotten: ended by itself, and not billable until somebody corrects it"
AT_ONCE = 200


class WorkError(PermanentError):
    """What was asked of the work log cannot be done; the message says why."""


class WorkKind(StrEnum):
    WORK = "work"
    TRAVEL = "travel"


@dataclass(frozen=True, slots=True)
class WorkEntry:
    id: int
    ticket: int
    author: str  # who worked: a technician's id, or another person
    kind: WorkKind
    started_at: datetime
    ended_at: datetime | None
    minutes: int | None  # None: it is still running
    note: str
    is_billable: bool
    entered_at: datetime
    voided_at: datetime | None

    @property
    def is_running(self) -> bool:
        return self.minutes is None and self.voided_at is None


@dataclass(frozen=True, slots=True)
class Correction:
    """What of an entry shall be otherwise; None: stays as it is."""

    minutes: int | None = None
    started_at: datetime | None = None
    kind: WorkKind | None = None
    note: str | None = None
    is_billable: bool | None = None


async def start(
    connection: AsyncConnection,
    ticket: int,
    *,
    author: str,
    kind: WorkKind = WorkKind.WORK,
    is_billable: bool = True,
    note: str = "",
    actor: str,
    now: datetime,
) -> int:
    """The id of an entry that runs from now on. Raises TicketError, or WorkError which says what runs already."""
    author = _checked_author(author)
    await require_unmerged(connection, ticket)
    row = {
        "ticket": ticket,
        "author": author,
        "kind": kind,
        "started_at": now,
        "note": _checked_note(note),
        "is_billable": is_billable,
        "entered_at": now,
    }
    started = await insert_if_absent(connection, work_entries, row)
    running = await running_of(connection, author)
    if running is None:
        raise TicketConflictError(f"another command of {author} stopped this entry as it began; try again")
    if not started:
        raise WorkError(
            f"{author} is at {running.kind} on ticket {running.ticket} since {_told(running.started_at)} "
            f"(entry {running.id}): stop that first"
        )
    await touch(connection, ticket, EventType.WORK_STARTED, {"entry": running.id, "kind": kind}, actor=actor, now=now)
    await _record(connection, "start", running.id, {"ticket": ticket, "author": author}, actor=actor, now=now)
    return running.id


async def stop(
    connection: AsyncConnection, *, author: str, note: str | None = None, actor: str, now: datetime
) -> WorkEntry:
    """Ends what the author is at, in whole minutes rounded up. One that was forgotten, which is told in its note, ends
    FORGOTTEN_AFTER its start and is not billable until somebody corrects it. Raises WorkError if nothing runs."""
    running = await running_of(connection, _checked_author(author))
    if running is None:
        raise WorkError(f"{author} is at nothing now; enter the minutes by hand with: tickets work add")
    if note is not None:
        running = replace(running, note=_checked_note(note))
    return await _end(connection, running, actor=actor, now=now)


async def stop_forgotten(connection: AsyncConnection, now: datetime) -> int:
    """Ends the entries that have been running for too long, and returns how many."""
    query = _ENTRIES.where(_IS_RUNNING, work_entries.c.started_at <= now - FORGOTTEN_AFTER)
    found = await connection.execute(query.order_by(work_entries.c.id).limit(AT_ONCE).with_for_update())
    forgotten = [_to_entry(row) for row in found]
    for entry in forgotten:
        await _end(connection, entry, actor=SYSTEM, now=now)
    return len(forgotten)


async def add(
    connection: AsyncConnection,
    ticket: int,
    *,
    author: str,
    minutes: int,
    started_at: datetime,
    kind: WorkKind = WorkKind.WORK,
    is_billable: bool = True,
    note: str = "",
    actor: str,
    now: datetime,
) -> int:
    """The id of an entry for work that is done. Raises TicketError or WorkError."""
    author = _checked_author(author)
    ended_at = _checked_times(started_at, minutes, now)
    await require_unmerged(connection, ticket)
    row = {
        "ticket": ticket,
        "author": author,
        "kind": kind,
        "started_at": started_at,
        "ended_at": ended_at,
        "minutes": minutes,
        "note": _checked_note(note),
        "is_billable": is_billable,
        "entered_at": now,
    }
    added = await connection.execute(insert(work_entries).values(row).returning(work_entries.c.id))
    entry = int(added.scalar_one())
    data = {"kind": kind, "minutes": minutes, "started_at": started_at.isoformat(), "billable": is_billable}
    await touch(connection, ticket, EventType.WORK, {"entry": entry, "author": author, **data}, actor=actor, now=now)
    await _record(connection, "add", entry, {"ticket": ticket, "author": author, **data}, actor=actor, now=now)
    return entry


def ending_at(ended_at: datetime, minutes: int) -> datetime:
    """When work of so many minutes began. Raises WorkError."""
    if not 1 <= minutes <= MAX_MINUTES:
        raise _wrong_minutes(minutes)
    return ended_at - timedelta(minutes=minutes)


async def correct(
    connection: AsyncConnection, entry: int, correction: Correction, *, actor: str, now: datetime
) -> WorkEntry:
    """Raises WorkError if there is no such entry, it was voided, or it still runs and has no minutes yet."""
    was = await get_entry(connection, entry)
    if was.voided_at is not None:
        raise WorkError(f"entry {entry} was voided: add another")
    if was.minutes is None:
        raise WorkError(f"entry {entry} is still running: stop it first, or void it")
    minutes = was.minutes if correction.minutes is None else correction.minutes
    started_at = correction.started_at or was.started_at
    wanted: dict[str, object] = {
        "minutes": minutes,
        "started_at": started_at,
        "ended_at": _checked_times(started_at, minutes, now),
        "kind": correction.kind or was.kind,
        "note": was.note if correction.note is None else _checked_note(correction.note),
        "is_billable": was.is_billable if correction.is_billable is None else correction.is_billable,
    }
    changed = {name: value for name, value in wanted.items() if value != getattr(was, name)}
    if not changed:
        return was
    await connection.execute(update(work_entries).where(work_entries.c.id == entry).values(changed))
    data = {
        "entry": entry,
        "from": {name: _json(getattr(was, name)) for name in changed},
        "to": {name: _json(value) for name, value in changed.items()},
    }
    await touch(connection, was.ticket, EventType.WORK_CORRECTED, data, actor=actor, now=now)
    await _record(connection, "correct", entry, {"ticket": was.ticket, **data}, actor=actor, now=now)
    return await get_entry(connection, entry)


async def void(connection: AsyncConnection, entry: int, *, reason: str, actor: str, now: datetime) -> None:
    """It was a mistake: it stays on record and counts for nothing. Raises WorkError."""
    reason = _checked_note(reason)
    if not reason:
        raise WorkError("say why the entry is voided")
    was = await get_entry(connection, entry)
    voided = await connection.execute(
        update(work_entries).where(work_entries.c.id == entry, work_entries.c.voided_at.is_(None)).values(voided_at=now)
    )
    if voided.rowcount == 0:
        raise WorkError(f"entry {entry} was voided before")
    data = {"entry": entry, "minutes": was.minutes, "reason": reason}
    await touch(connection, was.ticket, EventType.WORK_VOIDED, data, actor=actor, now=now)
    await _record(connection, "void", entry, {"ticket": was.ticket, **data}, actor=actor, now=now)


async def get_entry(connection: AsyncConnection, entry: int) -> WorkEntry:
    """Raises WorkError. The row is locked until the end of the transaction, where rows can be."""
    found = await connection.execute(_ENTRIES.where(work_entries.c.id == entry).with_for_update())
    row = found.one_or_none()
    if row is None:
        raise WorkError(f"there is no entry {entry} in the work log; see: tickets work list NUMBER")
    return _to_entry(row)


async def list_entries(
    connection: AsyncConnection, ticket: int, *, after: int = 0, limit: int | None = None
) -> list[WorkEntry]:
    """Those of a ticket in the order in which they were entered, voided ones too, beyond the entry `after`."""
    query = _ENTRIES.where(work_entries.c.ticket == ticket, work_entries.c.id > after)
    return [_to_entry(row) for row in await connection.execute(query.order_by(work_entries.c.id).limit(limit))]


async def minutes_on(connection: AsyncConnection, numbers: Sequence[int]) -> dict[int, int]:
    """The minutes spent on some tickets, work and travel together, by number; those without any are left out."""
    rows = await connection.execute(
        select(work_entries.c.ticket, func.sum(work_entries.c.minutes))
        .where(work_entries.c.ticket.in_(numbers), work_entries.c.voided_at.is_(None))
        .where(work_entries.c.minutes.is_not(None))
        .group_by(work_entries.c.ticket)
    )
    return {ticket: int(minutes) for ticket, minutes in rows}


async def overlapping(connection: AsyncConnection, entry: int) -> list[WorkEntry]:
    """Other entries of the same person at the same time, by their start. Raises WorkError if there is no such entry."""
    one = await get_entry(connection, entry)
    query = _ENTRIES.where(
        work_entries.c.author == one.author,
        work_entries.c.id != entry,
        work_entries.c.voided_at.is_(None),
        work_entries.c.started_at > one.started_at - timedelta(minutes=MAX_MINUTES),
        or_(work_entries.c.ended_at.is_(None), work_entries.c.ended_at > one.started_at),
    )
    if one.ended_at is not None:
        query = query.where(work_entries.c.started_at < one.ended_at)
    return [
        _to_entry(row) for row in await connection.execute(query.order_by(work_entries.c.started_at).limit(AT_ONCE))
    ]


async def running_of(connection: AsyncConnection, author: str) -> WorkEntry | None:
    """What somebody is at."""
    query = _ENTRIES.where(_IS_RUNNING, work_entries.c.author == author).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _to_entry(row)


async def _end(connection: AsyncConnection, running: WorkEntry, *, actor: str, now: datetime) -> WorkEntry:
    length = now - running.started_at
    values: dict[str, object] = {"note": running.note}
    is_forgotten = length >= FORGOTTEN_AFTER
    if is_forgotten:
        length = FORGOTTEN_AFTER
        note = f"{running.note}; {FORGOTTEN}" if running.note else FORGOTTEN
        values |= {"note": note[-MAX_NOTE_CHARS:], "is_billable": False}
    minutes = max(-(-length // timedelta(minutes=1)), 1)
    values |= {"minutes": minutes, "ended_at": running.started_at + length}
    ended = await connection.execute(
        update(work_entries)
        .where(work_entries.c.id == running.id, work_entries.c.minutes.is_(None), work_entries.c.voided_at.is_(None))
        .values(values)
    )
    if ended.rowcount == 0:
        raise TicketConflictError(f"somebody else stopped entry {running.id} just now; see: tickets work list")
    data = {"entry": running.id, "author": running.author, "kind": running.kind, "minutes": minutes}
    data |= {"forgotten": True} if is_forgotten else {}
    await touch(connection, running.ticket, EventType.WORK, data, actor=actor, now=now)
    if actor != SYSTEM:
        await _record(connection, "stop", running.id, {"ticket": running.ticket, **data}, actor=actor, now=now)
    return await get_entry(connection, running.id)


def _checked_author(author: str) -> str:
    author = "".join(one for one in author if one.isprintable()).strip()
    if not 1 <= len(author) <= MAX_AUTHOR_CHARS:
        raise WorkError(f"name who worked in 1 to {MAX_AUTHOR_CHARS} characters")
    return author


def _checked_note(note: str) -> str:
    note = "".join(one for one in note if one == "\n" or one.isprintable()).strip()
    if len(note) > MAX_NOTE_CHARS:
        raise WorkError(f"a note has at most {MAX_NOTE_CHARS} characters, not {len(note)}")
    return note


def _checked_times(started_at: datetime, minutes: int, now: datetime) -> datetime:
    """When it ended. Raises WorkError."""
    if not 1 <= minutes <= MAX_MINUTES:
        raise _wrong_minutes(minutes)
    ended_at = started_at + timedelta(minutes=minutes)
    if ended_at > now + ROUNDED_UP:
        raise WorkError(f"work that ends at {_told(ended_at)} has not been done yet: check its start and its minutes")
    if started_at < now - MAX_AGE:
        raise WorkError(f"work at {_told(started_at)} is more than {MAX_AGE.days} days ago: check the start")
    return ended_at


def _wrong_minutes(minutes: int) -> WorkError:
    return WorkError(f"an entry has 1 to {MAX_MINUTES} minutes, not {minutes}: enter each day's work by itself")


def _told(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _json(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


_ENTRIES = select(*(work_entries.c[name] for name in WorkEntry.__annotations__))
_IS_RUNNING = work_entries.c.minutes.is_(None) & work_entries.c.voided_at.is_(None)


def _to_entry(row: Row[Any]) -> WorkEntry:
    values = dict(zip(WorkEntry.__annotations__, row, strict=True))
    return WorkEntry(**values | {"kind": WorkKind(values["kind"])})


async def require_unmerged(connection: AsyncConnection, ticket: int) -> None:
    """Raises WorkError for a ticket that became part of another, TicketError if there is none."""
    into = (await tickets.get_ticket(connection, ticket)).merged_into
    if into is not None:
        raise WorkError(f"ticket {ticket} is part of ticket {into}: enter it there")


async def touch(
    connection: AsyncConnection, ticket: int, kind: EventType, data: Mapping[str, object], *, actor: str, now: datetime
) -> None:
    """A line in the ticket's timeline; from here on it does not resolve by itself."""
    await tickets.touch(connection, ticket)
    await events.add(connection, ticket, kind, data, actor=actor, now=now)


async def _record(
    connection: AsyncConnection, action: str, entry: int, data: Mapping[str, object], *, actor: str, now: datetime
) -> None:
    await audit.record(connection, actor=actor, action=f"work.{action}", subject=str(entry), now=now, data=data)
