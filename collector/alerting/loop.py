"""The evaluation loop: each rule group at the multiples of its interval, each evaluation one transaction."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting import records
from collector.alerting.evaluation import (
    ALERTNAME,
    ALERTS,
    ALERTS_FOR_STATE,
    ActiveAlerts,
    Pass,
    Transition,
    advance_alerts,
    alert_samples,
    recorded_samples,
)
from collector.alerting.external import is_external
from collector.alerting.recording import Recorder
from collector.alerting.records import AlertRecord, AlertState
from collector.alerting.ruleset import AlertRule, Group, RecordingRule, RuleSet
from collector.alerting.state import Alert, Change, Phase
from collector.alerting.succession import Move, by_incident, heir_of
from collector.clock import EPOCH, Clock
from collector.promql import Engine, Shared
from protocol.errors import TransientError

logger = logging.getLogger(__name__)

# After a longer absence of evaluations, and no single one of a slow group is one, a pending alert starts again: nobody
# knows whether its condition held in between.
PENDING_SURVIVES = timedelta(minutes=10)
LATE_AFTER = timedelta(seconds=30)  # beyond its interval; what an evaluation may take on a busy machine
MAX_ALERT_SERIES = 20_000  # ALERTS and ALERTS_FOR_STATE of one group at one instant: 10,000 alerts


class IncidentSink(Protocol):
    """What becomes of alerts, in the transaction of the evaluation that changed them."""

    async def move(self, connection: AsyncConnection, moves: Sequence[Move], now: datetime) -> None: ...

    async def apply(self, connection: AsyncConnection, transitions: Sequence[Transition], now: datetime) -> None: ...

    async def sweep(
        self,
        connection: AsyncConnection,
        rules: Sequence[AlertRule],
        now: datetime,
        *,
        is_untold: Callable[[str, Mapping[str, str]], bool],
    ) -> None: ...

    async def retire(self, connection: AsyncConnection, gone: Sequence[AlertRecord], now: datetime) -> None: ...


class Transactions(Protocol):
    def begin(self, *, short: bool = ...) -> AbstractAsyncContextManager[AsyncConnection]: ...


@dataclass(slots=True)
class GroupStats:
    duration_seconds: float = 0.0
    last_at: datetime | None = None
    evaluations: int = 0
    missed: int = 0
    failures: int = 0
    is_failing: bool = False  # the last evaluation could not be stored
    errors: Mapping[str, str] = field(default_factory=dict)  # of the last evaluation, by rule


@dataclass(slots=True)
class EvaluationStats:
    """Counted since the process began; kept over a reload of the rules."""

    groups: dict[str, GroupStats] = field(default_factory=dict)
    conflicts: Counter[str] = field(default_factory=Counter)  # by customer

    def group(self, key: str) -> GroupStats:
        return self.groups.setdefault(key, GroupStats())


class Evaluator:
    """Runs one set of rules. Its memory is what the database holds: `restore` reads it, each pass writes it first."""

    def __init__(
        self,
        rules: RuleSet,
        engine: Engine,
        database: Transactions,
        incidents: IncidentSink,
        recorder: Recorder,
        *,
        clock: Clock,
        default_interval: timedelta,
        stats: EvaluationStats,
    ) -> None:
        self._rules = rules
        self._engine = engine
        self._database = database
        self._incidents = incidents
        self._recorder = recorder
        self._clock = clock
        self._default_interval = default_interval
        self._stats = stats
        self._begun_at = clock()
        self._active: dict[str, dict[str, Alert]] = {}
        self._reached: dict[str, datetime] = {}  # by group, the last instant that was dealt with
        self._stored: dict[str, datetime] = {}  # by group, the last instant whose evaluation was stored
        self._turns: dict[str, asyncio.Lock] = {}  # by group: one evaluation, or one amendment, at a time

    async def restore(self) -> None:
        """Takes up pending and firing alerts where the last process left them. Alerts of rules that are no longer
        loaded go to the rule that has the same incident, or end here, and so do the series that these gave."""
        now = self._clock()
        streams = [stream for group in self._rules.groups for stream in streams_of(group)]
        try:
            await self._recorder.end_others(streams, now)
        except TransientError as error:  # they end by themselves when the lookback is over
            logger.warning("series of rules that are gone were not ended: error=%s", error)
        loaded = {rule.key: (group, rule) for group in self._rules.groups for rule in group.alert_rules}
        async with self._database.begin() as connection:
            self._stored = await records.evaluated_until(connection)
            own = [one for one in await records.open_alerts(connection) if not is_external(one.rule_key)]
            kept, gone, rekeyed = self._inherited(own)
            await records.update_alerts(connection, rekeyed)
            await self._incidents.retire(connection, gone, now)
            for record in kept:
                group, rule = loaded[record.rule_key]
                if record.state is AlertState.UNKNOWN:
                    continue
                is_pending = record.state is AlertState.PENDING and record.fired_at is None
                if is_pending and self._was_absent(group, now):
                    await records.delete_alerts(connection, [record.id])
                    continue
                self._active.setdefault(record.rule_key, {})[record.fingerprint] = _alert_of(record, rule)

    def _inherited(
        self, found: Sequence[AlertRecord]
    ) -> tuple[list[AlertRecord], list[AlertRecord], dict[int, Mapping[str, object]]]:
        """Open alerts by the rules that are loaded; those that no rule takes over; and the rule keys to be stored."""
        rules = by_incident(self._rules.alert_rules)
        keys = {rule.key for rule in self._rules.alert_rules}
        kept = [one for one in found if one.rule_key in keys]
        marks = {(one.rule_key, one.fingerprint) for one in kept}
        gone: list[AlertRecord] = []
        rekeyed: dict[int, Mapping[str, object]] = {}
        for record in (one for one in found if one.rule_key not in keys):
            heir = heir_of(record, rules)
            if heir is None or (heir.key, record.fingerprint) in marks:
                gone.append(record)
                continue
            marks.add((heir.key, record.fingerprint))
            kept.append(replace(record, rule_key=heir.key))
            rekeyed[record.id] = {"rule_key": heir.key}
        return kept, gone, rekeyed

    def _was_absent(self, group: Group, now: datetime) -> bool:
        """Whether the last stored evaluation is so long ago that pending alerts start again."""
        survives = max(PENDING_SURVIVES, 2 * self.interval(group))
        newest = max(self._stored.values(), default=now)  # of a group that is new, or has another name
        return now - self._stored.get(group.key, newest) > survives

    async def _start_pending_again(self, group: Group) -> None:
        """Drops pending alerts that never fired, after evaluations could not be stored for long."""
        pending = {
            (rule.key, mark)
            for rule in group.alert_rules
            for mark, alert in self._active.get(rule.key, {}).items()
            if alert.phase is Phase.PENDING
        }
        if not pending:
            return
        async with self._database.begin() as connection:
            known = await records.find_open(connection, pending)
            dropped = {mark: record.id for mark, record in known.items() if record.fired_at is None}
            await records.delete_alerts(connection, list(dropped.values()))
        for key, mark in dropped:
            del self._active[key][mark]

    async def run(self) -> None:
        """Evaluates all groups until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for group in self._rules.groups:
                tasks.create_task(self._run_group(group), name=f"rules {group.key}")

    @property
    def rules(self) -> RuleSet:
        return self._rules

    @property
    def active(self) -> ActiveAlerts:
        """The alerts as the last stored evaluations left them."""
        return self._active

    @property
    def passes(self) -> int | None:
        """How many evaluations were stored since the process began; None while a group's last was not, or is late."""
        now = self._clock()
        every = [(self._stats.group(group.key), self.interval(group)) for group in self._rules.groups]
        for stats, interval in every:
            since = max(stats.last_at or self._begun_at, self._begun_at)
            if stats.is_failing or now - since > 2 * interval + LATE_AFTER:
                return None
        return sum(stats.evaluations for stats, _ in every)

    def last_evaluated(self, group: Group) -> datetime | None:
        """The instant of the last evaluation in this process."""
        return self._stats.group(group.key).last_at

    def interval(self, group: Group) -> timedelta:
        return group.interval or self._default_interval

    async def evaluate_due(self) -> None:
        """Evaluates each group whose next instant has come, in order. The first call after the start only looks at the
        clock, as `run` does."""
        for group in self._rules.groups:
            if self._seconds_until_due(group) <= 0:
                await self._evaluate_next(group)

    async def _run_group(self, group: Group) -> None:
        while True:
            await asyncio.sleep(self._seconds_until_due(group))
            await self._evaluate_next(group)

    def _seconds_until_due(self, group: Group) -> float:
        interval, now = self.interval(group), self._clock()
        reached = self._reached.setdefault(group.key, instant_before(now, interval))
        return max(0.0, (reached + interval - now).total_seconds())

    async def _evaluate_next(self, group: Group) -> None:
        """One evaluation, of the newest instant that has come; what cannot be stored is left to the next."""
        stats = self._stats.group(group.key)
        at, missed = next_instant(self._reached[group.key], self._clock(), self.interval(group))
        self._reached[group.key] = at
        stats.missed += missed
        try:
            await self.evaluate_group(group, at)
        except TransientError as error:
            stats.failures += 1
            if not stats.is_failing:
                logger.error("evaluations are not stored, tried again: group=%s error=%s", group.key, error)  # noqa: TRY400
            stats.is_failing = True
        else:
            if stats.is_failing:
                logger.info("evaluations are stored again: group=%s", group.key)
            stats.is_failing = False

    @asynccontextmanager
    async def amending(self, group: Group) -> AsyncIterator[dict[str, dict[str, Alert]]]:
        """Holds a group's evaluations off; what is entered may change the group's alerts, once it has stored it."""
        async with self._turn(group):
            yield self._active

    def _turn(self, group: Group) -> asyncio.Lock:
        return self._turns.setdefault(group.key, asyncio.Lock())

    async def evaluate_group(self, group: Group, at: datetime) -> Pass:
        """One evaluation at `at`, stored in one transaction before the memory moves on."""
        async with self._turn(group):
            return await self._evaluated(group, at)

    async def _evaluated(self, group: Group, at: datetime) -> Pass:
        started = time.monotonic()
        if self._was_absent(group, at):
            await self._start_pending_again(group)
        done = Pass.of(group, at)
        told: list[AlertRule] = []
        for index, rule in enumerate(group.rules):  # in order: a rule may read what one before it gave
            if told and reads_alerts(rule):
                await self._record_alerts(alerts_stream(group, index), told, done)
                told = []
            if isinstance(rule, AlertRule):
                before = self._active.get(rule.key, {})
                await asyncio.to_thread(advance_alerts, rule, before, self._engine, done)
                told.append(rule)
            else:
                samples = await asyncio.to_thread(recorded_samples, rule, self._engine, done)
                await self._recorder.record(record_stream(group, rule), rule.record, samples, done.read_at)
                done.shared = Shared()  # what was computed before may read what is recorded now
        async with self._database.begin(short=True) as connection:
            await self._incidents.move(connection, done.moved, at)
            await records.save_clear_since(connection, done.cleared)
            await self._incidents.apply(connection, done.transitions, at)
            await self._incidents.sweep(connection, group.alert_rules, at, is_untold=done.is_untold)
            await records.save_evaluated_until(connection, group.key, at)
        self._active.update(done.active)
        self._stored[group.key] = at
        if told:  # behind the transaction: tickets do not wait for what only graphs and other rules read
            await self._record_alerts(alerts_stream(group, len(group.rules)), told, done)
        self._count(group, done, time.monotonic() - started)
        return done

    async def _record_alerts(self, stream: str, rules: Sequence[AlertRule], done: Pass) -> None:
        """Records ALERTS and ALERTS_FOR_STATE of these rules. That they cannot be kept holds up no ticket."""
        active = [done.active[rule.key] for rule in rules]
        samples = await asyncio.to_thread(_alert_series, active)  # a storm has thousands
        if len(samples) > MAX_ALERT_SERIES:
            done.errors[ALERTS] = f"{len(samples)} series of alerts; only {MAX_ALERT_SERIES} of a group are recorded"
        try:
            await self._recorder.record_all(stream, samples[:MAX_ALERT_SERIES], done.read_at)
        except TransientError as error:
            done.errors[ALERTS] = str(error)
        done.shared = Shared()

    def _count(self, group: Group, done: Pass, seconds: float) -> None:
        stats = self._stats.group(group.key)
        stats.duration_seconds = seconds
        stats.last_at = done.at
        stats.evaluations += 1
        stats.failures += len(done.errors)
        stats.errors = done.errors
        for conflict in done.conflicts:
            self._stats.conflicts[conflict.labels.get("customer", "")] += 1
        changed: dict[tuple[str, tuple[Change, ...]], list[Transition]] = {}
        for transition in done.transitions:
            changed.setdefault((transition.rule.alert, transition.changes), []).append(transition)
        for (rule, changes), alike in changed.items():  # one line, also where ten thousand change at once
            logger.info(
                "alerts changed: rule=%s changes=%s count=%d first_device=%s",
                rule,
                ",".join(changes),
                len(alike),
                alike[0].alert.labels.get("device_id", "-"),
            )


