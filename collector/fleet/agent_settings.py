"""What somebody had agents told otherwise than by default, for a customer, a site or a device: the nearest wins."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.inserts import insert_if_absent
from collector.db.revisions import Topic, bump
from collector.db.tables import agent_settings, devices
from collector.fleet.agent_keys import (
    MAX_CHECKS_PER_LAYER,
    MAX_KEY_CHARS,
    MAX_SERVICES_PER_LAYER,
    PROBE_NAME,
    Group,
    Value,
    checked_value,
    known_probes,
    split_key,
)
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.layers import Layer, check_subject, is_set_within
from collector.series.labels import Target
from protocol.models import CustomCheck

logger = logging.getLogger(__name__)

LAYERS = (Layer.CUSTOMER, Layer.SITE, Layer.DEVICE)  # a later one wins
MAX_PROBES_NAMED = 50
_MOST = {Group.SERVICE: MAX_SERVICES_PER_LAYER, Group.CHECK: MAX_CHECKS_PER_LAYER}


@dataclass(frozen=True, slots=True)
class AgentSetting:
    """`subject` is acme, acme/hq or a device's id."""

    layer: Layer
    subject: str
    key: str
    value: Value
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """All that is set, in memory."""

    _by_subject: Mapping[tuple[Layer, str], Mapping[str, AgentSetting]] = field(default_factory=dict)

    def standing(self, target: Target) -> list[AgentSetting]:
        """All that is set where a device is, by key, the widest layer first: the last of a key counts."""
        return in_order(one for place in places_of(target) for one in self._by_subject.get(place, {}).values())

    def effective(self, target: Target) -> dict[str, Value]:
        """What counts for a device, by key, in the order of the keys."""
        return {setting.key: setting.value for setting in self.standing(target)}


@dataclass(frozen=True, slots=True)
class Told:
    """The parts of a configuration that settings make, in an order that depends on nothing but the settings."""

    push_interval_seconds: float | None = None
    probe_intervals_seconds: dict[str, float] = field(default_factory=dict)
    probes_off: list[str] = field(default_factory=list)
    services: list[str] = field(default_factory=list)
    custom_checks: list[CustomCheck] = field(default_factory=list)


def told_by(effective: Mapping[str, Value]) -> Told:
    told = Told()
    for key, value in sorted(effective.items()):
        group, name = split_key(key)
        match group, value:
            case Group.PUSH_INTERVAL, float():
                told = replace(told, push_interval_seconds=value)
            case Group.INTERVAL, float():
                told.probe_intervals_seconds[name] = value
            case Group.PROBE, False:
                told.probes_off.append(name)
            case Group.SERVICE, True:
                told.services.append(name)
            case Group.CHECK, dict():
                told.custom_checks.append(CustomCheck(name=name, **value))
            case _:
                pass  # read, not watched, not run: as without it
    return told


def in_order(settings: Iterable[AgentSetting]) -> list[AgentSetting]:
    return sorted(settings, key=lambda one: (one.key, LAYERS.index(one.layer)))


def places_of(target: Target) -> list[tuple[Layer, str]]:
    """Where something may be set for a device, the widest first."""
    return [
        (Layer.CUSTOMER, target.customer),
        (Layer.SITE, f"{target.customer}/{target.site}"),
        (Layer.DEVICE, target.device_id),
    ]


async def set_setting(
    connection: AsyncConnection,
    *,
    layer: Layer,
    subject: str,
    key: str,
    value: object,
    actor: str,
    now: datetime,
) -> AgentSetting:
    """Agents are told at their next push. Raises FleetError or NotFoundError."""
    kept = checked_value(key, value)
    if layer is Layer.PLAN:
        raise FleetError("agents are told something for a customer, a site or a device, not for a plan")
    await check_subject(connection, layer, subject)
    await _check_probe(connection, layer, subject, key)
    await _check_room(connection, layer, subject, key)
    before = await get_setting(connection, layer, subject, key)
    values = {"value": kept, "set_by": actor[:200], "set_at": now}
    row = {"layer": layer, "subject": subject, "key": key, **values}
    if not await insert_if_absent(connection, agent_settings, row):
        await connection.execute(update(agent_settings).where(_is(layer, subject, key)).values(values))
    data = {"layer": layer, "subject": subject, "value": kept, "before": None if before is None else before.value}
    await audit.record(connection, actor=actor, action="agents.set", subject=key, now=now, data=data)
    await bump(connection, Topic.FLEET)
    return AgentSetting(layer, subject, key, kept, actor[:200], now)


async def unset_setting(
    connection: AsyncConnection, *, layer: Layer, subject: str, key: str, actor: str, now: datetime
) -> AgentSetting:
    """From now on the next wider layer counts; returns what was set. Raises NotFoundError."""
    before = await get_setting(connection, layer, subject, key)
    removed = await connection.execute(delete(agent_settings).where(_is(layer, subject, key)))
    if before is None or removed.rowcount == 0:
        raise NotFoundError(f"no {key[:MAX_KEY_CHARS]} is set for {layer} {subject[:200]}; see: agents list")
    data = {"layer": layer, "subject": subject, "before": before.value}
    await audit.record(connection, actor=actor, action="agents.unset", subject=key, now=now, data=data)
    await bump(connection, Topic.FLEET)
    return before


