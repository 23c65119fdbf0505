"""The rules read what is sent: a name that nobody sends would be a rule that never fires."""

import re
from collections.abc import Set

import pytest

from agent.enrolment import find_probes
from agent.inspection import declared_metrics, load_probes
from collector.alerting.pack import load_pack
from collector.alerting.rulefile import AlertRule
from collector.series.read import MatchOp
from protocol.wire import RESERVED_LABELS
from tests.rules.senders import COLLECTOR, OWN_HEALTH

DECLARED: dict[str, Set[str]] = {
    name: frozenset(metric.labels) for name, metric in declared_metrics(load_probes(find_probes())).items()
}
METRICS = {**COLLECTOR, **OWN_HEALTH, **DECLARED}
RULES = load_pack().rules.alert_rules


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.alert)
def test_every_metric_and_label_of_a_rule_exists(rule: AlertRule) -> None:
    seen: set[str] = set()
    for matchers in rule.plan.selectors:
        metric = next(one.value for one in matchers if one.label == "__name__" and one.op is MatchOp.EQUAL)
        assert metric in METRICS, f"nobody sends {metric}"
        labels = {*METRICS[metric], *RESERVED_LABELS}
        assert {one.label for one in matchers} - {"__name__"} <= labels
        seen |= labels
    for template in rule.annotations.values():
        assert set(re.findall(r"\$labels\.(\w+)", template.text)) <= seen
