"""A technician decides about what fires without a ticket: makes it one, or declines."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.records import AlertRecord, AlertState, Outcome
from collector.alerting.rulefile import severity_of
from collector.contracts import ServiceModels, model_named, priority_of
from collector.db import audit
from collector.db.text import one_line
from collector.desk import shadows, tickets
from collector.desk.fields import category_of
from collector.desk.opening import NewTicket
from collector.fleet.contracts import plan_at
from collector.incidents.decision import ticket_key
from collector.incidents.reasons import Reason, record_reasons, why
from protocol.errors import PermanentError


class NotConvertibleError(PermanentError):
    """The alert cannot become a ticket by hand; the message says why."""


MAX_REASON_CHARS = 500


async def convert(connection: AsyncConnection, models: ServiceModels, alert: int, *, actor: str, now: datetime) -> int:
    """Makes what fires without a ticket a ticket, with every alert that it covers, and returns its number: a shadow
    ticket, or an alert whose plan leaves it to a technician. It counts as nobody's touch: it resolves by itself.

    Raises NotConvertibleError, and NoSuchAlertError.
    """
    record = await records.get_open(connection, alert)
    if record is None:
        known = await why(connection, alert)
        raise NotConvertibleError(f"alert {alert} is {known.alert['state']}: only what fires becomes a ticket")
    plan = await plan_at(connection, record.labels.get("customer", ""), now)
    _check(record, plan)
    model = model_named(models, plan or "")
    key = str(ticket_key(record.labels))
    if record.shadow_ticket is not None:
        was = await shadows.get_shadow(connection, record.shadow_ticket)
        members = await records.open_members(connection, shadow=was.id)
        key, site, device, incident, rule, title = was.key, was.site, was.device, was.incident, was.rule, was.title
        told = f"shadow ticket {was.id} from {was.would_have_opened_at:%Y-%m-%d %H:%M} UTC"
        await shadows.resolve(connection, was.id, now)
    else:
        members = await records.unplaced(connection, key) or [record]
        site, device = record.labels.get("site"), record.device
        incident, rule = ticket_key(record.labels).incident, record.rule
        title = record.annotations.get("summary") or record.rule
        told = f"alert {alert} without a ticket since {record.active_since:%Y-%m-%d %H:%M} UTC"
    wanted = NewTicket(
        key=key,
        customer=record.labels["customer"],
        site=site,
        device=device,
        incident=incident,
        rule=rule,
        title=title,
        priority=min(priority_of(severity_of(one.labels), one.labels.get("kind", ""), model) for one in members),
        began_at=min(one.active_since for one in members),
        category=category_of(record.labels.get("category")),
    )
    number = await tickets.join_or_open(connection, wanted, now)
    await tickets.note(connection, number, now, f"was {told}, made a ticket by hand", actor)
    reason = f"{actor} made it a ticket by hand; plan {model.name} opens none"
    values = {"outcome": Outcome.TICKET, "ticket": number, "shadow_ticket": None, "reason": reason}
    await records.update_alerts(connection, {one.id: values for one in members})
    data = {"plan": model.name, "ticket": number, "by": actor}
    await record_reasons(connection, [Reason(one.id, now, Outcome.TICKET, reason, data) for one in members])
    await audit.record(
        connection, actor=actor, action="alerts.convert", subject=str(alert), now=now, data={"ticket": number}
    )
    return number


async def decline(connection: AsyncConnection, alert: int, *, reason: str, actor: str, now: datetime) -> list[int]:
    """What is left to a technician becomes no ticket, for a reason, as long as it fires: the alert, and whatever else
    the same ticket would cover and waits. Returns their ids. It may be made a ticket all the same.

    Raises NotConvertibleError, and NoSuchAlertError.
    """
    why_not = one_line(reason).strip()
    if not 1 <= len(why_not) <= MAX_REASON_CHARS:
        raise NotConvertibleError(f"say in 1 to {MAX_REASON_CHARS} characters why it becomes no ticket")
    record = await records.get_open(connection, alert)
    if record is None:
        known = await why(connection, alert)
        raise NotConvertibleError(f"alert {alert} is {known.alert['state']}: there is nothing to decide any more")
    if record.outcome is not Outcome.ASKED:
        raise NotConvertibleError(f"alert {alert} waits for nobody's decision: {record.reason}")
    members = [one.id for one in await records.unplaced(connection, str(ticket_key(record.labels)))]
    told = f"{actor} made it no ticket: {why_not}"
    ids = await records.change_outcome(connection, {alert, *members}, Outcome.ASKED, Outcome.DECLINED, told)
    if alert not in ids:
        raise NotConvertibleError(f"somebody else decided about alert {alert} just now: look at it again")
    data = {"by": actor, "reason": why_not}
    await record_reasons(connection, [Reason(one, now, Outcome.DECLINED, told, data) for one in ids])
    await audit.record(
        connection, actor=actor, action="alerts.decline", subject=str(alert), now=now, data={"alerts": ids}
    )
    return ids


def _check(record: AlertRecord, plan: str | None) -> None:
    """Raises NotConvertibleError unless the alert may become a ticket."""
    refused = None
    if record.ticket is not None:
        refused = f"has ticket {record.ticket} already"
    elif record.state is AlertState.PENDING:
        refused = "is pending: only what fires becomes a ticket"
    elif record.labels.get("ticket") == "never":
        refused = "is of a rule that never opens a ticket; open one for its cause"
    elif record.outcome is Outcome.SUPPRESSED:
        refused = f"is held back ({record.reason}); end that first"
    elif plan is None:
        refused = "is of no customer with a contract; give it one with: customers set-plan"
    if refused is not None:
        raise NotConvertibleError(f"alert {record.id} {refused}")
