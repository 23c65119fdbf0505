"""What must hold of alerts and tickets at every moment, whatever happened: looked up in the database alone."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting.records import AlertState, Outcome
from collector.contracts import AlertOutcome, load_service_models
from collector.db.tables import alerts, shadow_tickets, tickets
from collector.fleet.contracts import plan_at
from collector.fleet.tags import load_tags
from collector.incidents.silences import silences_in_force
from collector.incidents.windows import list_windows

MODELS = load_service_models()


@dataclass(slots=True)
class Invariants:
    """Looks after each evaluation; remembers since when an open ticket has had no alert behind it."""

    interval: timedelta
    damping: timedelta  # how long a ticket whose fault comes and goes may stay open
    _idle_since: dict[int, datetime] = field(default_factory=dict)

    async def broken(self, connection: AsyncConnection, now: datetime) -> list[str]:
        """What does not hold now."""
        return [
            *await self._one_open_ticket_per_key(connection),
            *await self._every_firing_alert_has_its_place(connection, now),
            *await self._no_ticket_outlives_its_alerts(connection, now),
        ]

    async def _one_open_ticket_per_key(self, connection: AsyncConnection) -> list[str]:
        problems = []
        for table in (tickets, shadow_tickets):
            open_keys = await connection.scalars(select(table.c.key).where(table.c.resolved_at.is_(None)))
            problems += [
                f"{count} open {table.name} for {key}" for key, count in Counter(open_keys).items() if count > 1
            ]
        return problems

    async def _every_firing_alert_has_its_place(self, connection: AsyncConnection, now: datetime) -> list[str]:
        query = select(
            alerts.c.id,
            alerts.c.rule,
            alerts.c.labels,
            alerts.c.customer,
            alerts.c.outcome,
            alerts.c.ticket,
            alerts.c.shadow_ticket,
            alerts.c.reason,
        ).where(alerts.c.state == AlertState.FIRING)
        open_tickets = set(await connection.scalars(select(tickets.c.number).where(tickets.c.resolved_at.is_(None))))
        at_rest = set(
            await connection.scalars(
                select(tickets.c.number).where(tickets.c.resolved_at.is_not(None), tickets.c.touched)
            )
        )
        open_shadows = set(
            await connection.scalars(select(shadow_tickets.c.id).where(shadow_tickets.c.resolved_at.is_(None)))
        )
        silences = await silences_in_force(connection, now)
        windows = [one for one in await list_windows(connection, open_after=now) if one.open_at(now)]
        tags = await load_tags(connection)
        problems = []
        for alert in await connection.execute(query):
            where = f"{alert.rule} of {alert.labels.get('device_id')} fires"
            if alert.outcome == Outcome.SUPPRESSED:
                labels = {**alert.labels, "alertname": alert.rule}
                of_device = tags.get(alert.labels.get("device_id", ""), frozenset())
                held = any(one.covers(labels, now) for one in silences) or any(
                    one.scope.covers(labels, of_device) for one in windows
                )
                if not held:
                    problems.append(f"{where}, held back by nothing that holds: {alert.reason}")
                continue
            plan = await plan_at(connection, alert.customer, now)
            opens = plan is not None and MODELS[plan].on_alert is AlertOutcome.TICKET
            problems += [
                f"{where}, {why}"
                for why in _misplaced(dict(alert._mapping), opens, open_tickets | at_rest, open_shadows)
            ]
        return problems

    async def _no_ticket_outlives_its_alerts(self, connection: AsyncConnection, now: datetime) -> list[str]:
        open_ones = await connection.execute(
            select(tickets.c.number, tickets.c.key, tickets.c.parent).where(
                tickets.c.resolved_at.is_(None), tickets.c.touched.is_(False)
            )
        )
        untouched = {row.number: row for row in open_ones}
        parents = set(
            await connection.scalars(
                select(tickets.c.parent).where(tickets.c.resolved_at.is_(None), tickets.c.parent.is_not(None))
            )
        )
        behind = set(await connection.scalars(select(alerts.c.ticket).where(alerts.c.resolved_at.is_(None))))
        idle = {number for number in untouched if number not in behind and number not in parents}
        self._idle_since = {number: self._idle_since.get(number, now) for number in idle}
        return [
            f"ticket {number} ({untouched[number].key}) is open with nothing behind it since {since:%H:%M}"
            for number, since in self._idle_since.items()
            if now - since > self.damping + 2 * self.interval
        ]


def _misplaced(
    alert: Mapping[str, object], opens_tickets: bool, fine_tickets: Collection[object], open_shadows: Collection[object]
) -> list[str]:
    """Where a firing alert that nothing holds back has not its one place."""
    ticket, shadow = alert["ticket"], alert["shadow_ticket"]
    if ticket is not None and shadow is not None:
        return [f"has both ticket {ticket} and shadow {shadow}"]
    if ticket is not None:
        return [] if ticket in fine_tickets else [f"its ticket {ticket} was resolved, and by nobody"]
    if opens_tickets:
        return [f"has no ticket: {alert['outcome']}, {alert['reason']}"]
    return [] if shadow in open_shadows else [f"has neither ticket nor open shadow: {alert['reason']}"]
