"""What rule files hold, once they are read: groups of alerting and recording rules."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from collector.alerting.template import Template
from collector.alerting.yamlfile import Problem
from collector.contracts import Severity
from collector.promql import Plan

SEVERITIES = {str(severity): severity for severity in Severity} | {"warning": Severity.MAJOR}


def severity_of(labels: Mapping[str, str]) -> Severity:
    """What an alert's label `severity` means; without one, or with one that is not ours, minor."""
    return SEVERITIES.get(labels.get("severity", ""), Severity.MINOR)


class Scope(StrEnum):
    """What one ticket covers."""

    DEVICE = "device"
    SITE = "site"
    CUSTOMER = "customer"
    FLEET = "fleet"


@dataclass(frozen=True, slots=True, order=True)
class Notice(Problem):
    """Worth a look, yet no reason to refuse the file. Those of one message differ in their subject: a name."""

    subject: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"

    @property
    def text(self) -> str:
        return f"{self.subject}: {self.message}" if self.subject else self.message


@dataclass(frozen=True, slots=True)
class AlertRule:
    key: str  # which rule this is, whatever becomes of its text: 32 hex digits of file, group, name and index
    version: str  # its text: 16 hex digits, the same after a change of comments or layout
    alert: str
    expr: str
    plan: Plan
    hold_for: timedelta
    keep_firing_for: timedelta
    labels: Mapping[str, Template]  # the group's labels among them
    annotations: Mapping[str, Template]
    severity: Severity
    category: str  # empty if the rule names none
    scope: Scope
    incident: str
    ticket_never: bool
    thresholds: frozenset[str]  # the names of those it reads
    file: str
    line: int

    def render_labels(self, labels: Mapping[str, str], value: float) -> dict[str, str]:
        """What the rule adds to its sample's labels, or puts in their place; empty ones take a label away."""
        return {name: template.render(labels, value) for name, template in self.labels.items()}

    def render_annotations(self, labels: Mapping[str, str], value: float) -> dict[str, str]:
        return {name: template.render(labels, value) for name, template in self.annotations.items()}


class RuleOfAlert(Protocol):
    """What an alert's rule is asked about once the alert is there: of a loaded rule, or of one that an external ruler
    evaluates."""

    @property
    def key(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def alert(self) -> str: ...

    @property
    def hold_for(self) -> timedelta: ...

    @property
    def labels(self) -> Mapping[str, object]: ...

    @property
    def thresholds(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class RecordingRule:
    record: str
    expr: str
    plan: Plan
    labels: Mapping[str, str]  # never templates, as in Prometheus; the group's among them
    version: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Group:
    key: str  # file name and group name
    name: str
    file: str
    interval: timedelta | None  # None: the collector's own
    limit: int  # 0: none
    query_offset: timedelta
    rules: tuple[AlertRule | RecordingRule, ...]

    @property
    def alert_rules(self) -> tuple[AlertRule, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, AlertRule))


@dataclass(frozen=True, slots=True)
class RuleSet:
    groups: tuple[Group, ...]
    version: str
    windows: Mapping[str | None, float]  # how far back each metric is read, in seconds; None: a metric without a name
    threshold_names: frozenset[str] | None  # the thresholds that rules read; None: a rule may read any
    notices: tuple[Notice, ...]

    @property
    def alert_rules(self) -> tuple[AlertRule, ...]:
        return tuple(rule for group in self.groups for rule in group.alert_rules)

    def only(self, is_wanted: Callable[[AlertRule | RecordingRule], bool]) -> "RuleSet":
        """The same with some of its rules, and the groups that have any of them."""
        groups = [replace(group, rules=tuple(filter(is_wanted, group.rules))) for group in self.groups]
        kept = tuple(group for group in groups if group.rules)
        windows = widest(rule.plan.windows for group in kept for rule in group.rules)
        return replace(self, groups=kept, windows=windows)


def widest(all_windows: Iterable[Mapping[str | None, float]]) -> dict[str | None, float]:
    """How far back each metric is read by any of them, in seconds."""
    found: dict[str | None, float] = {}
    for windows in all_windows:
        for metric, seconds in windows.items():
            found[metric] = max(found.get(metric, 0.0), seconds)
    return found
