"""Parts and costs of tickets, which are charged as they are: quantity times unit price, in Decimal."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.tables import parts
from collector.db.text import one_line
from collector.desk.events import EventType
from collector.desk.work import MAX_AGE, require_unmerged, touch
from protocol.errors import PermanentError

MAX_QUANTITY = Decimal(100_000)
MAX_UNIT_PRICE = Decimal("999999999.99")
QUANTITY_DECIMALS, PRICE_DECIMALS = 3, 2
MAX_DESCRIPTION_CHARS = 200


class PartError(PermanentError):
    """What was asked of a ticket's parts cannot be done; the message says why."""


@dataclass(frozen=True, slots=True)
class Part:
    id: int
    ticket: int
    author: str
    description: str
    quantity: Decimal
    unit_price: Decimal
    currency: str
    used_at: datetime
    voided_at: datetime | None


async def add(
    connection: AsyncConnection,
    ticket: int,
    *,
    author: str,
    description: str,
    quantity: Decimal,
    unit_price: Decimal,
    currency: str,
    used_at: datetime,
    actor: str,
    now: datetime,
) -> int:
    """The id of what was used, or paid for, on a ticket. Raises TicketError, WorkError or PartError."""
    description = one_line(description).strip()
    if not 1 <= len(description) <= MAX_DESCRIPTION_CHARS:
        raise PartError(f"a part is described in 1 to {MAX_DESCRIPTION_CHARS} characters")
    _check_amount("quantity", quantity, QUANTITY_DECIMALS, MAX_QUANTITY)
    _check_amount("unit price", unit_price, PRICE_DECIMALS, MAX_UNIT_PRICE)
    if not quantity:
        raise PartError("a quantity is more than nothing")
    if len(currency) != 3 or not (currency.isascii() and currency.isupper()):
        raise PartError(f"a currency is written like EUR, not {currency[:20]!r}")
    if not now - MAX_AGE <= used_at <= now:
        raise PartError(f"a part is used now or within the last {MAX_AGE.days} days: check the time")
    await require_unmerged(connection, ticket)
    row = {
        "ticket": ticket,
        "author": author[:200],
        "description": description,
        "quantity": quantity,
        "unit_price": unit_price,
        "currency": currency,
        "used_at": used_at,
    }
    added = await connection.execute(insert(parts).values(row).returning(parts.c.id))
    part = int(added.scalar_one())
    told = {"part": part, "description": description, "quantity": f"{quantity:f}", "unit_price": f"{unit_price:f}"}
    data = {**told, "currency": currency}
    await touch(connection, ticket, EventType.PART, data, actor=actor, now=now)
    await audit.record(connection, actor=actor, action="parts.add", subject=str(ticket), now=now, data=data)
    return part


async def void(connection: AsyncConnection, part: int, *, reason: str, actor: str, now: datetime) -> None:
    """It was a mistake: it stays on record and counts for nothing. Raises PartError."""
    reason = one_line(reason).strip()
    if not 1 <= len(reason) <= 2_000:
        raise PartError("say why the part is voided, in 1 to 2000 characters")
    was = await get_part(connection, part)
    voided = await connection.execute(
        update(parts).where(parts.c.id == part, parts.c.voided_at.is_(None)).values(voided_at=now)
    )
    if voided.rowcount == 0:
        raise PartError(f"part {part} was voided before")
    data = {"part": part, "reason": reason}
    await touch(connection, was.ticket, EventType.PART_VOIDED, data, actor=actor, now=now)
    await audit.record(connection, actor=actor, action="parts.void", subject=str(was.ticket), now=now, data=data)


async def get_part(connection: AsyncConnection, part: int) -> Part:
    """Raises PartError."""
    row = (await connection.execute(_PARTS.where(parts.c.id == part))).one_or_none()
    if row is None:
        raise PartError(f"there is no part {part}; see: tickets parts list NUMBER")
    return _to_part(row)


async def list_parts(
    connection: AsyncConnection, ticket: int, *, after: int = 0, limit: int | None = None
) -> list[Part]:
    """Those of a ticket in the order in which they were entered, voided ones too, beyond the part `after`."""
    query = _PARTS.where(parts.c.ticket == ticket, parts.c.id > after).order_by(parts.c.id).limit(limit)
    return [_to_part(row) for row in await connection.execute(query)]


def _check_amount(what: str, amount: Decimal, decimals: int, most: Decimal) -> None:
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > decimals or not 0 <= amount <= most:
        raise PartError(f"a {what} is 0 to {most} with at most {decimals} decimals, not {amount}")


_PARTS = select(*(parts.c[name] for name in Part.__annotations__))


def _to_part(row: Row[Any]) -> Part:
    return Part(**row._asdict())