async def forget_settings(connection: AsyncConnection, customer: str) -> None:
    """All that is set for a customer that is no longer looked after; its agents are told to stop."""
    of_customer = is_set_within(agent_settings.c.layer, agent_settings.c.subject, customer, None)
    await connection.execute(delete(agent_settings).where(of_customer))


async def get_setting(connection: AsyncConnection, layer: Layer, subject: str, key: str) -> AgentSetting | None:
    row = (await connection.execute(_SETTINGS.where(_is(layer, subject, key)))).one_or_none()
    return None if row is None else _to_setting(row)


async def list_settings(connection: AsyncConnection) -> list[AgentSetting]:
    return [_to_setting(row) for row in await connection.execute(_SETTINGS.order_by(*_PLACE))]


async def standing_of(connection: AsyncConnection, target: Target) -> list[AgentSetting]:
    """As `AgentSettings.standing`, of the database as it is now."""
    here = or_(
        *(and_(agent_settings.c.layer == layer, agent_settings.c.subject == at) for layer, at in places_of(target))
    )
    return in_order(_to_setting(row) for row in await connection.execute(_SETTINGS.where(here)))


async def settings_after(
    connection: AsyncConnection,
    after: tuple[str, str, str] | None,
    limit: int,
    *,
    within: tuple[str, str | None] | None = None,
) -> list[AgentSetting]:
    """`limit` at most, by layer, subject and key: those after `after`; `within`: only those of a customer, or of one of
    its sites, and of the devices that are there."""
    query = _SETTINGS.order_by(*_PLACE).limit(limit)
    if after is not None:
        query = query.where(tuple_(*_PLACE) > tuple_(*after))
    if within is not None:
        query = query.where(is_set_within(agent_settings.c.layer, agent_settings.c.subject, *within))
    return [_to_setting(row) for row in await connection.execute(query)]


async def load_agent_settings(connection: AsyncConnection) -> AgentSettings:
    """All that agents of this version understand; what another version left is logged."""
    by_subject: dict[tuple[Layer, str], dict[str, AgentSetting]] = {}
    for setting in await list_settings(connection):
        try:
            value = checked_value(setting.key, setting.value)
        except FleetError as error:
            logger.warning("agent setting left out: subject=%s reason=%r", setting.subject, str(error))
            continue
        of_subject = by_subject.setdefault((setting.layer, setting.subject), {})
        of_subject[setting.key] = replace(setting, value=value)
    return AgentSettings(by_subject)


async def probes_of_others(connection: AsyncConnection) -> dict[str, int]:
    """Probes that other packages add, as inventories name them: how many devices have each, by name."""
    named = devices.c.inventory["probes"].as_string()
    told = select(named, func.count()).where(devices.c.ended_at.is_(None), named.is_not(None)).group_by(named)
    found: Counter[str] = Counter()
    for text, count in await connection.execute(told):
        if text.startswith("["):  # else it is no list, and may be no JSON
            found.update(dict.fromkeys(_probe_names(json.loads(text)) - known_probes().keys(), count))
    return {name: found[name] for name in sorted(found)}


_PLACE = agent_settings.c.layer, agent_settings.c.subject, agent_settings.c.key
_SETTINGS = select(*(agent_settings.c[name] for name in AgentSetting.__annotations__))


def _to_setting(row: Row[Any]) -> AgentSetting:
    return AgentSetting(**{**row._mapping, "layer": Layer(row.layer)})


def _is(layer: Layer, subject: str, key: str) -> ColumnElement[bool]:
    columns = agent_settings.c
    return and_(columns.layer == layer, columns.subject == subject, columns.key == key)


async def _check_probe(connection: AsyncConnection, layer: Layer, subject: str, key: str) -> None:
    """A typo must not pass for a setting. What other packages add to an agent, it tells in its inventory."""
    group, name = split_key(key)
    if group not in (Group.INTERVAL, Group.PROBE) or name in known_probes():
        return
    customer, _, site = subject.partition("/")
    place = {
        Layer.CUSTOMER: devices.c.customer == subject,
        Layer.SITE: and_(devices.c.customer == customer, devices.c.site == site),
        Layer.DEVICE: devices.c.id == subject,
    }[layer]
    told: set[str] = set()
    for probes in await connection.scalars(select(devices.c.inventory["probes"]).where(place)):
        told |= _probe_names(probes)
    if name not in told:
        there_are = ", ".join(sorted(known_probes().keys() | set(sorted(told)[:MAX_PROBES_NAMED])))
        raise FleetError(f"there is no probe {name[:80]!r} at {layer} {subject[:200]}; there are {there_are}")


def _probe_names(told: object) -> set[str]:
    """Of what an inventory holds, which may be anything."""
    return (
        {one for one in told if isinstance(one, str) and PROBE_NAME.fullmatch(one)} if isinstance(told, list) else set()
    )


async def _check_room(connection: AsyncConnection, layer: Layer, subject: str, key: str) -> None:
    """Lists add up over the layers, and the agent takes only so many."""
    group, _ = split_key(key)
    most = _MOST.get(group)
    if most is None:
        return
    columns = agent_settings.c
    of_group = and_(
        columns.layer == layer, columns.subject == subject, columns.key.startswith(f"{group}."), columns.key != key
    )
    if (await connection.scalar(select(func.count()).select_from(agent_settings).where(of_group)) or 0) >= most:
        raise FleetError(f"{layer} {subject} has {most} settings of {group}.NAME already: unset one first")