def _alert_series(active: Sequence[Mapping[str, Alert]]) -> list[tuple[str, dict[str, str], float]]:
    """The series of some rules' alerts; two rules of one name may give the same one."""
    return [sample for alerts in active for sample in alert_samples(alerts)]


def record_stream(group: Group, rule: RecordingRule) -> str:
    return f"{group.key} {rule.record}"


def alerts_stream(group: Group, index: int) -> str:
    """The alerts of rules of a group that are told before its rule `index` is evaluated."""
    return f"{group.key} {ALERTS} {index}"


def streams_of(group: Group) -> list[str]:
    """Whatever the rules of a group may record."""
    recorded = [record_stream(group, rule) for rule in group.rules if isinstance(rule, RecordingRule)]
    return recorded + [alerts_stream(group, index) for index in range(len(group.rules) + 1)]


def reads_alerts(rule: AlertRule | RecordingRule) -> bool:
    """Whether what other rules' alerts are now may change the result."""
    return not {ALERTS, ALERTS_FOR_STATE, None}.isdisjoint(rule.plan.windows)


def instant_before(now: datetime, interval: timedelta) -> datetime:
    """The last multiple of `interval` since the epoch that is not after `now`."""
    return EPOCH + (now - EPOCH) // interval * interval


def next_instant(last: datetime, now: datetime, interval: timedelta) -> tuple[datetime, int]:
    """The instant to evaluate next, and how many were missed: a late tick is skipped and counted, not caught up."""
    upcoming = last + interval
    at = max(upcoming, instant_before(now, interval))
    return at, (at - upcoming) // interval


def _alert_of(record: AlertRecord, rule: AlertRule) -> Alert:
    phase = Phase.PENDING if record.state is AlertState.PENDING else Phase.FIRING
    return Alert(
        labels={**record.labels, ALERTNAME: record.rule},
        phase=phase,
        active_since=record.active_since,
        value=record.value if record.value is not None else float("nan"),
        annotations=record.annotations,
        fired_at=record.fired_at if phase is Phase.FIRING else None,
        clear_since=record.clear_since if phase is Phase.FIRING else None,
        is_edited=record.rule_version != rule.version,
    )
