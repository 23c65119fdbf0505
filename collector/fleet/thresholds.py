"""Thresholds that somebody set for a plan, customer, site or device, from when to when. The defaults are no rows."""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import ServiceModels, model_named
from collector.db import audit
from collector.db.revisions import Topic, bump
from collector.db.tables import thresholds
from collector.fleet.customers import get_customer, get_site
from collector.fleet.devices import get_device
from collector.fleet.errors import FleetError, NotFoundError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Layer(StrEnum):
    """What a threshold is set for; a later one here wins over an earlier."""

    PLAN = "plan"
    CUSTOMER = "customer"
    SITE = "site"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Threshold:
    """`subject` is the plan's name, acme, acme/hq or a device's id; `valid_to` None: until further notice."""

    name: str
    layer: Layer
    subject: str
    value: float
    valid_from: datetime
    valid_to: datetime | None
    set_by: str


async def set_threshold(
    connection: AsyncConnection,
    models: ServiceModels,
    *,
    name: str,
    layer: Layer,
    subject: str,
    value: float,
    actor: str,
    now: datetime,
) -> None:
    """The value from now on; the one before stays on record. Raises FleetError, NotFoundError or UnknownPlanError."""
    if not _NAME.fullmatch(name):
        raise FleetError(f"a threshold is named like filesystem_full, not {name!r}")
    if not math.isfinite(value):
        raise FleetError("a threshold is a finite number")
    await _check_subject(connection, models, layer, subject)
    await connection.execute(update(thresholds).where(_holds(name, layer, subject)).values(valid_to=now))
    row = {"name": name, "layer": layer, "subject": subject, "value": value, "valid_from": now, "set_by": actor[:200]}
    await connection.execute(insert(thresholds).values(row))
    data = {"layer": layer, "subject": subject, "value": value}
    await audit.record(connection, actor=actor, action="thresholds.set", subject=name, now=now, data=data)
    await bump(connection, Topic.THRESHOLDS)


async def unset_threshold(
    connection: AsyncConnection, *, name: str, layer: Layer, subject: str, actor: str, now: datetime
) -> None:
    """From now on the next wider layer counts again. Raises NotFoundError if none is set here."""
    ended = await connection.execute(update(thresholds).where(_holds(name, layer, subject)).values(valid_to=now))
    if ended.rowcount == 0:
        raise NotFoundError(f"no threshold {name} is set for {layer} {subject}; see: thresholds list")
    data = {"layer": layer, "subject": subject}
    await audit.record(connection, actor=actor, action="thresholds.unset", subject=name, now=now, data=data)
    await bump(connection, Topic.THRESHOLDS)


async def list_thresholds(connection: AsyncConnection, since: datetime | None = None) -> list[Threshold]:
    """Every threshold, or those that held at some time after `since`; in the order in which they were set."""
    query = select(*(thresholds.c[name] for name in Threshold.__annotations__)).order_by(thresholds.c.id)
    if since is not None:
        query = query.where(or_(thresholds.c.valid_to.is_(None), thresholds.c.valid_to > since))
    rows = await connection.execute(query)
    return [Threshold(row.name, Layer(row.layer), *row[2:]) for row in rows]


def _holds(name: str, layer: Layer, subject: str) -> ColumnElement[bool]:
    return and_(
        thresholds.c.name == name,
        thresholds.c.layer == layer,
        thresholds.c.subject == subject,
        thresholds.c.valid_to.is_(None),
    )


async def _check_subject(connection: AsyncConnection, models: ServiceModels, layer: Layer, subject: str) -> None:
    match layer:
        case Layer.PLAN:
            model_named(models, subject)
        case Layer.CUSTOMER:
            await get_customer(connection, subject)
        case Layer.SITE:
            customer, _, site = subject.partition("/")
            await get_site(connection, customer, site)
        case Layer.DEVICE:
            await get_device(connection, subject)
