"""What a change of plan does to what is firing: shadow tickets become tickets when a plan that opens them holds."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.records import Outcome
from collector.alerting.rulefile import severity_of
from collector.contracts import ServiceModel, priority_of
from collector.desk import shadows, tickets
from collector.desk.opening import NewTicket
from collector.fleet.customers import contract_at
from collector.incidents.decision import Decision, ticket_key
from collector.incidents.ledgers import TICKETS
from collector.incidents.reasons import Reason, record_reasons
from collector.incidents.round import Case, Round


async def promote_all(
    round_: Round, connection: AsyncConnection, firing: Sequence[int], model: ServiceModel, now: datetime
) -> None:
    """Makes a customer's firing shadow tickets tickets; many at once are one storm, as they would be in any pass."""
    if len(firing) <= round_.settings.storm_incidents:
        for shadow in firing:
            await promote(connection, shadow, model, now)
        return
    was = await shadows.get_shadow(connection, firing[0])
    contract = await contract_at(connection, was.customer, now)
    if contract is None or contract.plan != model.name:
        return
    changed = f"was a shadow until the plan changed to {model.name} on {contract.valid_from:%Y-%m-%d %H:%M} UTC"
    lines = []
    for shadow in firing:
        for one in await records.open_members(connection, shadow=shadow):
            priority = priority_of(severity_of(one.labels), one.labels.get("kind", ""), model)
            decision = Decision(Outcome.TICKET, f"plan {model.name} opens a ticket ({priority}); {changed}", priority)
            lines.append(Case(one, str(ticket_key(one.labels)), priority, decision))
        await shadows.resolve(connection, shadow, now)
    await round_.into_storm(TICKETS, was.customer, lines, [])


async def promote(connection: AsyncConnection, shadow: int, model: ServiceModel, now: datetime) -> None:
    """Makes a firing shadow ticket the ticket that the customer's plan opens from now on, with all its alerts.

    The ticket opens `now`, so that its clocks begin with the contract, and keeps the time at which the fault began.
    """
    was = await shadows.get_shadow(connection, shadow)
    contract = await contract_at(connection, was.customer, now)
    if contract is None or contract.plan != model.name:
        return  # it changed again a moment ago; the next pass knows it as it is then
    members = await records.open_members(connection, shadow=shadow)
    priority = min(priority_of(severity_of(one.labels), one.labels.get("kind", ""), model) for one in members)
    wanted = NewTicket(
        key=was.key,
        customer=was.customer,
        site=was.site,
        device=was.device,
        incident=was.incident,
        rule=was.rule,
        title=was.title,
        priority=priority,
        began_at=min(one.active_since for one in members),
    )
    number = await tickets.join_or_open(connection, wanted, now)
    await shadows.resolve(connection, shadow, now)
    changed = f"until the plan changed to {model.name} on {contract.valid_from:%Y-%m-%d %H:%M} UTC"
    since = f"{was.would_have_opened_at:%Y-%m-%d %H:%M} UTC"
    await tickets.note(connection, number, now, f"was shadow ticket {shadow} from {since} {changed}")
    reason = f"plan {model.name} opens a ticket ({priority}); was a shadow {changed}"
    values = {"outcome": Outcome.TICKET, "ticket": number, "shadow_ticket": None, "reason": reason}
    await records.update_alerts(connection, {one.id: values for one in members})
    data = {"plan": model.name, "priority": priority, "ticket": number}
    await record_reasons(connection, [Reason(one.id, now, Outcome.TICKET, reason, data) for one in members])
