"""A range query in slices answers what it answers whole."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.promql import Engine, Limits, compile_expr
from collector.promql.errors import LimitError
from collector.promql.result import Matrix
from collector.series.in_memory import InMemoryReader, Point

MINUTE = 60_000
QUERIES = (
    "x",
    "sum by (customer) (rate(x[5m]))",
    "x > 2",
    "topk(2, x)",
    "absent(x > 5)",
    "sum(x) or vector(1)",
    "time()",
    "x - x @ start()",
    "x offset 3m",
    'label_replace(x > 2, "y", "$1", "device_id", "(.*)")',
    "max_over_time((x * 2)[10m:1m])",
    'count_values("v", x)',
)

points = st.lists(st.tuples(st.integers(0, 59), st.integers(0, 6)), max_size=30, unique_by=lambda point: point[0])
fleets = st.lists(points, min_size=1, max_size=5)


def engine(reader: InMemoryReader, samples: int) -> Engine:
    return Engine(reader, lookback=timedelta(minutes=5), limits=Limits(samples=samples))


def as_told(matrix: object) -> dict[str, dict[int, float]]:
    assert isinstance(matrix, Matrix)
    told = {}
    for row in range(matrix.labels.length):
        columns = np.flatnonzero(matrix.present[row])
        labels = str(sorted(matrix.labels.texts(matrix.strings, row).items()))
        assert labels not in told
        told[labels] = {int(matrix.times[column]): float(matrix.values[row, column]) for column in columns}
    return told


@pytest.mark.parametrize("query", QUERIES)
@given(fleets)
@settings(max_examples=15)
def test_slices_change_nothing(query: str, fleet: list[list[Point]]) -> None:
    reader = InMemoryReader(
        ({"__name__": "x", "device_id": f"pc-{number}", "customer": f"c{number % 2}"},
         [(minute * MINUTE, float(value)) for minute, value in sorted(series)])
        for number, series in enumerate(fleet)
    )  # fmt: skip
    plan = compile_expr(query)
    whole = engine(reader, 1_000_000).range(plan, 0, 60 * MINUTE, MINUTE // 2)
    sliced = engine(reader, 300 * len(fleet)).range(plan, 0, 60 * MINUTE, MINUTE // 2)
    assert as_told(sliced) == as_told(whole)


def test_what_is_kept_of_the_slices_counts_too() -> None:
    reader = InMemoryReader(
        ({"__name__": "x", "device_id": f"pc-{number}"}, [(minute * MINUTE, 1.0) for minute in range(60)])
        for number in range(10)
    )
    small = engine(reader, 500)
    assert as_told(small.range(compile_expr("sum(x)"), 0, 59 * MINUTE, MINUTE))["[]"][0] == 10
    with pytest.raises(LimitError, match="samples"):
        small.range(compile_expr("x"), 0, 59 * MINUTE, MINUTE)
