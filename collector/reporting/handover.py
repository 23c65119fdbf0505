"""What is handed over when a customer leaves: all that is kept about it, as JSON and CSV in one ZIP file, without what
those who work here wrote for each other."""

import csv
import io
import json
import os
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from sqlalchemy import ColumnElement, Select, and_, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import (
    alerts,
    attachments,
    contacts,
    contracts,
    devices,
    maintenance_plans,
    maintenance_rounds,
    maintenance_windows,
    onboardings,
    parts,
    shadow_tickets,
    sites,
    ticket_events,
    ticket_links,
    tickets,
    users,
    work_entries,
)
from collector.desk.events import EventType
from protocol.errors import PermanentError

FORMAT = "quarkpulse-handover-1"
MANIFEST = "manifest.json"
ROWS_AT_ONCE = 500
HIDDEN = frozenset({"secret_hash", "password_hash", "enrolled_with", "content", "key"})
# Spreadsheets run what begins like this; host names come from strangers.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# The customer sees these if they are public; what else happened to a ticket, it sees.
_PUBLIC_OR_NOT = (EventType.COMMENT, EventType.ATTACHED, EventType.DETACHED)
_IS_SHOWN = or_(ticket_events.c.type.not_in(_PUBLIC_OR_NOT), ticket_events.c.data["public"].as_boolean().is_(True))

Progress = Callable[[str], None]


class HandoverError(PermanentError):
    """The file cannot be written; the message says why, and nothing was lost."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A table of the export: `rows` in the order of `key`, which tells each apart, read a stretch at a time."""

    name: str
    rows: Select[Any]
    key: tuple[ColumnElement[Any], ...]


def parts_of(customer: str) -> list[_Part]:
    of_ticket = select(tickets.c.number).where(tickets.c.customer == customer)

    def plain(table: Any, key: str) -> _Part:  # noqa: ANN401 - a table of the schema
        shown = [column for column in table.c if column.name not in HIDDEN]
        return _Part(table.name, select(*shown).where(table.c.customer == customer), (table.c[key],))

    def beside(table: Any, *key: str, where: ColumnElement[bool] | None = None) -> _Part:  # noqa: ANN401
        shown = [column for column in table.c if column.name not in HIDDEN]
        is_its = table.c.ticket.in_(of_ticket) if where is None else and_(table.c.ticket.in_(of_ticket), where)
        return _Part(table.name, select(*shown).where(is_its), tuple(table.c[name] for name in key or ("id",)))

    return [
        plain(contracts, "id"),
        plain(sites, "id"),
        plain(contacts, "id"),
        plain(users, "id"),
        plain(devices, "id"),
        plain(tickets, "number"),
        beside(ticket_events, where=_IS_SHOWN),
        beside(ticket_links, "ticket", "other"),
        beside(work_entries),
        beside(parts),
        beside(attachments, where=attachments.c.is_public),
        plain(shadow_tickets, "id"),
        plain(alerts, "id"),
        plain(maintenance_windows, "id"),
        plain(maintenance_plans, "id"),
        beside(maintenance_rounds, "ticket"),
        plain(onboardings, "model"),
    ]


@contextmanager
def new_file(path: Path, customer: str) -> Iterator[IO[bytes]]:
    """A file beside `path`, for its owner alone, that takes its name once all is on disk. Raises HandoverError: also if
    there is a file that is no export of this customer."""
    if path.exists() and _customer_of(path) != customer:
        raise HandoverError(f"{path}: there is a file already, and it is no export of {customer}: name another")
    part = path.with_name(f".{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b") as file:
            os.fchmod(file.fileno(), 0o600)
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise HandoverError(f"{path}: cannot be written: {exc.strerror}; name another file and run it again") from exc


async def write_handover(
    connection: AsyncConnection, customer: str, file: IO[bytes], *, now: datetime, progress: Progress
) -> dict[str, int]:
    """Writes the ZIP and returns the rows of each part."""
    counts: dict[str, int] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in parts_of(customer):
            counts[part.name] = await _write(connection, archive, part)
            progress(f"{part.name}: {counts[part.name]}")
        await _write_timelines(connection, archive, customer)
        await _write_attachments(connection, archive, customer)
        manifest = {"format": FORMAT, "customer": customer, "at": now.isoformat(), "rows": counts}
        archive.writestr(MANIFEST, json.dumps(manifest, indent=2))
    return counts


