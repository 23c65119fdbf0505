"""One evaluation of one rule at one instant: pure but for reading series, so that it can run in a thread."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from collector.alerting.ruleset import AlertRule, Group, RecordingRule, RuleOfAlert
from collector.alerting.state import Alert, Change, Holding, Timing, fingerprint, step
from collector.alerting.succession import Move, successors
from collector.clock import to_milliseconds
from collector.promql import MAX_CONFLICTS, Conflict, Engine, EvaluationError, Plan, Result, Scalar, Shared, Vector
from collector.series.labels import NAME
from protocol.errors import QuarkpulseError
from protocol.wire import RESERVED_METRICS

logger = logging.getLogger(__name__)

ALERTNAME = "alertname"
ALERTSTATE = "alertstate"
ALERTS, ALERTS_FOR_STATE = RESERVED_METRICS

ActiveAlerts = Mapping[str, Mapping[str, Alert]]  # by rule key, then by fingerprint


@dataclass(frozen=True, slots=True)
class Transition:
    """What an evaluation changed about one alert, or what an external ruler told of one."""

    rule: RuleOfAlert
    fingerprint: str
    alert: Alert  # as it stands now; as it stood last, where it ended
    changes: tuple[Change, ...]
    is_over_limit: bool = False  # this rule has more alerts now than its group's `limit`: a storm
    why: str | None = None  # why it ended, where that is not that its condition is gone


@dataclass(slots=True)
class Pass:
    """The outcome of one evaluation of a group, to be stored whole or not at all."""

    at: datetime
    query_offset: timedelta = timedelta(0)  # the group's: series are read, and recorded, so much earlier
    limit: int = 0  # the group's; 0: none
    as_prometheus: bool = False  # conflicts and more than `limit` fail the rule, as rule tests want it
    active: dict[str, dict[str, Alert]] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    # Of alerts, by rule key and fingerprint, whose `clear_since` is another than before: what it is now.
    cleared: dict[tuple[str, str], datetime | None] = field(default_factory=dict)
    moved: list[Move] = field(default_factory=list)  # alerts that go on under other labels, their rule being changed
    errors: dict[str, str] = field(default_factory=dict)  # by the names of the rules that failed
    failed_keys: set[str] = field(default_factory=set)  # of the alerting rules that could not be evaluated
    conflicts: list[Conflict] = field(default_factory=list)
    unclear: dict[str, list[Conflict]] = field(default_factory=dict)  # by rule key: what was left out of its result
    over_limit: dict[str, int] = field(default_factory=dict)  # how many alerts or series, by the names of the rules
    shared: Shared = field(default_factory=Shared)  # what several rules compute is computed once

    @classmethod
    def of(cls, group: Group, at: datetime, *, as_prometheus: bool = False) -> "Pass":
        return cls(at, group.query_offset, group.limit, as_prometheus)

    @property
    def read_at(self) -> datetime:
        """The instant of the series: what is read, and where what comes of it is recorded."""
        return self.at - self.query_offset

    def is_untold(self, rule_key: str, labels: Mapping[str, str]) -> bool:
        """Whether nobody knows if the condition of a rule is gone for an alert: the rule failed, or the alert's match
        group was left out of the result."""
        if rule_key in self.failed_keys:
            return True
        met = self.unclear.get(rule_key, ())
        return len(met) >= MAX_CONFLICTS or any(concerns(one, labels) for one in met)

    def clash(self, labels: Mapping[str, str], reason: str) -> None:
        """Two label sets of a result became one. Raises EvaluationError as Prometheus does, or notes a conflict."""
        if self.as_prometheus:
            raise EvaluationError(reason)
        self.conflicts.append(Conflict(labels, 2, reason))

    def exceeds_limit(self, rule: str, count: int, what: str) -> None:
        """Raises EvaluationError as Prometheus does, or notes it: a storm must not silence itself."""
        if self.as_prometheus:
            raise EvaluationError(f"exceeded limit of {self.limit} with {count} {what}")
        self.over_limit[rule] = count

    def failed(self, rule: str, error: QuarkpulseError) -> None:
        if not self.as_prometheus:  # a rule test tells it itself
            logger.warning("rule failed: rule=%s error=%s", rule, error)
        self.errors[rule] = str(error)


def advance_alerts(rule: AlertRule, before: Mapping[str, Alert], engine: Engine, done: Pass) -> None:
    """Moves one rule's alerts on to `done.at`. Where it cannot be evaluated they stay as they were."""
    try:
        known = len(done.conflicts)
        found = _asked(rule.plan, engine, done)
        if len(done.conflicts) > known:
            done.unclear[rule.key] = [borne(rule, one) for one in done.conflicts[known:]]
        holding = _holding(rule, found, done)
    except QuarkpulseError as error:
        done.failed(rule.alert, error)
        done.failed_keys.add(rule.key)
        done.active[rule.key] = dict(before)
        return
    _advance(rule, before, holding, done)


def recorded_samples(rule: RecordingRule, engine: Engine, done: Pass) -> list[tuple[dict[str, str], float]]:
    """What a recording rule gives at `done.at`: label sets without the metric's name, and values. Nothing where it
    cannot be evaluated, or where two of its label sets become one."""
    try:
        found: dict[str, tuple[dict[str, str], float]] = {}
        clashing: set[str] = set()
        for series, number in _asked(rule.plan, engine, done):
            labels = {name: text for name, text in {**series, **rule.labels, NAME: ""}.items() if text}
            mark = fingerprint(labels)
            if mark in found:
                done.clash(labels, "vector contains metrics with the same labelset after applying rule labels")
                clashing.add(mark)
            found[mark] = (labels, number)
        if done.limit and len(found) > done.limit:
            done.exceeds_limit(rule.record, len(found), "series")
    except QuarkpulseError as error:
        done.failed(rule.record, error)
        return []
    return [one for mark, one in found.items() if mark not in clashing]


