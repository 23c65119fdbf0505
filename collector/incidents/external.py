"""Alerts of an external ruler on their way to incidents: the same way as those of rules that are evaluated here.

They are kept in memory as the ruler tells them, and what changed is judged a moment later, in one transaction. A crash
in between loses nothing: rulers repeat what fires and, for a while, what is over.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.evaluation import Transition
from collector.alerting.external import (
    ALERTNAME,
    NO_VERSION,
    REMEMBERED,
    RESOLVE_TIMEOUT,
    ExternalRule,
    Known,
    Posted,
    external_key,
    is_external,
    mark_of,
    rule_of,
    taken,
)
from collector.alerting.loop import instant_before
from collector.alerting.records import AlertMark, AlertRecord, AlertState
from collector.alerting.ruleset import AlertRule, Group, RuleSet
from collector.alerting.state import Alert, Change, Phase
from collector.clock import Clock
from collector.incidents.service import TWO_FRAMES, Incidents
from protocol.errors import TransientError

logger = logging.getLogger(__name__)

MAX_ALERTS = 50_000  # known at once; about 150 MB
AT_ONCE = 200  # alerts between two turns of the event loop
GATHER = timedelta(seconds=3)  # a ruler sends what one evaluation found in many requests: they are judged together
SWEEP_EVERY = timedelta(seconds=15)
RULER_LAG = timedelta(minutes=2)  # until a ruler has seen what we see: its scrape, its interval, its resend
UNKNOWN_HOLD = timedelta(minutes=15)  # the longest usual `for`, where the rule is not loaded
TIMED_OUT = "the external ruler does not repeat it any more, and did not say that it is over"


class TooManyAlertsError(TransientError):
    """No more alerts can be kept; those that are known go on."""


class Transactions(Protocol):
    def connect(self) -> AbstractAsyncContextManager[AsyncConnection]: ...

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


@dataclass(slots=True)
class ExternalCounters:
    """Since the process began, by posted alert."""

    firing: int = 0
    resolved: int = 0
    invalid: int = 0
    refused: int = 0  # beyond MAX_ALERTS
    unassigned: int = 0  # that name no customer, site and device that exist


@dataclass(slots=True)
class ExternalAlerts:
    """`assign` puts a posted alert where it belongs; `turn` is called every second."""

    database: Transactions
    incidents: Incidents
    assign: Callable[[Posted], tuple[Posted, bool]]  # the alert, and whether it names what exists
    clock: Clock
    sweeps: int = 0  # since the process began
    counters: ExternalCounters = field(default_factory=ExternalCounters)
    _known: dict[AlertMark, Known] = field(default_factory=dict)
    _stored: set[AlertMark] = field(default_factory=set)  # those that fire in the database
    _rules: Mapping[str, Sequence[AlertRule]] = field(default_factory=dict)  # by name
    _waiting_since: datetime | None = None  # since when there is something to be judged
    _swept_at: datetime | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def use_rules(self, rules: RuleSet) -> None:
        """The loaded rules, which tell more of the alerts that are theirs: thresholds, version, `for`."""
        by_name: dict[str, list[AlertRule]] = {}
        for rule in rules.alert_rules:
            by_name.setdefault(rule.alert, []).append(rule)
        self._rules = by_name

    def known(self, mark: AlertMark) -> Known | None:
        return self._known.get(mark)

    @property
    def firing(self) -> int:
        """How many fire in the database."""
        return len(self._stored)

    async def take(self, posted: Sequence[Posted]) -> None:
        """Remembers what a ruler told. Raises TooManyAlertsError, after it took what there was room for."""
        now = self.clock()
        left_out = 0
        for number, one in enumerate(posted, start=1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            assigned, is_found = self.assign(one)
            mark = mark_of(assigned.labels)
            before = self._known.get(mark)
            if before is None and len(self._known) >= MAX_ALERTS:
                left_out += 1
                continue
            after = self._known[mark] = taken(before, assigned, now)
            if after.fires(now):
                self.counters.firing += 1
            else:
                self.counters.resolved += 1
            if not is_found:
                self.counters.unassigned += 1
                if before is None:
                    logger.warning("an external alert names nothing that exists: rule=%s", one.labels[ALERTNAME])
        if left_out:
            self.counters.refused += left_out
            raise TooManyAlertsError(
                f"{left_out} alerts are not taken: {MAX_ALERTS} are known already; try again later"
            )

    async def restore(self, own_rules: RuleSet, *, takes_over: bool) -> None:
        """Takes up what fires in the database. A ruler has the usual time to repeat it.

        `takes_over`: the ruler evaluates what the collector itself did before, save `own_rules`."""
        now = self.clock()
        async with self._turn, self.database.begin() as connection:
            found = await records.open_alerts(connection)
            if takes_over:
                found = await self._taken_over(connection, found, {rule.key for rule in own_rules.alert_rules})
            for one in found:
                if is_external(one.rule_key) and one.state is AlertState.FIRING:
                    mark = one.rule_key, one.fingerprint
                    since, until = one.active_since, now + RESOLVE_TIMEOUT
                    self._known[mark] = Known(one.labels, one.annotations, since, since, until, is_told_over=False)
                    self._stored.add(mark)

    @staticmethod
    async def _taken_over(
        connection: AsyncConnection, found: Sequence[AlertRecord], own: set[str]
    ) -> list[AlertRecord]:
        """The open alerts, those that the collector evaluated itself under the keys that a ruler's have."""
        marks = {(one.rule_key, one.fingerprint) for one in found}
        kept: list[AlertRecord] = []
        rekeyed: dict[int, dict[str, object]] = {}
        pending: list[int] = []
        for one in found:
            mark = external_key(one.rule), one.fingerprint
            if is_external(one.rule_key) or one.rule_key in own or mark in marks:
                kept.append(one)
            elif one.fired_at is None:
                pending.append(one.id)
            else:
                marks.add(mark)
                rekeyed[one.id] = {"rule_key": mark[0], "state": one.state, "clear_since": None}
                kept.append(replace(one, rule_key=mark[0]))
        await records.update_alerts(connection, rekeyed)
        await records.delete_alerts(connection, pending)
        return kept

    async def turn(self) -> None:
        """Judges what has changed, and what else may have. Raises TransientError: all of it is tried again."""
        async with self._turn:
            now = self.clock()
            began = [mark for mark, one in self._known.items() if one.fires(now) and mark not in self._stored]
            ended = [mark for mark in self._stored if not self._known[mark].fires(now)]
            if began or ended:
                self._waiting_since = self._waiting_since or now
            is_due = self._waiting_since is not None and now - self._waiting_since >= GATHER
            is_swept = self._swept_at is not None and now - self._swept_at < SWEEP_EVERY
            if not is_due and is_swept:
                return
            waits: dict[str, timedelta] = {}
            if not is_swept:
                async with self.database.connect() as reading:
                    waits = {key: self._wait(name) for key, name in await records.open_external(reading)}
            if is_due or waits:
                async with self.database.begin() as connection:
                    if is_due:
                        await self.incidents.apply(connection, await self._transitions(began, ended, now), now)
                    if waits:
                        await self.incidents.sweep_keys(connection, waits, now)
            if is_due:
                self._stored.update(began)
                self._stored.difference_update(ended)
                self._waiting_since = None
                logger.info("external alerts changed: began=%d ended=%d firing=%d", len(began), len(ended), self.firing)
            if not is_swept:
                self._swept_at = now
                self.sweeps += 1
            self._forget(now)

    async def _transitions(
        self, began: Sequence[AlertMark], ended: Sequence[AlertMark], now: datetime
    ) -> list[Transition]:
        made: list[Transition] = []
        for number, mark in enumerate([*ended, *began]):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            known = self._known[mark]
            alert = alert_of(known)
            rule = self._rule(mark[0], known)
            if number >= len(ended):
                made.append(Transition(rule, mark[1], replace(alert, fired_at=now), (Change.STARTED, Change.FIRED)))
            else:
                made.append(
                    Transition(rule, mark[1], alert, (Change.RESOLVED,), why=None if known.is_told_over else TIMED_OUT)
                )
        return made

    def _rule(self, key: str, known: Known) -> ExternalRule:
        name = known.labels[ALERTNAME]
        rule = rule_of(known.labels, self._rules)
        if rule is None:
            return ExternalRule(key, name, NO_VERSION)
        return ExternalRule(key, name, rule.version, rule.hold_for, rule.labels, rule.thresholds)

    def _wait(self, name: str) -> timedelta:
        """How long a device must report again until it is clear that a ruler does not fire this alert for it again."""
        hold_for = max((rule.hold_for for rule in self._rules.get(name, ())), default=UNKNOWN_HOLD)
        return hold_for + TWO_FRAMES + RULER_LAG

    def _forget(self, now: datetime) -> None:
        """What is over; what was said to be over only when no older word of it can come any more."""
        over = [
            mark
            for mark, one in self._known.items()
            if mark not in self._stored
            and not one.fires(now)
            and (not one.is_told_over or one.ends_at < now - REMEMBERED)
        ]
        for mark in over:
            del self._known[mark]

    @asynccontextmanager
    async def amending(self) -> AsyncIterator[dict[str, dict[str, Alert]]]:
        """The alerts that fire by rule key and fingerprint; who enters may give them an earlier beginning, and add some
        that the ruler has yet to tell of, once that is stored."""
        async with self._turn:
            active: dict[str, dict[str, Alert]] = {}
            for key, mark in self._stored:
                active.setdefault(key, {})[mark] = alert_of(self._known[key, mark])
            before = {key: dict(alerts) for key, alerts in active.items()}
            yield active
            for key, alerts in active.items():
                for mark, alert in alerts.items():
                    if alert != before.get(key, {}).get(mark):
                        self._amend((key, mark), alert)

    def _amend(self, mark: AlertMark, alert: Alert) -> None:
        now = self.clock()
        known = self._known.get(mark)
        if known is not None and mark in self._stored:
            self._known[mark] = replace(known, active_since=min(known.active_since, alert.active_since))
            return
        until = now + self._wait(alert.labels[ALERTNAME]) + RESOLVE_TIMEOUT
        self._known[mark] = Known(alert.labels, alert.annotations, alert.active_since, now, until, is_told_over=False)


@dataclass(frozen=True, slots=True)
class ExternalLive:
    """An external ruler as what evaluates these rules. Compared by identity: one for each load of the rules."""

    rules: RuleSet
    alerts: ExternalAlerts
    default_interval: timedelta
    clock: Clock

    def interval(self, group: Group) -> timedelta:
        return group.interval or self.default_interval

    def last_evaluated(self, group: Group) -> datetime:
        """The ruler is taken to keep up."""
        return instant_before(self.clock(), self.interval(group))

    def amending(self, _group: Group) -> AbstractAsyncContextManager[dict[str, dict[str, Alert]]]:
        return self.alerts.amending()


def alert_of(known: Known) -> Alert:
    """A ruler tells no value, other than in annotations."""
    return Alert(known.labels, Phase.FIRING, known.active_since, float("nan"), known.annotations, known.active_since)
