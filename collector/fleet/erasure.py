"""Erasing what names people at a customer that has left. What law and history need stays, without them: see
docs/how-to/end-a-customer.md, which lists both."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import String, Table, cast, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.tables import (
    attachments,
    contacts,
    contracts,
    devices,
    idempotency_keys,
    maintenance_windows,
    outbox,
    parts,
    printers,
    silences,
    thresholds,
    ticket_events,
    ticket_watchers,
    tickets,
    tokens,
    users,
    work_entries,
)
from collector.db.tables import audit as audit_table
from collector.fleet.contacts import ERASED
from collector.fleet.inventories import erase_inventories
from collector.fleet.rewriting import replace_words, words_of

ACTION = "customers.erase"

# Where somebody is named as who did it.
_NAMED: Sequence[tuple[Table, str]] = (
    (audit_table, "actor"),
    (ticket_events, "actor"),
    (work_entries, "author"),
    (parts, "author"),
    (attachments, "added_by"),
    (silences, "author"),
    (maintenance_windows, "author"),
    (thresholds, "set_by"),
)
_KEPT_OF_INVENTORY = ("model", "manufacturer", "system", "os")


async def is_erased(connection: AsyncConnection, customer: str) -> bool:
    query = select(audit_table.c.id).where(audit_table.c.action == ACTION, audit_table.c.subject == customer)
    return await connection.scalar(query.limit(1)) is not None


async def erase_people(connection: AsyncConnection, customer: str, *, actor: str, now: datetime) -> None:
    """In the caller's transaction, all of it. Twice changes nothing."""
    words = await words_of(connection, customer)
    for user in list(await connection.scalars(select(users.c.id).where(users.c.customer == customer))):
        await _rename_user(connection, customer, user, now)
    await _erase_authors(connection, customer)
    await connection.execute(
        update(contacts)
        .where(contacts.c.customer == customer)
        .values(name=ERASED, email=None, phone=None, is_main=False, ended_at=now)
    )
    await connection.execute(
        update(contracts)
        .where(contracts.c.customer == customer, contracts.c.monitoring_consent_by.is_not(None))
        .values(monitoring_consent_by=ERASED)
    )
    of_customer = select(devices.c.id).where(devices.c.customer == customer)
    await connection.execute(update(printers).where(printers.c.device.in_(of_customer)).values(snmp=None, ipp=None))
    of_ticket = select(tickets.c.number).where(tickets.c.customer == customer)
    await connection.execute(
        delete(ticket_watchers).where(ticket_watchers.c.ticket.in_(of_ticket), ticket_watchers.c.watcher.like("%@%"))
    )
    await connection.execute(delete(attachments).where(attachments.c.ticket.in_(of_ticket)))
    # A refusal of what was sent often names whom it was for.
    nothing = {"payload": dict[str, str](), "next_try_at": None, "last_error": None}
    await connection.execute(update(outbox).where(outbox.c.ticket.in_(of_ticket)).values(nothing))
    of_token = select(tokens.c.id).where(tokens.c.customer == customer)
    about_it = idempotency_keys.c.answer.contains(f'"customer":"{customer}"', autoescape=True)
    await connection.execute(delete(idempotency_keys).where(or_(idempotency_keys.c.token.in_(of_token), about_it)))
    await replace_words(connection, customer, words, ERASED)
    await erase_inventories(connection, customer, _KEPT_OF_INVENTORY)
    await audit.record(connection, actor=actor, action=ACTION, subject=customer, now=now)


async def _rename_user(connection: AsyncConnection, customer: str, user: str, now: datetime) -> None:
    """The name to sign in with is a person's, too: who did what stays told apart, under a number."""
    number = 1
    while await connection.scalar(select(users.c.id).where(users.c.id == f"erased-{customer[:40]}-{number}")):
        number += 1
    other = f"erased-{customer[:40]}-{number}"
    was = (await connection.execute(select(users.c.role, users.c.created_at).where(users.c.id == user))).one()
    row = {"id": other, "name": ERASED, "role": was.role, "customer": customer, "created_at": was.created_at}
    await connection.execute(insert(users).values(**row, disabled_at=now))
    await connection.execute(update(tokens).where(tokens.c.user == user).values(user=other))
    await connection.execute(delete(users).where(users.c.id == user))
    await _replace_author(connection, user, other)
    await connection.execute(
        update(audit_table)
        .where(audit_table.c.subject == user, audit_table.c.action.like("users.%"))
        .values(subject=other)
    )
    made = select(audit_table.c.id, audit_table.c.data).where(audit_table.c.action == "tokens.create")
    for record in list(await connection.execute(made)):
        if record.data.get("user") == user:
            data = record.data | {"user": other}
            await connection.execute(update(audit_table).where(audit_table.c.id == record.id).values(data=data))


async def _erase_authors(connection: AsyncConnection, customer: str) -> None:
    """Contacts whose name or address stands for who wrote something. A name may be somebody else's, too: it is erased
    where it is about the customer's tickets; an address is one person's alone."""
    query = select(contacts.c.name, contacts.c.email).where(contacts.c.customer == customer, contacts.c.name != ERASED)
    for name, email in list(await connection.execute(query)):
        of_ticket = select(tickets.c.number).where(tickets.c.customer == customer)
        numbers = select(cast(tickets.c.number, String)).where(tickets.c.customer == customer)
        for table, about in (
            (ticket_events, ticket_events.c.ticket.in_(of_ticket)),
            (work_entries, work_entries.c.ticket.in_(of_ticket)),
            (audit_table, audit_table.c.action.like("tickets.%") & audit_table.c.subject.in_(numbers)),
        ):
            column = "author" if table is work_entries else "actor"
            await connection.execute(update(table).where(about, table.c[column] == name).values({column: ERASED}))
        if email:
            await _replace_author(connection, email, ERASED)


async def _replace_author(connection: AsyncConnection, was: str, now_is: str) -> None:
    for table, column in _NAMED:
        await connection.execute(update(table).where(table.c[column] == was).values({column: now_is}))