async def _write(connection: AsyncConnection, archive: zipfile.ZipFile, part: _Part) -> int:
    """As NAME.json and NAME.csv."""
    table = io.StringIO()
    count = 0
    writer: Any = None
    with archive.open(f"{part.name}.json", "w") as out:
        async for row in _read(connection, part):
            out.write(b",\n" if count else b"[\n")
            out.write(_json(row))
            if writer is None:
                writer = csv.DictWriter(table, list(row))
                writer.writeheader()
            writer.writerow({name: _cell(value) for name, value in row.items()})
            count += 1
        out.write(b"\n]\n" if count else b"[]\n")
    archive.writestr(f"{part.name}.csv", table.getvalue())
    return count


async def _write_timelines(connection: AsyncConnection, archive: zipfile.ZipFile, customer: str) -> None:
    """Each ticket with what happened to it, oldest first."""
    shown = [column for column in tickets.c if column.name not in HIDDEN]
    whole = _Part("", select(*shown).where(tickets.c.customer == customer), (tickets.c.number,))
    with archive.open("timelines.json", "w") as out:
        first = True
        async for ticket in _read(connection, whole):
            query = (
                select(ticket_events.c.at, ticket_events.c.actor, ticket_events.c.type, ticket_events.c.data)
                .where(ticket_events.c.ticket == ticket["number"], _IS_SHOWN)
                .order_by(ticket_events.c.id)
            )
            history = [_without_reason(dict(row._mapping)) for row in await connection.execute(query)]
            out.write(b"[\n" if first else b",\n")
            out.write(_json(ticket | {"history": history}))
            first = False
        out.write(b"[]\n" if first else b"\n]\n")


async def _write_attachments(connection: AsyncConnection, archive: zipfile.ZipFile, customer: str) -> None:
    """Each under its number: names come from strangers, and attachments.json tells them."""
    of_ticket = select(tickets.c.number).where(tickets.c.customer == customer)
    is_shown = (attachments.c.ticket.in_(of_ticket), attachments.c.is_public)
    numbers = await connection.scalars(select(attachments.c.id).where(*is_shown))
    for number in sorted(numbers):
        content = await connection.scalar(select(attachments.c.content).where(attachments.c.id == number))
        archive.writestr(f"attachments/{number}", content or b"")


async def _read(connection: AsyncConnection, part: _Part) -> AsyncIterator[dict[str, Any]]:
    after: tuple[Any, ...] | None = None
    while True:
        query = part.rows.order_by(*part.key).limit(ROWS_AT_ONCE)
        if after is not None:
            query = query.where(tuple_(*part.key) > after)
        rows = [dict(row._mapping) for row in await connection.execute(query)]
        for row in rows:
            yield _without_reason(row) if part.name == ticket_events.name else row
        if len(rows) < ROWS_AT_ONCE:
            return
        after = tuple(rows[-1][column.name] for column in part.key)


def _without_reason(event: dict[str, Any]) -> dict[str, Any]:
    """Why something was done to a ticket is told to those who work here alone, as in mails. Why an item of a checklist
    was left out is the customer's, too."""
    if event["type"] == "checklist":
        return event
    return event | {"data": {name: value for name, value in event["data"].items() if name != "reason"}}


def _json(row: Mapping[str, object]) -> bytes:
    return json.dumps(row, default=_plain, ensure_ascii=False).encode()


def _plain(value: object) -> str:
    match value:
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)


def _cell(value: object) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    text = "" if value is None else _plain(value)
    is_formula = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{text}" if is_formula else text


def _customer_of(path: Path) -> str | None:
    """Whose export a file is; None if it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            told = json.loads(archive.read(MANIFEST))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        return None
    found = told.get("customer") if isinstance(told, dict) and told.get("format") == FORMAT else None
    return found if isinstance(found, str) else None
