"""What people do to tickets by hand, where the alerts behind a ticket have a say."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.records import AlertRecord, AlertState
from collector.desk import checklists, tickets
from collector.desk.states import TicketStatus
from protocol.errors import PermanentError

OVER = frozenset({TicketStatus.RESOLVED, TicketStatus.CLOSED})
MAX_TOLD = 3


class StillFiringError(PermanentError):
    """The ticket's fault is not over; the message names the alerts that fire."""


async def set_status(
    connection: AsyncConnection, number: int, *, status: TicketStatus, actor: str, now: datetime, force: bool = False
) -> None:
    """A person's change of status. While an alert of the ticket fires it is resolved or closed only with `force`; it
    then rests until a new alert fires for the same.

    Raises StillFiringError, MaintenanceError for a round with a checklist that is not over, and what
    `tickets.set_status` raises.
    """
    if status in OVER:
        await checklists.require_over(connection, number)
    if status in OVER and not force:
        members = await records.open_members(connection, ticket=number)
        firing = [one for one in members if one.state is AlertState.FIRING]
        if firing:
            more = f" and {len(firing) - MAX_TOLD} more" if len(firing) > MAX_TOLD else ""
            raise StillFiringError(
                f"ticket {number} is not over: {', '.join(map(_told, firing[:MAX_TOLD]))}{more}; mend the cause and it "
                "resolves, or use --force to let it rest until it fires anew"
            )
    await tickets.set_status(connection, number, status=status, actor=actor, now=now)


def _told(record: AlertRecord) -> str:
    where = f" on {record.device}" if record.device else ""
    return f"{record.rule}{where} fires since {record.active_since:%Y-%m-%d %H:%M} UTC"
