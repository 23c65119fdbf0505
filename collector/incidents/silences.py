"""Silences: what people asked to be quiet about, from when to when. They hold tickets back, and hide nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Row, cast, func, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting.matching import all_match, parse_matcher, parse_matchers, write_matcher
from collector.alerting.records import open_alerts
from collector.db import audit
from collector.db.tables import silences
from collector.db.text import one_line
from collector.series.read import Matcher
from protocol.errors import PermanentError

MAX_LENGTH = timedelta(days=366)
MAX_COMMENT_CHARS = 2_000


class SilenceError(PermanentError):
    """The silence cannot be as asked for; the message says why."""


class SilenceState(StrEnum):
    TO_COME = "to_come"
    IN_FORCE = "in_force"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Silence:
    id: int
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str
    created_at: datetime

    def covers(self, labels: Mapping[str, str], at: datetime) -> bool:
        """`labels` with `alertname`."""
        return self.starts_at <= at < self.ends_at and all_match(self.matchers, labels)

    def state(self, at: datetime) -> SilenceState:
        if self.ends_at <= at:
            return SilenceState.ENDED
        return SilenceState.IN_FORCE if self.starts_at <= at else SilenceState.TO_COME


async def add_silence(
    connection: AsyncConnection,
    *,
    matchers: Sequence[str],
    starts_at: datetime,
    ends_at: datetime,
    author: str,
    comment: str,
    now: datetime,
) -> int:
    """The id of a new silence. Raises MatcherError or SilenceError."""
    written = [write_matcher(matcher) for matcher in parse_matchers(matchers)]
    comment = _checked(starts_at, ends_at, comment, now)
    row = {
        "matchers": written,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "author": author[:200],
        "comment": comment,
        "created_at": now,
    }
    added = await connection.execute(insert(silences).values(row).returning(silences.c.id))
    silence = int(added.scalar_one())
    data = {"matchers": written, "ends_at": ends_at.isoformat(), "comment": comment}
    await audit.record(connection, actor=author, action="silences.add", subject=str(silence), now=now, data=data)
    return silence


async def change_silence(
    connection: AsyncConnection,
    silence: int,
    *,
    ends_at: datetime | None = None,
    comment: str | None = None,
    actor: str,
    now: datetime,
) -> Silence:
    """Another end or comment for one that has not ended. Raises SilenceError."""
    was = await get_silence(connection, silence)
    if was.ends_at <= now:
        raise SilenceError(f"silence {silence} has ended: add another")
    values = {"ends_at": ends_at or was.ends_at}
    text = _checked(was.starts_at, values["ends_at"], was.comment if comment is None else comment, now)
    still = (silences.c.id == silence, silences.c.ends_at > now)
    changed = await connection.execute(update(silences).where(*still).values(**values, comment=text))
    if changed.rowcount == 0:
        raise SilenceError(f"silence {silence} has ended just now: add another")
    data = {"ends_at": values["ends_at"].isoformat(), "comment": text, "before": was.ends_at.isoformat()}
    await audit.record(connection, actor=actor, action="silences.change", subject=str(silence), now=now, data=data)
    return await get_silence(connection, silence)


def _checked(starts_at: datetime, ends_at: datetime, comment: str, now: datetime) -> str:
    """The comment as it is kept. Raises SilenceError."""
    comment = one_line(comment).strip()
    if not 1 <= len(comment) <= MAX_COMMENT_CHARS:
        raise SilenceError(f"say why in a comment of 1 to {MAX_COMMENT_CHARS} characters: others will wonder")
    if not starts_at < ends_at or ends_at <= now:
        raise SilenceError("a silence ends after it starts, and in the future")
    if ends_at - starts_at > MAX_LENGTH:
        raise SilenceError(f"a silence lasts at most {MAX_LENGTH.days} days; switch the rule off instead")
    return comment


async def count_matched(connection: AsyncConnection, matchers: Sequence[str]) -> int:
    """How many open alerts some matchers match. Raises MatcherError."""
    parsed = parse_matchers(matchers)
    return sum(all_match(parsed, one.labels) for one in await open_alerts(connection))


async def expire_silence(connection: AsyncConnection, silence: int, *, actor: str, now: datetime) -> None:
    """Ends it now: what is still wrong opens its tickets with the next evaluation. Raises SilenceError."""
    ended = await connection.execute(
        update(silences).where(silences.c.id == silence, silences.c.ends_at > now).values(ends_at=now)
    )
    if ended.rowcount == 0:
        raise SilenceError(f"no silence {silence} is in force or to come; see: silences list")
    await audit.record(connection, actor=actor, action="silences.expire", subject=str(silence), now=now)


async def list_silences(connection: AsyncConnection, *, ends_after: datetime | None = None) -> list[Silence]:
    """All silences, or those that end after a time, in the order in which they were made."""
    query = _SILENCES
    if ends_after is not None:
        query = query.where(silences.c.ends_at > ends_after)
    return [_to_silence(row) for row in await connection.execute(query)]


async def silences_before(
    connection: AsyncConnection,
    before: int | None,
    limit: int,
    *,
    now: datetime,
    state: SilenceState | None = None,
    bearing: Sequence[Matcher] = (),
) -> list[Silence]:
    """`limit` at most, newest first: those with an id below `before` that are in a state, or without one in force or to
    come, and have all of these matchers."""
    query = _SILENCES.order_by(None).order_by(silences.c.id.desc()).limit(limit).where(*_in_state(state, now))
    if before is not None:
        query = query.where(silences.c.id < before)
    for matcher in bearing:
        query = query.where(_has(write_matcher(matcher), connection.dialect.name))
    return [_to_silence(row) for row in await connection.execute(query)]


def _in_state(state: SilenceState | None, now: datetime) -> list[ColumnElement[bool]]:
    starts_at, ends_at = silences.c.starts_at, silences.c.ends_at
    match state:
        case None:
            return [ends_at > now]
        case SilenceState.TO_COME:
            return [ends_at > now, starts_at > now]
        case SilenceState.IN_FORCE:
            return [ends_at > now, starts_at <= now]
        case SilenceState.ENDED:
            return [ends_at <= now]


def _has(matcher: str, dialect: str) -> ColumnElement[bool]:
    if dialect == "postgresql":
        return cast(silences.c.matchers, JSONB).contains([matcher])
    each = func.json_each(silences.c.matchers).table_valued("value")
    return select(each.c.value).where(each.c.value == matcher).exists()


async def get_silence(connection: AsyncConnection, silence: int) -> Silence:
    """Raises SilenceError."""
    row = (await connection.execute(_SILENCES.where(silences.c.id == silence))).one_or_none()
    if row is None:
        raise SilenceError(f"there is no silence {silence}; see: silences list --all")
    return _to_silence(row)


async def silences_in_force(connection: AsyncConnection, at: datetime) -> list[Silence]:
    query = _SILENCES.where(silences.c.starts_at <= at, silences.c.ends_at > at)
    return [_to_silence(row) for row in await connection.execute(query)]


_SILENCES = select(*(silences.c[name] for name in Silence.__annotations__)).order_by(silences.c.id)


def _to_silence(row: Row[tuple[object, ...]]) -> Silence:
    return Silence(**{**row._mapping, "matchers": tuple(map(parse_matcher, row.matchers))})
