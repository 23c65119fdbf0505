"""Inhibition: a fault that explains others holds their tickets back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from collector.alerting.inhibit import InhibitRule
from collector.alerting.matching import all_match
from collector.alerting.records import AlertRecord


@dataclass(frozen=True, slots=True)
class Inhibitor:
    """An alert that fires, and a rule whose source it is."""

    rule: InhibitRule
    alert: int
    labels: Mapping[str, str]

    @property
    def told(self) -> str:
        where = self.labels.get("device_id") or self.labels.get("site") or self.labels.get("customer", "")
        return f"{self.labels.get('alertname', '')} of {where}" if where else self.labels.get("alertname", "")


# By rule, then by the values of its `equal` labels: thousands of devices may be offline, with thousands of faults.
Inhibitors = Mapping[InhibitRule, Mapping[tuple[str, ...], Sequence[Inhibitor]]]


def inhibitors_among(firing: Iterable[AlertRecord], rules: Sequence[InhibitRule]) -> Inhibitors:
    """Which of the alerts hold others back."""
    found: dict[InhibitRule, dict[tuple[str, ...], list[Inhibitor]]] = {rule: {} for rule in rules}
    for one in firing:
        for rule, by_values in found.items():
            if all_match(rule.source, one.labels):
                by_values.setdefault(_equal_values(rule, one.labels), []).append(Inhibitor(rule, one.id, one.labels))
    return found


def inhibitor_of(labels: Mapping[str, str], inhibitors: Inhibitors) -> Inhibitor | None:
    """What holds an alert back. As in Alertmanager, an alert that is itself a source of the rule is not its target
    through another alert that is both."""
    for rule, by_values in inhibitors.items():
        candidates = by_values.get(_equal_values(rule, labels), ())
        if not candidates or not all_match(rule.target, labels):
            continue
        is_source = all_match(rule.source, labels)
        for inhibitor in candidates:
            if not (is_source and all_match(rule.target, inhibitor.labels)):
                return inhibitor
    return None


def _equal_values(rule: InhibitRule, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in rule.equal)
