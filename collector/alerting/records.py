"""Alerts in the database: one open row per rule and label set, from pending until it is resolved.

Every function works inside the caller's transaction.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, Literal, TypeVar

from sqlalchemy import (
    ColumnElement,
    Select,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting.external_keys import KEY_PREFIX
from collector.db.tables import alerts, evaluations

ROWS_AT_ONCE = 200  # written with one call: their values are made ready on the event loop, and pushes come first
AT_ONCE = 500  # values in one statement's list; SQLite and PostgreSQL take many more

AlertMark = tuple[str, str]  # a rule's key and the fingerprint of a label set
EntryColumn = Literal["ticket", "shadow_ticket"]  # where an alert says what it belongs to
T = TypeVar("T")


class AlertState(StrEnum):
    PENDING = "pending"
    FIRING = "firing"
    UNKNOWN = "unknown"  # the condition is no longer reported, but neither is the device seen
    RESOLVED = "resolved"


class Outcome(StrEnum):
    """What the contract and the layers before it made of an alert."""

    TICKET = "ticket"
    SHADOW = "shadow"
    ASKED = "asked"  # a technician is to decide
    DECLINED = "declined"  # a technician decided: no ticket
    SUPPRESSED = "suppressed"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """An open row of `alerts`."""

    id: int
    rule_key: str
    fingerprint: str
    rule: str
    rule_version: str
    labels: Mapping[str, str]  # `alertname` among them
    annotations: Mapping[str, str]
    state: AlertState
    value: float | None
    active_since: datetime
    fired_at: datetime | None
    clear_since: datetime | None  # since when it is kept firing although the condition is gone
    outcome: Outcome
    reason: str
    ticket: int | None
    shadow_ticket: int | None
    ticket_key: str | None  # what its own ticket would cover; `ticket` may be a storm's

    @property
    def device(self) -> str | None:
        return self.labels.get("device_id")


_RECORD = tuple(alerts.c[name] for name in AlertRecord.__annotations__)
_OPEN = select(*_RECORD).where(alerts.c.resolved_at.is_(None)).order_by(alerts.c.id)
_FIND_OPEN = _OPEN.where(
    alerts.c.rule_key == bindparam("of_rule"), alerts.c.fingerprint.in_(bindparam("of_labels", expanding=True))
)
_ADD_ALERTS = insert(alerts).returning(alerts.c.rule_key, alerts.c.fingerprint, alerts.c.id)


async def open_alerts(
    connection: AsyncConnection,
    rule_keys: Sequence[str] | None = None,
    *,
    state: AlertState | None = None,
    outcomes: Collection[Outcome] | None = None,
    customers: Collection[str] | None = None,
) -> list[AlertRecord]:
    """The alerts that are not resolved, of all rules or of `rule_keys`, oldest first."""
    wanted = {"rule_key": rule_keys, "outcome": outcomes, "customer": customers}
    named = {name: list(values) for name, values in wanted.items() if values is not None}
    if state is not None:
        named["state"] = [state]
    return await _read(connection, _open_of(*named), named)


@cache
def _open_of(*columns: str) -> Select[Any]:
    """Open alerts by the values of some columns, each a parameter of the column's name: a list."""
    return _OPEN.where(*(alerts.c[name].in_(bindparam(name, expanding=True)) for name in columns))


async def get_open(connection: AsyncConnection, alert: int) -> AlertRecord | None:
    """The alert of this id, if it is not resolved."""
    return next(iter(await _open_records(connection, alerts.c.id == alert)), None)


async def unplaced(connection: AsyncConnection, ticket_key: str) -> list[AlertRecord]:
    """The firing alerts that one ticket would cover, and that neither have one nor are held back, oldest first."""
    without = alerts.c.outcome.in_((Outcome.NONE, Outcome.ASKED, Outcome.DECLINED))
    nowhere = (alerts.c.ticket.is_(None), alerts.c.shadow_ticket.is_(None), without)
    fires = (alerts.c.ticket_key == ticket_key, alerts.c.state == AlertState.FIRING)
    return await _open_records(connection, *fires, *nowhere)


async def count_open(connection: AsyncConnection) -> dict[tuple[str, str], int]:
    """How many alerts are not resolved, by rule key and state."""
    query = (
        select(alerts.c.rule_key, alerts.c.state, func.count())
        .where(alerts.c.resolved_at.is_(None))
        .group_by(alerts.c.rule_key, alerts.c.state)
    )
    return {(key, state): count for key, state, count in (await connection.execute(query)).all()}


