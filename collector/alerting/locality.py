"""Whether a rule looks at one device at a time, so that it can be judged again for some devices alone."""

from collections.abc import Collection

import promql_parser as ast

from collector.alerting.ruleset import AlertRule, RecordingRule
from collector.alerting.tenancy import THRESHOLD_METRIC
from protocol.wire import RESERVED_METRICS

DEVICE = "device_id"
OF_DEVICES = ("quarkpulse_device_", "quarkpulse_site_", "quarkpulse_agent_")  # what the collector tells of the fleet
WHOLE_VECTOR_FUNCTIONS = frozenset({"absent", "absent_over_time", "scalar", "vector"})


def is_per_device(rule: AlertRule, recorded: Collection[str]) -> bool:
    """Whether the rule's result for a device follows from what that device sent, and from thresholds.

    Not so for rules that read what the collector itself makes as time goes by: recorded series (`recorded` are their
    names), ALERTS, presence; nor for one that reads nothing, such as a watchdog: its alert is no device's.
    """
    if not rule.plan.windows:
        return False
    for metric in rule.plan.windows:
        if metric is None or metric in recorded or metric in RESERVED_METRICS:
            return False
        if metric.startswith("quarkpulse_") and metric != THRESHOLD_METRIC:
            return False
    return _is_local(ast.parse(rule.expr))


def is_of_collector(rule: AlertRule | RecordingRule) -> bool:
    """Whether the rule reads nothing but the collector's own health, and thresholds, or no series at all."""
    return all(
        metric is not None and metric.startswith("quarkpulse_") and not metric.startswith(OF_DEVICES)
        for metric in rule.plan.windows
    )


def _is_local(node: ast.Expr) -> bool:
    match node:
        case ast.ParenExpr() | ast.UnaryExpr() | ast.SubqueryExpr():
            return _is_local(node.expr)
        case ast.AggregateExpr():
            labels = node.modifier.labels if node.modifier else ()
            is_without = node.modifier is not None and node.modifier.type == ast.AggModifierType.Without
            return (DEVICE in labels) is not is_without and _is_local(node.expr)
        case ast.BinaryExpr():
            matching = node.modifier.matching if node.modifier else None
            keeps = (
                matching is None
                or (DEVICE in matching.labels) is (matching.type == ast.LabelModifierType.Include)
                or THRESHOLD_METRIC in (_metric(node.lhs), _metric(node.rhs))
            )
            return keeps and _is_local(node.lhs) and _is_local(node.rhs)
        case ast.Call():
            return node.func.name not in WHOLE_VECTOR_FUNCTIONS and all(map(_is_local, node.args))
        case _:
            return True


def _metric(node: ast.Expr) -> str | None:
    return node.name if isinstance(node, ast.VectorSelector) else None
