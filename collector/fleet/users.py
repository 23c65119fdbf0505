"""Users: people who sign in, or whose tokens work for them, so that what is done bears a name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from argon2 import PasswordHasher
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import audit
from collector.db.inserts import insert_if_absent
from collector.db.revisions import Topic, bump
from collector.db.tables import contacts, technicians, tokens, users
from collector.fleet.customers import get_customer
from collector.fleet.errors import AlreadyExistsError, FleetError, NotFoundError
from collector.fleet.names import checked_name
from collector.fleet.people import Language, problems_of
from collector.fleet.roles import USER_ROLES, Role, reaches

MIN_PASSWORD_CHARS = 12
MAX_PASSWORD_CHARS = 1_024  # so that hashing one stays cheap


@dataclass(frozen=True, slots=True)
class Profile:
    """What is said of a user. A contact is of a customer, everybody else of the provider; `contact` and `technician`
    say which of those it is."""

    name: str
    role: Role
    email: str | None = None
    language: Language = Language.NL
    customer: str | None = None
    contact: int | None = None
    technician: str | None = None


@dataclass(frozen=True, slots=True)
class User:
    id: str
    profile: Profile
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None


def hash_password(password: str) -> str:
    """Argon2, which takes a while: call it outside a transaction. Raises FleetError, which does not repeat it."""
    if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
        raise FleetError(f"a password has {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters: a few words will do")
    return PasswordHasher().hash(password)


async def add_user(connection: AsyncConnection, user: str, profile: Profile, *, actor: str, now: datetime) -> User:
    """Without a password. Raises AlreadyExistsError, NotFoundError, or FleetError with all that is wrong."""
    checked_name("user", user)
    await _check(connection, profile)
    if not await insert_if_absent(connection, users, _columns(profile) | {"id": user, "created_at": now}):
        raise AlreadyExistsError(f"there is a user {user} already; see: users show {user}")
    data = {"role": profile.role, "customer": profile.customer, "technician": profile.technician}
    await audit.record(connection, actor=actor, action="users.add", subject=user, now=now, data=data)
    return await get_user(connection, user)


async def change_user(
    connection: AsyncConnection, user: str, changes: Mapping[str, Any], *, actor: str, now: datetime
) -> User:
    """`changes` by the fields of Profile. Tokens that reach further than the new role are revoked.

    Raises NotFoundError, or FleetError with all that is wrong."""
    was = await get_user(connection, user)
    profile = replace(was.profile, **changes)
    await _check(connection, profile)
    await connection.execute(update(users).where(users.c.id == user).values(**_columns(profile)))
    if (profile.role, profile.customer) != (was.profile.role, was.profile.customer):
        beyond = [role for role in Role if not reaches(profile.role, role)]
        if profile.customer != was.profile.customer:
            beyond = list(Role)
        await connection.execute(
            update(tokens)
            .where(tokens.c.user == user, tokens.c.role.in_(beyond), tokens.c.revoked_at.is_(None))
            .values(revoked_at=now)
        )
        await bump(connection, Topic.FLEET)
    data: dict[str, object] = {"changed": sorted(changes)} | ({"role": profile.role} if "role" in changes else {})
    await audit.record(connection, actor=actor, action="users.change", subject=user, now=now, data=data)
    return await get_user(connection, user)


async def set_password(
    connection: AsyncConnection, user: str, password_hash: str, *, actor: str, now: datetime
) -> None:
    """`password_hash` as `hash_password` makes it. Raises NotFoundError."""
    await get_user(connection, user)
    await connection.execute(update(users).where(users.c.id == user).values(password_hash=password_hash))
    await audit.record(connection, actor=actor, action="users.set-password", subject=user, now=now)


async def disable_user(connection: AsyncConnection, user: str, *, actor: str, now: datetime) -> User:
    """Signs in no more, and the tokens of this user stop working. Twice changes nothing. Raises NotFoundError."""
    return await _set_disabled(connection, user, now, actor=actor, now=now)


async def enable_user(connection: AsyncConnection, user: str, *, actor: str, now: datetime) -> User:
    """The tokens that were not revoked work again. Raises NotFoundError."""
    return await _set_disabled(connection, user, None, actor=actor, now=now)


async def get_user(connection: AsyncConnection, user: str) -> User:
    """Raises NotFoundError."""
    row = (await connection.execute(_USERS.where(users.c.id == user))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no user {user!r}; see: users list")
    return _to_user(row)


async def users_after(connection: AsyncConnection, after: str | None = None, limit: int | None = None) -> list[User]:
    """`limit` at most, by id: those after `after`."""
    query = _USERS.order_by(users.c.id).limit(limit)
    if after is not None:
        query = query.where(users.c.id > after)
    return [_to_user(row) for row in await connection.execute(query)]


async def _set_disabled(
    connection: AsyncConnection, user: str, at: datetime | None, *, actor: str, now: datetime
) -> User:
    was = await get_user(connection, user)
    if (was.disabled_at is None) != (at is None):
        await connection.execute(update(users).where(users.c.id == user).values(disabled_at=at))
        action = "users.enable" if at is None else "users.disable"
        await audit.record(connection, actor=actor, action=action, subject=user, now=now)
        await bump(connection, Topic.FLEET)
    return await get_user(connection, user)


async def _check(connection: AsyncConnection, profile: Profile) -> None:
    problems = list(problems_of(name=profile.name, email=profile.email))
    if profile.role not in USER_ROLES:
        problems.append(f"a user is one of {', '.join(USER_ROLES)}, not {profile.role}")
    if (profile.role is Role.CONTACT) != (profile.customer is not None):
        problems.append(
            "a contact is of a customer, and nobody else is: name the customer of a contact, and of no other"
        )
    if profile.contact is not None:
        found = await connection.scalar(select(contacts.c.customer).where(contacts.c.id == profile.contact))
        if found is None or found != profile.customer:
            problems.append(f"contact {profile.contact} is none of that customer's; see: contacts list")
    if profile.technician is not None:
        known = await connection.scalar(select(technicians.c.id).where(technicians.c.id == profile.technician))
        if known is None:
            problems.append(f"there is no technician {profile.technician!r}; see: technicians list")
    if problems:
        raise FleetError("\n".join(problems))
    if profile.customer is not None:
        await get_customer(connection, profile.customer)


_USERS = select(
    users.c.id,
    users.c.name,
    users.c.role,
    users.c.email,
    users.c.language,
    users.c.customer,
    users.c.contact,
    users.c.technician,
    users.c.password_hash.is_not(None),
    users.c.created_at,
    users.c.disabled_at,
)


def _to_user(row: Sequence[Any]) -> User:
    user, name, role, email, language, customer, contact, technician, *rest = row
    return User(user, Profile(name, Role(role), email, Language(language), customer, contact, technician), *rest)


def _columns(profile: Profile) -> dict[str, object]:
    return {name: getattr(profile, name) for name in Profile.__annotations__}
