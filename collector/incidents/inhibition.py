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


def inhibitors_among(firing: Iterable[AlertRecord], rules: Sequence[InhibitRule]) -> list[Inhibitor]:
    """Which of the alerts hold others back."""
    return [
        Inhibitor(rule, one.id, one.labels) for one in firing for rule in rules if all_match(rule.source, one.labels)
    ]


def inhibitor_of(labels: Mapping[str, str], inhibitors: Sequence[Inhibitor]) -> Inhibitor | None:
    """What holds an alert back. As in Alertmanager, an alert that is itself a source of the rule is not its target
    through another alert that is both."""
    for inhibitor in inhibitors:
        rule = inhibitor.rule
        if (
            all(labels.get(name, "") == inhibitor.labels.get(name, "") for name in rule.equal)
            and all_match(rule.target, labels)
            and not (all_match(rule.source, labels) and all_match(rule.target, inhibitor.labels))
        ):
            return inhibitor
    return None
