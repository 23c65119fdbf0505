"""Technicians: who works on tickets, at what, for whom and when."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import DEFAULT_HOLIDAYS, OfficeHours, OfficeHoursError
from collector.contracts.office_hours import DEFAULT_HOURS
from collector.db import audit
from collector.db.inserts import insert_if_absent
from collector.db.tables import absences, customers, sites, technicians
from collector.db.text import one_line
from collector.desk.working_hours import Span, hours_of
from protocol.errors import PermanentError

DEFAULT_TIME_ZONE = "Europe/Amsterdam"
DEFAULT_MAX_OPEN = 20
MAX_OPEN = 1000
MAX_LISTED = 100  # skills, customers or groups of one technician
MAX_NAME_CHARS = 200
MAX_EMAIL_CHARS = 254
MAX_REASON_CHARS = 200
MAX_COUNTRY_CHARS = 8
LANGUAGES = ("nl", "en")
ANY_DAY = date(2026, 1, 1)

_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SERVED = re.compile(rf"{_SLUG.pattern}(/{_SLUG.pattern})?")
# What can be written to. More is refused than RFC 5321 would, among it all that could add a line to a mail's head.
_EMAIL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")


class TechnicianError(PermanentError):
    """What was asked of a technician cannot be done; the message says why."""


class NoTechnicianError(TechnicianError):
    """There is no such technician, absence or shift."""


class NameTakenError(TechnicianError):
    """A technician or a group has this name."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a technician and may be changed. Empty `skills` and `serves` are all of them."""

    name: str
    email: str | None = None
    language: str = "nl"
    skills: tuple[str, ...] = ()  # categories of tickets
    serves: tuple[str, ...] = ()  # acme, or acme/hq
    groups: tuple[str, ...] = ()  # to escalate to
    hours: str = DEFAULT_HOURS
    time_zone: str = DEFAULT_TIME_ZONE
    holidays: str = DEFAULT_HOLIDAYS
    max_open: int = DEFAULT_MAX_OPEN  # tickets in hand before others are asked first


@dataclass(frozen=True, slots=True)
class Technician(Profile):
    id: str = ""
    created_at: datetime | None = None
    left_at: datetime | None = None

    @property
    def office_hours(self) -> OfficeHours:
        return hours_of(self.hours, self.time_zone, self.holidays)


@dataclass(frozen=True, slots=True)
class Absence:
    id: int
    technician: str
    starts_at: datetime
    ends_at: datetime
    reason: str
    author: str

    @property
    def span(self) -> Span:
        return Span(self.starts_at, self.ends_at)


def problems_of(profile: Profile) -> list[str]:
    """Everything that is wrong with it, by itself."""
    found = []
    if not 1 <= len(profile.name) <= MAX_NAME_CHARS:
        found.append(f"name: has 1 to {MAX_NAME_CHARS} characters")
    if profile.email is not None and not (len(profile.email) <= MAX_EMAIL_CHARS and _EMAIL.fullmatch(profile.email)):
        found.append(f"email: {profile.email[:80]!r} is no address; write it like anna@provider.example")
    if profile.language not in LANGUAGES:
        found.append(f"language: choose one of {', '.join(LANGUAGES)}, not {profile.language[:20]!r}")
    for what, pattern, values in (
        ("skills", _SLUG, profile.skills),
        ("serves", _SERVED, profile.serves),
        ("groups", _SLUG, profile.groups),
    ):
        wrong = [value for value in values if not pattern.fullmatch(value)]
        if wrong:
            shape = "a customer or customer/site" if what == "serves" else "lower case letters, digits, '-' and '_'"
            found.append(f"{what}: {wrong[0][:80]!r} is not written as {shape}")
        if len(values) > MAX_LISTED:
            found.append(f"{what}: at most {MAX_LISTED}")
    if len(profile.holidays) > MAX_COUNTRY_CHARS:
        found.append(f"holidays: a country is named by its two letters, such as NL, not {profile.holidays[:20]!r}")
    try:
        hours_of(profile.hours, profile.time_zone, profile.holidays).is_holiday(ANY_DAY)  # knows the country, too
    except OfficeHoursError as error:
        found.append(f"hours: {error}")
    if not 1 <= profile.max_open <= MAX_OPEN:
        found.append(f"max_open: from 1 to {MAX_OPEN}, not {profile.max_open}")
    return found


