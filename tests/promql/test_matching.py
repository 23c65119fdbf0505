"""Operators and aggregations over all series at once give what looking at one label set after the other gives."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.promql import Engine, EvaluationError, Vector, compile_expr
from collector.series.in_memory import InMemoryReader
from tests.promql.reference import quantile

LabelSet = frozenset[tuple[str, str]]
Fleet = Mapping[LabelSet, float]

label_sets = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(["1", "2", "3"]) for name in ("a", "b", "c")}
).map(lambda labels: frozenset(labels.items()))
fleets = st.dictionaries(label_sets, st.integers(-3, 3).map(float), max_size=12)

JOINS = [
    ("", (), None),
    ("on(a)", ("a",), True),
    ("on()", (), True),
    ("on(a, b)", ("a", "b"), True),
    ("ignoring(c)", ("c",), False),
    ("ignoring(a, b)", ("a", "b"), False),
]


def engine_of(left: Fleet, right: Fleet) -> Engine:
    series = [({"__name__": "l", **dict(labels)}, [(0, value)]) for labels, value in left.items()]
    series += [({"__name__": "r", **dict(labels)}, [(0, value)]) for labels, value in right.items()]
    return Engine(InMemoryReader(series))


def ask(engine: Engine, query: str) -> dict[LabelSet, float] | None:
    """The result without metric names, None if the query failed."""
    try:
        result = engine.instant(compile_expr(query), 0)
    except EvaluationError:
        return None
    assert isinstance(result, Vector)
    found = {
        frozenset((name, text) for name, text in labels.items() if name != "__name__"): value
        for labels, value in zip(result.label_sets(), result.values.tolist(), strict=True)
    }
    assert len(found) == len(result)
    return found


def key(labels: LabelSet, names: tuple[str, ...], on: bool | None) -> LabelSet:
    return frozenset((name, text) for name, text in labels if (name in names) is bool(on))


def joined(left: Fleet, right: Fleet, names: tuple[str, ...], on: bool | None) -> dict[LabelSet, float] | None:
    """`l * r`, one to one: None where Prometheus refuses."""
    if not left or not right:
        return {}
    ones: dict[LabelSet, float] = {}
    for labels, value in right.items():
        if key(labels, names, on) in ones:
            return None
        ones[key(labels, names, on)] = value
    result: dict[LabelSet, float] = {}
    for labels, value in left.items():
        group = key(labels, names, on)
        if group in ones:
            if group in result:
                return None
            result[group] = value * ones[group]
    return result


@pytest.mark.parametrize(("modifier", "names", "on"), JOINS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(left=fleets, right=fleets)
def test_one_to_one(modifier: str, names: tuple[str, ...], on: bool | None, left: Fleet, right: Fleet) -> None:
    assert ask(engine_of(left, right), f"l * {modifier} r") == joined(left, right, names, on)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(left=fleets, right=fleets)
def test_group_left_takes_labels_of_the_one_side(left: Fleet, right: Fleet) -> None:
    expected: dict[LabelSet, float] | None = {}
    if left and right:
        ones: dict[LabelSet, tuple[float, str]] = {}
        for labels, value in right.items():
            ones[key(labels, ("a",), True)] = value, dict(labels).get("c", "")
        for labels, value in left.items():
            partner = ones.get(key(labels, ("a",), True))
            if partner is None:
                continue
            others = frozenset((name, text) for name, text in labels if name != "c")
            result = others | {("c", partner[1])} if partner[1] else others
            if expected is None or result in expected:
                expected = None
            else:
                expected[result] = value + partner[0]
        if len(ones) < len(right):
            expected = None
    engine = engine_of(left, right)
    assert ask(engine, "l + on(a) group_left(c) r") == expected
    assert ask(engine, "r + on(a) group_right(c) l") == expected


@settings(max_examples=30, deadline=None, derandomize=True)
@given(left=fleets, right=fleets, names=st.sampled_from([("a",), ("a", "c"), ()]))
def test_sets(left: Fleet, right: Fleet, names: tuple[str, ...]) -> None:
    engine = engine_of(left, right)
    on = f"on({', '.join(names)})"
    of_right = {key(labels, names, True) for labels in right}
    of_left = {key(labels, names, True) for labels in left}
    both = {labels: value for labels, value in left.items() if key(labels, names, True) in of_right}
    assert ask(engine, f"l and {on} r") == both
    assert ask(engine, f"l unless {on} r") == {labels: value for labels, value in left.items() if labels not in both}
    others = {labels: value for labels, value in right.items() if key(labels, names, True) not in of_left}
    assert ask(engine, f"(l + 0) or {on} (r + 0)") == {**others, **left}


@settings(max_examples=30, deadline=None, derandomize=True)
@given(left=fleets, bound=st.integers(-3, 3))
def test_comparison_filters_and_bool_does_not(left: Fleet, bound: int) -> None:
    engine = engine_of(left, {})
    assert ask(engine, f"l > {bound}") == {labels: value for labels, value in left.items() if value > bound}
    assert ask(engine, f"{bound} > l") == {labels: value for labels, value in left.items() if value < bound}
    assert ask(engine, f"l > bool {bound}") == {labels: float(value > bound) for labels, value in left.items()}


REDUCTIONS: dict[str, Callable[[list[float]], float]] = {
    "sum": math.fsum,
    "avg": lambda values: math.fsum(values) / len(values),
    "min": min,
    "max": max,
    "count": len,
    "group": lambda _: 1.0,
    "stdvar": lambda values: sum((value - sum(values) / len(values)) ** 2 for value in values) / len(values),
    "quantile(0.3, l)": lambda values: quantile(0.3, values),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(left=fleets, names=st.sampled_from([("a",), ("b", "c"), ()]), without=st.booleans())
def test_aggregation(name: str, left: Fleet, names: tuple[str, ...], without: bool) -> None:
    members: dict[LabelSet, list[float]] = defaultdict(list)
    for labels, value in left.items():
        members[key(labels, names, not without)].append(value)
    clause = f"{'without' if without else 'by'} ({', '.join(names)})"
    query = f"{name} {clause}" if name.endswith(")") else f"{name}(l) {clause}"
    found = ask(engine_of(left, {}), query)
    assert found == pytest.approx({group: REDUCTIONS[name](some) for group, some in members.items()}, abs=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(left=fleets, k=st.integers(-1, 4))
def test_topk_keeps_the_largest_of_each_group_in_order(left: Fleet, k: int) -> None:
    result = engine_of(left, {}).instant(compile_expr(f"topk by (a) ({k}, l)"), 0)
    assert isinstance(result, Vector)
    members: dict[str, list[float]] = defaultdict(list)
    for labels, value in left.items():
        members[dict(labels).get("a", "")].append(value)
    found: dict[str, list[float]] = defaultdict(list)
    for texts, value in zip(result.label_sets(), result.values.tolist(), strict=True):
        found[texts.get("a", "")].append(value)
    assert found == {a: sorted(some, reverse=True)[: max(k, 0)] for a, some in members.items() if k > 0}
