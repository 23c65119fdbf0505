"""Contacts, and users with their passwords and tokens."""

from datetime import datetime

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from collector.db import audit
from collector.db.database import Database
from collector.db.tables import contacts as contacts_table
from collector.db.tables import users as users_table
from collector.fleet.contacts import ERASED, Person, add_contact, change_contact, contacts_after, end_contact
from collector.fleet.customers import add_site
from collector.fleet.directory import load_directory
from collector.fleet.errors import AlreadyExistsError, FleetError, NotFoundError
from collector.fleet.people import Language, problems_of
from collector.fleet.roles import Role
from collector.fleet.tokens import create_access_token
from collector.fleet.users import (
    Profile,
    add_user,
    change_user,
    disable_user,
    enable_user,
    get_user,
    hash_password,
    set_password,
    users_after,
)
from tests.fleet.world import ACTOR, NOW, make_customer

ANNA = Profile("Anna de Vries", Role.TECHNICIAN, "anna@provider.example")


@pytest.fixture
async def acme(database: Database) -> Database:
    async with database.begin() as connection:
        await make_customer(connection)
        await add_site(connection, customer="acme", site="hq", name=None, actor=ACTOR, now=NOW)
    return database


@pytest.mark.parametrize(
    ("email", "is_good"),
    [
        ("j.jansen@acme.example", True),
        ("o'brien+it@sub.acme.co.uk", True),
        ("jürgen@müller.example", True),
        ("jansen", False),
        ("jansen@localhost", False),
        ("a@b@acme.example", False),
        ("a b@acme.example", False),
        ("a..b@acme.example", False),
        ("a@-acme.example", False),
        ("J <j@acme.example>", False),
        ("j@acme.example\nBcc: x@y.example", False),
        ("x" * 65 + "@acme.example", False),
        ("x@" + "a" * 63 + ".example" * 40, False),
    ],
)
def test_what_a_mail_address_is(email: str, is_good: bool) -> None:
    assert (list(problems_of(name="J", email=email)) == []) is is_good


async def test_one_contact_is_the_main_one(acme: Database) -> None:
    async with acme.begin() as connection:
        for name in ("Jansen", "Bakker"):
            await add_contact(connection, "acme", Person(name, is_main=True), actor=ACTOR, now=NOW)
        found = await contacts_after(connection, customer="acme")
    assert [(one.person.name, one.person.is_main) for one in found] == [("Jansen", False), ("Bakker", True)]


async def test_a_contact_that_ends_is_erased_and_in_no_audit(acme: Database) -> None:
    person = Person("J. Jansen", "j.jansen@acme.example", "+31 20 123 4567", Language.EN, "hq", is_main=True)
    async with acme.begin() as connection:
        made = await add_contact(connection, "acme", person, actor=ACTOR, now=NOW)
        assert made.person == person
        changed = await change_contact(connection, made.id, {"phone": None}, actor=ACTOR, now=NOW)
        assert (changed.person.phone, changed.person.email) == (None, person.email)
        for _ in range(2):
            ended = await end_contact(connection, made.id, actor=ACTOR, now=NOW)
        assert (ended.person.name, ended.person.email, ended.ended_at) == (ERASED, None, NOW)
        assert await contacts_after(connection, customer="acme") == []
        with pytest.raises(FleetError, match="has ended"):
            await change_contact(connection, made.id, {"name": "X"}, actor=ACTOR, now=NOW)
        rows = (await connection.execute(select(contacts_table))).all()
        records = await audit.latest(connection, 10)
    assert "ansen" not in f"{rows}{records}" and "4567" not in f"{rows}{records}"
    assert [one.action for one in records][:3] == ["contacts.end", "contacts.change", "contacts.add"]


async def test_all_that_is_wrong_with_a_person_is_told_at_once(acme: Database) -> None:
    async with acme.begin() as connection:
        with pytest.raises(FleetError) as caught:
            await add_contact(connection, "acme", Person(" ", "x", "call me"), actor=ACTOR, now=NOW)
        assert len(str(caught.value).splitlines()) == 3
        with pytest.raises(NotFoundError, match="no site 'ny'"):
            await add_contact(connection, "acme", Person("J", site="ny"), actor=ACTOR, now=NOW)