async def add_technician(
    connection: AsyncConnection, technician: str, profile: Profile, *, actor: str, now: datetime
) -> None:
    """Raises TechnicianError with every problem, or NameTakenError."""
    if not _SLUG.fullmatch(technician):
        raise TechnicianError(
            f"a technician is named by lower case letters, digits, '-' and '_', such as anna, not {technician[:80]!r}"
        )
    profile = await _checked(connection, technician, profile)
    if not await insert_if_absent(connection, technicians, {"id": technician, **shown(profile), "created_at": now}):
        raise NameTakenError(f"there is a technician {technician} already; see: technicians show {technician}")
    await audit.record(
        connection, actor=actor, action="technicians.add", subject=technician, now=now, data=_told(shown(profile))
    )


async def change_technician(
    connection: AsyncConnection, technician: str, changes: Mapping[str, Any], *, actor: str, now: datetime
) -> None:
    """`changes`: fields of Profile with what they become. Raises NoTechnicianError, or TechnicianError."""
    found = await get_technician(connection, technician)
    before = Profile(**{one.name: getattr(found, one.name) for one in fields(Profile)})
    after = await _checked(connection, technician, replace(before, **changes))
    new, old = shown(after), shown(before)
    differing = {name: value for name, value in new.items() if value != old[name]}
    if not differing:
        return
    await connection.execute(update(technicians).where(technicians.c.id == technician).values(shown(after)))
    data = {"to": _told(differing), "from": _told({name: old[name] for name in differing})}
    await audit.record(connection, actor=actor, action="technicians.change", subject=technician, now=now, data=data)


async def get_technician(connection: AsyncConnection, technician: str) -> Technician:
    """Also one who has left. Raises NoTechnicianError."""
    row = (await connection.execute(_TECHNICIANS.where(technicians.c.id == technician))).one_or_none()
    if row is None:
        raise NoTechnicianError(f"there is no technician {technician[:80]!r}; see: technicians list")
    return _to_technician(row)


async def list_technicians(
    connection: AsyncConnection,
    *,
    everybody: bool = False,
    after: str | None = None,
    limit: int | None = None,
) -> list[Technician]:
    """By name, those after `after`, `limit` at most; those who have left only if `everybody`."""
    query = _TECHNICIANS.order_by(technicians.c.id).limit(limit)
    if not everybody:
        query = query.where(technicians.c.left_at.is_(None))
    if after is not None:
        query = query.where(technicians.c.id > after)
    return [_to_technician(row) for row in await connection.execute(query)]


async def require_active(connection: AsyncConnection, technician: str) -> Technician:
    """Raises NoTechnicianError; TechnicianError if the technician has left."""
    found = await get_technician(connection, technician)
    if found.left_at is not None:
        raise TechnicianError(f"{technician} left on {found.left_at:%Y-%m-%d} and takes no tickets; name another")
    return found


async def add_absence(
    connection: AsyncConnection,
    technician: str,
    span: Span,
    *,
    reason: str,
    actor: str,
    now: datetime,
) -> Absence:
    """A new absence. Raises NoTechnicianError, or TechnicianError if it is over already or ends too early."""
    await require_active(connection, technician)
    reason = one_line(reason).strip()[:MAX_REASON_CHARS]
    if not reason:
        raise TechnicianError("say why: an absence has a reason, such as holiday or ill")
    if span.ends_at <= span.starts_at:
        raise TechnicianError("an absence ends after it begins")
    if span.ends_at <= now:
        raise TechnicianError("an absence that is over changes nothing: name a later end")
    values = {
        "technician": technician,
        "starts_at": span.starts_at,
        "ends_at": span.ends_at,
        "reason": reason,
        "author": actor[:200],
    }
    added = Absence(*(await connection.execute(insert(absences).values(values).returning(*_ABSENCE))).one())
    data = {"id": added.id, "from": span.starts_at.isoformat(), "until": span.ends_at.isoformat(), "reason": reason}
    await audit.record(connection, actor=actor, action="technicians.absent", subject=technician, now=now, data=data)
    return added


async def end_absences(connection: AsyncConnection, technician: str, *, actor: str, now: datetime) -> int:
    """The technician is back: what holds now ends now. Returns how many that were; raises NoTechnicianError."""
    await get_technician(connection, technician)
    ended = await connection.execute(
        update(absences)
        .where(absences.c.technician == technician, absences.c.starts_at <= now, absences.c.ends_at > now)
        .values(ends_at=now)
    )
    if ended.rowcount:
        await audit.record(connection, actor=actor, action="technicians.back", subject=technician, now=now)
    return ended.rowcount


