"""Finds devices whose late data have come to their end, and has their rules replayed over the stretch."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting.locality import is_per_device
from collector.alerting.replay import episodes
from collector.alerting.ruleset import AlertRule, Group, RecordingRule, RuleSet
from collector.alerting.state import Alert
from collector.alerting.timeline import Episode
from collector.clock import Clock, from_milliseconds, to_milliseconds
from collector.incidents.late import Identity, LateJudge, OwnAlerts
from collector.incidents.round import Surroundings
from collector.promql import Engine, PromqlError
from collector.series.read import Matcher, MatchOp, SeriesReader
from collector.series.stream import LateSpan

logger = logging.getLogger(__name__)

SETTLED_AFTER = timedelta(seconds=30)  # without more late frames of a device, its gap is filled
DEVICES_AT_ONCE = 200
MAX_HOLD = timedelta(days=7)  # so far before the stretch it is looked for how long a condition had held by then
SEEN_WITHIN = timedelta(minutes=5)  # of a sample, as the lookback has it


class LateSource(Protocol):
    def late_spans(self, received_before: int) -> dict[str, LateSpan]: ...

    async def forget_late(self, spans: Mapping[str, LateSpan]) -> None: ...


class Transactions(Protocol):
    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


class Live(Protocol):
    """Who evaluates the rules: the collector itself, or an external ruler."""

    @property
    def rules(self) -> RuleSet: ...

    def interval(self, group: Group) -> timedelta: ...

    def last_evaluated(self, group: Group) -> datetime | None: ...

    def amending(self, group: Group) -> AbstractAsyncContextManager[dict[str, dict[str, Alert]]]:
        """Its alerts by rule key and fingerprint; who enters may change them, once that is stored."""
        ...


_Turn = tuple[str, str, LateSpan]  # a group's key, a device, and what came late of it


@dataclass(slots=True)
class LateCounters:
    replays: int = 0  # devices whose late data were judged
    failures: int = 0  # rules that could not be replayed


@dataclass(slots=True)
class LateData:
    """`reader_of` gives all that is stored of some devices, with the thresholds; `evaluator` is the one that runs, and
    another one after each reload of the rules."""

    source: LateSource
    database: Transactions
    world: Surroundings
    evaluator: Callable[[], Live]
    reader_of: Callable[[Collection[str]], SeriesReader]
    clock: Clock
    lookback: timedelta
    identity: Identity = field(default_factory=OwnAlerts)
    counters: LateCounters = field(default_factory=LateCounters)
    # What was replayed of spans that wait for other groups. A restart has all of it done again, which changes nothing.
    _replayed: set[_Turn] = field(default_factory=set)
    _replayed_by: Live | None = None

    async def settle(self) -> None:
        """Replays what has come to its end. A crash in between has it done again, which changes nothing."""
        now, evaluator = self.clock(), self.evaluator()
        if evaluator is not self._replayed_by:
            self._replayed, self._replayed_by = set(), evaluator
        groups = {group.key: group for group, _ in _replayable(evaluator.rules.groups)}
        spans = self.source.late_spans(to_milliseconds(now - SETTLED_AFTER))
        self._replayed = {turn for turn in self._replayed if spans.get(turn[1]) == turn[2]}
        devices = sorted(spans, key=lambda device: spans[device].first_ms)  # those of one outage together
        for start in range(0, len(devices), DEVICES_AT_ONCE):
            some = {device: spans[device] for device in devices[start : start + DEVICES_AT_ONCE]}
            for group in groups.values():
                waiting = {
                    device: span for device, span in some.items() if (group.key, device, span) not in self._replayed
                }
                if waiting and evaluator.last_evaluated(group) is not None:
                    if not await self._replay(evaluator, group, waiting):
                        return
                    self._replayed |= {(group.key, device, span) for device, span in waiting.items()}
            over = {
                device: span
                for device, span in some.items()
                if all((key, device, span) in self._replayed for key in groups)
            }
            if over:
                await self.source.forget_late(over)
                self.counters.replays += len(over)

    async def _replay(self, evaluator: Live, group: Group, spans: Mapping[str, LateSpan]) -> bool:
        """A group's rules up to its last evaluation. False if other rules were taken up meanwhile."""
        first = from_milliseconds(min(span.first_ms for span in spans.values()))
        last, interval = evaluator.last_evaluated(group), evaluator.interval(group)
        if last is None or last <= first:
            return True
        since = first.isoformat(timespec="seconds")
        logger.info("late data: group=%s devices=%d since=%s", group.key, len(spans), since)
        engine = Engine(self.reader_of(spans), lookback=self.lookback)
        for rule in (rule for of, rule in _replayable(evaluator.rules.groups) if of.key == group.key):
            start = first - min(rule.hold_for + interval, MAX_HOLD)
            try:
                replayed = episodes(rule, group, engine, interval=interval, start=start, end=last)
                found = await asyncio.to_thread(list, replayed)
            except PromqlError as error:
                self.counters.failures += 1
                logger.warning("late data: rule=%s cannot be replayed: %s", rule.alert, error)
                continue
            # A rule may relabel: what is not of these devices was not replayed whole.
            found = [one for one in found if one.labels.get("device_id") in spans]
            if found and not await self._apply(evaluator, group, rule, found):
                return False
        return True

    async def _apply(self, evaluator: Live, group: Group, rule: AlertRule, found: Sequence[Episode]) -> bool:
        """False if the rules were reloaded meanwhile: the alerts in hand are no longer those that are evaluated."""
        ended = {(one.labels["device_id"], one.ended_at) for one in found if one.fired_at and one.ended_at}
        seen = await asyncio.to_thread(self._seen, ended)
        async with evaluator.amending(group) as active:
            key = self.identity.key(rule)
            live = active.get(key, {})
            async with self.database.begin() as connection:
                if self.evaluator() is not evaluator:
                    return False
                judge = LateJudge(self.world, connection, self.clock(), self.identity)
                changed = await judge.apply(
                    rule, found, live, interval=evaluator.interval(group), was_seen=lambda *one: one in seen
                )
            active[key] = {**live, **changed}
        return True

    def _seen(self, ends: Collection[tuple[str, datetime]]) -> set[tuple[str, datetime]]:
        """The ends at which the device was heard: it told that the fault was gone, and did not just fall silent."""
        return {(device, at) for device, at in ends if self._has_samples(device, at)}

    def _has_samples(self, device: str, at: datetime) -> bool:
        reader = self.reader_of([device])
        start, end = to_milliseconds(at - SEEN_WITHIN), to_milliseconds(at)
        selection = reader.select((Matcher("device_id", MatchOp.EQUAL, device),), start, end)
        samples = reader.samples(selection, start, end)
        return bool((samples.counts > 0).any())


def _replayable(groups: Sequence[Group]) -> Iterator[tuple[Group, AlertRule]]:
    recorded = {rule.record for group in groups for rule in group.rules if isinstance(rule, RecordingRule)}
    for group in groups:
        for rule in group.alert_rules:
            if is_per_device(rule, recorded):
                yield group, rule
