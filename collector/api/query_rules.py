"""`/api/v1/rules` and `/api/v1/alerts`: what alerting knows, in Prometheus's shape."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from collector.alerting.evaluation import ActiveAlerts
from collector.alerting.rulefile import AlertRule, Group, RecordingRule
from collector.alerting.state import Alert, Phase
from collector.api.query_errors import invalid_parameter, quoted
from collector.api.query_json import format_exponent
from collector.api.query_params import Params

NEVER = "0001-01-01T00:00:00Z"  # Go's zero time
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"", "0", "f", "F", "false", "FALSE", "False"})


@dataclass(frozen=True, slots=True)
class EvaluatedGroup:
    """A rule group as its last evaluation left it."""

    group: Group
    interval: timedelta  # the collector's own where the group names none
    active: ActiveAlerts  # of its rules, by rule key and fingerprint
    last_at: datetime | None = None  # None: not yet evaluated by this process
    duration_seconds: float = 0.0
    errors: Mapping[str, str] = field(default_factory=dict)  # by the names of the rules whose evaluation failed


Alerting = Callable[[], Sequence[EvaluatedGroup]]
"""What the loaded rules are and how they stand. Asked in the event loop; what it gives is read in another thread."""


def describe_rules(groups: Sequence[EvaluatedGroup], params: Params) -> dict[str, object]:
    """The data of `/api/v1/rules`, as the parameters `type`, `file[]`, `rule_group[]`, `rule_name[]` and
    `exclude_alerts` narrow it down. Raises QueryError."""
    kind = params.get("type", "").lower()
    if kind not in ("", "alert", "record"):
        raise invalid_parameter("type", f"not supported value {quoted(kind)}")
    without_alerts = params.get("exclude_alerts", "")
    if without_alerts not in _TRUE | _FALSE:
        raise invalid_parameter("exclude_alerts", f"{quoted(without_alerts)} is neither true nor false")
    files, names = set(params.getall("file[]", [])), set(params.getall("rule_name[]", []))
    group_names = set(params.getall("rule_group[]", []))
    found = []
    for evaluated in groups:
        group = evaluated.group
        if (files and group.file not in files) or (group_names and group.name not in group_names):
            continue
        rules = [
            _describe_rule(rule, evaluated, with_alerts=without_alerts in _FALSE)
            for rule in group.rules
            if kind in ("", _kind(rule)) and (not names or _name(rule) in names)
        ]
        if rules:
            found.append(
                {
                    "name": group.name,
                    "file": group.file,
                    "rules": rules,
                    "interval": evaluated.interval.total_seconds(),
                    "limit": group.limit,
                    "evaluationTime": evaluated.duration_seconds,
                    "lastEvaluation": _time(evaluated.last_at),
                }
            )
    return {"groups": found}


def describe_alerts(groups: Sequence[EvaluatedGroup]) -> dict[str, object]:
    """The data of `/api/v1/alerts`: every pending and firing alert."""
    return {
        "alerts": [
            _describe_alert(alert)
            for evaluated in groups
            for rule in evaluated.group.alert_rules
            for alert in evaluated.active.get(rule.key, {}).values()
        ]
    }


def _kind(rule: AlertRule | RecordingRule) -> str:
    return "alert" if isinstance(rule, AlertRule) else "record"


def _name(rule: AlertRule | RecordingRule) -> str:
    return rule.alert if isinstance(rule, AlertRule) else rule.record


def _describe_rule(
    rule: AlertRule | RecordingRule, evaluated: EvaluatedGroup, *, with_alerts: bool
) -> dict[str, object]:
    error = evaluated.errors.get(_name(rule), "")
    # The rules of a group are evaluated together, so that its time is theirs.
    common: dict[str, object] = {
        "name": _name(rule),
        "query": rule.expr,
        "health": "err" if error else "unknown" if evaluated.last_at is None else "ok",
        "evaluationTime": evaluated.duration_seconds,
        "lastEvaluation": _time(evaluated.last_at),
    }
    if error:
        common["lastError"] = error
    if isinstance(rule, RecordingRule):
        return common | {"labels": dict(rule.labels), "type": "recording"}
    active = list(evaluated.active.get(rule.key, {}).values())
    return common | {
        "state": _state(active),
        "duration": rule.hold_for.total_seconds(),
        "keepFiringFor": rule.keep_firing_for.total_seconds(),
        "labels": {name: template.text for name, template in rule.labels.items()},
        "annotations": {name: template.text for name, template in rule.annotations.items()},
        "alerts": [_describe_alert(alert) for alert in active] if with_alerts else [],
        "type": "alerting",
    }


def _state(active: Sequence[Alert]) -> str:
    phases = {alert.phase for alert in active}
    return next((phase for phase in (Phase.FIRING, Phase.PENDING) if phase in phases), "inactive")


def _describe_alert(alert: Alert) -> dict[str, object]:
    described: dict[str, object] = {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": alert.phase,
        "activeAt": _time(alert.active_since),
        "value": format_exponent(alert.value),
    }
    if alert.clear_since is not None:
        described["keepFiringSince"] = _time(alert.clear_since)
    return described


def _time(at: datetime | None) -> str:
    return NEVER if at is None else at.isoformat().replace("+00:00", "Z")
