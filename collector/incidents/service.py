"""From alerts to incidents: the contract decides, and each decision is stored with its reason.

Everything happens inside the transaction of the evaluation that changed the alerts, so that after a crash there is
neither an alert without its ticket nor a second ticket for the same incident.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.evaluation import Transition
from collector.alerting.records import AlertRecord, AlertState, Outcome
from collector.alerting.state import Change
from collector.contracts import AlertOutcome, ServiceModel
from collector.desk import shadows, tickets
from collector.desk.opening import NewTicket
from collector.incidents.decision import Decision, decide, ticket_key
from collector.incidents.plan_change import promote

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Incidents:
    """`model_of` tells a customer's service model at a time; `is_seen` whether a device's series are of now,
    and `last_heard` when it last pushed."""

    model_of: Callable[[str, datetime], ServiceModel | None]
    is_seen: Callable[[str, datetime], bool]
    last_heard: Callable[[str], datetime | None]

    async def apply(self, connection: AsyncConnection, transitions: Sequence[Transition], now: datetime) -> None:
        """What one evaluation changed, in order."""
        for transition in transitions:
            record = await records.find_open(connection, transition.rule.key, transition.fingerprint)
            for change in transition.changes:
                match change:
                    case Change.STARTED:
                        record = await self._started(connection, transition, record)
                    case Change.FIRED if record is not None:
                        await self._fired(connection, transition, record, now)
                    case Change.RESOLVED | Change.DROPPED if record is not None:
                        await self._ended(connection, record, now)
                    case _:
                        logger.error("an alert changed that was never stored: rule=%s", transition.rule.alert)

    async def sweep(self, connection: AsyncConnection, rule_keys: Sequence[str], now: datetime) -> None:
        """What changed without a change of the alerts of these rules: unknown ones whose device is seen again without
        the condition are over, and shadow tickets of customers whose plan opens tickets by now become tickets."""
        for record in await records.open_alerts(connection, rule_keys, state=AlertState.UNKNOWN):
            if record.device is None or self.is_seen(record.device, now):
                await self._resolve(connection, record, now, "seen again, and the condition is gone")
        for customer in await records.customers_with_firing_shadows(connection, rule_keys):
            model = self.model_of(customer, now)
            if model is not None and model.on_alert is AlertOutcome.TICKET:
                for shadow in await records.firing_shadows(connection, rule_keys, customer):
                    await promote(connection, shadow, model, now)

    async def retire(self, connection: AsyncConnection, gone: Sequence[AlertRecord], now: datetime) -> None:
        """Alerts whose rule is no longer loaded are over: nothing would ever resolve them."""
        for record in gone:
            await self._resolve(connection, record, now, "the rule is no longer loaded")

    async def _started(
        self, connection: AsyncConnection, transition: Transition, record: AlertRecord | None
    ) -> AlertRecord | None:
        alert, rule = transition.alert, transition.rule
        if record is not None:  # unknown so far: the same incident goes on, with its ticket
            await records.update_alert(
                connection, record.id, state=AlertState.PENDING, rule_version=rule.version, value=alert.value
            )
            return record
        await records.insert_alert(
            connection,
            {
                "rule_key": rule.key,
                "fingerprint": transition.fingerprint,
                "rule": rule.alert,
                "rule_version": rule.version,
                "labels": dict(alert.labels),
                "annotations": dict(alert.annotations),
                "state": AlertState.PENDING,
                "value": alert.value,
                "active_since": alert.active_since,
                "customer": alert.labels.get("customer"),
                "device": alert.labels.get("device_id"),
                "outcome": Outcome.NONE,
                "reason": f"pending: fires when it has held for {rule.hold_for}",
            },
        )
        return await records.find_open(connection, rule.key, transition.fingerprint)

    async def _fired(
        self, connection: AsyncConnection, transition: Transition, record: AlertRecord, now: datetime
    ) -> None:
        alert, rule = transition.alert, transition.rule
        fired = {"state": AlertState.FIRING, "value": alert.value, "annotations": dict(alert.annotations)}
        if record.fired_at is not None and record.ticket is None:
            await records.update_alert(connection, record.id, **fired)
            return
        # First, or seen again with the fault: a ticket that somebody resolved meanwhile reopens.
        customer = alert.labels.get("customer", "")
        decision = decide(rule, alert.labels, self.model_of(customer, now) if customer else None)
        made = await self._carry_out(connection, transition, decision, now)
        await records.update_alert(connection, record.id, **fired, **made, fired_at=record.fired_at or now)

    async def _carry_out(
        self, connection: AsyncConnection, transition: Transition, decision: Decision, now: datetime
    ) -> dict[str, object]:
        """Opens or joins the ticket or shadow ticket that the decision asks for. What the alert's row says of it."""
        decided: dict[str, object] = {"outcome": decision.outcome, "reason": decision.reason}
        if decision.priority is None or decision.outcome not in (Outcome.TICKET, Outcome.SHADOW):
            return decided
        alert, rule = transition.alert, transition.rule
        key = ticket_key(rule, alert.labels)
        wanted = NewTicket(
            key=str(key),
            customer=key.customer,
            site=alert.labels.get("site"),
            device=alert.labels.get("device_id"),
            incident=rule.incident,
            rule=rule.alert,
            title=alert.annotations.get("summary") or rule.alert,
            priority=decision.priority,
            began_at=alert.active_since,
        )
        if decision.outcome is Outcome.TICKET:
            return decided | {"ticket": await tickets.join_or_open(connection, wanted, now)}
        opened = await tickets.find_open(connection, wanted.key)
        if opened is None:
            shadow = await shadows.join_or_open(connection, wanted, now)
            return decided | {"ticket": None, "shadow_ticket": shadow}
        return {
            "outcome": Outcome.TICKET,
            "reason": f"joins ticket {opened.number}, open since before the plan changed; {decision.reason}",
            "ticket": await tickets.join_or_open(connection, wanted, now),
        }

    async def _ended(self, connection: AsyncConnection, record: AlertRecord, now: datetime) -> None:
        """The condition is gone, or is only no longer reported: not seen is not healthy."""
        if record.fired_at is None:
            await records.delete_alert(connection, record.id)
        elif record.device is None or self.is_seen(record.device, now):
            await self._resolve(connection, record, now, None)
        else:
            unseen = self.last_heard(record.device) or now
            await records.update_alert(connection, record.id, state=AlertState.UNKNOWN, not_seen_since=unseen)
            if record.ticket is not None:
                await tickets.note(connection, record.ticket, now, f"not seen since {unseen:%Y-%m-%d %H:%M} UTC")

    async def _resolve(self, connection: AsyncConnection, record: AlertRecord, now: datetime, why: str | None) -> None:
        """The alert is over, and with the last of its alerts the ticket that nobody touched."""
        if record.fired_at is None:
            await records.delete_alert(connection, record.id)
            return
        reason = {"reason": f"{record.reason}; {why}"} if why else {}
        await records.update_alert(connection, record.id, state=AlertState.RESOLVED, resolved_at=now, **reason)
        if record.ticket is not None and not await records.open_members(connection, ticket=record.ticket):
            await tickets.alerts_resolved(connection, record.ticket, now)
        if record.shadow_ticket is not None and not await records.open_members(connection, shadow=record.shadow_ticket):
            await shadows.resolve(connection, record.shadow_ticket, now)
