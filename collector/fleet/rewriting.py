"""Texts about a customer without the people who are named in them: each name, address and phone number is replaced."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, String, cast, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import (
    audit,
    contacts,
    maintenance_plans,
    maintenance_rounds,
    maintenance_windows,
    onboardings,
    parts,
    shadow_tickets,
    ticket_events,
    ticket_watchers,
    tickets,
    users,
    work_entries,
)

ROWS_AT_ONCE = 500
WATCHERS = "watchers"  # the type of a ticket's event that tells who watches: added, removed
MIN_PHONE_DIGITS = 6  # fewer are found in texts that name nobody


@dataclass(frozen=True, slots=True)
class _Texts:
    """Columns of a table that hold words of people, or JSON with them; `key` tells rows apart."""

    key: Column[Any]
    columns: Sequence[Column[Any]]
    about_it: ColumnElement[bool]


async def words_of(connection: AsyncConnection, customer: str) -> frozenset[str]:
    """What names the customer's contacts and users, and the mail addresses that watch or watched its tickets.

    A name is among them if it has more than one word: `Reception` is found in texts that name nobody."""
    found = set()
    for table in (contacts, users):
        names = list(await connection.execute(select(table.c.name, table.c.email).where(table.c.customer == customer)))
        found |= {one.name for one in names if len(one.name.split()) > 1} | {one.email for one in names if one.email}
    phones = await connection.scalars(select(contacts.c.phone).where(contacts.c.customer == customer))
    found |= {one for one in phones if one and sum(map(str.isdigit, one)) >= MIN_PHONE_DIGITS}
    of_ticket = select(tickets.c.number).where(tickets.c.customer == customer)
    watching = select(ticket_watchers.c.watcher).where(ticket_watchers.c.ticket.in_(of_ticket))
    named = set(await connection.scalars(watching))
    told = select(ticket_events.c.data).where(ticket_events.c.type == WATCHERS, ticket_events.c.ticket.in_(of_ticket))
    for data in await connection.scalars(told):
        named.update(*(data.get(verb) or () for verb in ("added", "removed")))
    return frozenset(found | {one for one in named if "@" in one})


async def replace_words(connection: AsyncConnection, customer: str, words: Collection[str], now_is: str) -> None:
    """In what people wrote about the customer, in its tickets' events and their audit: whole words, in any case."""
    if not words:
        return
    longest_first = sorted(words, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)
    for texts in _texts_about(customer):
        await _rewrite(connection, texts, pattern, now_is)


def _texts_about(customer: str) -> Iterator[_Texts]:
    of_ticket = select(tickets.c.number).where(tickets.c.customer == customer)
    as_subject = select(cast(tickets.c.number, String)).where(tickets.c.customer == customer)
    its = tickets.c
    yield _Texts(its.number, (its.title, its.description, its.cause, its.solution), its.customer == customer)
    for table, *columns in (
        (shadow_tickets, "title"),
        (maintenance_windows, "reason"),
        (maintenance_plans, "title", "checklist"),
    ):
        yield _Texts(table.c.id, [table.c[name] for name in columns], table.c.customer == customer)
    for table, key, column in (
        (ticket_events, "id", "data"),
        (work_entries, "id", "note"),
        (parts, "id", "description"),
        (maintenance_rounds, "ticket", "checklist"),
        (onboardings, "ticket", "checklist"),
    ):
        yield _Texts(table.c[key], [table.c[column]], table.c.ticket.in_(of_ticket))
    about_tickets = or_(
        *(audit.c.action.startswith(noun) for noun in ("tickets.", "parts.")),
        audit.c.action == "maintenance.checklist",
    )
    yield _Texts(audit.c.id, [audit.c.data], about_tickets & audit.c.subject.in_(as_subject))


async def _rewrite(connection: AsyncConnection, texts: _Texts, pattern: re.Pattern[str], now_is: str) -> None:
    query = select(texts.key, *texts.columns).where(texts.about_it).order_by(texts.key).limit(ROWS_AT_ONCE)
    rows = (await connection.execute(query)).all()
    while rows:
        for key, *held in rows:
            kept = [_without(value, pattern, now_is) for value in held]
            if kept != held:
                values = dict(zip((column.name for column in texts.columns), kept, strict=True))
                await connection.execute(update(texts.key.table).where(texts.key == key).values(values))
        rows = (await connection.execute(query.where(texts.key > rows[-1][0]))).all()


def _without(value: Any, pattern: re.Pattern[str], now_is: str) -> Any:  # noqa: ANN401 - JSON
    match value:
        case str():
            return pattern.sub(lambda _: now_is, value)
        case list():
            return [_without(one, pattern, now_is) for one in value]
        case dict():
            return {name: _without(one, pattern, now_is) for name, one in value.items()}
        case _:
            return value
