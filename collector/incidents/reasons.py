"""The record of every decision about an alert, and its telling in plain words: why there is a ticket, or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting.records import ROWS_AT_ONCE, AlertState, Outcome
from collector.db.tables import alerts, decisions
from protocol.errors import PermanentError


class NoSuchAlertError(PermanentError):
    """There is no alert of this number."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A row of `decisions`."""

    alert: int
    at: datetime
    outcome: Outcome
    reason: str
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Why:
    """An alert and everything that was decided about it, oldest first."""

    alert: Mapping[str, object]
    reasons: Sequence[Reason]

    def told(self) -> list[str]:
        """In plain words, a line for each step."""
        alert = self.alert
        where = ", ".join(str(alert[key]) for key in ("device", "customer") if alert[key])
        lines = [f"alert {alert['id']}: {alert['rule']}{f' on {where}' if where else ''} is {alert['state']}"]
        lines.append(f"{_time(alert['active_since'])}  the condition began to hold")
        lines += [f"{_time(one.at)}  {_sentence(one)}" for one in self.reasons]
        if alert["state"] == AlertState.PENDING:
            lines.append(f"now  {alert['reason']}")
        return lines


async def record_reasons(connection: AsyncConnection, reasons: Sequence[Reason]) -> None:
    for start in range(0, len(reasons), ROWS_AT_ONCE):
        rows = [
            {"alert": one.alert, "at": one.at, "outcome": one.outcome, "reason": one.reason, "data": dict(one.data)}
            for one in reasons[start : start + ROWS_AT_ONCE]
        ]
        await connection.execute(insert(decisions), rows)


async def why(connection: AsyncConnection, alert: int) -> Why:
    """Raises NoSuchAlertError."""
    columns = ("id", "rule", "labels", "state", "value", "active_since", "fired_at", "resolved_at", "customer")
    more = ("device", "outcome", "reason", "ticket", "shadow_ticket", "rule_version")
    query = select(*(alerts.c[name] for name in (*columns, *more))).where(alerts.c.id == alert)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NoSuchAlertError(f"there is no alert {alert}; see: alerts list --all")
    found = await connection.execute(
        select(decisions.c.alert, decisions.c.at, decisions.c.outcome, decisions.c.reason, decisions.c.data)
        .where(decisions.c.alert == alert)
        .order_by(decisions.c.id)
    )
    return Why(dict(row._mapping), [Reason(one.alert, one.at, Outcome(one.outcome), *one[3:]) for one in found])


def _sentence(one: Reason) -> str:
    told = [one.reason]
    value, thresholds = one.data.get("value"), one.data.get("thresholds")
    if isinstance(value, float):
        told.append(f"value {value:g}")
    if isinstance(thresholds, list):
        told += [f"threshold {each['name']} is {each['value']:g} ({each['set_by']})" for each in thresholds]
    if "rule_version" in one.data:
        told.append(f"rule version {one.data['rule_version']}")
    return "; ".join(told)


def _time(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if isinstance(at, datetime) else str(at)
