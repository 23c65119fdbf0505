"""What tickets and shadow tickets have in common: at most one open row for each key, whoever writes; a row may be the
child of a storm; and a row whose fault comes and goes is unstable, and stays open until that has ended."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Result,
    Row,
    Select,
    Table,
    bindparam,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Priority
from collector.db.inserts import insert_absent_returning
from collector.db.tables import alerts
from collector.db.text import one_line
from collector.desk.fields import MAX_TITLE_CHARS
from protocol.errors import TransientError

REOPEN_WITHIN = timedelta(hours=24)  # a fault that comes back sooner was not solved
KEYS_AT_ONCE = 500
ROWS_AT_ONCE = 50  # with some twenty columns each; the event loop has its turns between

Key = TypeVar("Key", int, str)
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)


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
    category: str | None = None


class Claim(Enum):
    """What to do about an incident."""

    OPEN = auto()
    JOIN = auto()
    REOPEN = auto()


def claim(resolved_at: datetime | None, *, is_closed: bool, now: datetime, reopen_within: timedelta) -> Claim:
    """What becomes of an incident for whose key there is a ticket already."""
    if resolved_at is None:
        return Claim.JOIN
    return Claim.REOPEN if not is_closed and now - resolved_at < reopen_within else Claim.OPEN


@cache  # what is asked in every evaluation is made once, and compiled once
def _open_of(table: Table) -> Select[str, int]:
    return select(table.c.key, _id_of(table)).where(_is_open(table), table.c.key.in_(_KEYS))


@dataclass(frozen=True, slots=True)
class Opened:
    """A ticket, or shadow ticket, and when it opened."""

    number: int
    opened_at: datetime
    resolved_at: datetime | None
    is_closed: bool


@cache
def _recent_of(table: Table, belongs: ColumnElement[int]) -> Select[str, str, int]:
    of_customers = alerts.c.customer.in_(bindparam("customers", expanding=True))
    return (
        select(alerts.c.customer, table.c.key, _id_of(table))
        .join(alerts, belongs == _id_of(table))
        .where(of_customers, alerts.c.placed_at > bindparam("since"), table.c.key == alerts.c.ticket_key)
    )


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What is the same of tickets and of shadow tickets: a number is the row's id."""

    table: Table
    belongs: ColumnElement[int]  # the column of `alerts` that points to the table
    opened_at: ColumnElement[datetime]  # the column that says when one opened

    async def open_by_key(self, connection: AsyncConnection, keys: Collection[str]) -> dict[str, int]:
        """The open rows of some keys, by key."""
        found: dict[str, int] = {}
        for chunk in chunks(keys):
            rows = await connection.execute(_open_of(self.table), {"keys": chunk})
            found.update((key, row_id) for key, row_id in rows)
        return found

    async def known_keys(self, connection: AsyncConnection, keys: Collection[str]) -> set[str]:
        """Those that ever had a row."""
        found: set[str] = set()
        for chunk in chunks(keys):
            found.update(await connection.scalars(_known_of(self.table), {"keys": chunk}))
        return found

    async def last_opened(self, connection: AsyncConnection, keys: Collection[str]) -> dict[str, Opened]:
        """The newest row of each of some keys that has any."""
        found: dict[str, Opened] = {}
        closed_at = self.table.c.closed_at if "closed_at" in self.table.c else null()
        for chunk in chunks(keys):
            newest = select(func.max(_id_of(self.table))).where(self.table.c.key.in_(chunk)).group_by(self.table.c.key)
            query = select(
                self.table.c.key, _id_of(self.table), self.opened_at, self.table.c.resolved_at, closed_at.is_not(None)
            )
            for key, number, at, resolved_at, is_closed in await connection.execute(
                query.where(_id_of(self.table).in_(newest))
            ):
                found[key] = Opened(number, at, resolved_at, bool(is_closed))
        return found

    async def recent(
        self, connection: AsyncConnection, customers: Collection[str], since: datetime
    ) -> dict[str, dict[str, int]]:
        """By customer, the incidents that had a row of their own open or reopen after a time, whatever became of it
        since: the rows by key."""
        found: dict[str, dict[str, int]] = {}
        for chunk in chunks(customers):
            rows = await connection.execute(_recent_of(self.table, self.belongs), {"customers": chunk, "since": since})
            for customer, key, number in rows:
                found.setdefault(customer, {})[key] = number
        return found

    async def open_among(self, connection: AsyncConnection, ids: Collection[int]) -> set[int]:
        """Which of some rows are open."""
        found: set[int] = set()
        for chunk in chunks(ids):
            wanted = (_is_open(self.table), _id_of(self.table).in_(chunk))
            found.update(await connection.scalars(select(_id_of(self.table)).where(*wanted)))
        return found

    async def children(self, connection: AsyncConnection, parent: int) -> list[int]:
        """The incidents that a storm began with."""
        found = select(_id_of(self.table)).where(self.table.c.parent == parent).order_by(_id_of(self.table))
        return list(await connection.scalars(found))

    async def set_parent(self, connection: AsyncConnection, children: Sequence[int], parent: int) -> None:
        await connection.execute(update(self.table).where(_id_of(self.table).in_(children)).values(parent=parent))

    async def forget_parent(self, connection: AsyncConnection, row_id: int) -> bool:
        """It opens anew, and a storm that is over has no part in that. Says whether it was part of one."""
        parent = self.table.alias()
        over = select(_id_of(parent)).where(parent.c.resolved_at.is_not(None))
        forgotten = await connection.execute(
            update(self.table).where(_id_of(self.table) == row_id, self.table.c.parent.in_(over)).values(parent=None)
        )
        return forgotten.rowcount == 1

    async def with_open_children(self, connection: AsyncConnection, parents: Collection[int]) -> set[int]:
        """Those storms of which an incident that they began with is not over."""
        found: set[int] = set()
        for chunk in chunks(parents):
            rows = await connection.scalars(
                select(self.table.c.parent).where(self.table.c.parent.in_(chunk), _is_open(self.table)).distinct()
            )
            found.update(number for number in rows if number is not None)
        return found

    async def parents_of(self, connection: AsyncConnection, ids: Collection[int]) -> set[int]:
        """The storms that some rows were the beginning of."""
        found: set[int] = set()
        for chunk in chunks(ids):
            rows = await connection.scalars(
                select(self.table.c.parent)
                .where(_id_of(self.table).in_(chunk), self.table.c.parent != _id_of(self.table))
                .distinct()
            )
            found.update(number for number in rows if number is not None)
        return found

    async def set_unstable(self, connection: AsyncConnection, row_id: int, since: datetime | None) -> bool:
        """Says whether that is new."""
        was = self.table.c.unstable_since
        changed = await connection.execute(
            update(self.table)
            .where(_id_of(self.table) == row_id, was.is_(None) if since else was.is_not(None))
            .values(unstable_since=since)
        )
        return changed.rowcount == 1

    async def unstable(self, connection: AsyncConnection) -> list[int]:
        """The open rows that are unstable."""
        return list(await connection.scalars(_unstable(self.table)))


