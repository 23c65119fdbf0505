"""What a ticket's terms, as they were agreed last, mean for who works on it: whether support is open, and to whom it
escalates."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts.promises import Terms
from collector.db.tables import ticket_events
from collector.desk.assigning import Agreed
from collector.desk.events import EventType

MOMENT = timedelta(minutes=1)


async def agreed_about(connection: AsyncConnection, numbers: Collection[int], now: datetime) -> Mapping[int, Agreed]:
    """By ticket; those without terms, or to whom nothing was promised, are left out."""
    last = (
        select(func.max(ticket_events.c.id))
        .where(ticket_events.c.ticket.in_(numbers), ticket_events.c.type == EventType.TERMS)
        .group_by(ticket_events.c.ticket)
    )
    rows = await connection.execute(
        select(ticket_events.c.ticket, ticket_events.c.data).where(ticket_events.c.id.in_(last))
    )
    terms = {row.ticket: Terms.of_data(row.data) for row in rows}
    return {
        number: Agreed(is_open_at(one, now), one.escalate_to, one.calendar)
        for number, one in terms.items()
        if one.sla is not None
    }


def is_open_at(terms: Terms, now: datetime) -> bool:
    """Whether minutes count now."""
    return terms.calendar.counted(now, now + MOMENT) > timedelta()
