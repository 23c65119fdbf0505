"""What people at the customer say of a ticket: by themselves, or to somebody who takes it down."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.desk import events, tickets
from collector.desk.events import SYSTEM, EventType
from collector.desk.fields import TicketError, checked_text
from collector.desk.reading import get_ticket
from collector.desk.reported import require_contact
from collector.desk.states import TicketAction, TicketStatus

ANSWERED = "the customer answered"
STILL_WRONG = "the customer says that it is not over"


async def by_customer(
    connection: AsyncConnection,
    number: int,
    *,
    text: str,
    contact: int,
    still_wrong: bool = False,
    actor: str,
    now: datetime,
) -> None:
    """A contact's comment, which is public. It meets no target, since nobody here has answered by it. A ticket that
    waits for the customer is in progress again; one that is resolved reopens if `still_wrong`. `actor`: who wrote it.

    Raises TicketError for a contact of somebody else, and for a ticket that is closed or merged."""
    ticket = await get_ticket(connection, number)
    if ticket.merged_into is not None:
        raise TicketError(f"ticket {number} was merged into {ticket.merged_into}: comment on that one")
    if ticket.status is TicketStatus.CLOSED:
        raise TicketError(f"ticket {number} is closed: open a new one")
    await require_contact(connection, ticket.customer, contact)
    data = {"text": checked_text("a comment", text), "public": True, "contact": contact}
    await tickets.touch(connection, number)
    await events.add(connection, number, EventType.COMMENT, data, actor=actor, now=now)
    told = {"contact": contact}
    await audit.record(connection, actor=actor, action="tickets.comment", subject=str(number), now=now, data=told)
    if ticket.status is TicketStatus.WAITING_CUSTOMER:
        # By the system, or it would count as the first sign of somebody here.
        await tickets.move(connection, ticket, TicketAction.START, actor=SYSTEM, now=now, why=ANSWERED)
    elif still_wrong and ticket.status is TicketStatus.RESOLVED:
        status = TicketStatus.NEW
        await tickets.set_status(connection, number, status=status, actor=actor, now=now, why=STILL_WRONG)