async def test_a_password_is_kept_as_argon2_alone(acme: Database) -> None:
    words = "correct horse battery"
    async with acme.begin() as connection:
        await add_user(connection, "anna", ANNA, actor=ACTOR, now=NOW)
        assert not (await get_user(connection, "anna")).has_password
        await set_password(connection, "anna", hash_password(words), actor=ACTOR, now=NOW)
        assert (await get_user(connection, "anna")).has_password
        stored = await connection.scalar(select(users_table.c.password_hash))
        records = await audit.latest(connection, 10)
    assert stored is not None and stored.startswith("$argon2id$") and PasswordHasher().verify(stored, words)
    assert words not in str(records)
    for wrong in ("short", "x" * 1025):
        with pytest.raises(FleetError) as caught:
            hash_password(wrong)
        assert wrong not in str(caught.value)


async def test_a_user_is_somebody(acme: Database) -> None:
    async with acme.begin() as connection:
        await add_user(connection, "anna", ANNA, actor=ACTOR, now=NOW)
        with pytest.raises(AlreadyExistsError):
            await add_user(connection, "anna", ANNA, actor=ACTOR, now=NOW)
        for profile in (
            Profile("J", Role.CONTACT),
            Profile("J", Role.VIEWER, customer="acme"),
            Profile("J", Role.SENDER),
            Profile("J", Role.CONTACT, customer="acme", contact=99),
            Profile("J", Role.VIEWER, technician="nobody"),
        ):
            with pytest.raises(FleetError):
                await add_user(connection, "other", profile, actor=ACTOR, now=NOW)
        jansen = await add_contact(connection, "acme", Person("J. Jansen"), actor=ACTOR, now=NOW)
        profile = Profile("J. Jansen", Role.CONTACT, customer="acme", contact=jansen.id)
        await add_user(connection, "jansen", profile, actor=ACTOR, now=NOW)
        assert [one.id for one in await users_after(connection)] == ["anna", "jansen"]
        assert [one.id for one in await users_after(connection, "anna", 1)] == ["jansen"]


async def test_a_users_tokens_reach_no_further_than_the_user(acme: Database) -> None:
    async def create(role: Role, user: str, customer: str | None = None) -> str:
        async with acme.begin() as connection:
            return await create_access_token(
                connection, role=role, customer=customer, site=None, user=user, actor=ACTOR, now=NOW
            )

    async def works(secret: str, at: datetime = NOW) -> bool:
        async with acme.connect() as connection:
            return (await load_directory(connection)).access(secret, at) is not None

    async with acme.begin() as connection:
        await add_user(connection, "anna", ANNA, actor=ACTOR, now=NOW)
        await add_user(connection, "jansen", Profile("J", Role.CONTACT, customer="acme"), actor=ACTOR, now=NOW)
        await make_customer(connection, "other")
    for role, user, customer in (
        (Role.MANAGER, "anna", None),
        (Role.RULER, "anna", None),
        (Role.VIEWER, "jansen", None),
        (Role.CONTACT, "jansen", "other"),
        (Role.VIEWER, "nobody", None),
    ):
        with pytest.raises(FleetError):
            await create(role, user, customer)
    writes, reads, of_contact = (
        await create(Role.TECHNICIAN, "anna"),
        await create(Role.VIEWER, "anna"),
        await create(Role.CONTACT, "jansen"),
    )
    async with acme.connect() as connection:
        directory = await load_directory(connection)
    found = directory.access(of_contact, NOW)
    assert found is not None and (found.user, found.customer) == ("jansen", "acme")
    async with acme.begin() as connection:
        await disable_user(connection, "anna", actor=ACTOR, now=NOW)
    assert not await works(writes)
    with pytest.raises(FleetError, match="disabled"):
        await create(Role.VIEWER, "anna")
    async with acme.begin() as connection:
        await enable_user(connection, "anna", actor=ACTOR, now=NOW)
    assert await works(writes)
    async with acme.begin() as connection:
        await change_user(connection, "anna", {"role": Role.VIEWER}, actor=ACTOR, now=NOW)
    assert (await works(writes), await works(reads)) == (False, True)
