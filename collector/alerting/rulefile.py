"""Prometheus rule files, loaded whole: either every file is good, or every problem of every file is told at once."""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import yaml

from collector.alerting.durations import duration_text, parse_duration
from collector.alerting.ruleset import (
    SEVERITIES,
    AlertRule,
    Group,
    Notice,
    RecordingRule,
    RuleSet,
    Scope,
    severity_of,
    widest,
)
from collector.alerting.template import NO_SURROUNDINGS, Surroundings, Template, TemplateError
from collector.alerting.tenancy import Findings, examine, reads
from collector.alerting.yamlfile import Entry, Problem, RuleFileError, YamlFile, raise_problems, shipped_folder
from collector.contracts import Severity
from collector.desk.incident_names import RESERVED_INCIDENTS
from collector.promql import DEFAULT_LOOKBACK, ParseError, Plan, compile_expr
from protocol.wire import LABEL_NAME_PATTERN, METRIC_NAME_PATTERN, RESERVED_LABELS, is_reserved_metric

__all__ = [
    "AlertRule",
    "Group",
    "Notice",
    "Problem",
    "RecordingRule",
    "RuleFileError",
    "RuleSet",
    "Scope",
    "Severity",
    "find_rule_files",
    "load_rules",
    "parse_duration",
    "severity_of",
    "shipped_rules",
]

MAX_NAME_CHARS = 100  # of groups, alerts, incidents: they are keys in the database
MIN_INTERVAL = timedelta(seconds=1)

FILE_KEYS = frozenset({"groups"})
GROUP_KEYS = frozenset({"name", "interval", "limit", "query_offset", "labels", "rules"})
RULE_KEYS = frozenset({"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"})
ALERT_ONLY_KEYS = ("for", "keep_firing_for", "annotations")
# Read when the rule is loaded, so they cannot differ from alert to alert.
MEANINGFUL_LABELS = frozenset({"severity", "category", "ticket", "ticket_every", "scope", "incident"})


def shipped_rules() -> list[Path]:
    return find_rule_files(shipped_folder())


def find_rule_files(folder: Path) -> list[Path]:
    """The rule files right in `folder`: YAML with `groups:` at its top, or YAML too broken to tell."""
    return [path for path in sorted(folder.iterdir()) if path.suffix in (".yaml", ".yml") and _is_rule_file(path)]


