"""Alerts in the database: one open row per rule and label set, from pending until it is resolved.

Every function works inside the caller's transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import alerts, evaluations


class AlertState(StrEnum):
    PENDING = "pending"
    FIRING = "firing"
    UNKNOWN = "unknown"  # the condition is no longer reported, but neither is the device seen
    RESOLVED = "resolved"


class Outcome(StrEnum):
    """What the contract and the layers before it made of an alert."""

    TICKET = "ticket"
    SHADOW = "shadow"
    SUPPRESSED = "suppressed"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """An open row of `alerts`."""

    id: int
    rule_key: str
    fingerprint: str
    rule: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    state: AlertState
    value: float | None
    active_since: datetime
    fired_at: datetime | None
    reason: str
    ticket: int | None
    shadow_ticket: int | None

    @property
    def device(self) -> str | None:
        return self.labels.get("device_id")


_RECORD = (
    alerts.c.id,
    alerts.c.rule_key,
    alerts.c.fingerprint,
    alerts.c.rule,
    alerts.c.labels,
    alerts.c.annotations,
    alerts.c.state,
    alerts.c.value,
    alerts.c.active_since,
    alerts.c.fired_at,
    alerts.c.reason,
    alerts.c.ticket,
    alerts.c.shadow_ticket,
)


async def open_alerts(
    connection: AsyncConnection, rule_keys: Sequence[str] | None = None, *, state: AlertState | None = None
) -> list[AlertRecord]:
    """The alerts that are not resolved, of all rules or of `rule_keys`, oldest first."""
    wanted: list[ColumnElement[bool]] = []
    if rule_keys is not None:
        wanted.append(alerts.c.rule_key.in_(rule_keys))
    if state is not None:
        wanted.append(alerts.c.state == state)
    return await _open_records(connection, *wanted)


async def find_open(connection: AsyncConnection, rule_key: str, fingerprint: str) -> AlertRecord | None:
    found = await _open_records(connection, alerts.c.rule_key == rule_key, alerts.c.fingerprint == fingerprint)
    return next(iter(found), None)


async def insert_alert(connection: AsyncConnection, values: Mapping[str, object]) -> int:
    """Adds an open row; its id."""
    result = await connection.execute(insert(alerts).values(**values).returning(alerts.c.id))
    return int(result.scalar_one())


async def update_alert(connection: AsyncConnection, alert_id: int, **values: object) -> None:
    await connection.execute(update(alerts).where(alerts.c.id == alert_id).values(**values))


async def delete_alert(connection: AsyncConnection, alert_id: int) -> None:
    await connection.execute(delete(alerts).where(alerts.c.id == alert_id))


async def open_members(
    connection: AsyncConnection, *, ticket: int | None = None, shadow: int | None = None
) -> list[AlertRecord]:
    """The alerts of a ticket, or of a shadow ticket, that are not resolved, oldest first."""
    column, value = (alerts.c.ticket, ticket) if ticket is not None else (alerts.c.shadow_ticket, shadow)
    return await _open_records(connection, column == value)


async def customers_with_firing_shadows(connection: AsyncConnection, rule_keys: Sequence[str]) -> list[str]:
    """Whose alerts fire by these rules without a ticket, since their plan opened none."""
    query = select(alerts.c.customer).where(_is_firing_shadow(rule_keys), alerts.c.customer.is_not(None)).distinct()
    return list(await connection.scalars(query.order_by(alerts.c.customer)))


async def firing_shadows(connection: AsyncConnection, rule_keys: Sequence[str], customer: str) -> list[int]:
    """A customer's shadow tickets with an alert that fires by these rules, oldest first."""
    query = select(alerts.c.shadow_ticket).where(_is_firing_shadow(rule_keys), alerts.c.customer == customer).distinct()
    return list(await connection.scalars(query.order_by(alerts.c.shadow_ticket)))


def _is_firing_shadow(rule_keys: Sequence[str]) -> ColumnElement[bool]:
    is_shadow = and_(alerts.c.outcome == Outcome.SHADOW, alerts.c.shadow_ticket.is_not(None))
    return and_(alerts.c.state == AlertState.FIRING, is_shadow, alerts.c.rule_key.in_(rule_keys))


async def evaluated_until(connection: AsyncConnection) -> dict[str, datetime]:
    """By group key, the last instant whose evaluation was stored."""
    rows = (await connection.execute(select(evaluations.c.group_key, evaluations.c.evaluated_until))).all()
    return {row.group_key: row.evaluated_until for row in rows}


async def save_evaluated_until(connection: AsyncConnection, group_key: str, at: datetime) -> None:
    changed = await connection.execute(
        update(evaluations).where(evaluations.c.group_key == group_key).values(evaluated_until=at)
    )
    if changed.rowcount == 0:
        await connection.execute(insert(evaluations).values(group_key=group_key, evaluated_until=at))


async def list_alerts(connection: AsyncConnection, *, resolved_since: datetime | None) -> list[dict[str, object]]:
    """Alerts for people and programs, newest first: the open ones, and those resolved since `resolved_since` (None:
    all of them). The first nine keys are what programs rely on."""
    query = select(
        alerts.c.id,
        alerts.c.rule,
        alerts.c.labels,
        alerts.c.state,
        alerts.c.active_since,
        alerts.c.resolved_at,
        alerts.c.outcome,
        alerts.c.ticket,
        alerts.c.reason,
        alerts.c.customer,
        alerts.c.device,
        alerts.c.value,
        alerts.c.fired_at,
        alerts.c.not_seen_since,
        alerts.c.shadow_ticket,
        alerts.c.annotations,
        alerts.c.rule_version,
    ).order_by(alerts.c.id.desc())
    if resolved_since is not None:
        query = query.where(alerts.c.resolved_at.is_(None) | (alerts.c.resolved_at >= resolved_since))
    return [_told(dict(row._mapping)) for row in await connection.execute(query)]


async def _open_records(connection: AsyncConnection, *wanted: ColumnElement[bool]) -> list[AlertRecord]:
    query = select(*_RECORD).where(alerts.c.resolved_at.is_(None), *wanted).order_by(alerts.c.id)
    rows = (await connection.execute(query)).all()
    return [AlertRecord(**{**row._mapping, "state": AlertState(row.state)}) for row in rows]


def _told(row: dict[str, object]) -> dict[str, object]:
    """A listed alert; why it is unknown comes first in its reason."""
    unseen = row["not_seen_since"]
    if row["state"] != AlertState.UNKNOWN or not isinstance(unseen, datetime):
        return row
    return {**row, "reason": f"not seen since {unseen:%Y-%m-%d %H:%M} UTC, so not known to be over; {row['reason']}"}
