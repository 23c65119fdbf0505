"""Thresholds that somebody set for a plan, customer, site or device, from when to when and perhaps only during some
hours of the week. The defaults are no rows."""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import ServiceModels, WeekHours, model_named
from collector.db import audit
from collector.db.revisions import Topic, bump
from collector.db.tables import thresholds
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.layers import Layer, check_subject, is_set_within

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Threshold:
    """`subject` is the plan's name, acme, acme/hq or a device's id; `valid_to` None: until further notice.

    `hours` None: at all times, else by the clock on each site's wall."""

    name: str
    layer: Layer
    subject: str
    value: float
    valid_from: datetime
    valid_to: datetime | None
    set_by: str
    hours: WeekHours | None = None
    id: int = 0  # of its row


async def set_threshold(
    connection: AsyncConnection,
    models: ServiceModels,
    *,
    name: str,
    layer: Layer,
    subject: str,
    value: float,
    hours: WeekHours | None = None,
    actor: str,
    now: datetime,
) -> Threshold:
    """The value from now on, at all times or during `hours`; the one before stays on record.

    Raises FleetError, also if other hours that are set here overlap; NotFoundError or UnknownPlanError."""
    if not _NAME.fullmatch(name):
        raise FleetError(f"a threshold is named like filesystem_full, not {name!r}")
    if not math.isfinite(value):
        raise FleetError("a threshold is a finite number")
    if layer is Layer.PLAN:
        model_named(models, subject)
    await check_subject(connection, layer, subject)
    if hours is not None:
        for other in await _hours_set(connection, name, layer, subject):
            if other != hours and other.overlap(hours):
                raise FleetError(
                    f"{name} has a value for {other} at {layer} {subject}, which overlaps with {hours}: unset that one "
                    "first, or name other hours"
                )
    await connection.execute(update(thresholds).where(_holds(name, layer, subject, hours)).values(valid_to=now))
    row = {"name": name, "layer": layer, "subject": subject, "value": value, "hours": _written(hours)}
    row |= {"valid_from": now, "set_by": actor[:200]}
    added = await connection.execute(insert(thresholds).values(row).returning(thresholds.c.id))
    data = {"layer": layer, "subject": subject, "value": value} | _told(hours)
    await audit.record(connection, actor=actor, action="thresholds.set", subject=name, now=now, data=data)
    await bump(connection, Topic.THRESHOLDS)
    return Threshold(name, layer, subject, value, now, None, actor[:200], hours, int(added.scalar_one()))


async def unset_threshold(
    connection: AsyncConnection,
    *,
    name: str,
    layer: Layer,
    subject: str,
    hours: WeekHours | None = None,
    actor: str,
    now: datetime,
) -> None:
    """From now on what counts otherwise counts again: the value for all times, or the next wider layer.

    Raises NotFoundError if none is set here for these hours, or without hours for all times."""
    ended = await connection.execute(update(thresholds).where(_holds(name, layer, subject, hours)).values(valid_to=now))
    if ended.rowcount == 0:
        others = await _hours_set(connection, name, layer, subject)
        hint = f"it is set for the hours {'; '.join(map(str, others))}" if others else "see: thresholds list"
        when = "all times" if hours is None else f"the hours {hours}"
        raise NotFoundError(f"no threshold {name} is set for {layer} {subject} and {when}; {hint}")
    data = {"layer": layer, "subject": subject} | _told(hours)
    await audit.record(connection, actor=actor, action="thresholds.unset", subject=name, now=now, data=data)
    await bump(connection, Topic.THRESHOLDS)


async def list_thresholds(
    connection: AsyncConnection, since: datetime | None = None, *, name: str | None = None
) -> list[Threshold]:
    """Every threshold, those of a name, or those that held at some time after `since`; in the order in which they were
    set."""
    query = _THRESHOLDS.order_by(thresholds.c.id)
    if name is not None:
        query = query.where(thresholds.c.name == name)
    if since is not None:
        query = query.where(or_(thresholds.c.valid_to.is_(None), thresholds.c.valid_to > since))
    rows = await connection.execute(query)
    return [_to_threshold(row) for row in rows]


async def thresholds_before(
    connection: AsyncConnection,
    before: int | None,
    limit: int,
    *,
    since: datetime | None = None,
    name: str | None = None,
    within: tuple[str, str | None] | None = None,
) -> list[Threshold]:
    """`limit` at most, newest first: those with an id below `before`; `since`: that held at some time after it;
    `within`: only those of a customer, or of one of its sites, and of the devices that are there."""
    query = _THRESHOLDS.order_by(thresholds.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(thresholds.c.id < before)
    if since is not None:
        query = query.where(or_(thresholds.c.valid_to.is_(None), thresholds.c.valid_to > since))
    if name is not None:
        query = query.where(thresholds.c.name == name)
    if within is not None:
        query = query.where(is_set_within(thresholds.c.layer, thresholds.c.subject, *within))
    return [_to_threshold(row) for row in await connection.execute(query)]


async def get_threshold(connection: AsyncConnection, threshold: int) -> Threshold | None:
    """By the id of its row."""
    row = (await connection.execute(_THRESHOLDS.where(thresholds.c.id == threshold))).one_or_none()
    return None if row is None else _to_threshold(row)


_THRESHOLDS = select(*(thresholds.c[name] for name in Threshold.__annotations__))


def _to_threshold(row: Row[Any]) -> Threshold:
    return Threshold(**{**row._mapping, "layer": Layer(row.layer), "hours": _parsed(row.hours)})


async def _hours_set(connection: AsyncConnection, name: str, layer: Layer, subject: str) -> list[WeekHours]:
    of_subject = _of_subject(name, layer, subject)
    found = await connection.scalars(select(thresholds.c.hours).where(of_subject, thresholds.c.hours.is_not(None)))
    return [WeekHours.parse(hours) for hours in found]


def _parsed(hours: str | None) -> WeekHours | None:
    return None if hours is None else WeekHours.parse(hours)


def _written(hours: WeekHours | None) -> str | None:
    return None if hours is None else str(hours)


def _told(hours: WeekHours | None) -> dict[str, object]:
    """For the audit."""
    return {} if hours is None else {"hours": str(hours)}


def _holds(name: str, layer: Layer, subject: str, hours: WeekHours | None) -> ColumnElement[bool]:
    same = thresholds.c.hours.is_(None) if hours is None else thresholds.c.hours == str(hours)
    return and_(_of_subject(name, layer, subject), same)


def _of_subject(name: str, layer: Layer, subject: str) -> ColumnElement[bool]:
    return and_(
        thresholds.c.name == name,
        thresholds.c.layer == layer,
        thresholds.c.subject == subject,
        thresholds.c.valid_to.is_(None),
    )
