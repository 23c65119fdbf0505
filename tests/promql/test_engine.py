"""The engine: instants, ranges, conflicts, limits, what it remembers."""

import gc
import math
import weakref
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count

import numpy as np
import pytest

from collector.promql import (
    Conflict,
    Engine,
    EvaluationError,
    LimitError,
    Limits,
    Matrix,
    Scalar,
    Shared,
    String,
    Vector,
    compile_expr,
)
from collector.promql.aggregate import number_text
from collector.series.in_memory import InMemoryReader, Point
from collector.series.labels import LabelFrame
from collector.series.read import Milliseconds, Samples, Selection

MINUTE = 60_000
HOUR = 60 * MINUTE


def device(name: str, customer: str, **labels: str) -> dict[str, str]:
    return {"__name__": name, "customer": customer, **labels}


def found(result: object) -> dict[str, float]:
    """Each series as `name=value,…` in alphabetical order, and its value."""
    assert isinstance(result, Vector)
    texts = [",".join(f"{name}={value}" for name, value in sorted(labels.items())) for labels in result.label_sets()]
    assert len(set(texts)) == len(texts)
    return dict(zip(texts, result.values.tolist(), strict=True))


def ask(reader: InMemoryReader, query: str, at: Milliseconds = 0, *, drop_conflicts: bool = False) -> object:
    return Engine(reader).instant(compile_expr(query), at, drop_conflicts=drop_conflicts)


def test_the_lookback_is_open_on_the_left_and_can_be_set() -> None:
    reader = InMemoryReader([({"__name__": "x"}, [(0, 1.0)])])
    plan = compile_expr("x")
    assert len(found(Engine(reader).instant(plan, 5 * MINUTE - 1))) == 1
    assert found(Engine(reader).instant(plan, 5 * MINUTE)) == {}
    assert len(found(Engine(reader, lookback=timedelta(minutes=10)).instant(plan, 5 * MINUTE))) == 1


def test_result_types() -> None:
    reader = InMemoryReader([({"__name__": "x"}, [(MINUTE, 1.0), (2 * MINUTE, 2.0)])])
    assert ask(reader, "1 + 1") == Scalar(2.0)
    assert ask(reader, '"text"') == String("text")
    samples = ask(reader, "x[2m]", 2 * MINUTE)
    assert isinstance(samples, Matrix)
    assert (samples.times.tolist(), samples.values.tolist()) == ([MINUTE, 2 * MINUTE], [[1.0, 2.0]])
    over_time = Engine(reader).range(compile_expr("time()"), 0, 2 * MINUTE, MINUTE)
    assert isinstance(over_time, Matrix)
    assert over_time.values.tolist() == [[0.0, 60.0, 120.0]]


@pytest.mark.parametrize(("query", "words"), [("x[5m]", "range vector"), ('"s"', "string")])
def test_what_has_no_range(query: str, words: str) -> None:
    with pytest.raises(EvaluationError, match=words):
        Engine(InMemoryReader()).range(compile_expr(query), 0, MINUTE, MINUTE)


TWO_CUSTOMERS = InMemoryReader(
    [
        (device("disk", "acme", device_id="a1", path="/"), [(0, 0.9)]),
        (device("disk", "acme", device_id="a2", path="/"), [(0, 0.5)]),
        (device("disk", "globex", device_id="g1", path="/"), [(0, 0.9)]),
        (device("limit", "acme", device_id="a1"), [(0, 0.8)]),
        (device("limit", "acme", device_id="a2"), [(0, 0.8)]),
        (device("limit", "globex", device_id="g1", copy="1"), [(0, 0.8)]),
        (device("limit", "globex", device_id="g1", copy="2"), [(0, 0.7)]),
    ]
)
RULE = "disk > on(device_id) group_left() limit"


def test_one_tenant_never_blinds_another() -> None:
    result = ask(TWO_CUSTOMERS, RULE, drop_conflicts=True)
    assert isinstance(result, Vector)
    assert [labels["device_id"] for labels in result.label_sets()] == ["a1"]
    [conflict] = result.conflicts
    assert conflict.labels == {"device_id": "g1", "customer": "globex"}
    assert conflict.series == 2
    assert "right hand-side" in conflict.reason


