"""The open alerts as Alertmanager tells them, also those that the collector evaluates itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from multidict import MultiMapping
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting.external import RESOLVE_TIMEOUT, Known
from collector.alerting.matching import MAX_MATCHERS, MatcherError, all_match, parse_matcher
from collector.alerting.records import AlertMark, AlertState, Outcome
from collector.api.alertmanager.shapes import RECEIVERS, silence_id, time_text
from collector.db.tables import alerts
from collector.incidents.silences import silences_in_force
from collector.series.read import Matcher

MAX_ALERTS = 20_000  # told at once, oldest first


@dataclass(frozen=True, slots=True)
class AlertQuery:
    matchers: tuple[Matcher, ...] = ()
    active: bool = True
    silenced: bool = True
    inhibited: bool = True

    @classmethod
    def of(cls, asked: MultiMapping[str]) -> "AlertQuery":
        """Raises MatcherError."""
        return cls(filter_of(asked.getall("filter", [])), *(asked.get(name, "true") != "false" for name in _SWITCHES))


_SWITCHES = ("active", "silenced", "inhibited")


def filter_of(texts: list[str]) -> tuple[Matcher, ...]:
    """Raises MatcherError."""
    if len(texts) > MAX_MATCHERS:
        raise MatcherError(f"name at most {MAX_MATCHERS} matchers, not {len(texts)}")
    return tuple(map(parse_matcher, texts))


async def told_alerts(
    connection: AsyncConnection, query: AlertQuery, known: Callable[[AlertMark], Known | None], now: datetime
) -> list[Mapping[str, object]]:
    columns = ("rule_key", "fingerprint", "labels", "annotations", "active_since", "fired_at", "outcome")
    wanted = (alerts.c.resolved_at.is_(None), alerts.c.state.in_((AlertState.FIRING, AlertState.UNKNOWN)))
    rows = await connection.execute(
        select(*(alerts.c[name] for name in columns)).where(*wanted).order_by(alerts.c.id).limit(MAX_ALERTS)
    )
    silences = await silences_in_force(connection, now)
    told: list[Mapping[str, object]] = []
    for row in rows:
        if not all_match(query.matchers, row.labels):
            continue
        silenced_by = [silence_id(one.id) for one in silences if one.covers(row.labels, now)]
        is_held = row.outcome == Outcome.SUPPRESSED
        if not (query.silenced if silenced_by else query.inhibited if is_held else query.active):
            continue
        posted = known((row.rule_key, row.fingerprint))
        told.append(
            {
                "labels": row.labels,
                "annotations": row.annotations,
                "startsAt": time_text(row.active_since),
                "endsAt": time_text(posted.ends_at if posted is not None else now + RESOLVE_TIMEOUT),
                "updatedAt": time_text(row.fired_at or row.active_since),
                "fingerprint": row.fingerprint[:16],
                "generatorURL": posted.generator_url if posted is not None else "",
                "receivers": RECEIVERS,
                "status": {
                    "state": "suppressed" if silenced_by or is_held else "active",
                    "silencedBy": silenced_by,
                    "inhibitedBy": [],  # our reasons are told by `alerts why`
                    "mutedBy": [],
                },
            }
        )
    return told
