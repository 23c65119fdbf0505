"""Late data: what an agent kept while it could not reach us is judged at the time at which it happened.

A device's rules are replayed over the stretch that came late. What began and ended within it goes to the history alone:
it is over before it was known, so nobody is called. What still holds has held for longer than was known, and what was
open and ended within it was over earlier. All of it can be done again without harm.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.external import external_key
from collector.alerting.records import AlertRecord, AlertState, Outcome
from collector.alerting.ruleset import AlertRule
from collector.alerting.state import Alert, Phase
from collector.alerting.timeline import Episode
from collector.incidents.decision import ticket_key
from collector.incidents.ending import resolve
from collector.incidents.ledgers import LEDGERS
from collector.incidents.reasons import Reason, record_reasons
from collector.incidents.round import Round, Surroundings

logger = logging.getLogger(__name__)

MAX_STORED = 1_000  # episodes of one rule that go to the history at once


class Identity(Protocol):
    """Where the alerts of a rule are kept, and which of them an episode of a replay is."""

    def key(self, rule: AlertRule) -> str:
        """The rule key of its alerts."""
        ...

    def marks(self, episode: Episode, known: Mapping[str, Mapping[str, str]]) -> list[str]:
        """The fingerprints of the alerts that are this episode's. `known`: the labels of the rule's alerts."""
        ...

    @property
    def may_lag(self) -> bool:
        """Whether an alert may not be live yet although its condition holds."""
        ...


class OwnAlerts:
    """Alerts of rules that are evaluated here: the replay gives the very labels that the evaluation gives."""

    may_lag = False

    def key(self, rule: AlertRule) -> str:
        return rule.key

    def marks(self, episode: Episode, known: Mapping[str, Mapping[str, str]]) -> list[str]:
        return [episode.fingerprint]


class PostedAlerts:
    """Alerts of an external ruler. It may add labels of its own (`external_labels`, `job` and `instance` of a scrape),
    and it fires a rule with `for` anew when the samples come back."""

    may_lag = True

    def key(self, rule: AlertRule) -> str:
        return external_key(rule.alert)

    def marks(self, episode: Episode, known: Mapping[str, Mapping[str, str]]) -> list[str]:
        found = [mark for mark, labels in known.items() if episode.labels.items() <= labels.items()]
        return sorted(found) or [episode.fingerprint]


WasSeen = Callable[[str, datetime], bool]  # whether a device's samples reach up to a time


class LateJudge:
    """Applies what a replay of one rule over some devices found, in a transaction of its caller's."""

    def __init__(
        self, world: Surroundings, connection: AsyncConnection, now: datetime, identity: Identity | None = None
    ) -> None:
        self._world = world
        self._connection = connection
        self._now = now
        self._identity = identity or OwnAlerts()

    async def apply(
        self,
        rule: AlertRule,
        found: Sequence[Episode],
        live: Mapping[str, Alert],
        *,
        interval: timedelta,
        was_seen: WasSeen,
    ) -> dict[str, Alert]:
        """`found`: the episodes up to the last evaluation; `live`: the rule's alerts now, by fingerprint. Returns those
        of them that have been active for longer than was known, and where alerts may lag behind, those that fire."""
        devices = {one.labels["device_id"] for one in found}
        if not found:
            return {}
        since = min(one.active_since for one in found)
        key = self._identity.key(rule)
        known: dict[str, list[tuple[AlertRecord, datetime | None]]] = {}
        for record, resolved_at in await records.of_devices_since(self._connection, key, devices, since):
            known.setdefault(record.fingerprint, []).append((record, resolved_at))
        labels = {mark: some[-1][0].labels for mark, some in known.items()}
        labels |= {mark: alert.labels for mark, alert in live.items()}
        changed: dict[str, Alert] = {}
        over: list[Episode] = []
        for episode in found:
            marks = self._identity.marks(episode, labels)
            of_episode = {mark: [one for one in known.get(mark, ()) if _overlap(episode, *one)] for mark in marks}
            is_live = any(mark in live for mark in marks)
            if episode.ended_at is None and is_live:
                for mark in marks:
                    if (alert := live.get(mark)) is not None and episode.active_since < alert.active_since:
                        changed[mark] = replace(alert, active_since=episode.active_since)
                        await self._began_earlier(episode, [record for record, _ in of_episode[mark]])
            elif episode.ended_at is None and self._identity.may_lag:
                if episode.fired_at is not None:
                    changed[marks[0]] = _firing(episode, labels.get(marks[0], episode.labels))
            elif episode.fired_at is not None and was_seen(episode.labels["device_id"], episode.ended_at or self._now):
                ended_at = episode.ended_at or self._now
                stored = [some[-1] for some in of_episode.values() if some]
                if not stored:
                    over.append(replace(episode, ended_at=ended_at))
                elif not is_live:
                    for one in stored:
                        await self._ended_earlier(one, ended_at, interval)
        await self._remember(key, over)
        return changed

    async def _began_earlier(self, episode: Episode, of_episode: Sequence[AlertRecord]) -> None:
        for record in of_episode:
            if record.active_since <= episode.active_since:
                continue
            values = {"active_since": episode.active_since}
            await records.update_alerts(self._connection, {record.id: values})
            reason = f"late data: the condition has held since {episode.active_since:%Y-%m-%d %H:%M:%S} UTC"
            await record_reasons(self._connection, [Reason(record.id, self._now, record.outcome, reason, {})])
            for ledger in LEDGERS:
                if (number := ledger.of(record)) is not None:
                    await ledger.entries.correct_times(
                        self._connection, number, self._now, began_at=episode.active_since
                    )

    async def _ended_earlier(
        self, known: tuple[AlertRecord, datetime | None], ended_at: datetime, interval: timedelta
    ) -> None:
        """The alert was open before, and ended within the stretch."""
        record, resolved_at = known
        why = f"late data: the condition was gone at {ended_at:%Y-%m-%d %H:%M:%S} UTC"
        if resolved_at is None:
            await resolve(Round(self._world, self._connection, self._now), [record], why, at=ended_at)
        elif resolved_at - ended_at > interval:
            await records.update_alerts(self._connection, {record.id: {"resolved_at": ended_at}})
            await record_reasons(self._connection, [Reason(record.id, self._now, record.outcome, why, {})])
            for ledger in LEDGERS:
                number = ledger.of(record)
                last = None if number is None else await ledger.last_resolved_at(self._connection, number)
                if number is not None and last is not None:
                    await ledger.entries.correct_times(self._connection, number, self._now, resolved_at=last)

    async def _remember(self, key: str, over: Sequence[Episode]) -> None:
        """For the history and reports: no ticket, and no clock."""
        if len(over) > MAX_STORED:
            logger.warning("late episodes left out: rule=%s count=%d", over[0].rule.alert, len(over) - MAX_STORED)
        reason = "no ticket: over before it was known, as late data tell"
        rows = [
            {
                "rule_key": key,
                "fingerprint": one.fingerprint,
                "rule": one.rule.alert,
                "rule_version": one.rule.version,
                "labels": dict(one.labels),
                "annotations": dict(one.annotations),
                "state": AlertState.RESOLVED,
                "value": one.value,
                "active_since": one.active_since,
                "fired_at": one.fired_at,
                "resolved_at": one.ended_at,
                "customer": one.labels.get("customer"),
                "device": one.labels.get("device_id"),
                "outcome": Outcome.NONE,
                "reason": reason,
                "ticket_key": str(ticket_key(one.labels)),
            }
            for one in over[:MAX_STORED]
        ]
        await records.insert_alerts(self._connection, rows)


def _firing(episode: Episode, labels: Mapping[str, str]) -> Alert:
    return Alert(labels, Phase.FIRING, episode.active_since, episode.value, episode.annotations, episode.fired_at)


def _overlap(episode: Episode, record: AlertRecord, resolved_at: datetime | None) -> bool:
    """Whether a stored alert and an episode are of one time."""
    begins_before_end = episode.ended_at is None or record.active_since <= episode.ended_at
    return begins_before_end and (resolved_at is None or resolved_at >= episode.active_since)
