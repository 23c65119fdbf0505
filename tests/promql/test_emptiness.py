"""What is said to give nothing gives nothing, whatever the expression."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.promql import Engine, PromqlError, compile_expr
from collector.promql.emptiness import is_empty
from collector.promql.result import Vector
from collector.series.in_memory import InMemoryReader
from tests.differential.expressions import EXPRESSIONS
from tests.differential.worlds import START

AT = (START + 1507) * 1000
PRESENT = InMemoryReader(
    [
        (
            {"__name__": name, "a": "x", "device_id": "d0"},
            [(AT - 30_000 * step, 1.5 * step) for step in range(40, 0, -1)],
        )
        for name in ("k", "h_bucket")
    ]
)


@given(EXPRESSIONS, st.sampled_from((InMemoryReader(), PRESENT)))
def test_any_expression(text: str, reader: InMemoryReader) -> None:
    plan = compile_expr(text)
    if is_empty(plan.root, reader.has_none):
        try:
            result = Engine(reader).instant(plan, AT)
        except PromqlError:  # too much of it, or two of one kind on the side that is not empty
            return
        assert isinstance(result, Vector)
        assert len(result) == 0


@pytest.mark.parametrize(
    ("text", "empty"),
    [
        ("g", True),
        ("k", False),
        ("g > k", True),
        ("k > g", True),
        ("k or g", False),
        ("g or g", True),
        ("k unless g", False),
        ("g unless k", True),
        ("sum(rate(g[5m])) > 1", True),
        ("absent(g)", False),
        ("k * vector(1)", False),
        ("g * vector(1)", True),
        ("vector(scalar(g))", False),
        ("hour()", False),
        ("time()", False),
        ('{__name__=~"g|k"}', False),
        ("topk(scalar(g), k)", False),
        ("max_over_time(absent(g)[5m:])", False),
    ],
)
def test_what_it_says(text: str, *, empty: bool) -> None:
    assert is_empty(compile_expr(text).root, PRESENT.has_none) is empty
