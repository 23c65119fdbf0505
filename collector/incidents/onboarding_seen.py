"""Steps of taking a customer on that nobody need tick: the collector sees that they are done, and says by what."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts.service_models import Seen
from collector.db.tables import devices, onboardings, tickets, tokens, users
from collector.desk.fields import TicketKind
from collector.desk.onboarding import Onboarding
from collector.fleet.contracts import contracts_at
from collector.fleet.presence import Presence
from collector.fleet.roles import Role

AT_ONCE = 500  # customers in one statement

Whose = tuple[str, str]  # customer and service model
Evidence = Mapping[Whose, str]


async def seen_done(
    connection: AsyncConnection, wanted: Mapping[Seen, Sequence[Onboarding]], now: datetime
) -> dict[Seen, dict[Whose, str]]:
    """What shows that a step is done, for those of the onboardings of which it can be seen."""
    found: dict[Seen, dict[Whose, str]] = {}
    for seen, among in wanted.items():
        found[seen] = {}
        for start in range(0, len(among), AT_ONCE):
            found[seen].update(await _LOOKS[seen](connection, among[start : start + AT_ONCE], now))
    return found


async def _contract_signed(connection: AsyncConnection, among: Sequence[Onboarding], now: datetime) -> Evidence:
    held = await contracts_at(connection, now, [one.customer for one in among])
    return {
        (one.customer, one.model): f"contract {contract.id} was signed on {contract.agreement.signed_on}"
        for one in among
        if (contract := held.get(one.customer)) is not None
        and contract.plan == one.model
        and contract.agreement.signed_on is not None
    }


async def _contact_has_access(connection: AsyncConnection, among: Sequence[Onboarding], now: datetime) -> Evidence:
    is_usable = (
        tokens.c.revoked_at.is_(None),
        tokens.c.uses_left.is_(None),
        or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now),
    )
    has_token = exists().where(tokens.c.user == users.c.id, *is_usable)
    query = select(users.c.customer).where(
        users.c.customer.in_([one.customer for one in among]),
        users.c.role == Role.CONTACT,
        users.c.disabled_at.is_(None),
        or_(users.c.password_hash.is_not(None), has_token),
    )
    let_in = set(await connection.scalars(query))
    return {(one.customer, one.model): "a contact has access" for one in among if one.customer in let_in}


async def _devices_report(connection: AsyncConnection, among: Sequence[Onboarding], _now: datetime) -> Evidence:
    silent = func.count(devices.c.id).filter(devices.c.presence == Presence.NEVER_SEEN)
    rows = await connection.execute(
        select(devices.c.customer, func.count(), silent)
        .where(devices.c.customer.in_([one.customer for one in among]), devices.c.ended_at.is_(None))
        .group_by(devices.c.customer)
    )
    told = {
        customer: "1 device, and it reports" if count == 1 else f"{count} devices, and all report"
        for customer, count, never_seen in rows
        if never_seen == 0
    }
    return {(one.customer, one.model): told[one.customer] for one in among if one.customer in told}


def _first_ticket(what: str, *conditions: ColumnElement[bool]) -> "Look":
    async def look(connection: AsyncConnection, among: Sequence[Onboarding], _now: datetime) -> Evidence:
        of_customer = and_(tickets.c.customer == onboardings.c.customer, tickets.c.opened_at >= onboardings.c.begins_at)
        rows = await connection.execute(
            select(onboardings.c.customer, onboardings.c.model, func.min(tickets.c.number))
            .join(tickets, of_customer)
            .where(onboardings.c.customer.in_([one.customer for one in among]))
            .where(tickets.c.kind != TicketKind.MAINTENANCE, tickets.c.merged_into.is_(None), *conditions)
            .group_by(onboardings.c.customer, onboardings.c.model)
        )
        asked = {(one.customer, one.model) for one in among}
        return {(whose, model): f"ticket {number} {what}" for whose, model, number in rows if (whose, model) in asked}

    return look


Look = Callable[[AsyncConnection, Sequence[Onboarding], datetime], Awaitable[Evidence]]

_LOOKS: Mapping[Seen, Look] = {
    Seen.CONTRACT_SIGNED: _contract_signed,
    Seen.CONTACT_HAS_ACCESS: _contact_has_access,
    Seen.DEVICES_REPORT: _devices_report,
    Seen.TICKET_ASSIGNED: _first_ticket("is assigned", tickets.c.assignee.is_not(None)),
    Seen.TICKET_RESOLVED: _first_ticket("is resolved", tickets.c.resolved_at.is_not(None)),
    Seen.TICKET_EXPLAINED: _first_ticket(
        "tells cause and solution",
        tickets.c.resolved_at.is_not(None),
        tickets.c.cause.is_not(None),
        tickets.c.solution.is_not(None),
    ),
}
