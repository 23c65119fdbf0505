"""Contacts: the people at a customer who report, are asked and are written to."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.tables import contacts, users
from collector.fleet.contracts import lock_customer
from collector.fleet.customers import get_site
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.people import Language, problems_of
from collector.fleet.users import disable_user

DEFAULT_LANGUAGE = Language.NL  # of a contact of whom nothing else is known, and of a customer without a main contact
ERASED = "erased"  # stands for the name of somebody who is not written to any more


@dataclass(frozen=True, slots=True)
class Person:
    """What is said of a contact. `site` None: of no site in particular; the main contact is asked first."""

    name: str
    email: str | None = None
    phone: str | None = None
    language: Language = DEFAULT_LANGUAGE
    site: str | None = None
    is_main: bool = False


@dataclass(frozen=True, slots=True)
class Contact:
    id: int
    customer: str
    person: Person
    created_at: datetime
    ended_at: datetime | None


async def add_contact(
    connection: AsyncConnection, customer: str, person: Person, *, actor: str, now: datetime
) -> Contact:
    """Raises NotFoundError for an unknown customer or site, FleetError with all that is wrong."""
    await lock_customer(connection, customer)
    await _check(connection, customer, person)
    if person.is_main:
        await _nobody_is_main(connection, customer)
    number = await connection.scalar(
        insert(contacts).values(**asdict(person), customer=customer, created_at=now).returning(contacts.c.id)
    )
    assert number is not None  # noqa: S101 - as the database numbered it
    data = {"customer": customer}
    await audit.record(connection, actor=actor, action="contacts.add", subject=str(number), now=now, data=data)
    return await get_contact(connection, number)


async def main_languages(connection: AsyncConnection, customers: Sequence[str]) -> dict[str, Language]:
    """The language of each customer's main contact; a customer without one is missing."""
    is_it = (contacts.c.customer.in_(customers), contacts.c.is_main)
    found = await connection.execute(select(contacts.c.customer, contacts.c.language).where(*is_it))
    return {customer: Language(language) for customer, language in found}


async def change_contact(
    connection: AsyncConnection, contact: int, changes: Mapping[str, Any], *, actor: str, now: datetime
) -> Contact:
    """`changes` by the fields of Person. Raises NotFoundError, or FleetError with all that is wrong."""
    was = await get_contact(connection, contact)
    if was.ended_at is not None:
        raise FleetError(f"contact {contact} has ended: add another with contacts add {was.customer}")
    await lock_customer(connection, was.customer)
    person = replace(was.person, **changes)
    await _check(connection, was.customer, person)
    if person.is_main and not was.person.is_main:
        await _nobody_is_main(connection, was.customer)
    await connection.execute(update(contacts).where(contacts.c.id == contact).values(**asdict(person)))
    # What it is now stands with the contact; the audit keeps no personal data.
    data = {"changed": sorted(changes)}
    await audit.record(connection, actor=actor, action="contacts.change", subject=str(contact), now=now, data=data)
    return await get_contact(connection, contact)


async def end_contact(connection: AsyncConnection, contact: int, *, actor: str, now: datetime) -> Contact:
    """Is written to and let in no more, and what names the person is erased. Twice changes nothing.

    Raises NotFoundError."""
    was = await get_contact(connection, contact)
    if was.ended_at is None:
        await connection.execute(
            update(contacts)
            .where(contacts.c.id == contact)
            .values(name=ERASED, email=None, phone=None, is_main=False, ended_at=now)
        )
        data = {"customer": was.customer}
        await audit.record(connection, actor=actor, action="contacts.end", subject=str(contact), now=now, data=data)
        for user in list(await connection.scalars(select(users.c.id).where(users.c.contact == contact))):
            await disable_user(connection, user, actor=actor, now=now)
    return await get_contact(connection, contact)


async def get_contact(connection: AsyncConnection, contact: int) -> Contact:
    """Raises NotFoundError."""
    row = (await connection.execute(_CONTACTS.where(contacts.c.id == contact))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no contact {contact}; see: contacts list")
    return _to_contact(row)


async def contacts_after(
    connection: AsyncConnection,
    after: int | None = None,
    limit: int | None = None,
    *,
    customer: str | None = None,
    site: str | None = None,
    with_ended: bool = False,
) -> list[Contact]:
    """`limit` at most, by number: those after `after`; of a customer, or of one of its sites."""
    query = _CONTACTS.order_by(contacts.c.id).limit(limit)
    if after is not None:
        query = query.where(contacts.c.id > after)
    if customer is not None:
        query = query.where(contacts.c.customer == customer)
    if site is not None:
        query = query.where(contacts.c.site == site)
    if not with_ended:
        query = query.where(contacts.c.ended_at.is_(None))
    return [_to_contact(row) for row in await connection.execute(query)]


async def _check(connection: AsyncConnection, customer: str, person: Person) -> None:
    if person.site is not None:
        await get_site(connection, customer, person.site)
    problems = list(problems_of(name=person.name, email=person.email, phone=person.phone))
    if problems:
        raise FleetError("\n".join(problems))


async def _nobody_is_main(connection: AsyncConnection, customer: str) -> None:
    await connection.execute(update(contacts).where(contacts.c.customer == customer).values(is_main=False))


_CONTACTS = select(
    contacts.c.id,
    contacts.c.customer,
    contacts.c.created_at,
    contacts.c.ended_at,
    contacts.c.name,
    contacts.c.email,
    contacts.c.phone,
    contacts.c.language,
    contacts.c.site,
    contacts.c.is_main,
)


def _to_contact(row: Sequence[Any]) -> Contact:
    number, customer, created_at, ended_at, name, email, phone, language, site, is_main = row
    person = Person(name, email, phone, Language(language), site, is_main)
    return Contact(number, customer, person, created_at, ended_at)
