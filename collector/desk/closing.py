"""Resolved tickets are closed after some business days; until then a person may reopen them."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import OfficeHours
from collector.desk import tickets
from collector.desk.tickets import Ticket

AT_ONCE = 200  # tickets looked at in one transaction, so that evaluations need not wait


class Transactions(Protocol):
    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


def is_due(resolved_at: datetime, hours: OfficeHours, days: int, now: datetime) -> bool:
    """Whether `days` business days went by in whole since then, by the calendar of the site."""
    return hours.working_days(resolved_at, now, days) >= days


async def close_resolved(
    database: Transactions, hours_of: Callable[[str, str | None], OfficeHours], days: int, now: datetime
) -> int:
    """Closes the tickets that are due, and returns how many. `hours_of` knows the calendar of a customer's site."""
    closed, after = 0, 0
    while True:
        async with database.begin() as connection:
            found = await tickets.resolved_before(connection, now - timedelta(days=days), after=after, limit=AT_ONCE)
            for ticket in found:
                if _is_due(ticket, hours_of, days, now):
                    why = f"resolved for {days} business day{'s' if days > 1 else ''}"
                    await tickets.close(connection, ticket, now, why)
                    closed += 1
        if len(found) < AT_ONCE:
            return closed
        after = found[-1].number


def _is_due(ticket: Ticket, hours_of: Callable[[str, str | None], OfficeHours], days: int, now: datetime) -> bool:
    return ticket.resolved_at is not None and is_due(
        ticket.resolved_at, hours_of(ticket.customer, ticket.site), days, now
    )