async def open_external(connection: AsyncConnection) -> list[tuple[str, str]]:
    """The rule keys and names of the alerts of an external ruler that are not resolved."""
    return [(key, rule) for key, rule in await connection.execute(_OPEN_EXTERNAL)]


_OPEN_EXTERNAL = (
    select(alerts.c.rule_key, alerts.c.rule)
    .where(
        alerts.c.resolved_at.is_(None),
        alerts.c.rule_key > KEY_PREFIX,
        alerts.c.rule_key < KEY_PREFIX + "g",  # hex digits follow
    )
    .distinct()
)


async def find_open(connection: AsyncConnection, marks: Collection[AlertMark]) -> dict[AlertMark, AlertRecord]:
    """The open rows of some rules' label sets."""
    found: dict[AlertMark, AlertRecord] = {}
    by_rule: dict[str, list[str]] = {}
    for rule_key, fingerprint in marks:
        by_rule.setdefault(rule_key, []).append(fingerprint)
    for rule_key, fingerprints in by_rule.items():
        for chunk in _chunks(fingerprints):
            known = await _read(connection, _FIND_OPEN, {"of_rule": rule_key, "of_labels": chunk})
            found |= {(one.rule_key, one.fingerprint): one for one in known}
    return found


async def insert_alerts(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> dict[AlertMark, AlertRecord]:
    """Adds rows; what is open of them, as records."""
    numbers: dict[AlertMark, int] = {}
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = [dict(row) for row in rows[start : start + ROWS_AT_ONCE]]
        for rule_key, fingerprint, number in await connection.execute(_ADD_ALERTS, some):
            numbers[rule_key, fingerprint] = number
    found: dict[AlertMark, AlertRecord] = {}
    for row in rows:
        mark = row["rule_key"], row["fingerprint"]
        if row.get("resolved_at") is None:
            values: dict[str, Any] = {name: row.get(name) for name in AlertRecord.__annotations__}
            found[mark] = AlertRecord(**values | {"id": numbers[mark]})
    return found


async def update_alerts(connection: AsyncConnection, rows: Mapping[int, Mapping[str, object]]) -> None:
    """Changes rows, by id: the same columns of all that have the same names of columns."""
    alike: dict[tuple[str, ...], list[dict[str, object]]] = {}
    for alert_id, values in rows.items():
        alike.setdefault(tuple(sorted(values)), []).append({"alert_id": alert_id, **values})
    for columns, values_of in alike.items():
        statement = _change_of(columns)
        for start in range(0, len(values_of), ROWS_AT_ONCE):
            await connection.execute(statement, values_of[start : start + ROWS_AT_ONCE])


@cache  # of the few sets of columns that change together
def _change_of(columns: tuple[str, ...]) -> Update:
    change = update(alerts).where(alerts.c.id == bindparam("alert_id"))
    return change.values({name: bindparam(name) for name in columns})


def has_outcome(outcome: Outcome) -> ColumnElement[bool]:
    """Written out, so that a database can tell that an index of those that are asked holds all that is wanted."""
    return alerts.c.outcome == literal(outcome.value, literal_execute=True)


async def change_outcome(
    connection: AsyncConnection, alert_ids: Collection[int], was: Outcome, outcome: Outcome, reason: str
) -> list[int]:
    """Of alerts whose outcome is still `was`; returns which those were."""
    still = (alerts.c.id.in_(alert_ids), alerts.c.outcome == was)
    changed = update(alerts).where(*still).values(outcome=outcome, reason=reason).returning(alerts.c.id)
    return sorted(await connection.scalars(changed))


async def save_clear_since(connection: AsyncConnection, changes: Mapping[AlertMark, datetime | None]) -> None:
    """Since when open alerts are kept firing although their condition is gone; None: it holds, or they end."""
    if not changes:
        return
    of_mark = and_(alerts.c.rule_key == bindparam("of_rule"), alerts.c.fingerprint == bindparam("of_labels"))
    change = update(alerts).where(of_mark, alerts.c.resolved_at.is_(None)).values(clear_since=bindparam("since"))
    rows = [{"of_rule": rule, "of_labels": mark, "since": since} for (rule, mark), since in changes.items()]
    await connection.execute(change, rows)


async def delete_alerts(connection: AsyncConnection, alert_ids: Sequence[int]) -> None:
    """For those that never fired."""
    for chunk in _chunks(alert_ids):
        await connection.execute(delete(alerts).where(alerts.c.id.in_(chunk)))


async def open_members(
    connection: AsyncConnection, *, ticket: int | None = None, shadow: int | None = None
) -> list[AlertRecord]:
    """The alerts of a ticket, or of a shadow ticket, that are not resolved, oldest first."""
    belongs = _belongs(ticket, shadow)
    return await _open_records(connection, belongs)


async def with_open_members(connection: AsyncConnection, column: EntryColumn, numbers: Collection[int]) -> set[int]:
    """Those of some tickets, or shadow tickets, of which an alert is not resolved."""
    found: set[int] = set()
    entry = alerts.c[column]
    for chunk in _chunks(sorted(numbers)):
        open_ones = select(entry).where(entry.in_(chunk), alerts.c.resolved_at.is_(None)).distinct()
        found.update(await connection.scalars(open_ones))
    return found


async def lock_open_members(connection: AsyncConnection, ticket: int) -> None:
    """Nobody else changes them until the end of the transaction, where rows can be locked."""
    is_open = (alerts.c.ticket == ticket, alerts.c.resolved_at.is_(None))
    await connection.execute(select(alerts.c.id).where(*is_open).order_by(alerts.c.id).with_for_update())


async def changes_since(
    connection: AsyncConnection, column: EntryColumn, numbers: Collection[int], since: datetime
) -> dict[int, dict[str, int]]:
    """How often the incidents of some tickets, or shadow tickets, began or ended after a time, by ticket key: as often
    as that of its alerts which did most. Several that end one after the other, each once, do not come and go."""
    entry = alerts.c[column]
    began, ended = (case((changed_at > since, 1), else_=0) for changed_at in (alerts.c.fired_at, alerts.c.resolved_at))
    found: dict[int, dict[str, int]] = {}
    for chunk in _chunks(sorted(numbers)):
        rows = await connection.execute(
            select(entry, alerts.c.ticket_key, func.sum(began + ended))
            .where(
                entry.in_(chunk),
                or_(alerts.c.fired_at > since, alerts.c.resolved_at > since),
                alerts.c.ticket_key.is_not(None),
            )
            .group_by(entry, alerts.c.ticket_key, alerts.c.rule_key, alerts.c.fingerprint)
        )
        for number, key, count in rows:
            of_ticket = found.setdefault(number, {})
            of_ticket[key] = max(int(count), of_ticket.get(key, 0))
    return found


async def last_placed_at(
    connection: AsyncConnection, column: EntryColumn, numbers: Collection[int]
) -> dict[int, datetime]:
    """When some tickets, or shadow tickets, last took an alert in as their own."""
    found: dict[int, datetime] = {}
    entry = alerts.c[column]
    for chunk in _chunks(sorted(numbers)):
        newest = select(entry, func.max(alerts.c.placed_at)).where(entry.in_(chunk), alerts.c.placed_at.is_not(None))
        found |= {row[0]: row[1] for row in await connection.execute(newest.group_by(entry))}
    return found


async def last_resolved_at(
    connection: AsyncConnection, *, ticket: int | None = None, shadow: int | None = None
) -> datetime | None:
    """When the last alert of a ticket, or of a shadow ticket, was over; None while one is open."""
    rows = await connection.execute(
        select(alerts.c.resolved_at)
        .where(_belongs(ticket, shadow))
        .order_by(alerts.c.resolved_at.is_not(None), alerts.c.resolved_at.desc())
        .limit(1)
    )
    return rows.scalar_one_or_none()


async def of_devices_since(
    connection: AsyncConnection, rule_key: str, devices: Collection[str], since: datetime
) -> list[tuple[AlertRecord, datetime | None]]:
    """A rule's alerts of some devices that are open or were resolved after a time, with that time."""
    query = (
        select(*_RECORD, alerts.c.resolved_at)
        .where(
            alerts.c.rule_key == rule_key,
            alerts.c.device.in_(devices),
            alerts.c.resolved_at.is_(None) | (alerts.c.resolved_at > since),
        )
        .order_by(alerts.c.id)
    )
    return [(_to_record(row[:-1]), row[-1]) for row in await connection.execute(query)]


async def customers_with_firing_shadows(connection: AsyncConnection, rule_keys: Sequence[str]) -> list[str]:
    """Whose alerts fire by these rules without a ticket, since their plan opened none."""
    return list(await connection.scalars(_WITH_FIRING_SHADOWS, {"rule_keys": list(rule_keys)}))


async def firing_shadows(connection: AsyncConnection, rule_keys: Sequence[str], customer: str) -> list[int]:
    """A customer's shadow tickets with an alert that fires by these rules, oldest first."""
    query = select(alerts.c.shadow_ticket).where(_IS_FIRING_SHADOW, alerts.c.customer == customer).distinct()
    return list(await connection.scalars(query.order_by(alerts.c.shadow_ticket), {"rule_keys": list(rule_keys)}))


_IS_FIRING_SHADOW = and_(
    alerts.c.resolved_at.is_(None),
    alerts.c.state == AlertState.FIRING,
    alerts.c.outcome == Outcome.SHADOW,
    alerts.c.shadow_ticket.is_not(None),
    alerts.c.rule_key.in_(bindparam("rule_keys", expanding=True)),
)
_WITH_FIRING_SHADOWS = (
    select(alerts.c.customer)
    .where(_IS_FIRING_SHADOW, alerts.c.customer.is_not(None))
    .distinct()
    .order_by(alerts.c.customer)
)


async def evaluated_until(connection: AsyncConnection) -> dict[str, datetime]:
    """By group key, the last instant whose evaluation was stored."""
    rows = (await connection.execute(select(evaluations.c.group_key, evaluations.c.evaluated_until))).all()
    return {row.group_key: row.evaluated_until for row in rows}


async def save_evaluated_until(connection: AsyncConnection, group_key: str, at: datetime) -> None:
    changed = await connection.execute(_REACHED, {"of_group": group_key, "evaluated_until": at})
    if changed.rowcount == 0:
        await connection.execute(insert(evaluations).values(group_key=group_key, evaluated_until=at))


_REACHED = update(evaluations).where(evaluations.c.group_key == bindparam("of_group"))


async def list_alerts(
    connection: AsyncConnection,
    *,
    resolved_since: datetime | None,
    ticket: int | None = None,
    wanted: Sequence[ColumnElement[bool]] = (),
    limit: int | None = None,
) -> list[dict[str, object]]:
    """Alerts for people and programs, newest first: the open ones, and those resolved since `resolved_since` (None:
    all of them); of one ticket or of all, those that `wanted` holds for, `limit` at most. The first nine keys are what
    programs rely on."""
    page = select(alerts.c.id).where(*wanted).order_by(alerts.c.id.desc()).limit(limit)
    if resolved_since is not None:
        page = page.where(alerts.c.resolved_at.is_(None) | (alerts.c.resolved_at >= resolved_since))
    if ticket is not None:
        page = page.where(alerts.c.ticket == ticket)
    # An index holds what is looked at, and is read alone until the page is full.
    query = _LISTED.where(alerts.c.id.in_(page.correlate(None)))
    return [_told(dict(row._mapping)) for row in await connection.execute(query)]


_LISTED = select(
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


def _belongs(ticket: int | None, shadow: int | None) -> ColumnElement[bool]:
    return alerts.c.ticket == ticket if ticket is not None else alerts.c.shadow_ticket == shadow


async def _open_records(connection: AsyncConnection, *wanted: ColumnElement[bool]) -> list[AlertRecord]:
    return await _read(connection, _OPEN.where(*wanted))


async def _read(
    connection: AsyncConnection, query: Select[Any], params: Mapping[str, object] | None = None
) -> list[AlertRecord]:
    found: list[AlertRecord] = []
    async with connection.stream(query, params) as rows:
        async for some in rows.partitions(AT_ONCE):  # thousands after a storm: the event loop has its turns between
            found += map(_to_record, some)
    return found


def _to_record(row: Sequence[Any]) -> AlertRecord:
    values = dict(zip(AlertRecord.__annotations__, row, strict=True))
    return AlertRecord(**values | {"state": AlertState(values["state"]), "outcome": Outcome(values["outcome"])})


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def _told(row: dict[str, object]) -> dict[str, object]:
    """A listed alert; why it is unknown comes first in its reason."""
    unseen = row["not_seen_since"]
    if row["state"] != AlertState.UNKNOWN or not isinstance(unseen, datetime):
        return row
    return {**row, "reason": f"not seen since {unseen:%Y-%m-%d %H:%M} UTC, so not known to be over; {row['reason']}"}