def final_labels(rule: AlertRule, series: Mapping[str, str], value: float) -> dict[str, str]:
    """An alert's labels: its series' and its rule's. Templates see the metric's name, the alert does not bear it."""
    final = {**series, NAME: "", **rule.render_labels(series, value), ALERTNAME: rule.alert}
    return {name: text for name, text in final.items() if text}


def alert_samples(active: Mapping[str, Alert]) -> list[tuple[str, dict[str, str], float]]:
    """The series that tell of a rule's alerts, as in Prometheus: names, labels and values."""
    samples: list[tuple[str, dict[str, str], float]] = []
    for alert in active.values():
        labels = dict(alert.labels)
        samples.append((ALERTS, labels | {ALERTSTATE: str(alert.phase)}, 1.0))
        samples.append((ALERTS_FOR_STATE, labels, float(to_milliseconds(alert.active_since) // 1000)))
    return samples


def _asked(plan: Plan, engine: Engine, done: Pass) -> list[tuple[dict[str, str], float]]:
    """Raises PromqlError, and what reading samples raises."""
    at = to_milliseconds(done.read_at)
    result = engine.instant(plan, at, drop_conflicts=not done.as_prometheus, shared=done.shared)
    done.conflicts.extend(result.conflicts)
    return elements(result)


def borne(rule: AlertRule, conflict: Conflict) -> Conflict:
    """A conflict by what its alerts would bear of its labels: the rule may put others in their place."""
    return replace(conflict, labels={name: text for name, text in conflict.labels.items() if name not in rule.labels})


def concerns(conflict: Conflict, labels: Mapping[str, str]) -> bool:
    """Whether an alert may be of the match group; a label that the result lost tells nothing."""
    return all(labels.get(name, text) == text for name, text in conflict.labels.items())


def _holding(
    rule: AlertRule, found: Sequence[tuple[dict[str, str], float]], done: Pass
) -> dict[str, tuple[dict[str, str], Holding]]:
    """By fingerprint, the label sets for which the condition holds, with labels and annotations written out."""
    holding: dict[str, tuple[dict[str, str], Holding]] = {}
    for series, number in found:
        final = final_labels(rule, series, number)
        mark = fingerprint(final)
        if mark in holding:  # the condition holds for either, so the alert stands
            done.clash(final, "vector contains metrics with the same labelset after applying alert labels")
            continue
        holding[mark] = (final, Holding(number, rule.render_annotations(series, number)))
    return holding


def elements(result: Result) -> list[tuple[dict[str, str], float]]:
    """Label sets and values of an instant vector or a scalar. Raises EvaluationError for anything else."""
    if isinstance(result, Vector):
        return list(zip(result.label_sets(), result.values.tolist(), strict=True))
    if isinstance(result, Scalar):
        return [({}, result.value)]
    raise EvaluationError("the result is neither a vector nor a scalar; a rule needs one value a series")


def _carried_over(
    rule: AlertRule,
    before: Mapping[str, Alert],
    holding: Mapping[str, tuple[dict[str, str], Holding]],
    done: Pass,
) -> Mapping[str, Alert]:
    """The alerts so far, those of the rule as it was before an edit under the labels that they have by now."""
    ending = {mark: one.labels for mark, one in before.items() if one.is_edited and mark not in holding}
    if not ending:
        return before
    starting = {mark: labels for mark, (labels, _) in holding.items() if mark not in before}
    carried = dict(before)
    for old, new in successors(rule, ending, starting).items():
        carried[new] = replace(carried.pop(old), labels=starting[new])
        done.moved.append(Move(rule, old, new, starting[new]))
    return carried


def _advance(
    rule: AlertRule,
    before: Mapping[str, Alert],
    holding: Mapping[str, tuple[dict[str, str], Holding]],
    done: Pass,
) -> None:
    timing = Timing(rule.hold_for, rule.keep_firing_for)
    before = _carried_over(rule, before, holding, done)
    after: dict[str, Alert] = {}
    moves: list[tuple[str, Alert, tuple[Change, ...]]] = []
    for mark in [*holding, *(known for known in before if known not in holding)]:
        alert = before.get(mark)
        if alert is not None and mark not in holding and done.is_untold(rule.key, alert.labels):
            after[mark] = alert
            continue
        labels, holds = holding.get(mark, (alert.labels if alert else {}, None))
        moved = step(timing, alert, labels, holds, done.at)
        clear_since = moved.alert.clear_since if moved.alert else None
        if alert is not None and alert.clear_since != clear_since:
            done.cleared[rule.key, mark] = clear_since
        if moved.alert is not None:
            after[mark] = moved.alert
        if moved.changes and (told := moved.alert or alert) is not None:
            moves.append((mark, told, moved.changes))
    is_over_limit = 0 < done.limit < len(after)
    if is_over_limit:
        try:
            done.exceeds_limit(rule.alert, len(after), "alerts")
        except QuarkpulseError as error:
            done.failed(rule.alert, error)
    done.active[rule.key] = after
    done.transitions += [Transition(rule, mark, told, changes, is_over_limit) for mark, told, changes in moves]
