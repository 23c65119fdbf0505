"""Shadow tickets: what would have been a ticket under a plan that opens tickets, kept by the very same rules."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Priority, highest
from collector.db.tables import alerts, shadow_tickets
from collector.desk import opening
from collector.desk.opening import (
    REOPEN_WITHIN,
    Claim,
    NewTicket,
    Rows,
    claim,
    insert_open_all,
    latest_row,
    newest_first,
)

ROWS = Rows(shadow_tickets, alerts.c.shadow_ticket, shadow_tickets.c.would_have_opened_at)


@dataclass(frozen=True, slots=True)
class ShadowTicket:
    id: int
    key: str
    customer: str
    site: str | None
    device: str | None
    incident: str
    rule: str
    title: str
    priority: Priority
    would_have_opened_at: datetime
    began_at: datetime
    resolved_at: datetime | None
    parent: int | None  # the storm that this incident was the beginning of
    unstable_since: datetime | None  # its fault comes and goes: it stays open until that has ended


async def join_or_open(
    connection: AsyncConnection, wanted: NewTicket, now: datetime, reopen_within: timedelta = REOPEN_WITHIN
) -> int:
    """The id of the shadow ticket for this incident: an open one, one that would have reopened, or a new one."""
    latest = await _latest(connection, wanted.key)
    if latest is not None and (
        claim(latest.resolved_at, is_closed=False, now=now, reopen_within=reopen_within) is not Claim.OPEN
    ):
        values = {"resolved_at": None, "priority": highest(latest.priority, wanted.priority)}
        await connection.execute(update(shadow_tickets).where(shadow_tickets.c.id == latest.id).values(values))
        if latest.resolved_at is not None:
            await ROWS.forget_parent(connection, latest.id)
        return latest.id
    opened = await insert_open_all(connection, shadow_tickets, [wanted], would_have_opened_at=now)
    if wanted.key not in opened:
        return await join_or_open(connection, wanted, now, reopen_within)  # another writer opened it in between
    return opened[wanted.key]


async def join_or_open_all(
    connection: AsyncConnection, wanted: Sequence[NewTicket], now: datetime, reopen_within: timedelta = REOPEN_WITHIN
) -> dict[str, int]:
    """`join_or_open` for several incidents, by key; those that never had a shadow ticket are opened at once."""
    known = await ROWS.known_keys(connection, {one.key for one in wanted})
    fresh = [one for one in wanted if one.key not in known]
    numbers = await insert_open_all(connection, shadow_tickets, fresh, would_have_opened_at=now)
    for one in wanted:
        if one.key not in numbers:
            numbers[one.key] = await join_or_open(connection, one, now, reopen_within)
    return numbers


async def get_shadow(connection: AsyncConnection, shadow: int) -> ShadowTicket:
    return _to_shadow((await connection.execute(_SHADOWS.where(shadow_tickets.c.id == shadow))).one())


async def resolve(connection: AsyncConnection, shadow: int, now: datetime, over_since: datetime | None = None) -> None:
    """`resolve_all` for one; or it became a ticket."""
    await resolve_all(connection, {shadow: over_since}, now)


async def resolve_all(connection: AsyncConnection, over: Mapping[int, datetime | None], now: datetime) -> None:
    """Their incidents are over, since now or, as late data tell, since earlier."""
    alike: dict[datetime, list[int]] = {}
    for shadow, over_since in over.items():
        alike.setdefault(over_since or now, []).append(shadow)
    for at, shadows in alike.items():
        for chunk in opening.chunks(shadows):
            await connection.execute(
                update(shadow_tickets)
                .where(shadow_tickets.c.id.in_(chunk), shadow_tickets.c.resolved_at.is_(None))
                .values(resolved_at=at, unstable_since=None)
            )


async def correct_times(
    connection: AsyncConnection,
    shadow: int,
    _now: datetime,
    *,
    began_at: datetime | None = None,
    resolved_at: datetime | None = None,
) -> None:
    """What late data tell of an incident: it began earlier, or was over earlier, than was known."""
    for column, at in ((shadow_tickets.c.began_at, began_at), (shadow_tickets.c.resolved_at, resolved_at)):
        if at is not None:
            await connection.execute(
                update(shadow_tickets).where(shadow_tickets.c.id == shadow, column > at).values({column: at})
            )


async def open_by_key(connection: AsyncConnection, keys: Collection[str]) -> dict[str, int]:
    return await ROWS.open_by_key(connection, keys)


async def adopt(connection: AsyncConnection, children: Sequence[int], parent: int, _now: datetime) -> None:
    await ROWS.set_parent(connection, children, parent)


async def current(_connection: AsyncConnection, shadows: Collection[int]) -> dict[int, int]:
    """Shadows are never merged."""
    return {shadow: shadow for shadow in shadows}


async def retitle(connection: AsyncConnection, shadow: int, title: str) -> None:
    await connection.execute(
        update(shadow_tickets).where(shadow_tickets.c.id == shadow).values(title=opening.shown(title))
    )


async def raise_to(connection: AsyncConnection, shadow: int, priority: Priority, _now: datetime, _why: str) -> None:
    """An alert of it has become so urgent. One that is resolved stays as it is."""
    await connection.execute(
        update(shadow_tickets)
        .where(shadow_tickets.c.id == shadow, shadow_tickets.c.resolved_at.is_(None))
        .where(shadow_tickets.c.priority > priority)
        .values(priority=priority)
    )


async def hold_open(connection: AsyncConnection, shadow: int, now: datetime, _why: str) -> None:
    await ROWS.set_unstable(connection, shadow, now)


async def steady(connection: AsyncConnection, shadow: int, _now: datetime, _why: str) -> None:
    await ROWS.set_unstable(connection, shadow, None)


async def list_shadows(
    connection: AsyncConnection, *, customer: str | None = None, resolved_since: datetime | None = None
) -> list[ShadowTicket]:
    """Shadow tickets, newest first: those that are open or were resolved after `resolved_since`, or all without it."""
    query = newest_first(_SHADOWS, shadow_tickets, customer=customer, resolved_since=resolved_since)
    return [_to_shadow(row) for row in await connection.execute(query)]


async def shadows_before(
    connection: AsyncConnection,
    before: int | None,
    limit: int,
    *,
    customer: str | None = None,
    site: str | None = None,
    is_open: bool | None = None,
    resolved_since: datetime | None = None,
) -> list[ShadowTicket]:
    """`limit` at most, newest first: those with a number below `before`; with `resolved_since` those that are open or
    were resolved after it."""
    query = newest_first(_SHADOWS, shadow_tickets, customer=None, resolved_since=resolved_since).limit(limit)
    if before is not None:
        query = query.where(shadow_tickets.c.id < before)
    for column, value in ((shadow_tickets.c.customer, customer), (shadow_tickets.c.site, site)):
        if value is not None:
            query = query.where(column == value)
    if is_open is not None:
        resolved_at = shadow_tickets.c.resolved_at
        query = query.where(resolved_at.is_(None) if is_open else resolved_at.is_not(None))
    return [_to_shadow(row) for row in await connection.execute(query)]


async def find_shadow(connection: AsyncConnection, shadow: int) -> ShadowTicket | None:
    row = (await connection.execute(_SHADOWS.where(shadow_tickets.c.id == shadow))).one_or_none()
    return None if row is None else _to_shadow(row)


_SHADOWS = select(*(shadow_tickets.c[name] for name in ShadowTicket.__annotations__))


def _to_shadow(row: Sequence[Any]) -> ShadowTicket:
    values = dict(zip(ShadowTicket.__annotations__, row, strict=True))
    return ShadowTicket(**values | {"priority": Priority(values["priority"])})


async def _latest(connection: AsyncConnection, key: str) -> ShadowTicket | None:
    """The open shadow ticket of this key, or else the newest one."""
    row = await latest_row(connection, shadow_tickets, _SHADOWS, key)
    return None if row is None else _to_shadow(row)