@cache
def _unstable(table: Table) -> Select[int]:
    return select(_id_of(table)).where(table.c.unstable_since.is_not(None), _is_open(table))


def _id_of(table: FromClause) -> ColumnElement[int]:
    (column,) = table.primary_key
    return column


def _is_open(table: Table) -> ColumnElement[bool]:
    return table.c.resolved_at.is_(None)


def chunks(ids: Collection[Key]) -> Iterator[list[Key]]:
    """As many as one statement takes."""
    wanted = sorted(ids)
    return (wanted[start : start + KEYS_AT_ONCE] for start in range(0, len(wanted), KEYS_AT_ONCE))


async def insert_open(connection: AsyncConnection, table: Table, wanted: NewTicket, **more: object) -> bool:
    """Adds an open row with the columns `more` beside what `wanted` tells, unless its key has one; says whether."""
    return wanted.key in await insert_open_all(connection, table, [wanted], **more)


async def insert_open_all(
    connection: AsyncConnection, table: Table, wanted: Sequence[NewTicket], **more: object
) -> dict[str, int]:
    """Adds open rows with the columns `more` beside what `wanted` tells, unless their key has one: by key."""
    found: dict[str, int] = {}
    for start in range(0, len(wanted), ROWS_AT_ONCE):
        rows = [_row(table, one) | more for one in wanted[start : start + ROWS_AT_ONCE]]
        added: Sequence[Any] = await insert_absent_returning(connection, table, rows, table.c.key, _id_of(table))
        found.update((key, number) for key, number in added)
    return found


def _row(table: Table, wanted: NewTicket) -> dict[str, object]:
    told = {one.name: getattr(wanted, one.name) for one in fields(wanted) if one.name in table.c}
    return told | {"title": shown(wanted.title)}


@cache
def _known_of(table: Table) -> Select[str]:
    return select(table.c.key).where(table.c.key.in_(_KEYS)).distinct()


def shown(title: str) -> str:
    return one_line(title)[:MAX_TITLE_CHARS]


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
