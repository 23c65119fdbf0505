"""What is worth a look in good rules: series that nobody sends, labels that nothing can match, rules without a test,
texts that are missing."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from collector.alerting.labels_of import Labels
from collector.alerting.lint_labels import labels_that_are_missing, words_that_are_no_kind
from collector.alerting.ruleset import AlertRule, Group, Notice, RecordingRule, RuleSet
from collector.alerting.ruletest.testfile import TestFile, find_test_files, load_test_file
from collector.alerting.yamlfile import RuleFileError, shipped_folder
from collector.contracts import Severity
from collector.fleet.presence_series import METRICS as PRESENCE_METRICS
from collector.fleet.printers.foresight import METRICS as FORESIGHT_METRICS
from collector.series.labels import NAME
from collector.series.read import Matcher, MatchOp
from protocol.wire import RESERVED_LABELS, RESERVED_METRIC_PREFIX, RESERVED_METRICS, Kind

METRICS_FILE = "metrics.json"
FOR_PEOPLE = ("summary", "description", "action", "runbook_url")
FOR_CUSTOMERS = ("customer_summary_nl", "customer_summary_en")
# Labels of the series that the collector makes itself; of others that it may make nothing is known.
COLLECTORS_OWN = {
    "quarkpulse_threshold": frozenset({"name", *RESERVED_LABELS}),
    **{
        name: frozenset({*labels, *RESERVED_LABELS})
        for name, (labels, _) in {**PRESENCE_METRICS, **FORESIGHT_METRICS}.items()
    },
}
_ALERTNAME = re.compile(r"alertname\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|`([^`]*)`)")
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_EXTERNAL = re.compile(r"\$externalLabels|\.ExternalLabels|\$externalURL|\.ExternalURL")


@dataclass(frozen=True, slots=True)
class Known:
    """The series there are: their labels by metric, None where these are not known."""

    metrics: Mapping[str, Labels]

    @classmethod
    def of(cls, rules: RuleSet, sent: Mapping[str, frozenset[str]]) -> "Known":
        """What agents send, what the collector makes, and what these rules record."""
        metrics: dict[str, Labels] = {name: own | frozenset(RESERVED_LABELS) for name, own in sent.items()}
        metrics |= COLLECTORS_OWN
        for group in rules.groups:
            for rule in group.rules:
                if isinstance(rule, RecordingRule):
                    metrics[rule.record] = None
        return cls(metrics)

    def has(self, metric: str) -> bool:
        return metric in self.metrics or metric in RESERVED_METRICS or metric.startswith(RESERVED_METRIC_PREFIX)

    def labels(self, matchers: Sequence[Matcher]) -> Labels:
        metric = _metric(matchers)
        return None if metric is None else self.metrics.get(metric)


def sent_by_agents() -> dict[str, frozenset[str]]:
    """The metrics that the agents of this version send, with the labels that they have of their own."""
    listed = json.loads((shipped_folder() / METRICS_FILE).read_text(encoding="utf-8"))
    return {name: frozenset(cast("list[str]", metric["labels"])) for name, metric in listed.items()}


def find_notices(rules: RuleSet) -> list[Notice]:
    """All that is worth a look, those included that were found when the files were read."""
    known = Known.of(rules, sent_by_agents())
    tested: dict[Path, _Tested] = {}
    found = list(rules.notices)
    for group in rules.groups:
        folder = Path(group.file).parent / "tests"
        if folder not in tested:
            tested[folder] = _Tested.in_folder(folder)
            found += tested[folder].notices
        for rule in group.rules:
            found += _notices_of(rule, group, known, tested[folder])
    return sorted(set(found))


def _notices_of(rule: AlertRule | RecordingRule, group: Group, known: Known, tested: "_Tested") -> Iterator[Notice]:
    def notice(message: str, subject: str) -> Notice:
        return Notice(rule.file, rule.line, message, subject)

    name = rule.alert if isinstance(rule, AlertRule) else rule.record
    for message, subject in _of_selectors(rule.plan.selectors, known):
        yield notice(message, subject)
    for message, label in labels_that_are_missing(rule.plan.root, known.labels):
        yield notice(message, label)
    if name not in tested.names:
        yield notice("no test in tests/*.test.yaml beside the file looks at this rule", name)
    if isinstance(rule, AlertRule):
        if group.interval is not None and 0 < rule.hold_for.total_seconds() < group.interval.total_seconds():
            yield notice("'for' is shorter than the group's interval, and so as long as it", name)
        if missing := ", ".join(_missing_texts(rule)):
            yield notice(f"annotations are missing: {missing}", name)
        if any(_EXTERNAL.search(one.text) for one in (*rule.labels.values(), *rule.annotations.values())):
            yield notice("external labels and URL are empty here", name)


def _of_selectors(selectors: Iterable[Sequence[Matcher]], known: Known) -> Iterator[tuple[str, str]]:
    """What is wrong, and with which metric, label or kind."""
    for matchers in selectors:
        metric = _metric(matchers)
        if metric is not None and not known.has(metric):
            yield "no probe sends this metric and no rule here records it; fine if another sender does", metric
        labels = known.labels(matchers)
        if labels is None:
            continue
        for matcher in matchers:
            if matcher.label not in labels | {NAME} and not matcher.matches(""):
                yield f"{metric} never has this label, so this matches nothing", matcher.label
            if matcher.label == "kind":
                for word in words_that_are_no_kind(matcher):
                    yield f"no device is of this kind; kinds are {', '.join(Kind)}", word


def _missing_texts(rule: AlertRule) -> Iterator[str]:
    concerns_customer = not rule.ticket_never and rule.severity is not Severity.INFO
    wanted = (*FOR_PEOPLE, *(FOR_CUSTOMERS if concerns_customer else ()))
    return (one for one in wanted if one not in rule.annotations or not rule.annotations[one].text.strip())


@dataclass(frozen=True, slots=True)
class _Tested:
    names: frozenset[str]  # of alerts and recorded series that tests look at
    notices: tuple[Notice, ...]

    @classmethod
    def in_folder(cls, folder: Path) -> "_Tested":
        names: set[str] = set()
        notices = []
        for path in find_test_files(folder):
            try:
                names |= set(_looked_at(load_test_file(path)))
            except RuleFileError as exc:
                notices += [Notice(one.file, one.line, one.message, "bad test file") for one in exc.problems]
        return cls(frozenset(names), tuple(notices))


def _looked_at(file: TestFile) -> Iterator[str]:
    for test in file.tests:
        yield from (one.alert for one in test.alerts)
        for one in test.exprs:
            yield from (next(filter(None, found.groups()), "") for found in _ALERTNAME.finditer(one.expr))
            yield from _WORD.findall(one.expr)


def _metric(matchers: Sequence[Matcher]) -> str | None:
    return next((one.value for one in matchers if one.label == NAME and one.op is MatchOp.EQUAL), None)
