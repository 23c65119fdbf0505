"""Alerts that have been over for long are forgotten with their decisions, a slice at a time."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from sqlalchemy import Select, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import alerts, decisions, shadow_tickets, tickets

AT_ONCE = 500  # alerts in one transaction, so that evaluations need not wait


class Transactions(Protocol):
    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


async def forget_alerts(database: Transactions, resolved_before: datetime) -> int:
    """Deletes the alerts that were over by then, and returns how many.

    Those of a ticket, or of a shadow ticket, that is open are kept."""
    forgotten = 0
    while True:
        async with database.begin() as connection:
            found = list(await connection.scalars(_old(resolved_before).limit(AT_ONCE)))
            await connection.execute(delete(decisions).where(decisions.c.alert.in_(found)))
            await connection.execute(delete(alerts).where(alerts.c.id.in_(found)))
        forgotten += len(found)
        if len(found) < AT_ONCE:
            return forgotten


def _old(resolved_before: datetime) -> Select[tuple[int]]:
    open_tickets = select(tickets.c.number).where(tickets.c.resolved_at.is_(None))
    open_shadows = select(shadow_tickets.c.id).where(shadow_tickets.c.resolved_at.is_(None))
    return (
        select(alerts.c.id)
        .where(
            alerts.c.resolved_at < resolved_before,
            or_(alerts.c.ticket.is_(None), alerts.c.ticket.not_in(open_tickets)),
            or_(alerts.c.shadow_ticket.is_(None), alerts.c.shadow_ticket.not_in(open_shadows)),
        )
        .order_by(alerts.c.resolved_at)
    )
