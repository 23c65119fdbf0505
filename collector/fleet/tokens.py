"""Tokens: to enrol agents, and to read or write through the API. Each secret is shown once and stored hashed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import ServiceModels
from collector.db import audit
from collector.db.revisions import Topic, bump
from collector.db.tables import tokens
from collector.fleet.customers import ensure_site, get_customer, get_site, require_monitoring
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.secrets import hash_secret, new_secret
from protocol.wire import Kind

ENROLLMENT_LIFETIME = timedelta(days=7)
MAX_USES = 100_000


class Role(StrEnum):
    ENROLL = "enroll"
    CONTACT = "contact"  # of a customer: reads what is that customer's
    VIEWER = "viewer"  # reads
    TECHNICIAN = "technician"
    MANAGER = "manager"
    ADMIN = "admin"
    SENDER = "sender"  # writes samples of one customer or site
    RULER = "ruler"  # posts alerts for all


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

    def is_usable(self, now: datetime) -> bool:
        in_time = self.expires_at is None or now < self.expires_at
        return self.revoked_at is None and in_time and self.uses_left != 0


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
    await require_monitoring(connection, models, customer, now)
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
    lifetime: timedelta | None = None,
    actor: str,
    now: datetime,
) -> str:
    """The secret of a new access token, bound to a customer or a site if they are named. Raises FleetError."""
    if role is Role.ENROLL:
        raise FleetError("an enrolment token needs a customer, a site and a kind, and no role")
    if role is Role.SENDER and customer is None:
        raise FleetError("a sender writes for one customer: name it with --customer")
    if role is Role.RULER and customer is not None:
        raise FleetError("a ruler posts alerts for all customers: leave out --customer and --site")
    if site is not None and customer is None:
        raise FleetError("a site belongs to a customer: name it with --customer")
    if customer is not None:
        await get_customer(connection, customer)
    if customer is not None and site is not None:
        await get_site(connection, customer, site)
    return await _create(
        connection, {"role": role, "customer": customer, "site": site}, lifetime=lifetime, actor=actor, now=now
    )


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


async def list_tokens(connection: AsyncConnection) -> list[Token]:
    rows = await connection.execute(SELECT_TOKEN.order_by(tokens.c.id))
    return [to_token(row) for row in rows]


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
)


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
