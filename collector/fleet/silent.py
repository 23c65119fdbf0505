"""Devices that nobody has heard for many working days: one question to the customer, two reminders, then retirement.

When to do what is decided by `next_step`, a pure function; what is asked goes to whoever keeps questions.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from sqlalchemy import and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import OfficeHours
from collector.db import audit
from collector.db.revisions import Topic, bump
from collector.db.tables import customers, devices, silent_devices, sites
from collector.fleet.customers import get_customer
from collector.fleet.devices import end_device
from collector.fleet.errors import FleetError
from collector.fleet.policies import customer_policies
from collector.fleet.policy import Policy, policy_of
from collector.fleet.presence import Presence

logger = logging.getLogger(__name__)

REMIND_AFTER_DAYS = 5  # working days
REMINDERS = 2
MAX_SILENT_DAYS = 250  # a year of working days
# One question at a time: a customer whose office was closed must not find fifty.
ASK_AGAIN_AFTER = timedelta(hours=1)
SYSTEM = "system"


class Step(StrEnum):
    ASK = "ask"
    REMIND = "remind"
    CONCLUDE = "conclude"  # nobody answered: the device is retired, or that is proposed
    CLOSE = "close"  # it reports again


@dataclass(frozen=True, slots=True)
class Case:
    """A device that is asked about."""

    silent_since: datetime
    told_at: datetime  # the question, or the last reminder
    reminders: int
    ticket: int | None  # None: only recorded
    concluded_at: datetime | None  # answered, retired, or its retirement proposed


@dataclass(frozen=True, slots=True)
class SilentDevice:
    device: str
    hostname: str
    customer: str
    site: str
    last_seen_at: datetime
    hours: OfficeHours
    silent_days: int
    retire_automatically: bool
    case: Case | None


class Questions(Protocol):
    """Where the customer is asked. Everything happens in the caller's transaction."""

    async def ask(self, connection: AsyncConnection, silent: SilentDevice, text: str, now: datetime) -> int | None:
        """The number of the question; None where the contract has none asked."""
        ...

    async def add(self, connection: AsyncConnection, number: int, text: str, now: datetime) -> None: ...

    async def is_open(self, connection: AsyncConnection, number: int) -> bool: ...

    async def close(self, connection: AsyncConnection, number: int, text: str, now: datetime) -> None: ...


def next_step(silent: SilentDevice, now: datetime) -> Step | None:
    """What is due for a device that was last heard at `last_seen_at`."""
    case, days = silent.case, silent.hours.working_days
    if case is None:
        is_long = days(silent.last_seen_at, now, silent.silent_days) >= silent.silent_days
        return Step.ASK if is_long else None
    if silent.last_seen_at > case.silent_since:
        return Step.CLOSE
    if case.concluded_at is not None or case.ticket is None:
        return None
    if days(case.told_at, now, REMIND_AFTER_DAYS) < REMIND_AFTER_DAYS:
        return None
    return Step.REMIND if case.reminders < REMINDERS else Step.CONCLUDE


async def review(connection: AsyncConnection, questions: Questions, now: datetime) -> None:
    """Does what is due for every silent device, in the caller's transaction."""
    found = await _silent_devices(connection, now)
    asked = set(await connection.scalars(_ASKED_SINCE, {"since": now - ASK_AGAIN_AFTER}))
    for silent in found:
        match next_step(silent, now):
            case Step.ASK if silent.customer not in asked:
                asked.add(silent.customer)
                await _ask(connection, questions, silent, now)
            case Step.CLOSE:
                await _close(connection, questions, silent, now)
            case Step.REMIND | Step.CONCLUDE as step if silent.case is not None and silent.case.ticket is not None:
                if not await questions.is_open(connection, silent.case.ticket):
                    await _update(connection, silent, concluded_at=now)  # answered
                elif step is Step.REMIND:
                    await questions.add(connection, silent.case.ticket, _reminder(silent), now)
                    await _update(connection, silent, told_at=now, reminders=silent.case.reminders + 1)
                else:
                    await _conclude(connection, questions, silent, silent.case.ticket, now)
            case _:
                pass


async def set_silence(
    connection: AsyncConnection, customer: str, *, days: int, retire_automatically: bool, actor: str, now: datetime
) -> None:
    """After how many working days it is asked about a customer's device, and what follows when nobody answers.

    Raises NotFoundError or FleetError.
    """
    await get_customer(connection, customer)
    if not 1 <= days <= MAX_SILENT_DAYS:
        raise FleetError(f"a device is asked about after 1 to {MAX_SILENT_DAYS} working days, not {days}")
    values = {"silent_days": days, "retire_automatically": retire_automatically}
    await connection.execute(update(customers).where(customers.c.id == customer).values(values))
    await audit.record(
        connection, actor=actor, action="customers.set-silence", subject=customer, now=now, data=dict(values)
    )
    await bump(connection, Topic.FLEET)


