"""The rules read what the agent sends: a name that no probe knows would be a rule that never fires."""

import re

import pytest

from agent.enrolment import find_probes
from agent.inspection import declared_metrics, load_probes
from collector.alerting.pack import load_pack
from collector.alerting.rulefile import AlertRule
from collector.series.read import MatchOp
from protocol.wire import RESERVED_LABELS

METRICS = declared_metrics(load_probes(find_probes()))
COLLECTORS_OWN = {"quarkpulse_threshold": {"name", "device_id"}}
RULES = load_pack().rules.alert_rules


def labels_of(metric: str) -> set[str]:
    if metric in COLLECTORS_OWN:
        return COLLECTORS_OWN[metric]
    return {*METRICS[metric].labels, *RESERVED_LABELS}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.alert)
def test_every_metric_and_label_of_a_rule_exists(rule: AlertRule) -> None:
    seen: set[str] = set()
    for matchers in rule.plan.selectors:
        metric = next(one.value for one in matchers if one.label == "__name__" and one.op is MatchOp.EQUAL)
        assert metric in METRICS or metric in COLLECTORS_OWN
        assert {one.label for one in matchers} - {"__name__"} <= labels_of(metric)
        seen |= labels_of(metric)
    for template in rule.annotations.values():
        assert set(re.findall(r"\$labels\.(\w+)", template.text)) <= seen
