"""Which labels of an expression's result still tell the customers apart, and where it would mix them.

Every stored series carries `customer` and `device_id`, and a device belongs to one customer, so either label keeps
customers apart; `site` does not, since two customers may both have a site `hq`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import promql_parser as ast

THRESHOLD_METRIC = "quarkpulse_threshold"
IDENTIFYING = frozenset({"customer", "device_id"})

# A metric's last value says nothing about who else has one; these look at all series at once.
WHOLE_VECTOR_FUNCTIONS = frozenset({"absent", "absent_over_time", "scalar"})
LABEL_WRITERS = frozenset({"label_replace", "label_join"})
KEEPING_AGGREGATIONS = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
SET_OPERATORS = frozenset({"and", "or", "unless"})

REMEDY = "add customer or device_id to its labels, or label the rule `scope: fleet`"


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose data a value holds: of nobody (`vector(1)`), of one customer that the expression names, or of many whose
    series still carry the labels in `kept`."""

    kept: frozenset[str] = IDENTIFYING
    pin: tuple[str, str] | None = None  # the matcher that names the one customer or device
    nobody: bool = False


NOBODY = Origin(frozenset(), nobody=True)


@dataclass(frozen=True, slots=True)
class Findings:
    """What an expression reads and mixes."""

    mixing: tuple[str, ...]  # a sentence for each operation that would mix customers
    thresholds: frozenset[str]  # the names of thresholds it reads
    reads_any_threshold: bool  # it selects thresholds without one name: all are needed


def examine(expression: str) -> Findings:
    """Raises ValueError if `expression` is not PromQL; whoever compiled it before knows a better message."""
    examiner = _Examiner()
    examiner.visit(ast.parse(expression))
    return Findings(tuple(dict.fromkeys(examiner.mixing)), frozenset(examiner.thresholds), examiner.reads_any_threshold)


