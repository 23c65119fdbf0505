"""Files beside tickets, bounded in size, type and number. They are kept as they came, and never unpacked."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.tables import attachments
from collector.desk import events
from collector.desk.events import EventType
from collector.desk.fields import TicketError
from collector.desk.file_types import cleaned_name, media_type_of
from collector.desk.maintenance import find_round
from collector.desk.reading import get_ticket
from collector.desk.tickets import touch

MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_FILES = 50  # of one ticket
MAX_TICKET_BYTES = 100 * 1024 * 1024  # all the files of one ticket


class NoAttachmentError(TicketError):
    """The ticket has no such file."""


class EvidenceError(TicketError):
    """The file shows that something was done, and stays."""


@dataclass(frozen=True, slots=True)
class Attachment:
    id: int
    ticket: int
    name: str
    media_type: str
    size_bytes: int
    digest: str  # SHA-256, hex
    is_public: bool  # the customer sees it
    added_by: str
    added_at: datetime


async def attach(
    connection: AsyncConnection,
    number: int,
    *,
    name: str,
    content: bytes,
    is_public: bool = False,
    actor: str,
    now: datetime,
) -> Attachment:
    """Adds a file, which is a touch as a comment is one. Raises TicketError."""
    if not 1 <= len(content) <= MAX_FILE_BYTES:
        has = f"more than {MAX_FILE_BYTES} bytes (10 MiB): share it by a link" if content else "nothing in it"
        raise TicketError(f"{name[:80]} has {has}")
    name = cleaned_name(name)
    media_type = media_type_of(name, content)
    ticket = await get_ticket(connection, number)  # locked, so that two at once cannot both be the last that fits
    if ticket.merged_into is not None:
        raise TicketError(f"ticket {number} was merged into {ticket.merged_into}: put the file beside that one")
    sums = select(func.count(), func.coalesce(func.sum(attachments.c.size_bytes), 0))
    count, size_bytes = (await connection.execute(sums.where(attachments.c.ticket == number))).one()
    if count >= MAX_FILES:
        raise TicketError(
            f"ticket {number} has {MAX_FILES} files, which is the most: delete one first, or pack several"
        )
    if size_bytes + len(content) > MAX_TICKET_BYTES:
        raise TicketError(f"the files of ticket {number} would have more than {MAX_TICKET_BYTES} bytes together")
    row = {
        "ticket": number,
        "name": name,
        "media_type": media_type,
        "size_bytes": len(content),
        "digest": hashlib.sha256(content).hexdigest(),
        "content": content,
        "is_public": is_public,
        "added_by": actor[: events.MAX_ACTOR_CHARS],
        "added_at": now,
    }
    added: int = (await connection.execute(insert(attachments).values(row).returning(attachments.c.id))).scalar_one()
    await touch(connection, number)
    made = await get_attachment(connection, number, added)
    await _tell(connection, EventType.ATTACHED, "attach", made, actor=actor, now=now)
    return made


async def remove(connection: AsyncConnection, number: int, attachment: int, *, actor: str, now: datetime) -> None:
    """Deletes a file; that it was there stays on record.

    Raises NoAttachmentError, or EvidenceError for one that shows that an item of a checklist was done."""
    round_ = await find_round(connection, number)  # locked, so that nobody ticks with the file meanwhile
    for item, step in enumerate(round_.checklist if round_ is not None else (), start=1):
        if step.attachment == attachment:
            raise EvidenceError(
                f"file {attachment} shows that item {item} of ticket {number} was done, and stays; if it is the wrong "
                f"one, first: maintenance untick {number} {item}"
            )
    gone = await get_attachment(connection, number, attachment)
    await connection.execute(delete(attachments).where(attachments.c.id == attachment))
    await _tell(connection, EventType.DETACHED, "detach", gone, actor=actor, now=now)


async def list_attachments(connection: AsyncConnection, number: int) -> list[Attachment]:
    """Oldest first, without their content."""
    rows = await connection.execute(_KEPT.where(attachments.c.ticket == number).order_by(attachments.c.id))
    return [Attachment(*row) for row in rows]


async def get_attachment(connection: AsyncConnection, number: int, attachment: int) -> Attachment:
    """Raises NoAttachmentError."""
    row: Sequence[Any] | None = (await connection.execute(_KEPT.where(_is(number, attachment)))).one_or_none()
    if row is None:
        raise NoAttachmentError(f"ticket {number} has no file {attachment}; see: tickets attachments {number}")
    return Attachment(*row)


async def content_of(connection: AsyncConnection, number: int, attachment: int) -> bytes:
    """Raises NoAttachmentError."""
    content: bytes | None = await connection.scalar(select(attachments.c.content).where(_is(number, attachment)))
    if content is None:
        raise NoAttachmentError(f"ticket {number} has no file {attachment}; see: tickets attachments {number}")
    return content


_KEPT = select(*(attachments.c[name] for name in Attachment.__annotations__))


def _is(number: int, attachment: int) -> ColumnElement[bool]:
    return (attachments.c.ticket == number) & (attachments.c.id == attachment)


async def _tell(
    connection: AsyncConnection, kind: EventType, action: str, one: Attachment, *, actor: str, now: datetime
) -> None:
    data: Mapping[str, object] = {
        "id": one.id,
        "name": one.name,
        "media_type": one.media_type,
        "size_bytes": one.size_bytes,
        "public": one.is_public,
    }
    await events.add(connection, one.ticket, kind, data, actor=actor, now=now)
    await audit.record(connection, actor=actor, action=f"tickets.{action}", subject=str(one.ticket), now=now, data=data)