def test_a_query_fails_where_prometheus_fails() -> None:
    with pytest.raises(EvaluationError, match="many-to-many matching not allowed"):
        ask(TWO_CUSTOMERS, RULE)
    with pytest.raises(EvaluationError, match="many-to-one matching must be explicit"):
        ask(TWO_CUSTOMERS, "limit > on(customer) disk{device_id='g1'}")
    with pytest.raises(EvaluationError, match="grouping labels must ensure unique matches"):
        ask(TWO_CUSTOMERS, "limit + on(device_id) group_left(copy) disk")
    with pytest.raises(EvaluationError, match="same labelset"):
        ask(TWO_CUSTOMERS, "label_replace(disk, 'device_id', '', '', '')")


def test_nothing_to_match_is_no_conflict() -> None:
    assert found(ask(TWO_CUSTOMERS, "nonexistent > on(device_id) limit")) == {}


@pytest.mark.parametrize(
    ("query", "customers"),
    [
        ("limit > on(customer) disk{device_id='g1'}", ["globex"]),
        ("limit + on(device_id) group_left(copy) disk", ["globex"]),
        ("label_replace(disk, 'device_id', '', '', '')", ["acme"]),
        ("abs({device_id='a1', path=''} or {device_id='a1', path='/'} offset 1s)", []),
    ],
)
def test_conflicts_name_their_customer(query: str, customers: list[str]) -> None:
    result = ask(TWO_CUSTOMERS, query, drop_conflicts=True)
    assert isinstance(result, Vector)
    assert [conflict.labels.get("customer") for conflict in result.conflicts] == customers


def test_conflicts_span_customers_one_by_one() -> None:
    result = ask(TWO_CUSTOMERS, "disk * on() group_left() limit", drop_conflicts=True)
    assert isinstance(result, Vector)
    assert result.values.tolist() == []
    assert [(c.labels, c.series) for c in result.conflicts] == [({"customer": "acme"}, 2), ({"customer": "globex"}, 2)]
    assert all(isinstance(conflict, Conflict) for conflict in result.conflicts)


HUNDRED = InMemoryReader(
    ({"__name__": "x", "n": str(n)}, [(i * MINUTE, float(n)) for i in range(10)]) for n in range(100)
)


@pytest.mark.parametrize(
    ("query", "limits", "name"),
    [
        ("x", Limits(series=99), "series"),
        ("x + x", Limits(series=199), "series"),
        ("rate(x[5m])", Limits(samples=499), "samples"),
        ("x * on() group_left() topk(1, x)", Limits(samples=5_000), "samples"),
        ("sum_over_time(vector(1)[1y:1s])", Limits(samples=1_000_000), "samples"),
        ("sum(x)", Limits(seconds=1.5), "seconds"),
    ],
)
def test_limits_are_named(query: str, limits: Limits, name: str) -> None:
    ticks = count()
    engine = Engine(HUNDRED, limits=limits, monotonic=lambda: float(next(ticks)))
    with pytest.raises(LimitError, match=f"limit {name} = ") as caught:
        engine.instant(compile_expr(query), 9 * MINUTE)
    assert caught.value.limit == name


def test_steps_are_limited() -> None:
    with pytest.raises(LimitError, match="limit steps = 11000"):
        Engine(HUNDRED).range(compile_expr("x"), 0, 11_000_000, 1_000)


