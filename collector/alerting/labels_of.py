"""Which labels the result of an expression can have, told from the labels that its series have."""

from collections.abc import Callable, Sequence

from collector.promql.nodes import (
    Aggregate,
    Binary,
    Call,
    Cardinality,
    Matching,
    Negate,
    Node,
    Number,
    RangeSelector,
    Selector,
    Subquery,
    Text,
)
from collector.series.read import Matcher

Labels = frozenset[str] | None  # without `__name__`; None: not known
NO_LABELS: frozenset[str] = frozenset()
LABELLESS_CALLS = frozenset({"vector", "scalar", "time", "pi"})
KEEPING_AGGREGATIONS = frozenset({"topk", "bottomk"})


def labels_of(node: Node, known: Callable[[Sequence[Matcher]], Labels]) -> Labels:
    """`known` tells the labels of the series that some matchers select."""
    match node:
        case Selector(matchers) | RangeSelector(matchers):
            return known(matchers)
        case Negate(body) | Subquery(body):
            return labels_of(body, known)
        case Number() | Text():
            return NO_LABELS
        case Aggregate():
            return _of_aggregate(node, labels_of(node.body, known))
        case Binary():
            return _of_binary(node, labels_of(node.left, known), labels_of(node.right, known))
        case Call():
            return _of_call(node, known)


def _of_aggregate(node: Aggregate, body: Labels) -> Labels:
    if node.op in KEEPING_AGGREGATIONS:
        return body
    labels = frozenset(node.labels)
    if node.op == "count_values":
        return None
    if node.without:
        return None if body is None else body - labels
    return labels if body is None else body & labels


def _of_binary(node: Binary, left: Labels, right: Labels) -> Labels:
    if isinstance(node.left, Number):
        return right
    if isinstance(node.right, Number) or node.op in ("and", "unless"):
        return left
    if left is None or right is None:
        return None
    return left | right if node.op == "or" else _of_match(node.matching, left, right)


def _of_match(matching: Matching, left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    match matching.cardinality:
        case Cardinality.MANY_TO_ONE:
            return left | frozenset(matching.include)
        case Cardinality.ONE_TO_MANY:
            return right | frozenset(matching.include)
    named = frozenset(matching.labels)
    both = left | right  # a label that one side lacks is empty there, and matches what is empty
    return both & named if matching.on else both - named


def _of_call(node: Call, known: Callable[[Sequence[Matcher]], Labels]) -> Labels:
    if node.name in LABELLESS_CALLS:
        return NO_LABELS
    if node.name.startswith("absent"):
        return None
    labels: Labels = NO_LABELS
    for argument in node.args:
        own = labels_of(argument, known)
        labels = None if labels is None or own is None else labels | own
    if node.name in ("label_replace", "label_join"):
        target = node.args[1]
        return None if labels is None or not isinstance(target, Text) else labels | {target.value}
    if node.name == "histogram_quantile":
        return None if labels is None else labels - {"le"}
    return labels
