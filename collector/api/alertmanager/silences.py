"""Our silences as Alertmanager's."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.api.alertmanager.alerts import filter_of
from collector.api.alertmanager.shapes import (
    PostedSilence,
    set_time,
    silence_id,
    silence_number,
    time_text,
    told_matcher,
)
from collector.incidents import silences as store
from collector.incidents.silences import Silence
from collector.series.read import Matcher

EXPIRED_WITHIN = timedelta(days=5)  # as long as Alertmanager keeps them


async def told_silences(connection: AsyncConnection, texts: list[str], now: datetime) -> list[Mapping[str, object]]:
    """Those in force, to come, and lately expired. `texts`: matchers over the labels that a silence names.

    Raises MatcherError."""
    wanted = filter_of(texts)
    found = await store.list_silences(connection, ends_after=now - EXPIRED_WITHIN)
    return [told_silence(one, now) for one in found if _is_about(one, wanted)]


def told_silence(silence: Silence, now: datetime) -> Mapping[str, object]:
    state = "expired" if silence.ends_at <= now else "active" if silence.starts_at <= now else "pending"
    return {
        "id": silence_id(silence.id),
        "status": {"state": state},
        "updatedAt": time_text(silence.created_at),
        "startsAt": time_text(silence.starts_at),
        "endsAt": time_text(silence.ends_at),
        "createdBy": silence.author,
        "comment": silence.comment,
        "annotations": {},
        "matchers": [told_matcher(one) for one in silence.matchers],
    }


async def replace_silence(connection: AsyncConnection, asked: PostedSilence, actor: str, now: datetime) -> int | None:
    """The number of a new silence; the one that it names ends. None if it names one that is not there.

    Raises MatcherError or SilenceError."""
    if asked.id:
        number = silence_number(asked.id)
        try:
            before = await store.get_silence(connection, number or 0)
        except store.SilenceError:
            return None
        if before.ends_at > now:
            await store.expire_silence(connection, before.id, actor=actor, now=now)
    starts_at, ends_at = set_time(asked.startsAt), set_time(asked.endsAt)
    return await store.add_silence(
        connection,
        matchers=[one.written() for one in asked.matchers],
        starts_at=max(starts_at or now, now),
        ends_at=ends_at or now,
        author=f"{asked.createdBy.strip()}, {actor}" if asked.createdBy.strip() else actor,
        comment=asked.comment,
        now=now,
    )


def _is_about(silence: Silence, wanted: tuple[Matcher, ...]) -> bool:
    """As Alertmanager filters silences: by what their matchers say of a label."""
    texts = {one.label: one.value for one in silence.matchers}
    return all(one.matches(texts.get(one.label, "")) for one in wanted)
