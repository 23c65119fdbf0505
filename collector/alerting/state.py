"""The alert state machine: Prometheus's semantics as pure functions, state and time in, new state out.

Source of the semantics: Prometheus 3, `rules/alerting.go` (`AlertingRule.Eval`), except that a group's `limit` never
clears alerts.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Phase(StrEnum):
    PENDING = "pending"
    FIRING = "firing"


class Change(StrEnum):
    """What one evaluation did to an alert."""

    STARTED = "started"  # inactive → pending
    FIRED = "fired"  # pending → firing; a rule without `for` starts and fires at once
    RESOLVED = "resolved"  # firing → inactive
    DROPPED = "dropped"  # pending → inactive: it never fired


@dataclass(frozen=True, slots=True)
class Alert:
    """One label set of one rule for which the condition holds, or held so lately that `keep_firing_for` counts."""

    labels: Mapping[str, str]  # final: the series' and the rule's, `alertname` included
    phase: Phase
    active_since: datetime
    value: float
    annotations: Mapping[str, str] = field(default_factory=dict)
    fired_at: datetime | None = None
    clear_since: datetime | None = None  # since when it is kept firing although the condition is gone
    is_edited: bool = False  # its rule was another when it was last seen to hold: its labels may be others by now


@dataclass(frozen=True, slots=True)
class Holding:
    """The condition holds for a label set at an instant."""

    value: float
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Timing:
    hold_for: timedelta = timedelta(0)
    keep_firing_for: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Step:
    alert: Alert | None  # None: inactive
    changes: tuple[Change, ...] = ()


def step(
    timing: Timing, alert: Alert | None, labels: Mapping[str, str], holding: Holding | None, now: datetime
) -> Step:
    """One evaluation of one label set: its alert so far (None: inactive) and whether the condition holds."""
    if holding is None:
        return _clear(timing, alert, now)
    if alert is None:
        started = Alert(labels, Phase.PENDING, now, holding.value, holding.annotations)
        after = _fire_when_due(timing, started, now)
        return Step(after.alert, (Change.STARTED, *after.changes))
    held = replace(alert, value=holding.value, annotations=holding.annotations, clear_since=None, is_edited=False)
    return _fire_when_due(timing, held, now)


def _fire_when_due(timing: Timing, alert: Alert, now: datetime) -> Step:
    is_due = now - alert.active_since >= timing.hold_for
    if alert.phase is Phase.PENDING and is_due:
        return Step(replace(alert, phase=Phase.FIRING, fired_at=now), (Change.FIRED,))
    if alert.phase is Phase.FIRING and not is_due:  # the rule's `for` was made longer meanwhile
        return Step(_pending_again(alert))
    return Step(alert)


def _pending_again(alert: Alert) -> Alert:
    return replace(alert, phase=Phase.PENDING, fired_at=None, clear_since=None)


def _clear(timing: Timing, alert: Alert | None, now: datetime) -> Step:
    if alert is None:
        return Step(None)
    if alert.phase is Phase.PENDING:
        return Step(None, (Change.DROPPED,))
    clear_since = alert.clear_since or now
    if now - clear_since < timing.keep_firing_for:
        if now - alert.active_since < timing.hold_for:
            return Step(_pending_again(alert))
        return Step(replace(alert, clear_since=clear_since))
    return Step(None, (Change.RESOLVED,))


def fingerprint(labels: Mapping[str, str]) -> str:
    """32 hex digits that identify a label set, the same in every process."""
    digest = hashlib.sha256()
    for name, value in sorted(labels.items()):
        digest.update(f"{name}\xff{value}\xff".encode())
    return digest.hexdigest()[:32]
