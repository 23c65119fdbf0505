"""One evaluation of one rule group at one instant: pure but for reading series, so that it can run in a thread."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from collector.alerting.rulefile import AlertRule, Group
from collector.alerting.state import Alert, Change, Holding, Timing, fingerprint, step
from collector.clock import to_milliseconds
from collector.promql import Conflict, Engine, PromqlError, Result, Scalar, Vector
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


def evaluate(group: Group, active: ActiveAlerts, engine: Engine, at: datetime) -> Pass:
    """All rules of `group` at `at`. A rule that fails keeps its alerts as they were, and the others go on."""
    done = Pass(at)
    for rule in group.alert_rules:
        before = active.get(rule.key, {})
        try:
            result = engine.instant(rule.plan, to_milliseconds(at), drop_conflicts=True)
            holding = _holding(rule, result)
        except PromqlError as error:
            logger.warning("rule failed, its alerts stay as they were: rule=%s error=%s", rule.alert, error)
            done.errors[rule.alert] = str(error)
            done.active[rule.key] = dict(before)
            continue
        done.conflicts.extend(result.conflicts)
        done.active[rule.key] = _advance(rule, before, holding, done, at)
    return done


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
    at: datetime,
) -> dict[str, Alert]:
    timing = Timing(rule.hold_for, rule.keep_firing_for)
    after: dict[str, Alert] = {}
    for mark in [*holding, *(known for known in before if known not in holding)]:
        alert = before.get(mark)
        labels, holds = holding.get(mark, (alert.labels if alert else {}, None))
        moved = step(timing, alert, labels, holds, at)
        if moved.alert is not None:
            after[mark] = moved.alert
        if moved.changes and (told := moved.alert or alert) is not None:
            done.transitions.append(Transition(rule, mark, told, moved.changes))
    return after
