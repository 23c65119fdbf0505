"""What a change of plan does to what is firing: shadow tickets become tickets when a plan that opens them holds."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.records import AlertRecord, Outcome
from collector.alerting.rulefile import severity_of
from collector.contracts import ServiceModel, priority_of
from collector.desk import shadows, tickets
from collector.desk.fields import category_of
from collector.desk.opening import NewTicket
from collector.desk.shadows import ShadowTicket
from collector.fleet.contracts import contract_at
from collector.incidents import orders
from collector.incidents.decision import Decision, ticket_key
from collector.incidents.ledgers import TICKETS
from collector.incidents.reasons import Reason, record_reasons
from collector.incidents.round import Case, Round


async def promote_all(
    round_: Round, connection: AsyncConnection, firing: Sequence[int], model: ServiceModel, now: datetime
) -> None:
    """Makes a customer's firing shadow tickets tickets; many at once are one storm, as they would be in any pass. Those
    that are held back now, by a silence or a window, wait."""
    members = {shadow: await records.open_members(connection, shadow=shadow) for shadow in firing}
    held = await round_.held_back([one for some in members.values() for one in some])
    due = {shadow: some for shadow, some in members.items() if any(one.id not in held for one in some)}
    if not due:
        return
    was = {shadow: await shadows.get_shadow(connection, shadow) for shadow in due}
    customer = next(iter(was.values())).customer
    contract = await contract_at(connection, customer, now)
    if contract is None or contract.plan != model.name:
        return  # it changed again a moment ago; the next pass knows it as it is then
    scope = contract.agreement.scope
    if scope is not None:
        due = {
            shadow: some
            for shadow, some in due.items()
            if any(scope.covers(one.labels, round_.tags_of(one)) for one in some)
        }
    changed = f"until the plan changed to {model.name} on {contract.valid_from:%Y-%m-%d %H:%M} UTC"
    at_once = [shadow for shadow in due if not orders.is_order(was[shadow].key)]
    if len(at_once) > round_.world.settings.storm_incidents:
        lines = [_line(one, model, changed) for shadow in at_once for one in due.pop(shadow)]
        for shadow in at_once:
            await shadows.resolve(connection, shadow, now)
        await round_.into_storm(TICKETS, customer, lines, [])
    numbers = {shadow: await _promote(connection, was[shadow], due[shadow], model, changed, now=now) for shadow in due}
    for shadow, number in numbers.items():
        parent = numbers.get(was[shadow].parent or 0)
        if parent is not None:
            await tickets.adopt(connection, [number], parent, now)


def _line(record: AlertRecord, model: ServiceModel, changed: str) -> Case:
    priority = priority_of(severity_of(record.labels), record.labels.get("kind", ""), model)
    reason = f"plan {model.name} opens a ticket ({priority}); was a shadow {changed}"
    return Case(record, str(ticket_key(record.labels)), priority, Decision(Outcome.TICKET, reason, priority))


async def _promote(
    connection: AsyncConnection,
    was: ShadowTicket,
    members: Sequence[AlertRecord],
    model: ServiceModel,
    changed: str,
    *,
    now: datetime,
) -> int:
    """Makes a firing shadow ticket the ticket that the customer's plan opens from now on, with all its alerts.

    The ticket opens `now`, so that its clocks begin with the contract, and keeps the time at which the fault began.
    """
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
        category=category_of(members[0].labels.get("category")),
    )
    number = await tickets.join_or_open(connection, wanted, now)
    await shadows.resolve(connection, was.id, now)
    since = f"{was.would_have_opened_at:%Y-%m-%d %H:%M} UTC"
    await tickets.note(connection, number, now, f"was shadow ticket {was.id} from {since} {changed}")
    reason = f"plan {model.name} opens a ticket ({priority}); was a shadow {changed}"
    values = {"outcome": Outcome.TICKET, "ticket": number, "shadow_ticket": None, "reason": reason, "placed_at": now}
    await records.update_alerts(connection, {one.id: values for one in members})
    data = {"plan": model.name, "priority": priority, "ticket": number}
    await record_reasons(connection, [Reason(one.id, now, Outcome.TICKET, reason, data) for one in members])
    return number
