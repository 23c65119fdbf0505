"""What is refused, and where; what a plan says about itself."""

import math
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.promql import ParseError, compile_expr
from collector.promql.nodes import Number
from collector.promql.plan import Read
from collector.promql.scan import MAX_CHARACTERS
from collector.series.read import Matcher, MatchOp


@pytest.mark.parametrize(
    ("query", "column", "words"),
    [
        ("sum(x", None, "parenthesis"),
        ("up + foo(x)", 6, "unknown function with name 'foo'"),
        ("x and 1", 3, "set operator 'and'"),
        ("1 + mad_over_time(x[5m])", 5, "experimental"),
        ("histogram_count(x)", 1, "native histograms"),
        ("limitk(2, x)", 1, "experimental"),
        ('count_values("", x)', 1, "name"),
        ('x{a=~"a{2,1001}"}', 3, "repetition"),
        ("x @ -1", 5, "1970"),
        ('label_replace(x, "\\xff", "", "a", "")', 18, "UTF-8"),
        ('1 + label_replace(x, "", "", "a", "")', 5, "name"),
        ('label_replace(x, "d", "", "a", "(")', 1, "regular expression"),
        ('x{a="b" or c="d"}', 9, "=~"),
        ("x + fill(0) y", 5, "fill"),
        ("x offset 5m +", 13, "from '+' on"),
        ("", None, "no expression"),
        ("rate(x)", 1, "expected type matrix"),
        ("x{a=1}", 5, "unexpected character"),
        ("up == 1 for 5m", 9, "cannot be read from 'for' on"),
        ("sum(rate(x[5m])) / / y", 18, "from '/' on"),
        ("sum by (job) (rate(x[5m]) smoothed)", 27, "from 'smoothed' on"),
        ("x[5m] + 1", None, "instant vector"),
        ("{}", None, "at least one"),
    ],
)
def test_refused_with_its_place(query: str, column: int | None, words: str) -> None:
    with pytest.raises(ParseError) as caught:
        compile_expr(query)
    assert words in str(caught.value)
    assert column is None or caught.value.column == column


@pytest.mark.parametrize(
    "query",
    [
        "(" * 5_000 + "x" + ")" * 5_000,
        "(" * 101 + "x" + ")" * 101,
        "x" + " + x" * 200,
        "x" + " or x" * 4_000,
        "-" * 10_000 + "x",
        "x" * (MAX_CHARACTERS + 1),
        "abs(" * 5_000,
        "x[5m" + ":5m][5m" * 60 + "]",
        "x[99999999y]",
        "x @ 1e300",
        "x[9.5e100]",
        "x[5m:9.5e100]",
        "x offset -Inf",
        "x offset NaN",
        "x offset " + "9" * 100,
        "x @ 1e12",
        "\x00",
        "999999999999999999999999y",
    ],
)
def test_hostile_queries_are_refused(query: str) -> None:
    with pytest.raises(ParseError):
        compile_expr(query)


WORDS = st.one_of(
    st.sampled_from(["x", "rate", "sum", "(", ")", "[5m]", "[5m:1m]", "{", "}", "by", "on", "offset", "5m", "@", "1"]),
    st.sampled_from(["+", "-", ">", "bool", "and", '"s"', ",", "=", "=~", "topk", "le", "start", "group_left", "#"]),
    st.text(max_size=3),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=12).map(" ".join))
@example("x offset")
@example("offset 0")
def test_any_text_compiles_or_is_refused(query: str) -> None:
    try:
        plan = compile_expr(query)
    except ParseError as exc:
        assert str(exc)
    else:
        assert plan.text == query


@pytest.mark.parametrize(
    ("query", "windows"),
    [
        ("x > 1", {"x": 0.0}),
        ("rate(x[5m]) > on(a) y", {"x": 300.0, "y": 0.0}),
        ("x offset 10m", {"x": 900.0}),  # the lookback counts where the past is read
        ("x offset -10m", {"x": 0.0}),
        ("rate(x[5m] offset 1h)", {"x": 3_900.0}),
        ("max_over_time(rate(x[5m])[1h:1m])", {"x": 3_900.0}),
        ("max_over_time(x[1h:1m] offset 1h)", {"x": 7_500.0}),
        ("max_over_time((x @ end())[1h:1m])", {"x": 0.0}),
        ("x @ 1000", {"x": math.inf}),
        ("rate(x[5m]) + rate(x[1h])", {"x": 3_600.0}),
        ("rate(x[1d])", {"x": 86_400.0}),
        ("x offset 1d", {"x": 0.0}),  # too old for the head
        ("rate(x[5m] offset 1d) + x offset 10m", {"x": 900.0}),
        ("max_over_time(rate(x[5m])[1d:5m] offset 1w)", {"x": 0.0}),
        ('{__name__=~"x|y"}', {None: 0.0}),
        ("rate({a='b'}[2m])", {None: 120.0}),
        ("topk(scalar(y), x[1m:])", {}),
        ("time() + 1", {}),
    ],
)
def test_windows(query: str, windows: dict[str | None, float]) -> None:
    if "topk" in query:
        query = "topk(scalar(y), last_over_time(x[1m:]))"
        windows = {"x": 360.0, "y": 0.0}
    assert compile_expr(query).windows == windows


def test_windows_count_the_lookback_in_that_is_configured() -> None:
    assert compile_expr("x offset 10m", timedelta(minutes=20)).windows == {"x": 1_800.0}
    assert compile_expr("rate(x[5m])", timedelta(minutes=20)).windows == {"x": 300.0}


def test_reads_tell_between_which_ages() -> None:
    plan = compile_expr("max_over_time(rate(x[5m])[1d:5m] offset 1w) + x offset 1d - {a='b'} @ 1000")
    week, day = 7 * 86_400.0, 86_400.0
    assert plan.reads == (
        Read("x", week, week + day + 300.0),
        Read("x", day, day + 300.0),
        Read(None, 0.0, math.inf),
    )


def test_selectors() -> None:
    plan = compile_expr('sum(x{a="b", c!~"d.*"}) / {"my.name"} + x{a="b", c!~"d.*"}')
    assert plan.selectors == (
        (
            Matcher("__name__", MatchOp.EQUAL, "x"),
            Matcher("a", MatchOp.EQUAL, "b"),
            Matcher("c", MatchOp.NOT_REGEX, "d.*"),
        ),
        (Matcher("__name__", MatchOp.EQUAL, "my.name"),),
    )


@pytest.mark.parametrize(
    ("query", "value"),
    [("-2 ^ 2 * 3", -12.0), ("1 > bool 2", 0.0), ("1_000 + 0x1F", 1031.0), ("1h30m / 1m", 90.0), ("5 % -3", 2.0)],
)
def test_constants_are_folded(query: str, value: float) -> None:
    assert compile_expr(query).root == Number(value)


@pytest.mark.parametrize("query", ["x offset 0s", "x offset 0", "sum(x offset 0m)", "x[5m] offset 0s"])
def test_an_offset_of_nothing_is_taken(query: str) -> None:
    compile_expr(query)