def load_rules(
    paths: Iterable[Path],
    *,
    known_thresholds: Collection[str] | None = None,
    single_tenant: bool = False,
    surroundings: Surroundings = NO_SURROUNDINGS,
    lookback: timedelta = DEFAULT_LOOKBACK,
) -> RuleSet:
    """Loads rule files, and the rule files in folders.

    With `known_thresholds`, a rule that reads another one is a problem. `single_tenant` takes what Prometheus takes
    and this collector must refuse, because it serves several customers and gives some labels a meaning.

    Raises RuleFileError with every problem of every file.
    """
    files = [file for path in paths for file in (_files_in(path) if path.is_dir() else [path])]
    readers = [
        _RuleFile(path, known_thresholds, surroundings, lookback, single_tenant=single_tenant)
        for path in dict.fromkeys(files)
    ]
    if not single_tenant:
        _refuse_same_names([reader.yaml for reader in readers])
    raise_problems([reader.yaml for reader in readers])
    groups = tuple(group for reader in readers for group in reader.groups)
    names, reads_any = reads([findings for reader in readers for findings in reader.findings])
    return RuleSet(
        groups=groups,
        version=_digest([[group.key, *_settings(group), [rule.version for rule in group.rules]] for group in groups]),
        windows=widest(rule.plan.windows for group in groups for rule in group.rules),
        threshold_names=None if reads_any else names,
        notices=tuple(sorted(notice for reader in readers for notice in reader.notices)),
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    """A rule as far as alerts and recording rules are read alike."""

    entries: dict[str, Entry]
    labels: dict[str, Entry]
    expr: str
    plan: Plan | None
    findings: Findings | None
    line: int


class _RuleFile:
    """One file being read: its groups, and what was found on the way."""

    def __init__(
        self,
        path: Path,
        known_thresholds: Collection[str] | None,
        surroundings: Surroundings,
        lookback: timedelta,
        *,
        single_tenant: bool,
    ) -> None:
        self.yaml = YamlFile(path)
        self.file = str(path)
        self.known_thresholds = known_thresholds
        self.surroundings = surroundings
        self.lookback = lookback
        self.single_tenant = single_tenant
        self.groups: list[Group] = []
        self.notices: list[Notice] = []
        self.findings: list[Findings] = []
        if self.yaml.root is not None:
            self._read(self.yaml.root)

    def _read(self, root: yaml.Node) -> None:
        top = self.yaml.mapping(root, "a rule file", FILE_KEYS)
        if "groups" not in top:
            if not self.yaml.problems:
                self.yaml.refuse(root, "not a rule file: it has no 'groups'")
            return
        lines: dict[str, int] = {}
        for node in self.yaml.items(top["groups"].value, "'groups'"):
            group = self._group(node)
            if group is None:
                continue
            if group.name in lines:
                self.yaml.refuse(node, f"the group {group.name!r} stands twice; first in line {lines[group.name]}")
            lines.setdefault(group.name, _line(node))
            self.groups.append(group)

    def _group(self, node: yaml.Node) -> Group | None:
        problems_before = len(self.yaml.problems)
        entries = self.yaml.mapping(node, "a group", GROUP_KEYS)
        if not entries and len(self.yaml.problems) > problems_before:
            return None
        name = self._name(entries, "name", node)
        interval = self._duration(entries, "interval")
        if timedelta() < interval < MIN_INTERVAL and not self.single_tenant:
            self.yaml.refuse(
                entries["interval"].value, "'interval' must be 1s or more: nothing is evaluated more often"
            )
        offset = self._duration(entries, "query_offset")
        limit = self._limit(entries)
        labels = self._labels(entries, "labels")
        key = f"{self.file if self.single_tenant else self.yaml.path.name}:{name}"
        counts: dict[str, int] = {}
        rules: list[AlertRule | RecordingRule] = []
        if "rules" in entries:
            for item in self.yaml.items(entries["rules"].value, "'rules'"):
                rule = self._rule(item, key, counts, labels)
                if rule is not None:
                    rules.append(rule)
        if name is None:
            return None
        return Group(key, name, self.file, interval or None, limit, offset, tuple(rules))

    def _rule(
        self, node: yaml.Node, group_key: str, counts: dict[str, int], group_labels: dict[str, Entry]
    ) -> AlertRule | RecordingRule | None:
        problems_before = len(self.yaml.problems)
        entries = self.yaml.mapping(node, "a rule", RULE_KEYS)
        if ("alert" in entries) == ("record" in entries):
            if len(self.yaml.problems) == problems_before:
                self.yaml.refuse(node, "a rule needs either 'alert' or 'record'")
            return None
        labels = group_labels | self._labels(entries, "labels")
        is_fleet = self._plain_label(labels, "scope") == Scope.FLEET
        for name in sorted(labels.keys() & set(RESERVED_LABELS)):
            if not is_fleet and not self.single_tenant:
                key = labels[name].key
                self.yaml.refuse(
                    key, f"the label {name!r} says whose series it is; only `scope: fleet` rules may set it"
                )
        expr, plan, findings = self._expression(entries, node, is_fleet=is_fleet)
        draft = _Draft(entries, labels, expr, plan, findings, _line(node))
        rule = self._alert(draft, group_key, counts) if "alert" in entries else self._recording(draft)
        return rule if len(self.yaml.problems) == problems_before else None

    def _alert(self, draft: _Draft, group_key: str, counts: dict[str, int]) -> AlertRule | None:
        name = self._name(draft.entries, "alert")
        hold_for = self._duration(draft.entries, "for")
        keep_firing_for = self._duration(draft.entries, "keep_firing_for")
        labels = self._templates(draft.labels)
        annotations = self._templates(self._labels(draft.entries, "annotations"))
        for meaningful in () if self.single_tenant else labels.keys() & MEANINGFUL_LABELS:
            template, node = labels[meaningful], draft.labels[meaningful].value
            if not template.is_constant:
                self.yaml.refuse(node, f"the label {meaningful!r} must be plain text, not a template")
            elif len(template.text) > MAX_NAME_CHARS or not template.text.isprintable():
                self.yaml.refuse(node, f"the label {meaningful!r} must be up to {MAX_NAME_CHARS} printable characters")
        severity = self._severity(draft)
        scope = self._choice(draft.labels, "scope", [*Scope]) or Scope.DEVICE
        ticket_never = self._choice(draft.labels, "ticket", ["never"]) is not None
        if not self.single_tenant:
            self._duration(draft.labels, "ticket_every")
        if timedelta() < hold_for < self.lookback:
            self._notice(
                draft.entries["for"].line,
                f"'for' is shorter than the lookback, {duration_text(self.lookback)}: "
                "one sample and then silence fires it",
            )
        if name is None or draft.plan is None or draft.findings is None:
            return None
        incident = self._plain_label(draft.labels, "incident") or name
        if incident in RESERVED_INCIDENTS and not self.single_tenant:
            source = draft.labels.get("incident") or draft.entries["alert"]
            self.yaml.refuse(
                source.value, f"the incident {incident!r} is the collector's own; name another in the label 'incident'"
            )
        index = counts[name] = counts.get(name, -1) + 1
        texts = [sorted((label, one.text) for label, one in some.items()) for some in (labels, annotations)]
        return AlertRule(
            key=_digest([group_key, name, index], 32),
            version=_digest([name, draft.expr, hold_for, keep_firing_for, texts]),
            alert=name,
            expr=draft.expr,
            plan=draft.plan,
            hold_for=hold_for,
            keep_firing_for=keep_firing_for,
            labels=labels,
            annotations=annotations,
            severity=severity,
            category=self._plain_label(draft.labels, "category"),
            scope=Scope(scope),
            incident=incident,
            ticket_never=ticket_never,
            thresholds=draft.findings.thresholds,
            file=self.file,
            line=draft.line,
        )

    def _recording(self, draft: _Draft) -> RecordingRule | None:
        for key in ALERT_ONLY_KEYS:
            if key in draft.entries:
                self.yaml.refuse(draft.entries[key].key, f"{key!r} belongs to alerts; a recording rule has none")
        name = self._name(draft.entries, "record")
        if name is not None and not re.fullmatch(METRIC_NAME_PATTERN, name):
            self.yaml.refuse(
                draft.entries["record"].value, f"{name!r} is no metric name: use letters, digits, '_', ':'"
            )
        elif name is not None and is_reserved_metric(name) and not self.single_tenant:
            self.yaml.refuse(draft.entries["record"].value, f"only the collector makes {name!r}; record another name")
        labels = {label: self._plain_label(draft.labels, label) for label in draft.labels}
        if name is None or draft.plan is None:
            return None
        version = _digest([name, draft.expr, sorted(labels.items())])
        return RecordingRule(name, draft.expr, draft.plan, labels, version, self.file, draft.line)

    def _expression(
        self, entries: dict[str, Entry], node: yaml.Node, *, is_fleet: bool
    ) -> tuple[str, Plan | None, Findings | None]:
        if "expr" not in entries:
            self.yaml.refuse(node, "a rule needs an 'expr'")
            return "", None, None
        value = entries["expr"].value
        text = self.yaml.text(value, "'expr'")
        if text is None or not text.strip():
            if text is not None:
                self.yaml.refuse(value, "'expr' is empty")
            return "", None, None
        try:
            plan = compile_expr(text, self.lookback)
        except ParseError as exc:
            self.yaml.refuse(value, f"'expr': {exc}")
            return text, None, None
        findings = examine(text)
        self.findings.append(findings)
        if not is_fleet and not self.single_tenant:
            for sentence in findings.mixing:
                self.yaml.refuse(value, f"'expr': {sentence}")
        if self.known_thresholds is not None:
            for name in sorted(findings.thresholds - set(self.known_thresholds)):
                self.yaml.refuse(value, f"'expr' reads the threshold {name!r}, which thresholds.yaml does not define")
        return text.strip(), plan, findings

    def _name(self, entries: dict[str, Entry], key: str, owner: yaml.Node | None = None) -> str | None:
        if key not in entries:
            self.yaml.refuse(owner, f"a group needs a {key!r}")
            return None
        name = self.yaml.text(entries[key].value, f"{key!r}")
        if name is None:
            return None
        if not name or ((len(name) > MAX_NAME_CHARS or not name.isprintable()) and not self.single_tenant):
            self.yaml.refuse(entries[key].value, f"{key!r} must be 1 to {MAX_NAME_CHARS} printable characters")
            return None
        return name

    def _duration(self, entries: dict[str, Entry], key: str) -> timedelta:
        if key not in entries:
            return timedelta()
        text = self.yaml.text(entries[key].value, f"{key!r}")
        if text is not None:
            try:
                return parse_duration(text)
            except ValueError as exc:
                self.yaml.refuse(entries[key].value, f"{key!r} {exc}")
        return timedelta()

    def _limit(self, entries: dict[str, Entry]) -> int:
        if "limit" not in entries:
            return 0
        text = self.yaml.text(entries["limit"].value, "'limit'")
        if text is not None and not re.fullmatch(r"[0-9]{1,9}", text):
            self.yaml.refuse(entries["limit"].value, f"'limit' must be a whole number, 0 for none, got {text[:40]!r}")
            return 0
        return int(text or 0)

    def _labels(self, entries: dict[str, Entry], key: str) -> dict[str, Entry]:
        """Labels or annotations with valid names; the values are looked at later, where it is known what they are."""
        if key not in entries:
            return {}
        named = self.yaml.mapping(entries[key].value, f"{key!r}")
        valid: dict[str, Entry] = {}
        for name, entry in named.items():
            if not re.fullmatch(LABEL_NAME_PATTERN, name) or name == "__name__":
                self.yaml.refuse(entry.key, f"{name[:80]!r} is no name for {key!r}: use letters, digits and '_'")
            else:
                valid[name] = entry
        return valid

    def _templates(self, entries: dict[str, Entry]) -> dict[str, Template]:
        templates: dict[str, Template] = {}
        for name, entry in entries.items():
            text = self.yaml.text(entry.value, f"{name!r}")
            if text is None:
                continue
            try:
                templates[name] = Template.compile(text, self.surroundings)
            except TemplateError as exc:
                self.yaml.refuse(entry.value, f"{name!r}: {exc}", line_offset=exc.line_offset)
        return templates

    def _severity(self, draft: _Draft) -> Severity:
        text = self._plain_label(draft.labels, "severity")
        if text in SEVERITIES:
            return SEVERITIES[text]
        line = draft.labels["severity"].line if text else draft.line
        what = f"severity {text[:40]!r} reads as minor" if text else "no severity: reads as minor"
        self._notice(line, f"{what}; write {', '.join(Severity)}")
        return Severity.MINOR

    def _choice(self, labels: dict[str, Entry], name: str, choices: Sequence[str]) -> str | None:
        text = self._plain_label(labels, name)
        if text and text not in choices and self.single_tenant:
            return None
        if text and text not in choices:
            self.yaml.refuse(
                labels[name].value, f"the label {name!r} must be {' or '.join(choices)}, got {text[:40]!r}"
            )
            return None
        return text or None

    def _plain_label(self, labels: dict[str, Entry], name: str) -> str:
        if name not in labels or not isinstance(labels[name].value, yaml.ScalarNode):
            return ""  # what is no text is refused where templates are compiled
        return self.yaml.text(labels[name].value, f"the label {name!r}") or ""

    def _notice(self, line: int, message: str) -> None:
        self.notices.append(Notice(self.file, line, message))


def _files_in(folder: Path) -> list[Path]:
    found = find_rule_files(folder)
    if not found:  # no rules, no alerts: that is never what somebody meant
        raise RuleFileError([Problem(str(folder), 1, "the folder holds no rule file; name another")])
    return found


def _is_rule_file(path: Path) -> bool:
    root = YamlFile(path).root
    if not isinstance(root, yaml.MappingNode):
        return True  # whoever loads it is told what is wrong
    return any(isinstance(key, yaml.ScalarNode) and key.value == "groups" for key, _ in root.value)


def _refuse_same_names(files: Sequence[YamlFile]) -> None:
    """Groups are kept by file name and group name, so a name stands for one file."""
    first: dict[str, YamlFile] = {}
    for file in files:
        if len(file.path.name) >= MAX_NAME_CHARS:
            file.refuse(None, f"the file name is longer than {MAX_NAME_CHARS - 1} characters; rename the file")
        known = first.setdefault(file.path.name, file)
        if known is not file:
            file.refuse(None, f"has the same file name as {known.path}; rename one of them")


def _settings(group: Group) -> list[object]:
    return [group.interval, group.limit, group.query_offset]


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _digest(content: object, digits: int = 16) -> str:
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:digits]
