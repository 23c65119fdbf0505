"""Tickets that no alert opened: somebody reported something, asks for something, or a plan says that it is time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Level, Priority, priority_judged
from collector.db import audit
from collector.db.tables import contacts, customers, devices, sites, ticket_devices, tickets
from collector.db.text import one_line
from collector.desk import events
from collector.desk.events import EventType
from collector.desk.fields import (
    MAX_DEVICES,
    TicketError,
    TicketKind,
    TicketSource,
    checked_category,
    checked_text,
    checked_title,
)
from collector.desk.states import TicketStatus

BY_HAND = "by_hand"  # in the key, where that of an alert has device, site, customer or fleet: so it is never one's


@dataclass(frozen=True, slots=True)
class Report:
    """`priority`: instead of the one that impact and urgency lead to."""

    customer: str
    title: str
    description: str | None = None
    kind: TicketKind = TicketKind.INCIDENT
    source: TicketSource = TicketSource.PERSON
    site: str | None = None
    devices: Sequence[str] = ()  # the first is the ticket's own, those beyond it are further ones
    category: str | None = None
    contact: int | None = None
    impact: Level = Level.MEDIUM
    urgency: Level = Level.MEDIUM
    priority: Priority | None = None


async def open_reported(connection: AsyncConnection, report: Report, *, actor: str, now: datetime) -> int:
    """Opens a ticket with a key that no other has, whatever the customer's plan, and returns its number. A human has
    it in hand from the start: no alert resolves it. Raises TicketError."""
    title = checked_title(report.title)
    await require_customer(connection, report.customer)
    wanted = list(dict.fromkeys(report.devices))
    at = await sites_of(connection, report.customer, wanted)
    site = report.site or (next(iter(set(at.values()))) if len(set(at.values())) == 1 else None)
    if report.site is not None:
        await require_site(connection, report.customer, report.site)
    if report.contact is not None:
        await require_contact(connection, report.customer, report.contact)
    priority = report.priority or priority_judged(report.impact, report.urgency)
    row = {
        "key": f"{report.customer}/{BY_HAND}/{uuid4()}",
        "customer": report.customer,
        "site": site,
        "device": wanted[0] if wanted else None,
        "incident": report.kind,
        "rule": "",
        "title": title,
        "status": TicketStatus.NEW,
        "priority": priority,
        "opened_at": now,
        "began_at": now,
        "touched": True,
        "kind": report.kind,
        "source": report.source,
        "category": None if report.category is None else checked_category(report.category),
        "description": None if report.description is None else checked_text("a description", report.description),
        "contact": report.contact,
        "impact": report.impact,
        "urgency": report.urgency,
    }
    number: int = (await connection.execute(insert(tickets).values(row).returning(tickets.c.number))).scalar_one()
    if wanted[1:]:
        await connection.execute(insert(ticket_devices), [{"ticket": number, "device": one} for one in wanted[1:]])
    data = {"priority": priority, "follows": None, "kind": report.kind, "source": report.source}
    await events.add(connection, number, EventType.OPENED, data, actor=actor, now=now)
    if wanted[1:]:
        told: dict[str, object] = {"added": wanted[1:], "removed": []}
        await events.add(connection, number, EventType.DEVICES, told, actor=actor, now=now)
    await audit.record(
        connection,
        actor=actor,
        action="tickets.open",
        subject=str(number),
        now=now,
        data={"customer": report.customer, "kind": report.kind, "priority": priority},
    )
    return number


async def require_customer(connection: AsyncConnection, customer: str) -> None:
    """Raises TicketError unless there is one that has not ended."""
    found = (await connection.execute(select(customers.c.ended_at).where(customers.c.id == customer))).one_or_none()
    if found is None:
        raise TicketError(f"there is no customer {_shown(customer)}; see: customers list")
    if found.ended_at is not None:
        raise TicketError(f"customer {customer} has ended: nothing is opened for it any more")


async def require_site(connection: AsyncConnection, customer: str, site: str) -> None:
    """Raises TicketError."""
    is_it = (sites.c.customer == customer, sites.c.id == site)
    if await connection.scalar(select(sites.c.id).where(*is_it)) is None:
        raise TicketError(f"customer {customer} has no site {_shown(site)}; see: sites list --customer {customer}")


async def require_contact(connection: AsyncConnection, customer: str, contact: int) -> None:
    """Raises TicketError unless the customer has this contact and it may still be written to."""
    is_it = (contacts.c.customer == customer, contacts.c.id == contact, contacts.c.ended_at.is_(None))
    if await connection.scalar(select(contacts.c.id).where(*is_it)) is None:
        raise TicketError(f"customer {customer} has no contact {contact}")


async def sites_of(connection: AsyncConnection, customer: str, wanted: Sequence[str]) -> dict[str, str]:
    """The sites of a customer's devices, by device. Raises TicketError if one of them is not the customer's."""
    if len(wanted) > MAX_DEVICES:
        raise TicketError(f"a ticket names {MAX_DEVICES} devices at most, not {len(wanted)}")
    is_it = (devices.c.customer == customer, devices.c.id.in_(wanted))
    rows = await connection.execute(select(devices.c.id, devices.c.site).where(*is_it))
    found: dict[str, str] = {row.id: row.site for row in rows}
    missing = [one for one in wanted if one not in found]
    if missing:
        named = ", ".join(_shown(one) for one in missing[:5])
        raise TicketError(f"customer {customer} has no device {named}; see: devices list --customer {customer}")
    return found


def _shown(name: str) -> str:
    return one_line(name)[:80]
