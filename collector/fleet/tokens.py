"""Tokens: to enrol agents, and to read or write through the API. Each secret is shown once and stored hashed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import ServiceModels
from collector.db import audit
from collector.db.revisions import Topic, bump
from collector.db.tables import tokens, users
from collector.fleet.customers import ensure_site, get_customer, get_site, require_monitoring
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.roles import Role, reaches
from collector.fleet.secrets import hash_secret, new_secret
from protocol.wire import Kind

ENROLLMENT_LIFETIME = timedelta(days=7)
MAX_USES = 100_000


ACCESS_ROLES = tuple(role for role in Role if role is not Role.ENROLL)


@dataclass(frozen=True, slots=True)
class Token:
    id: int
    role: Role
    customer: str | None
    site: str | None
    kind: str | None
    uses_left: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    user: str | None = None  # whose it is
    user_disabled_at: datetime | None = None
    contact: int | None = None  # of a contact's: who it is at the customer

    def is_usable(self, now: datetime) -> bool:
        in_time = self.expires_at is None or now < self.expires_at
        is_taken_out = self.revoked_at is not None or self.user_disabled_at is not None
        return not is_taken_out and in_time and self.uses_left != 0


async def create_enrollment_token(
    connection: AsyncConnection,
    models: ServiceModels,
    *,
    customer: str,
    site: str,
    kind: Kind,
    uses: int,
    lifetime: timedelta = ENROLLMENT_LIFETIME,
    actor: str,
    now: datetime,
) -> str:
    """The secret of a new token that enrols `uses` agents; the site is made if need be.

    Raises FleetError, ConsentMissingError if the plan asks for a consent that is not there.
    """
    if not 1 <= uses <= MAX_USES:
        raise FleetError(f"an enrolment token has 1 to {MAX_USES} uses")
    await require_monitoring(connection, models, customer, now, kind)
    await ensure_site(connection, customer=customer, site=site, actor=actor, now=now)
    return await _create(
        connection,
        {"role": Role.ENROLL, "customer": customer, "site": site, "kind": kind, "uses_left": uses},
        lifetime=lifetime,
        actor=actor,
        now=now,
    )


async def create_access_token(
    connection: AsyncConnection,
    *,
    role: Role,
    customer: str | None,
    site: str | None,
    user: str | None = None,
    lifetime: timedelta | None = None,
    actor: str,
    now: datetime,
) -> str:
    """The secret of a new access token, bound to a customer or a site if they are named.

    A user's token may no more than the user. Raises FleetError."""
    if role is Role.ENROLL:
        raise FleetError("an enrolment token needs a customer, a site and a kind, and no role")
    if role is Role.SENDER and customer is None:
        raise FleetError("a sender writes for one customer: name it with --customer")
    if role is Role.RULER and customer is not None:
        raise FleetError("a ruler posts alerts for all customers: leave out --customer and --site")
    if user is not None:
        customer = await _bound_by(connection, user, role, customer)
    if role is Role.CONTACT and customer is None:
        raise FleetError("a contact is of a customer: name it with --customer, or the user with --user")
    if site is not None and customer is None:
        raise FleetError("a site belongs to a customer: name it with --customer")
    if customer is not None and (await get_customer(connection, customer)).ended_at is not None:
        raise FleetError(f"customer {customer} is no longer looked after: there is nothing for a token to reach")
    if customer is not None and site is not None:
        await get_site(connection, customer, site)
    values = {"role": role, "customer": customer, "site": site, "user": user}
    return await _create(connection, values, lifetime=lifetime, actor=actor, now=now)


async def _bound_by(connection: AsyncConnection, user: str, role: Role, customer: str | None) -> str | None:
    """The customer of a user's token. Raises NotFoundError or FleetError."""
    query = select(users.c.role, users.c.customer, users.c.disabled_at).where(users.c.id == user)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no user {user!r}; see: users list")
    if row.disabled_at is not None:
        raise FleetError(f"user {user} is disabled: enable it first with users enable {user}")
    if not reaches(Role(row.role), role):
        raise FleetError(f"user {user} has role {row.role}, and a token of role {role} would reach further")
    if row.customer is not None and customer not in (None, row.customer):
        raise FleetError(f"user {user} is of customer {row.customer} alone")
    found: str | None = row.customer or customer
    return found


async def revoke_token(connection: AsyncConnection, token: int, *, actor: str, now: datetime) -> None:
    """Takes the token out of use; doing it twice changes nothing. Raises NotFoundError."""
    found = await connection.scalar(select(tokens.c.id).where(tokens.c.id == token))
    if found is None:
        raise NotFoundError(f"there is no token {token}; see: tokens list")
    revoked = await connection.execute(
        update(tokens).where(tokens.c.id == token, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    if revoked.rowcount:
        await audit.record(connection, actor=actor, action="tokens.revoke", subject=str(token), now=now)
        await bump(connection, Topic.FLEET)


async def get_token(connection: AsyncConnection, token: int) -> Token:
    """Raises NotFoundError."""
    row = (await connection.execute(SELECT_TOKEN.where(tokens.c.id == token))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no token {token}; see: tokens list")
    return to_token(row)


async def token_with(connection: AsyncConnection, secret: str) -> Token:
    """The one whose secret this is, such as one that was made just now."""
    return to_token((await connection.execute(SELECT_TOKEN.where(tokens.c.secret_hash == hash_secret(secret)))).one())


async def list_tokens(
    connection: AsyncConnection,
    after: int | None = None,
    limit: int | None = None,
    *,
    customer: str | None = None,
    user: str | None = None,
) -> list[Token]:
    """`limit` at most, by number: those after `after`."""
    query = SELECT_TOKEN.order_by(tokens.c.id).limit(limit)
    if after is not None:
        query = query.where(tokens.c.id > after)
    if customer is not None:
        query = query.where(tokens.c.customer == customer)
    if user is not None:
        query = query.where(tokens.c.user == user)
    return [to_token(row) for row in await connection.execute(query)]


SELECT_TOKEN = select(
    tokens.c.id,
    tokens.c.role,
    tokens.c.customer,
    tokens.c.site,
    tokens.c.kind,
    tokens.c.uses_left,
    tokens.c.created_at,
    tokens.c.expires_at,
    tokens.c.revoked_at,
    tokens.c.user,
    users.c.disabled_at,
    users.c.contact,
).select_from(tokens.outerjoin(users, users.c.id == tokens.c.user))


def to_token(row: Sequence[Any]) -> Token:
    number, role, *rest = row
    return Token(number, Role(role), *rest)


async def _create(
    connection: AsyncConnection,
    values: Mapping[str, object],
    *,
    lifetime: timedelta | None,
    actor: str,
    now: datetime,
) -> str:
    if lifetime is not None and lifetime <= timedelta():
        raise FleetError("a token must live for a while: give --expires as a positive time, such as 7d")
    secret = new_secret()
    times = {"created_at": now, "expires_at": None if lifetime is None else now + lifetime}
    number = await connection.scalar(
        insert(tokens).values(**values, **times, secret_hash=hash_secret(secret)).returning(tokens.c.id)
    )
    await audit.record(connection, actor=actor, action="tokens.create", subject=str(number), now=now, data=values)
    await bump(connection, Topic.FLEET)
    return secret
