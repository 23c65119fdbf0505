"""What people do to tickets by hand, where the alerts behind a ticket have a say."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.records import AlertRecord, AlertState
from collector.desk import checklists, merging, resolving, tickets
from collector.desk.fields import TicketSource
from collector.desk.states import OVER, TicketStatus
from collector.incidents.ledgers import TICKETS
from collector.incidents.reasons import Reason, record_reasons
from protocol.errors import PermanentError

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
    why = await _may_rest(connection, number, force=force) if status in OVER else None
    await tickets.set_status(connection, number, status=status, actor=actor, now=now, why=why)
    if status in OVER:
        await _settle_parent(connection, number, now)


async def resolve(
    connection: AsyncConnection,
    number: int,
    *,
    cause: str | None,
    solution: str | None,
    without: bool = False,
    force: bool = False,
    actor: str,
    now: datetime,
) -> None:
    """A person's resolution with cause and solution; `without`: there is nothing to say of them; `force`: as above.

    Raises StillFiringError, MaintenanceError, and what `resolving.write_solution` and `tickets.set_status` raise.
    """
    why = await _may_rest(connection, number, force=force)
    await resolving.write_solution(
        connection, number, cause=cause, solution=solution, without=without, actor=actor, now=now
    )
    await tickets.set_status(connection, number, status=TicketStatus.RESOLVED, actor=actor, now=now, why=why)
    await _settle_parent(connection, number, now)


async def merge(connection: AsyncConnection, number: int, into: int, *, actor: str, now: datetime) -> None:
    """Makes a ticket part of another one, with its open alerts: that one resolves only when all are over, and a later
    alert for the same joins it. Raises MaintenanceError, and what `merging.merge` raises."""
    await checklists.require_over(connection, number)
    await records.lock_open_members(connection, number)  # as an evaluation does it: alerts first, then tickets
    await merging.merge(connection, number, into, actor=actor, now=now)
    members = await records.open_members(connection, ticket=number)
    reason = f"ticket {number} was merged into {into}"
    moved = {one.id: {**TICKETS.placed(into), "reason": f"{reason}; {one.reason}"} for one in members}
    await records.update_alerts(connection, moved)
    told = [Reason(one.id, now, one.outcome, f"{reason} by {actor}", {"ticket": into}) for one in members]
    await record_reasons(connection, told)
    await _settle_parent(connection, number, now)


async def _may_rest(connection: AsyncConnection, number: int, *, force: bool) -> str | None:
    """What fires behind a ticket that is to rest all the same. Raises StillFiringError unless `force`, and
    MaintenanceError."""
    await checklists.require_over(connection, number)
    members = await records.open_members(connection, ticket=number)
    firing = [one for one in members if one.state is AlertState.FIRING]
    if not firing:
        return None
    more = f" and {len(firing) - MAX_TOLD} more" if len(firing) > MAX_TOLD else ""
    told = ", ".join(map(_told, firing[:MAX_TOLD])) + more
    if not force:
        raise StillFiringError(
            f"ticket {number} is not over: {told}; mend the cause and it resolves, or use --force to let it rest until "
            "it fires anew"
        )
    return f"although {told}"


async def _settle_parent(connection: AsyncConnection, number: int, now: datetime) -> None:
    """A storm with nothing open left in it is over; one that is unstable is settled by the rounds."""
    parent = (await tickets.get_ticket(connection, number)).parent
    if parent is None:
        return
    storm = await tickets.get_ticket(connection, parent)
    if storm.source is not TicketSource.ALERT or storm.resolved_at is not None or storm.unstable_since is not None:
        return
    has_members = await TICKETS.with_open_members(connection, {parent})
    if has_members or await TICKETS.rows.with_open_children(connection, {parent}):
        return
    await tickets.resolve(connection, parent, now)


def _told(record: AlertRecord) -> str:
    where = f" on {record.device}" if record.device else ""
    return f"{record.rule}{where} fires since {record.active_since:%Y-%m-%d %H:%M} UTC"
