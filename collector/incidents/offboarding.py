"""The end of a customer: nothing is looked after any more, then what is kept is handed over, and only then are people
erased. Each step can be told from the database, so that a run that was killed goes on where it was."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.revisions import Topic, bump
from collector.db.tables import (
    customers,
    devices,
    maintenance_plans,
    maintenance_windows,
    thresholds,
    tickets,
    tokens,
    users,
)
from collector.desk.reading import TICKETS, to_ticket
from collector.desk.states import TicketAction, TicketStatus
from collector.desk.tickets import move
from collector.fleet.agent_settings import forget_settings
from collector.fleet.contracts import end_contract, list_contracts
from collector.fleet.customers import get_customer
from collector.fleet.errors import FleetError
from collector.fleet.names import PROVIDER
from collector.incidents.silences import Silence, expire_silence, list_silences
from collector.series.read import MatchOp

WHY = "the customer is no longer looked after"


@dataclass(frozen=True, slots=True)
class Ended:
    """What `stop` ended."""

    devices: int
    tokens: int
    tickets: int


async def plan_end(connection: AsyncConnection, customer: str, *, ends_at: datetime, actor: str, now: datetime) -> int:
    """Ends the contracts on a later day, and nothing else yet; how many that were. Raises FleetError."""
    _require_endable(customer)
    await get_customer(connection, customer)
    changed = 0
    for contract in await list_contracts(connection, customer):
        if contract.valid_to is None or contract.valid_to > max(ends_at, contract.valid_from):
            await end_contract(connection, contract.id, ends_at=ends_at, actor=actor, now=now)
            changed += 1
    return changed


async def stop(connection: AsyncConnection, customer: str, *, actor: str, now: datetime) -> Ended | None:
    """Ends all that goes on, in the caller's transaction; None if that was done before. Raises FleetError."""
    _require_endable(customer)
    found = await get_customer(connection, customer)
    if found.ended_at is not None:
        return None
    await plan_end(connection, customer, ends_at=now, actor=actor, now=now)
    closed = await _close_tickets(connection, customer, actor, now)
    for silence in await list_silences(connection, ends_after=now):
        if is_of(silence, customer):
            await expire_silence(connection, silence.id, actor=actor, now=now)
    for table in (maintenance_windows, maintenance_plans):
        await connection.execute(
            update(table).where(table.c.customer == customer, table.c.ended_at.is_(None)).values(ended_at=now)
        )
    await _end_thresholds(connection, customer, now)
    await forget_settings(connection, customer)
    revoked = await connection.execute(
        update(tokens).where(tokens.c.customer == customer, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    await connection.execute(
        update(users).where(users.c.customer == customer, users.c.disabled_at.is_(None)).values(disabled_at=now)
    )
    ended = await connection.execute(
        update(devices).where(devices.c.customer == customer, devices.c.ended_at.is_(None)).values(ended_at=now)
    )
    await connection.execute(update(customers).where(customers.c.id == customer).values(ended_at=now))
    done = Ended(ended.rowcount, revoked.rowcount, closed)
    data = {"devices": done.devices, "tokens": done.tokens, "tickets": done.tickets}
    await audit.record(connection, actor=actor, action="customers.end", subject=customer, now=now, data=data)
    await bump(connection, Topic.FLEET)
    await bump(connection, Topic.THRESHOLDS)
    await bump(connection, Topic.WINDOWS)
    return done


def is_of(silence: Silence, customer: str) -> bool:
    """Whether it can match nothing of anybody else."""
    return any(
        one.label == "customer" and one.op is MatchOp.EQUAL and one.value == customer for one in silence.matchers
    )


def _require_endable(customer: str) -> None:
    if customer == PROVIDER:
        raise FleetError(f"the customer {PROVIDER} is the collector's own, and does not end")


async def _close_tickets(connection: AsyncConnection, customer: str, actor: str, now: datetime) -> int:
    """Those that are open, and those that were resolved and could be reopened."""
    query = TICKETS.where(tickets.c.customer == customer, tickets.c.status != TicketStatus.CLOSED)
    found = [to_ticket(row) for row in await connection.execute(query.order_by(tickets.c.number))]
    for ticket in found:
        resolved = ticket
        if ticket.resolved_at is None:
            await move(connection, ticket, TicketAction.RESOLVE, actor=actor, now=now, why=WHY)
            resolved = replace(ticket, status=TicketStatus.RESOLVED, resolved_at=now)
        await move(connection, resolved, TicketAction.CLOSE, actor=actor, now=now, why=WHY)
    return len(found)


async def _end_thresholds(connection: AsyncConnection, customer: str, now: datetime) -> None:
    of_devices = select(devices.c.id).where(devices.c.customer == customer)
    for layer, whose in (
        ("customer", thresholds.c.subject == customer),
        ("site", thresholds.c.subject.startswith(f"{customer}/", autoescape=True)),
        ("device", thresholds.c.subject.in_(of_devices)),
    ):
        await connection.execute(
            update(thresholds)
            .where(thresholds.c.layer == layer, whose, thresholds.c.valid_to.is_(None))
            .values(valid_to=now)
        )