class Counting(InMemoryReader):
    """Counts what is read."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.reads = 0

    def samples(self, selection: Selection, start: Milliseconds, end: Milliseconds) -> Samples:
        self.reads += 1
        return super().samples(selection, start, end)


def counting() -> Counting:
    return Counting([({"__name__": "x", "n": str(n)}, [(0, 1.0), (MINUTE, 3.0 + n)]) for n in range(3)])


def test_plans_of_one_pass_share_what_they_have_in_common() -> None:
    reader = counting()
    engine = Engine(reader)
    queries = ["rate(x[5m]) > 0.02", "sum(rate(x[5m]))", "rate(x[5m]) + rate(x[5m])"]
    plans = [compile_expr(query) for query in queries]
    alone = [found(engine.instant(plan, MINUTE)) for plan in plans]
    reader.reads = 0
    shared = Shared()
    assert [found(engine.instant(plan, MINUTE, shared=shared)) for plan in plans] == alone
    assert reader.reads == 1
    engine.instant(plans[0], 2 * MINUTE, shared=shared)
    assert reader.reads == 2


def test_label_work_is_done_again_only_when_the_series_change() -> None:
    reader = counting()
    engine = Engine(reader)
    plan = compile_expr('sum by (m) (label_replace(x, "m", "no. $1", "n", "(.*)") + 1)')
    first, second = engine.instant(plan, MINUTE), engine.instant(plan, MINUTE)
    assert isinstance(first, Vector)
    assert isinstance(second, Vector)
    assert first.labels.columns["m"].tolist() == second.labels.columns["m"].tolist()
    assert found(first) == {"m=no. 0": 4.0, "m=no. 1": 5.0, "m=no. 2": 6.0}
    reader.add({"__name__": "x", "n": "9"}, [(MINUTE, 8.0)])
    assert found(engine.instant(plan, MINUTE)) == {"m=no. 0": 4.0, "m=no. 1": 5.0, "m=no. 2": 6.0, "m=no. 9": 9.0}


def test_strings_that_queries_make_do_not_stay() -> None:
    reader = counting()
    engine = Engine(reader)
    plan = compile_expr('count_values("value", x * time())')
    engine.instant(plan, MINUTE)
    before = len(reader.strings)
    for at in range(MINUTE, 5 * MINUTE, 1_000):
        engine.instant(plan, at)
    assert len(reader.strings) == before
    result = engine.instant(plan, MINUTE)
    assert isinstance(result, Vector)
    strings = weakref.ref(result.strings)
    del plan, result
    gc.collect()
    assert strings() is None


def test_one_plan_in_several_threads() -> None:
    plan = compile_expr('count_values("value", x * time())')
    engine = Engine(HUNDRED)

    def values(at: int) -> set[str]:
        result = engine.instant(plan, at * 1_000)
        assert isinstance(result, Vector)
        return {labels["value"] for labels in result.label_sets()}

    with ThreadPoolExecutor(4) as threads:
        for at, found_values in enumerate(threads.map(values, range(60))):
            assert found_values == {number_text(n * float(at)) for n in range(100)}


@pytest.mark.parametrize("operator", [" + ", " or ", " and "])
def test_the_longest_chain_that_compiles_is_evaluated(operator: str) -> None:
    reader = InMemoryReader([({"__name__": "x"}, [(0, 1.0)])])
    plan = compile_expr(operator.join(["x"] * 120))
    assert len(found(Engine(reader).instant(plan, 0, shared=Shared()))) == 1


def test_order() -> None:
    reader = InMemoryReader(
        ({"__name__": "x", "n": str(n)}, [(0, value)]) for n, value in enumerate([2.0, math.nan, 3.0, 1.0, -math.inf])
    )

    def numbers(query: str) -> str:
        result = ask(reader, query)
        assert isinstance(result, Vector)
        return "".join(labels["n"] for labels in result.label_sets())

    assert numbers("sort(x)") == "43021"
    assert numbers("sort_desc(x)") == "20341"
    assert numbers("topk(3, x)") == "203"
    assert numbers("bottomk(3, x)") == "430"
    assert numbers("topk(9, x)") == "20341"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (0.1, "0.1"),
        (1e21, "1000000000000000000000"),
        (1.5e-7, "0.00000015"),
        (-0.0, "-0"),
        (math.inf, "+Inf"),
        (math.nan, "NaN"),
        (100.0, "100"),
    ],
)
def test_numbers_as_labels(value: float, text: str) -> None:
    assert number_text(value) == text


def test_quantiles_of_classic_histograms() -> None:
    bounds = {"0.1": 1.0, "0.5": 3.0, "1": 3.0, "1.0": 3.0, "+Inf": 7.0, "nonsense": 9.0}
    reader = InMemoryReader(({"__name__": "b_bucket", "le": le}, [(0, number)]) for le, number in bounds.items())
    # `1` and `1.0` are one bucket of 6; the rank 0.5 * 7 falls into it.
    assert found(ask(reader, "histogram_quantile(0.5, b_bucket)")) == {"": pytest.approx(0.5 + 0.5 * (0.5 / 3))}
    assert found(ask(reader, "histogram_quantile(1, b_bucket)")) == {"": 1.0}
    assert math.isnan(found(ask(reader, "histogram_quantile(NaN, b_bucket)"))[""])
    assert found(ask(reader, "histogram_quantile(2, b_bucket)")) == {"": math.inf}
    incomplete = "histogram_quantile(0.5, b_bucket{le!='+Inf'})"
    assert math.isnan(found(ask(reader, incomplete))[""])


def test_hidden_digits_are_not_lost() -> None:
    points: list[Point] = [(MINUTE * i, value) for i, value in enumerate([1.0, 1e100, 1.0, -1e100])]
    reader = InMemoryReader(
        [({"__name__": "x", "n": str(i)}, [(3 * MINUTE, value)]) for i, (_, value) in enumerate(points)]
    )
    reader.add({"__name__": "y"}, points)
    assert found(ask(reader, "sum(x)", 3 * MINUTE)) == {"": 2.0}
    assert found(ask(reader, "avg(x)", 3 * MINUTE)) == {"": 0.5}
    assert found(ask(reader, "sum_over_time(y[5m])", 3 * MINUTE)) == {"": 2.0}


def test_empty_stores() -> None:
    for query in ("x", "rate(x[5m])", "sum(x)", "x + on(a) group_left() y", "x or y", "histogram_quantile(0.5, x)"):
        assert found(ask(InMemoryReader(), query)) == {}
        matrix = Engine(InMemoryReader()).range(compile_expr(query), 0, HOUR, MINUTE)
        assert isinstance(matrix, Matrix)
        assert len(matrix) == 0
    for query in ("topk(1, x)", "count_values('v', x)", "label_replace(x, 'a', '$1', 'b', '(.*)')", "-x", "x > 1"):
        assert found(ask(InMemoryReader(), query)) == {}
    assert found(ask(InMemoryReader(), 'absent(x{a="b"})')) == {"a=b": 1.0}


def test_many_distinct_labels_still_make_one_key() -> None:
    names = [f"l{i}" for i in range(12)]
    generator = np.random.default_rng(7)
    columns = {name: generator.integers(1, 1 << 20, 500).astype(np.int32) for name in names}
    frame = LabelFrame(500, columns)
    doubled = LabelFrame(1_000, {name: np.concatenate([column, column]) for name, column in columns.items()})
    from collector.promql.groups import group_all  # noqa: PLC0415

    assert group_all(frame).singles
    groups = group_all(doubled)
    assert len(groups) == 500
    assert (groups.of[:500] == groups.of[500:]).all()


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("clamp_min(x, Inf)", math.inf),
        ("clamp_max(x, -Inf)", -math.inf),
        ("clamp(x, -Inf, Inf)", math.nan),
        ("clamp_min(x, 1)", math.nan),
    ],
)
def test_an_infinite_bound_holds_for_nan_too(query: str, value: float) -> None:
    """As Go's math.Max and math.Min, by which Prometheus clamps."""
    reader = InMemoryReader([({"__name__": "x"}, [(0, math.nan)])])
    (got,) = found(ask(reader, query)).values()
    assert got == value or (math.isnan(got) and math.isnan(value))


def test_where_bounds_cross_no_series_can_clash() -> None:
    reader = InMemoryReader([({"__name__": "x"}, [(0, 1.0)]), ({"__name__": "y"}, [(0, 1.0)])])
    assert found(ask(reader, 'clamp({__name__=~"x|y"}, 2, 0)')) == {}
    with pytest.raises(EvaluationError, match="same labelset"):
        ask(reader, 'clamp({__name__=~"x|y"}, 0, 2)')
