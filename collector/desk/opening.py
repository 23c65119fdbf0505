"""How tickets and shadow tickets open alike: at most one open row for each key, whoever writes."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from sqlalchemy import Result, Row, Select, Table, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Priority
from collector.db.inserts import insert_if_absent
from collector.db.text import one_line
from protocol.errors import TransientError

REOPEN_WITHIN = timedelta(hours=24)  # a fault that comes back sooner was not solved
MAX_TITLE_CHARS = 500


class TicketConflictError(TransientError):
    """Somebody else changed the ticket at the same moment: look at it again."""


@dataclass(frozen=True, slots=True)
class NewTicket:
    """What a ticket, or a shadow ticket, is opened with."""

    key: str  # customer, scope entity and incident: one open ticket for each
    customer: str
    site: str | None
    device: str | None
    incident: str
    rule: str
    title: str
    priority: Priority
    began_at: datetime  # when the condition began, which may be long before the ticket opens


class Claim(Enum):
    """What to do about an incident."""

    OPEN = auto()
    JOIN = auto()
    REOPEN = auto()


def claim(resolved_at: datetime | None, *, is_closed: bool, now: datetime) -> Claim:
    """What becomes of an incident for whose key there is a ticket already."""
    if resolved_at is None:
        return Claim.JOIN
    return Claim.REOPEN if not is_closed and now - resolved_at < REOPEN_WITHIN else Claim.OPEN


async def insert_open(connection: AsyncConnection, table: Table, wanted: NewTicket, **more: object) -> bool:
    """Adds an open row with the columns `more` beside what `wanted` tells, unless its key has one; says whether."""
    row = {**asdict(wanted), "title": one_line(wanted.title)[:MAX_TITLE_CHARS], **more}
    return await insert_if_absent(connection, table, row)


async def latest_row(connection: AsyncConnection, table: Table, query: Select[Any], key: str) -> Row[Any] | None:
    """The open row of this key, or else the newest one, locked until the end of the transaction where rows can be."""
    found: Result[Any] = await connection.execute(
        query.where(table.c.key == key)
        .order_by(table.c.resolved_at.is_not(None), *(column.desc() for column in table.primary_key))
        .limit(1)
        .with_for_update()
    )
    return found.one_or_none()


def newest_first(
    query: Select[Any], table: Table, *, customer: str | None, resolved_since: datetime | None
) -> Select[Any]:
    """Of one customer or of all; those that are open or were resolved after `resolved_since`, or all without it."""
    query = query.order_by(*(column.desc() for column in table.primary_key))
    if customer is not None:
        query = query.where(table.c.customer == customer)
    if resolved_since is not None:
        query = query.where(or_(table.c.resolved_at.is_(None), table.c.resolved_at >= resolved_since))
    return query
