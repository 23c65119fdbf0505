"""Who gets a mail about what happened to a ticket, and in which language."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import contacts, technicians, ticket_watchers
from collector.desk.reading import Ticket
from collector.desk.team import at_work

MAX_RECIPIENTS = 50
TO_GROUP = frozenset({"escalated", "warned", "breached"})  # what those who look after late tickets hear of
DEFAULT_LANGUAGE = "nl"


@dataclass(frozen=True, slots=True, order=True)
class Recipient:
    address: str
    language: str
    is_ours: bool  # a technician; else somebody at the customer, or whom the customer named


async def recipients_of(connection: AsyncConnection, ticket: Ticket, kind: str, now: datetime) -> list[Recipient]:
    """The technician who has it, who watches it, the contact who reported it, and, if it is late, to whom it escalated;
    each once, at most MAX_RECIPIENTS. Who is outside hears of a ticket, not of its being late."""
    watchers = await connection.scalars(
        select(ticket_watchers.c.watcher).where(ticket_watchers.c.ticket == ticket.number)
    )
    named = [watcher for watcher in watchers if kind not in TO_GROUP or "@" not in watcher]
    people = {ticket.assignee or "", *(one for one in named if "@" not in one)}
    if kind in TO_GROUP and ticket.escalated_to is not None:
        people |= {one.id for one in await at_work(connection, ticket.escalated_to, now)}
    rows = await connection.execute(
        select(technicians.c.email, technicians.c.language).where(
            technicians.c.id.in_(people), technicians.c.left_at.is_(None), technicians.c.email.is_not(None)
        )
    )
    ours = {row.email: Recipient(row.email, row.language, is_ours=True) for row in rows}
    outside = [one for one in named if "@" in one]
    languages = await _languages(connection, outside) if outside else {}
    if ticket.contact is not None and kind not in TO_GROUP:
        languages |= await _reporter(connection, ticket.contact)
    addresses = {*outside, *languages}
    theirs = {one: Recipient(one, languages.get(one, DEFAULT_LANGUAGE), is_ours=False) for one in addresses}
    return sorted((theirs | ours).values())[:MAX_RECIPIENTS]


async def _reporter(connection: AsyncConnection, contact: int) -> dict[str, str]:
    """Address and language, if there is one and the contact may still be written to."""
    is_it = (contacts.c.id == contact, contacts.c.ended_at.is_(None), contacts.c.email.is_not(None))
    rows = await connection.execute(select(contacts.c.email, contacts.c.language).where(*is_it))
    return {row.email: row.language for row in rows}


async def _languages(connection: AsyncConnection, addresses: Iterable[str]) -> dict[str, str]:
    """Of those who are contacts of a customer."""
    rows = await connection.execute(
        select(contacts.c.email, contacts.c.language).where(
            contacts.c.email.in_(list(addresses)), contacts.c.ended_at.is_(None)
        )
    )
    return {row.email: row.language for row in rows}