async def _silent_devices(connection: AsyncConnection, now: datetime) -> Sequence[SilentDevice]:
    """Devices that were not heard for a day, and those that are asked about."""
    policies = await customer_policies(connection)
    rows = await connection.execute(_SILENT, {"before": now - timedelta(days=1)})
    found = []
    for row in rows:
        is_case = row.silent_since is not None
        policy = policy_of(row.policy, policies.get((row.customer, row.kind)), row.kind)
        # A whole site that is offline is no question about each of its devices.
        if not is_case and (policy is Policy.NONE or row.presence in (Presence.SITE_OFFLINE, Presence.ONLINE)):
            continue
        case = Case(row.silent_since, row.told_at, row.reminders, row.ticket, row.concluded_at) if is_case else None
        hours = OfficeHours.parse(row.office_hours, row.time_zone, row.holidays)
        found.append(
            SilentDevice(
                row.id,
                row.hostname,
                row.customer,
                row.site,
                row.last_seen_at,
                hours,
                row.silent_days,
                row.retire_automatically,
                case,
            )
        )
    return found


_SILENT = (
    select(
        devices.c.id,
        devices.c.hostname,
        devices.c.customer,
        devices.c.site,
        devices.c.kind,
        devices.c.policy,
        devices.c.presence,
        devices.c.last_seen_at,
        sites.c.office_hours,
        sites.c.time_zone,
        sites.c.holidays,
        customers.c.silent_days,
        customers.c.retire_automatically,
        silent_devices.c.silent_since,
        silent_devices.c.told_at,
        silent_devices.c.reminders,
        silent_devices.c.ticket,
        silent_devices.c.concluded_at,
    )
    .join(customers, customers.c.id == devices.c.customer)
    .join(sites, and_(sites.c.customer == devices.c.customer, sites.c.id == devices.c.site))
    .outerjoin(silent_devices, silent_devices.c.device == devices.c.id)
    .where(
        devices.c.ended_at.is_(None),
        customers.c.ended_at.is_(None),
        devices.c.last_seen_at.is_not(None),
        or_(devices.c.last_seen_at < bindparam("before"), silent_devices.c.device.is_not(None)),
    )
    .order_by(devices.c.id)
)
_ASKED_SINCE = (
    select(devices.c.customer)
    .join(silent_devices, silent_devices.c.device == devices.c.id)
    .where(silent_devices.c.asked_at > bindparam("since"))
)


async def _ask(connection: AsyncConnection, questions: Questions, silent: SilentDevice, now: datetime) -> None:
    ticket = await questions.ask(connection, silent, _question(silent), now)
    values = {"device": silent.device, "silent_since": silent.last_seen_at, "asked_at": now, "told_at": now}
    await connection.execute(insert(silent_devices).values(**values, reminders=0, ticket=ticket))
    logger.info("silent for long: device=%s working_days=%d ticket=%s", silent.device, silent.silent_days, ticket)


async def _close(connection: AsyncConnection, questions: Questions, silent: SilentDevice, now: datetime) -> None:
    await connection.execute(delete(silent_devices).where(silent_devices.c.device == silent.device))
    if silent.case is not None and silent.case.ticket is not None:
        await questions.close(connection, silent.case.ticket, f"{silent.hostname} reports again", now)


async def _conclude(
    connection: AsyncConnection, questions: Questions, silent: SilentDevice, ticket: int, now: datetime
) -> None:
    if silent.retire_automatically:
        await end_device(connection, silent.device, actor=SYSTEM, now=now)
        await questions.close(connection, ticket, f"{silent.device} was retired: nobody answered", now)
    else:
        text = f"nobody answered: retire {silent.device} with `devices end {silent.device}`, or resolve this ticket"
        await questions.add(connection, ticket, text, now)
    await _update(connection, silent, concluded_at=now)


async def _update(connection: AsyncConnection, silent: SilentDevice, **values: object) -> None:
    await connection.execute(update(silent_devices).where(silent_devices.c.device == silent.device).values(**values))


def _question(silent: SilentDevice) -> str:
    last = silent.last_seen_at.astimezone(silent.hours.zone)
    return (
        f"Is {silent.hostname} nog in gebruik? We hebben sinds {last:%d-%m-%Y} niets van dit apparaat gehoord. Laat "
        "het ons weten; wordt het niet meer gebruikt, dan melden we het af.\n\n"
        f"Is {silent.hostname} still in use? We have not heard from this device since {last:%Y-%m-%d}. Please let us "
        "know; if it is no longer used, we will retire it."
    )


def _reminder(silent: SilentDevice) -> str:
    return (
        f"Herinnering: is {silent.hostname} nog in gebruik? Zonder antwoord melden we het apparaat af.\n\n"
        f"A reminder: is {silent.hostname} still in use? Without an answer we will retire the device."
    )