async def end_absence(
    connection: AsyncConnection, technician: str, absence: int, *, actor: str, now: datetime
) -> Absence | None:
    """One that holds ends now, one that is to come is called off, and one that is over stays as it is. Returns it as it
    is then. None: the technician has none of this id."""
    is_it = (absences.c.id == absence, absences.c.technician == technician)
    row = (await connection.execute(_ABSENCES.where(*is_it))).one_or_none()
    if row is None:
        return None
    found = Absence(*row)
    if found.ends_at <= now:
        return found
    ended = replace(found, ends_at=max(found.starts_at, now))
    await connection.execute(update(absences).where(*is_it).values(ends_at=ended.ends_at))
    data = {"id": absence, "until": ended.ends_at.isoformat()}
    await audit.record(connection, actor=actor, action="technicians.back", subject=technician, now=now, data=data)
    return ended


async def list_absences(
    connection: AsyncConnection, *, technician: str | None = None, not_over_at: datetime | None = None
) -> list[Absence]:
    """In the order in which they begin, only those that end after `not_over_at`."""
    query = _ABSENCES.order_by(absences.c.starts_at, absences.c.id)
    if technician is not None:
        query = query.where(absences.c.technician == technician)
    if not_over_at is not None:
        query = query.where(absences.c.ends_at > not_over_at)
    return [Absence(*row) for row in await connection.execute(query)]


async def absences_after(
    connection: AsyncConnection, technician: str, after: int | None, limit: int, *, not_over_at: datetime
) -> list[Absence]:
    """`limit` at most, by number: those beyond `after` that end after a time."""
    query = _ABSENCES.where(absences.c.technician == technician, absences.c.ends_at > not_over_at)
    if after is not None:
        query = query.where(absences.c.id > after)
    return [Absence(*row) for row in await connection.execute(query.order_by(absences.c.id).limit(limit))]


async def _checked(connection: AsyncConnection, technician: str, profile: Profile) -> Profile:
    """The profile, tidy. Raises TechnicianError with every problem, or NameTakenError."""
    tidy = replace(
        profile,
        name=one_line(profile.name).strip(),
        skills=tuple(sorted(set(profile.skills))),
        serves=tuple(sorted(set(profile.serves))),
        groups=tuple(sorted(set(profile.groups))),
    )
    problems = problems_of(tidy)
    if not problems:
        problems = [f"serves: there is no {unknown}" for unknown in await _unknown(connection, tidy.serves)]
    if problems:
        raise TechnicianError("\n".join(problems))
    # To whom a ticket escalates is one name: a technician's or a group's.
    others = [one for one in await list_technicians(connection, everybody=True) if one.id != technician]
    taken = {one.id for one in others} | {technician}
    if clash := sorted(taken & set(tidy.groups)):
        raise NameTakenError(f"groups: {clash[0]} is a technician; give the group another name")
    if any(technician in one.groups for one in others):
        raise NameTakenError(f"there is a group {technician}; a technician needs another name")
    return tidy


async def _unknown(connection: AsyncConnection, serves: Iterable[str]) -> list[str]:
    """Those of the customers and sites that do not exist."""
    wanted = {served: served.partition("/")[::2] for served in serves}
    if not wanted:
        return []
    named = {customer for customer, _ in wanted.values()}
    there = set(await connection.scalars(select(customers.c.id).where(customers.c.id.in_(named))))
    found = await connection.execute(select(sites.c.customer, sites.c.id).where(sites.c.customer.in_(named)))
    places = {(row[0], row[1]) for row in found}
    return [
        f"site {served}" if site else f"customer {served}"
        for served, (customer, site) in sorted(wanted.items())
        if customer not in there or (site and (customer, site) not in places)
    ]


def shown(profile: Profile) -> dict[str, object]:
    """What may be changed of a technician, with lists instead of tuples."""
    values = {one.name: getattr(profile, one.name) for one in fields(Profile)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _told(values: Mapping[str, object]) -> dict[str, object]:
    """For the audit: without the address."""
    return {name: value for name, value in values.items() if name != "email"}


_NAMES = tuple(one.name for one in fields(Technician))
_TECHNICIANS = select(*(technicians.c[name] for name in _NAMES))
_ABSENCE = tuple(absences.c[one.name] for one in fields(Absence))
_ABSENCES = select(*_ABSENCE)


def _to_technician(row: Sequence[Any]) -> Technician:
    values = dict(zip(_NAMES, row, strict=True))
    for name in ("skills", "serves", "groups"):
        values[name] = tuple(values[name])
    return Technician(**values)
