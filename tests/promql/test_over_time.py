"""The functions over time, on all series and steps at once, give what a loop over samples gives."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.promql import Engine, Matrix, Vector, compile_expr
from collector.series.in_memory import InMemoryReader
from collector.series.read import STALE
from tests.promql.reference import FUNCTIONS, Point

NAMES = ("a", "b", "c")
STEP = 7_000
STEPS = 9
Cell = tuple[str, int]  # series and instant

values = st.one_of(
    st.integers(0, 5).map(float),
    st.floats(-1e6, 1e6).map(lambda value: round(value, 3)),
    st.floats(0, 1e12),
)
# Gaps between samples: irregular, some of a millisecond, some longer than the window.
series = st.lists(st.tuples(st.one_of(st.integers(1, 9_000), st.just(40_000)), values), max_size=30)
fleets = st.fixed_dictionaries(dict.fromkeys(NAMES, series))


def points_of(gaps: list[tuple[int, float]]) -> list[Point]:
    at, points = 0, []
    for gap, value in gaps:
        at += gap
        points.append((at, value))
    return points


def fleet_of(gaps: Mapping[str, list[tuple[int, float]]]) -> dict[str, list[Point]]:
    return {name: points_of(some) for name, some in gaps.items()}


def reader_of(fleet: Mapping[str, list[Point]], metric: str = "x") -> InMemoryReader:
    return InMemoryReader(({"__name__": metric, "name": name}, points) for name, points in fleet.items())


def assert_same(wanted: Mapping[Cell, float], found: Mapping[Cell, float], scale: float) -> None:
    assert wanted.keys() == found.keys()
    for key, value in wanted.items():
        assert math.isclose(value, found[key], rel_tol=1e-9, abs_tol=1e-9 * scale), (key, value, found[key])


@pytest.mark.parametrize("template", FUNCTIONS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(gaps=fleets, window=st.sampled_from([1_000, 5_000, 20_000, 60_000]), offset=st.sampled_from([0, 3_000, -2_000]))
def test_function(template: str, gaps: dict[str, list[tuple[int, float]]], window: int, offset: int) -> None:
    fleet = fleet_of(gaps)
    engine = Engine(reader_of(fleet))
    plan = compile_expr(template.replace("[WINDOW]", f"[{window}ms] offset {offset}ms"))
    wanted: dict[Cell, float] = {}
    for name, points in fleet.items():
        for at in range(0, STEP * STEPS, STEP):
            end = at - offset
            inside = [(time, value) for time, value in points if end - window < time <= end]
            result = FUNCTIONS[template](inside, end - window, end) if inside else None
            if result is not None:
                # A prediction is made for the instant that is evaluated, not for the end of the window.
                if template.startswith("predict"):
                    result = predicted_at(inside, at)
                wanted[name, at] = result
    scale = max((abs(value) for points in fleet.values() for _, value in points), default=1.0) + 1.0
    if template.startswith("stdvar"):
        scale = scale**2
    found = engine.range(plan, 0, STEP * (STEPS - 1), STEP)
    assert isinstance(found, Matrix)
    cells = {
        (labels["name"], int(at)): float(value)
        for labels, row, there in zip(found.label_sets(), found.values, found.present, strict=True)
        for at, value, present in zip(found.times, row, there, strict=True)
        if present
    }
    assert_same(wanted, cells, scale * 1e3)
    for at in (0, STEP * 3, STEP * (STEPS - 1)):
        vector = engine.instant(plan, at)
        assert isinstance(vector, Vector)
        single = {
            (labels["name"], at): value
            for labels, value in zip(vector.label_sets(), vector.values.tolist(), strict=True)
        }
        assert_same({key: value for key, value in wanted.items() if key[1] == at}, single, scale * 1e3)


def predicted_at(points: list[Point], at: int) -> float:
    result = FUNCTIONS["predict_linear(x[WINDOW], 60)"](points, 0, at)
    assert result is not None
    return result


@settings(max_examples=15, deadline=None, derandomize=True)
@given(gaps=fleets, stale=st.sets(st.integers(0, 29)))
def test_staleness_markers_are_not_seen_by_windows_and_end_what_selectors_see(
    gaps: dict[str, list[tuple[int, float]]], stale: set[int]
) -> None:
    fleet = {
        name: [(at, float(STALE) if i in stale else value) for i, (at, value) in enumerate(points)]
        for name, points in fleet_of(gaps).items()
    }
    engine = Engine(reader_of(fleet))
    for at in range(0, 70_000, 10_000):
        counts = engine.instant(compile_expr("count_over_time(x[15s])"), at)
        latest = engine.instant(compile_expr("x"), at)
        assert isinstance(counts, Vector)
        assert isinstance(latest, Vector)
        seen = {
            name: [(i, value) for i, (time, value) in enumerate(points) if at - 15_000 < time <= at and i not in stale]
            for name, points in fleet.items()
        }
        found = {labels["name"]: value for labels, value in zip(counts.label_sets(), counts.values, strict=True)}
        assert found == {name: float(len(some)) for name, some in seen.items() if some}
        newest = {
            name: max((i for i, (time, _) in enumerate(points) if time <= at), default=None)
            for name, points in fleet.items()
        }
        shown = {labels["name"] for labels in latest.label_sets()}
        assert shown == {name for name, i in newest.items() if i is not None and i not in stale}


@settings(max_examples=15, deadline=None, derandomize=True)
@given(gaps=fleets)
def test_a_range_query_is_its_instants(gaps: dict[str, list[tuple[int, float]]]) -> None:
    engine = Engine(reader_of(fleet_of(gaps)))
    for query in ("x", "x offset 5s", "sum(x)", "max_over_time(x[10s:3s])", "rate(x[20s:5s])", "x > 2 or x offset 30s"):
        plan = compile_expr(query)
        matrix = engine.range(plan, 0, STEP * STEPS, STEP)
        assert isinstance(matrix, Matrix)
        for column, at in enumerate(matrix.times.tolist()):
            vector = engine.instant(plan, at)
            assert isinstance(vector, Vector)
            wanted = {str(labels): value for labels, value in zip(vector.label_sets(), vector.values, strict=True)}
            present = matrix.present[:, column]
            found = {
                str(labels): value
                for labels, value, there in zip(matrix.label_sets(), matrix.values[:, column], present, strict=True)
                if there
            }
            assert found == pytest.approx(wanted, rel=1e-12, nan_ok=True)
