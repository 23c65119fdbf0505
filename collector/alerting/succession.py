"""Which alerts go on as which when their rule is edited, renamed or moved: one fault stays one ticket."""

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from collector.alerting.records import AlertRecord
from collector.alerting.ruleset import AlertRule, RuleOfAlert, Scope

ALERTNAME = "alertname"
MAX_CANDIDATES = 100  # that are compared with one alert: those of one rule at one device are few

K = TypeVar("K", bound=Hashable)
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Move:
    """An open alert that bears other labels now, since its rule was changed."""

    rule: RuleOfAlert
    old: str  # fingerprint
    new: str
    labels: Labels


def by_incident(rules: Iterable[AlertRule]) -> dict[tuple[str, str], list[AlertRule]]:
    """Rules by incident and scope."""
    found: dict[tuple[str, str], list[AlertRule]] = {}
    for rule in rules:
        found.setdefault((rule.incident, rule.scope), []).append(rule)
    return found


def heir_of(record: AlertRecord, rules: Mapping[tuple[str, str], Collection[AlertRule]]) -> AlertRule | None:
    """The loaded rule that takes over an alert whose own is gone: one of the same incident and scope, if there is one,
    and the most like it of several. `rules`: by incident and scope."""
    incident = record.labels.get("incident") or record.rule
    candidates = rules.get((incident, record.labels.get("scope", Scope.DEVICE)), ())
    return max(candidates, key=lambda rule: _likeness(rule, record), default=None)


def successors(rule: RuleOfAlert, ending: Mapping[K, Labels], starting: Mapping[str, Labels]) -> dict[K, str]:
    """By the alert that ends, the fingerprint of the one that it goes on as: of the same ticket, and alike in all that
    the rule does not set."""
    if not ending or not starting:
        return {}
    free: dict[tuple[str, ...], dict[str, Labels]] = {}
    for mark, labels in starting.items():
        free.setdefault(_ticket_of(labels), {})[mark] = labels
    found: dict[K, str] = {}
    for key, old in ending.items():
        candidates = free.get(_ticket_of(old), {})
        alike = [
            (len(old.items() & new.items()), mark)
            for mark, new in islice(candidates.items(), MAX_CANDIDATES)
            if _is_compatible(rule, old, new)
        ]
        if alike:
            found[key] = max(alike)[1]
            del candidates[found[key]]
    return found


def _ticket_of(labels: Labels) -> tuple[str, ...]:
    """What alerts of one ticket have in common."""
    place = [labels.get(name, "") for name in ("customer", "site", "device_id")]
    return (*place, labels.get("scope", Scope.DEVICE), labels.get("incident") or labels[ALERTNAME])


def _is_compatible(rule: RuleOfAlert, old: Labels, new: Labels) -> bool:
    is_set = {ALERTNAME, *rule.labels}
    return all(old.get(name, text) == text for name, text in new.items() if name not in is_set)


def _likeness(rule: AlertRule, record: AlertRecord) -> tuple[bool, bool, int]:
    """The same text, the same name, and how many of the labels that the rule sets the alert has, less the others."""
    has = [record.labels.get(name) == label.text for name, label in rule.labels.items() if label.is_constant]
    return rule.version == record.rule_version, rule.alert == record.rule, 2 * sum(has) - len(has)