class _Examiner:
    def __init__(self) -> None:
        self.mixing: list[str] = []
        self.thresholds: set[str] = set()
        self.reads_any_threshold = False

    def visit(self, node: ast.Expr) -> Origin:  # noqa: PLR0911 - one line for each kind of node
        match node:
            case ast.VectorSelector():
                return self._selector(node)
            case ast.MatrixSelector():
                return self._selector(node.vector_selector)
            case ast.ParenExpr() | ast.UnaryExpr() | ast.SubqueryExpr():
                return self.visit(node.expr)
            case ast.AggregateExpr():
                return self._aggregation(node)
            case ast.BinaryExpr():
                return self._binary(node)
            case ast.Call():
                return self._call(node)
            case _:
                return NOBODY

    def _selector(self, node: ast.VectorSelector) -> Origin:
        equal = {one.name: one.value for one in node.matchers.matchers if one.op == ast.MatchOp.Equal and one.value}
        name = node.name or equal.get("__name__")
        if name == THRESHOLD_METRIC:
            if "name" in equal:
                self.thresholds.add(equal["name"])
            else:
                self.reads_any_threshold = True
        pins = [(label, equal[label]) for label in ("customer", "device_id") if label in equal]
        # `or` inside the braces (an extension of the parser) may reach beyond what the first matchers name.
        pin = pins[0] if pins and not node.matchers.or_matchers else None
        return Origin(frozenset({"device_id"}) if name == THRESHOLD_METRIC else IDENTIFYING, pin)

    def _aggregation(self, node: ast.AggregateExpr) -> Origin:
        origin = self.visit(node.expr)
        if node.param is not None:
            self.visit(node.param)
        labels = frozenset(node.modifier.labels) if node.modifier else frozenset()
        is_without = node.modifier is not None and node.modifier.type == ast.AggModifierType.Without
        kept = origin.kept - labels if is_without else origin.kept & labels
        if _has_many_owners(origin) and not kept:
            grouping = f" {'without' if is_without else 'by'} ({', '.join(sorted(labels))})" if node.modifier else ""
            self.mixing.append(f"'{node.op}{grouping}' mixes the series of different customers; {REMEDY}")
        return Origin(origin.kept if str(node.op) in KEEPING_AGGREGATIONS else kept, origin.pin, origin.nobody)

    def _binary(self, node: ast.BinaryExpr) -> Origin:
        left, right = self.visit(node.lhs), self.visit(node.rhs)
        modifier = node.modifier
        matching = modifier.matching if modifier else None
        if matching is not None and matching.type == ast.LabelModifierType.Include:
            matched, clause = IDENTIFYING & frozenset(matching.labels), "on"
        elif matching is not None:
            matched, clause = IDENTIFYING - frozenset(matching.labels), "ignoring"
        else:
            matched, clause = IDENTIFYING, ""
        # Not counting the labels that the sides really have: a label that one side lost matches nothing of another
        # customer's, it matches nothing at all.
        if matching is not None and not matched and self._can_cross(left, right, node):
            labels = ", ".join(matching.labels)
            self.mixing.append(f"'{clause} ({labels})' lets series of different customers match; {REMEDY}")
        return _joined(left, right, node, matched)

    @staticmethod
    def _can_cross(left: Origin, right: Origin, node: ast.BinaryExpr) -> bool:
        if left.nobody and right.nobody:
            return False
        if left.nobody or right.nobody:
            # Against a constant nobody's data meets another's, unless many series compete for the one constant.
            one_to_one = node.modifier is not None and node.modifier.card == ast.VectorMatchCardinality.OneToOne
            return one_to_one and (_has_many_owners(left) or _has_many_owners(right))
        return left.pin is None or left.pin != right.pin

    def _call(self, node: ast.Call) -> Origin:
        origins = [self.visit(argument) for argument in node.args]
        vectors = [origin for origin in origins if not origin.nobody]
        if not vectors:
            return NOBODY
        origin = reduce(_merged, vectors)
        name = node.func.name
        if name in WHOLE_VECTOR_FUNCTIONS and _has_many_owners(origin):
            self.mixing.append(
                f"'{name}' looks at the series of all customers at once; select one by customer or device_id, "
                "or label the rule `scope: fleet`"
            )
        if name in LABEL_WRITERS and (written := _text(node.args[1])) in IDENTIFYING:
            self.mixing.append(f"'{name}' overwrites {written!r}, which says whose series it is; write another label")
        return origin


def _has_many_owners(origin: Origin) -> bool:
    return not origin.nobody and origin.pin is None


def _merged(left: Origin, right: Origin) -> Origin:
    return Origin(left.kept & right.kept, left.pin if left.pin == right.pin else None)


def _joined(left: Origin, right: Origin, node: ast.BinaryExpr, matched: frozenset[str]) -> Origin:
    if left.nobody or right.nobody:
        return left if right.nobody else right
    operator, modifier = str(node.op), node.modifier
    if operator == "or":
        return _merged(left, right)
    pin = left.pin or right.pin
    if operator in SET_OPERATORS:
        return Origin(left.kept, pin)
    card = modifier.card if modifier else ast.VectorMatchCardinality.OneToOne
    if card == ast.VectorMatchCardinality.OneToOne:
        return Origin(left.kept & matched, pin)
    many = left if card == ast.VectorMatchCardinality.ManyToOne else right
    copied = frozenset(modifier.group_labels or ()) if modifier else frozenset()
    return Origin(many.kept | (IDENTIFYING & copied), pin)


def _text(node: ast.Expr) -> str:
    return node.val if isinstance(node, ast.StringLiteral) else ""


def reads(findings: Sequence[Findings]) -> tuple[frozenset[str], bool]:
    """The names of thresholds that some expressions read, and whether one of them may read any name."""
    names = frozenset().union(*(one.thresholds for one in findings))
    return names, any(one.reads_any_threshold for one in findings)
