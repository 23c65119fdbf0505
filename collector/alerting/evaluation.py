"""One evaluation of one rule at one instant: pure but for reading series, so that it can run in a thread."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from collector.alerting.rulefile import AlertRule, RecordingRule
from collector.alerting.state import Alert, Change, Holding, Timing, fingerprint, step
from collector.clock import to_milliseconds
from collector.promql import Conflict, Engine, EvaluationError, PromqlError, Result, Scalar, Shared, Vector
from collector.series.labels import NAME

logger = logging.getLogger(__name__)

ALERTNAME = "alertname"

ActiveAlerts = Mapping[str, Mapping[str, Alert]]  # by rule key, then by fingerprint


@dataclass(frozen=True, slots=True)
class Transition:
    """What an evaluation changed about one alert."""

    rule: AlertRule
    fingerprint: str
    alert: Alert  # as it stands now; as it stood last, where it ended
    changes: tuple[Change, ...]


@dataclass(slots=True)
class Pass:
    """The outcome of one evaluation of a group, to be stored whole or not at all."""

    at: datetime
    active: dict[str, dict[str, Alert]] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)  # by the names of the rules that failed
    conflicts: list[Conflict] = field(default_factory=list)
    shared: Shared = field(default_factory=Shared)  # what several rules compute is computed once

    def failed(self, rule: str, error: PromqlError) -> None:
        logger.warning("rule failed: rule=%s error=%s", rule, error)
        self.errors[rule] = str(error)


def advance_alerts(rule: AlertRule, before: Mapping[str, Alert], engine: Engine, done: Pass) -> None:
    """Moves one rule's alerts on to `done.at`. Where it cannot be evaluated they stay as they were."""
    try:
        result = engine.instant(rule.plan, to_milliseconds(done.at), drop_conflicts=True, shared=done.shared)
    except PromqlError as error:
        done.failed(rule.alert, error)
        done.active[rule.key] = dict(before)
        return
    done.conflicts.extend(result.conflicts)
    done.active[rule.key] = _advance(rule, before, _holding(rule, result), done)


def recorded_samples(rule: RecordingRule, engine: Engine, done: Pass) -> list[tuple[dict[str, str], float]]:
    """What a recording rule gives at `done.at`: label sets without the metric's name, and values. Nothing where it
    cannot be evaluated, or where two of its label sets become one."""
    try:
        result = engine.instant(rule.plan, to_milliseconds(done.at), drop_conflicts=True, shared=done.shared)
        found: dict[str, tuple[dict[str, str], float]] = {}
        for series, number in _elements(result):
            labels = {name: text for name, text in {**series, **rule.labels, NAME: ""}.items() if text}
            mark = fingerprint(labels)
            if mark in found:
                raise EvaluationError("vector contains metrics with the same labelset after applying rule labels")
            found[mark] = (labels, number)
    except PromqlError as error:
        done.failed(rule.record, error)
        return []
    done.conflicts.extend(result.conflicts)
    return list(found.values())


def _holding(rule: AlertRule, result: Result) -> dict[str, tuple[dict[str, str], Holding]]:
    """By fingerprint, the label sets for which the condition holds, with labels and annotations written out."""
    holding: dict[str, tuple[dict[str, str], Holding]] = {}
    for series, number in _elements(result):
        # Templates see the metric's name, the alert does not bear it.
        final = {**series, NAME: "", **rule.render_labels(series, number), ALERTNAME: rule.alert}
        final = {name: text for name, text in final.items() if text}
        holding[fingerprint(final)] = (final, Holding(number, rule.render_annotations(series, number)))
    return holding


def _elements(result: Result) -> list[tuple[dict[str, str], float]]:
    if isinstance(result, Vector):
        return list(zip(result.label_sets(), result.values.tolist(), strict=True))
    if isinstance(result, Scalar):
        return [({}, result.value)]
    return []


def _advance(
    rule: AlertRule,
    before: Mapping[str, Alert],
    holding: Mapping[str, tuple[dict[str, str], Holding]],
    done: Pass,
) -> dict[str, Alert]:
    timing = Timing(rule.hold_for, rule.keep_firing_for)
    after: dict[str, Alert] = {}
    for mark in [*holding, *(known for known in before if known not in holding)]:
        alert = before.get(mark)
        labels, holds = holding.get(mark, (alert.labels if alert else {}, None))
        moved = step(timing, alert, labels, holds, done.at)
        if moved.alert is not None:
            after[mark] = moved.alert
        if moved.changes and (told := moved.alert or alert) is not None:
            done.transitions.append(Transition(rule, mark, told, moved.changes))
    return after
