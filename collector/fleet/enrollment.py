"""Enrolment: an agent shows a token and gets a device and a secret of its own."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import ServiceModels
from collector.db import audit
from collector.db.inserts import insert_if_absent
from collector.db.revisions import Topic, bump
from collector.db.tables import devices, tokens
from collector.db.text import one_line
from collector.fleet.customers import require_monitoring
from collector.fleet.errors import FleetError
from collector.fleet.names import slug
from collector.fleet.roles import Role
from collector.fleet.secrets import hash_secret, new_secret
from protocol.models import EnrollRequest

SILENT_FOR = timedelta(minutes=5)  # a machine that still pushes is not the one that enrols here
SUFFIX_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # none that people mistake for another: 0 o, 1 l i
SUFFIX_CHARS = 4
SUFFIX_ATTEMPTS = 20

# What boards without a serial number of their own report.
_NO_SERIALS = {
    "",
    "0",
    "none",
    "n/a",
    "not specified",
    "default string",
    "system serial number",
    "to be filled by o.e.m.",
}


class EnrollmentError(FleetError):
    """The agent is not let in; `error` is a word for programs."""

    error = "forbidden"


class UnknownTokenError(EnrollmentError):
    """No such token, or it was revoked. To be answered with 401, the others with 403."""

    error = "unauthorized"


class TokenExpiredError(EnrollmentError):
    error = "token_expired"


class TokenUsedUpError(EnrollmentError):
    error = "token_used_up"


class DeviceRevokedError(EnrollmentError):
    error = "device_revoked"


class TooManyDevicesError(EnrollmentError):
    error = "too_many_devices"


@dataclass(frozen=True, slots=True)
class EnrollOutcome:
    device_id: str
    secret: str = field(repr=False)
    is_new: bool  # false: the device was known, and is given back
    possible_clone_of: str | None


@dataclass(frozen=True, slots=True)
class _Token:
    id: int
    customer: str
    site: str
    kind: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Known:
    """A device of the same customer, machine and instance."""

    id: str
    hostname: str
    serial: str | None
    enrolled_with: int | None
    revoked_at: datetime | None
    last_seen_at: datetime | None


def random_suffix() -> str:
    return "".join(secrets.choice(SUFFIX_ALPHABET) for _ in range(SUFFIX_CHARS))


@dataclass(frozen=True, slots=True)
class Enrollment:
    """Lets agents in. `last_received` knows better than the database when a device was last heard, or returns None."""

    models: ServiceModels
    last_received: Callable[[str], datetime | None]
    max_devices: int
    new_suffix: Callable[[], str] = random_suffix

    async def enroll(self, connection: AsyncConnection, request: EnrollRequest, now: datetime) -> EnrollOutcome:
        """Decides in the caller's transaction, which must be one that may write.

        The machine that comes again with the token it came with uses up nothing. A machine that cannot be told from
        one that is still pushing gets a device of its own, marked as a possible clone, and uses up the token.
        Raises EnrollmentError, or ConsentMissingError.
        """
        token = await _usable_token(connection, request.token, now)
        await require_monitoring(connection, self.models, token.customer, now, token.kind)
        known = await _known_devices(connection, token.customer, request)
        same = next((device for device in known if self._is_same(device, request, now)), None)
        if same is not None and same.revoked_at is not None and token.created_at <= same.revoked_at:
            raise DeviceRevokedError(f"device {same.id} was revoked after this token was made: make a new token")
        if same is None or same.enrolled_with != token.id:
            await _use(connection, token)
        secret = new_secret()
        told = _told(request, token) | {"secret_hash": hash_secret(secret), "enrolled_with": token.id}
        if same is not None:
            await _give_back(connection, same, told)
            outcome = EnrollOutcome(same.id, secret, is_new=False, possible_clone_of=None)
        else:
            clone_of = known[0].id if known else None
            device = await self._insert(connection, request, told | {"possible_clone_of": clone_of, "enrolled_at": now})
            outcome = EnrollOutcome(device, secret, is_new=True, possible_clone_of=clone_of)
        data = {"is_new": outcome.is_new, "possible_clone_of": outcome.possible_clone_of}
        await audit.record(
            connection,
            actor=f"token {token.id}",
            action="devices.enroll",
            subject=outcome.device_id,
            now=now,
            data=data,
        )
        await bump(connection, Topic.FLEET)
        return outcome

    def _is_same(self, device: _Known, request: EnrollRequest, now: datetime) -> bool:
        """Imaged machines share the identity, so it takes a hostname or a serial number too, and silence."""
        heard = self.last_received(device.id) or device.last_seen_at
        if heard is not None and now - heard < SILENT_FOR:
            return False
        serial = known_serial(request.serial)
        return device.hostname == _hostname(request) or (serial is not None and serial == device.serial)

    async def _insert(self, connection: AsyncConnection, request: EnrollRequest, values: Mapping[str, object]) -> str:
        count = await connection.scalar(select(func.count()).select_from(devices).where(devices.c.ended_at.is_(None)))
        if count is not None and count >= self.max_devices:
            raise TooManyDevicesError(
                f"there are {count} devices, and max_devices allows no more: raise it in the settings"
            )
        base = slug(request.hostname)
        for _ in range(SUFFIX_ATTEMPTS):
            device = f"{base}-{self.new_suffix()}"
            if await insert_if_absent(connection, devices, {**values, "id": device}):
                return device
        raise EnrollmentError(f"no name was left for {base}: enrol it under another hostname")


async def _usable_token(connection: AsyncConnection, secret: str, now: datetime) -> _Token:
    """The enrolment token, locked until the end of the transaction: enrolments with one token go one by one."""
    found = await connection.execute(
        select(*(tokens.c[name] for name in _Token.__annotations__))
        .where(tokens.c.secret_hash == hash_secret(secret), tokens.c.role == Role.ENROLL)
        .with_for_update()
    )
    row = found.one_or_none()
    token = None if row is None else _Token(*row)
    if token is None or token.revoked_at is not None:
        raise UnknownTokenError("this enrolment token is not known, or was revoked: make a new one with tokens create")
    if token.expires_at is not None and token.expires_at <= now:
        raise TokenExpiredError(
            f"this enrolment token expired at {token.expires_at:%Y-%m-%d %H:%M} UTC: make a new one"
        )
    return token


async def _use(connection: AsyncConnection, token: _Token) -> None:
    used = await connection.execute(
        update(tokens).where(tokens.c.id == token.id, tokens.c.uses_left > 0).values(uses_left=tokens.c.uses_left - 1)
    )
    if used.rowcount == 0:
        raise TokenUsedUpError("this enrolment token is used up: make a new one, or one with more --uses")


async def _known_devices(connection: AsyncConnection, customer: str, request: EnrollRequest) -> Sequence[_Known]:
    """Devices of this identity that are looked after, the oldest first."""
    rows = await connection.execute(
        select(*(devices.c[name] for name in _Known.__annotations__))
        .where(
            devices.c.customer == customer,
            devices.c.machine_id == one_line(request.machine_id),
            devices.c.instance == one_line(request.instance),
            devices.c.ended_at.is_(None),
        )
        .order_by(devices.c.enrolled_at, devices.c.id)
    )
    return [_Known(*row) for row in rows]


def _told(request: EnrollRequest, token: _Token) -> dict[str, object]:
    """What agent and token say of the device; the token's word on its kind counts."""
    return {
        "customer": token.customer,
        "site": token.site,
        "kind": token.kind,
        "hostname": _hostname(request),
        "serial": known_serial(request.serial),
        "machine_id": one_line(request.machine_id),
        "instance": one_line(request.instance),
        "os": one_line(request.os),
        "arch": one_line(request.arch),
        "agent_version": one_line(request.agent_version),
    }


async def _give_back(connection: AsyncConnection, device: _Known, told: Mapping[str, object]) -> None:
    """The device with a new secret; the old one is worth nothing from here on."""
    values = {**told, "revoked_at": None, "goodbye_at": None, "goodbye_reason": None}
    await connection.execute(update(devices).where(devices.c.id == device.id).values(values))


def _hostname(request: EnrollRequest) -> str:
    return one_line(request.hostname)


def known_serial(serial: str | None) -> str | None:
    """The serial number, None if it is one of those that stand for none."""
    cleaned = one_line(serial or "").strip()
    return None if cleaned.lower() in _NO_SERIALS else cleaned
