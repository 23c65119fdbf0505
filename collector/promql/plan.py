"""From the text of a query to what can be evaluated."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import promql_parser as parser

from collector.promql.errors import ParseError
from collector.promql.functions import FUNCTIONS, refusal_of
from collector.promql.nodes import (
    Aggregate,
    Binary,
    Call,
    Cardinality,
    Edge,
    Matching,
    Negate,
    Node,
    Number,
    RangeSelector,
    Selector,
    Shift,
    Subquery,
    Text,
)
from collector.promql.operators import AGGREGATIONS, COMPARISONS, compute
from collector.promql.scan import (
    MAX_DURATION_SECONDS,
    Token,
    column_of,
    column_of_complaint,
    for_parser,
    open_brackets,
    scan,
)
from collector.series.keeping import head_seconds
from collector.series.labels import NAME
from collector.series.read import Matcher, MatchOp, Milliseconds
from collector.series.regex import RegexError, compile_regex

MAX_DEPTH = 120  # of the tree, left-deep chains of operators included
DEFAULT_LOOKBACK = timedelta(minutes=5)  # Prometheus's: a series' last sample counts for so long
_NO_SENTENCE = "invalid promql query"  # what the parser says of every error of grammar
_PLACES_TRIED = 200

# By their names: the parser's enumerations cannot be hashed.
_MATCH_OPS = {
    "MatchOp.Equal": MatchOp.EQUAL,
    "MatchOp.NotEqual": MatchOp.NOT_EQUAL,
    "MatchOp.Re": MatchOp.REGEX,
    "MatchOp.NotRe": MatchOp.NOT_REGEX,
}
_CARDINALITIES = {
    "VectorMatchCardinality.OneToOne": Cardinality.ONE_TO_ONE,
    "VectorMatchCardinality.ManyToOne": Cardinality.MANY_TO_ONE,
    "VectorMatchCardinality.OneToMany": Cardinality.ONE_TO_MANY,
    "VectorMatchCardinality.ManyToMany": Cardinality.ONE_TO_ONE,  # set operators: they ask for presence only
}


@dataclass(frozen=True, slots=True)
class Read:
    """The ages of the samples that a selector reads, in seconds."""

    metric: str | None  # None: whatever its name
    newest: float
    oldest: float  # infinity for a fixed `@` time


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Plan:
    """A compiled query. Keep it: what is computed from labels alone is remembered with it."""

    text: str
    root: Node
    windows: Mapping[str | None, float]  # seconds that the head must keep, by metric name; None: whatever its name
    reads: tuple[Read, ...]
    selectors: tuple[tuple[Matcher, ...], ...]

    @property
    def looks_back(self) -> bool:
        """Whether it reads more than last values: one sample alone may tell it nothing."""
        return any(read.oldest > 0 for read in self.reads)

    def __str__(self) -> str:
        return self.text


def compile_expr(text: str, lookback: timedelta = DEFAULT_LOOKBACK) -> Plan:
    """The plan of a query. Raises ParseError, with the column where it can be told.

    `Plan.windows` says how far back the head must hold samples: 0.0 for the last value alone, or where only what is
    too old for the head is read; infinity for a fixed `@` time. An instant selector that looks into the past counts the
    lookback in.
    """
    tokens = scan(text)
    readable = for_parser(text, tokens)
    try:
        with _panics_as_errors():
            parsed = parser.parse(readable)
    except (ValueError, RecursionError, OverflowError) as exc:
        raise _complaint(str(exc), readable, tokens) from exc
    try:
        with _panics_as_errors():
            root = _Converter(tokens).convert(parsed, 0)
    except (ValueError, OverflowError) as exc:  # what the parser holds does not fit a duration or a time of Python's
        raise ParseError(f"a duration or time is too large: {exc}") from exc
    windows: dict[str | None, float] = {}
    selectors = []
    reads: list[Read] = []
    for matchers, newest, oldest in _reads(root, 0, 0, lookback // timedelta(milliseconds=1)):
        selectors.append(matchers)
        name = next((m.value for m in matchers if m.label == NAME and m.op is MatchOp.EQUAL), None)
        windows[name] = max(windows.get(name, 0.0), head_seconds(newest / 1000, oldest / 1000))
        reads.append(Read(name, newest / 1000, oldest / 1000))
    return Plan(text, root, windows, tuple(dict.fromkeys(reads)), tuple(dict.fromkeys(selectors)))


def is_scalar(node: Node) -> bool:
    """Whether the node gives one number per instant rather than series."""
    match node:
        case Number():
            return True
        case Negate(body):
            return is_scalar(body)
        case Binary(_, left, right):
            return is_scalar(left) and is_scalar(right)
        case Call(name):
            return FUNCTIONS[name].returns_scalar
    return False


@contextmanager
def _panics_as_errors() -> Iterator[None]:
    """A panic of the parser's Rust reaches Python as a BaseException of a class that cannot be imported."""
    try:
        yield
    except BaseException as exc:
        if type(exc).__name__ != "PanicException":
            raise
        raise ValueError(f"the parser gave up: {exc}") from exc


def _complaint(message: str, text: str, tokens: tuple[Token, ...]) -> ParseError:
    column = column_of_complaint(message, tokens) or _place_of(text, tokens)
    word = next((token.text for token in tokens if token.column == column), None)
    if message == _NO_SENTENCE and word is not None:
        message = f"the query cannot be read from {word!r} on"
    return ParseError(message, column)


def _place_of(text: str, tokens: tuple[Token, ...]) -> int | None:
    # The parser names no place: the query reads well up to some word, and the trouble begins with the next.
    closers = open_brackets(tokens)
    for i in range(min(len(tokens), _PLACES_TRIED) - 1, 0, -1):
        try:
            with _panics_as_errors():
                parser.parse(text[: tokens[i].column - 1] + closers[i])
        except (ValueError, RecursionError, OverflowError) as exc:
            if str(exc) == _NO_SENTENCE:
                continue
        return tokens[i].column
    return tokens[0].column if tokens else None


class _Converter:
    """Turns the parser's tree into nodes and refuses what the evaluator does not know."""

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self._tokens = tokens

    def convert(self, expr: Any, depth: int) -> Node:  # noqa: ANN401, PLR0911 - one return for each kind of node
        if depth > MAX_DEPTH:
            raise ParseError(f"nested deeper than {MAX_DEPTH} operators; split it into rules")
        match expr:
            case parser.ParenExpr():
                return self.convert(expr.expr, depth + 1)
            case parser.NumberLiteral():
                return Number(expr.val)
            case parser.StringLiteral():
                return Text(expr.val)
            case parser.VectorSelector():
                return Selector(self._matchers(expr), self._shift(expr))
            case parser.MatrixSelector():
                inner = expr.vector_selector
                return RangeSelector(self._matchers(inner), self._milliseconds(expr.range), self._shift(inner))
            case parser.SubqueryExpr():
                step = None if expr.step is None else self._milliseconds(expr.step)
                body = self.convert(expr.expr, depth + 1)
                return Subquery(body, self._milliseconds(expr.range), step, self._shift(expr))
            case parser.UnaryExpr():
                body = self.convert(expr.expr, depth + 1)
                return Number(-body.value) if isinstance(body, Number) else Negate(body)
            case parser.BinaryExpr():
                return self._binary(expr, depth)
            case parser.AggregateExpr():
                return self._aggregate(expr, depth)
            case parser.Call():
                return self._call(expr, depth)
        raise ParseError(f"{type(expr).__name__} is not supported")

    def _binary(self, expr: Any, depth: int) -> Node:  # noqa: ANN401
        op = str(expr.op)
        left, right = self.convert(expr.lhs, depth + 1), self.convert(expr.rhs, depth + 1)
        if isinstance(left, Number) and isinstance(right, Number):
            return Number(compute(op, left.value, right.value))
        modifier = expr.modifier
        if modifier is None:
            return Binary(op, left, right)
        if modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None:
            raise ParseError("fill modifiers are experimental in Prometheus and not supported", self._column("fill"))
        matching = Matching(
            on=modifier.matching is not None and modifier.matching.type == parser.LabelModifierType.Include,
            labels=tuple(sorted(set(modifier.matching.labels))) if modifier.matching is not None else (),
            cardinality=_CARDINALITIES[str(modifier.card)],
            include=tuple(modifier.group_labels or ()),
        )
        return Binary(op, left, right, matching, returns_bool=modifier.return_bool and op in COMPARISONS)

    def _aggregate(self, expr: Any, depth: int) -> Node:  # noqa: ANN401
        op = str(expr.op)
        if op not in AGGREGATIONS:
            raise ParseError(f"{op} is experimental in Prometheus and not supported", self._column(op))
        modifier = expr.modifier
        param = None if expr.param is None else self.convert(expr.param, depth + 1)
        if op == "count_values" and param == Text(""):
            raise ParseError("count_values: the label must have a name", self._column(op))
        return Aggregate(
            op,
            self.convert(expr.expr, depth + 1),
            param,
            tuple(sorted(set(modifier.labels))) if modifier is not None else (),
            without=modifier is not None and modifier.type == parser.AggModifierType.Without,
        )

    def _call(self, expr: Any, depth: int) -> Node:  # noqa: ANN401
        name = expr.func.name
        if name not in FUNCTIONS:
            raise ParseError(refusal_of(name), self._column(name))
        call = Call(name, tuple(self.convert(arg, depth + 1) for arg in expr.args))
        check = FUNCTIONS[name].check
        problem = None if check is None else check(call)
        if problem is not None:
            raise ParseError(problem, self._column(name))
        return call

    def _matchers(self, expr: Any) -> tuple[Matcher, ...]:  # noqa: ANN401
        if expr.matchers.or_matchers:
            raise ParseError("'or' between label matchers is not PromQL; use =~", self._column("or"))
        found = [Matcher(m.name, _MATCH_OPS[str(m.op)], m.value) for m in expr.matchers.matchers]
        if expr.name is not None:
            found.insert(0, Matcher(NAME, MatchOp.EQUAL, expr.name))
        for matcher in found:
            if matcher.op in {MatchOp.REGEX, MatchOp.NOT_REGEX}:
                try:
                    compile_regex(matcher.value)
                except RegexError as exc:
                    column = self._column(matcher.label)
                    raise ParseError(f"{matcher.value!r} is no regular expression: {exc}", column) from exc
        return tuple(found)

    def _shift(self, expr: Any) -> Shift:  # noqa: ANN401
        return Shift(self._milliseconds(expr.offset), self._at(expr.at))

    def _at(self, modifier: Any) -> Milliseconds | Edge | None:  # noqa: ANN401
        if modifier is None:
            return None
        if modifier.type == parser.AtModifierType.Start:
            return Edge.START
        if modifier.type == parser.AtModifierType.End:
            return Edge.END
        try:
            seconds: float = modifier.at.timestamp()
        except (OverflowError, ValueError) as exc:
            raise ParseError("'@' takes Unix seconds before the year 10000", self._column("@")) from exc
        return round(seconds * 1000)

    def _milliseconds(self, duration: timedelta | None) -> Milliseconds:
        milliseconds = 0 if duration is None else duration // timedelta(milliseconds=1)
        if abs(milliseconds) > MAX_DURATION_SECONDS * 1000:
            raise ParseError("a duration may not exceed 100 years")
        return milliseconds

    def _column(self, name: str) -> int | None:
        return column_of(name, self._tokens)


def _reads(
    node: Node, newest: float, oldest: float, lookback: Milliseconds
) -> Iterator[tuple[tuple[Matcher, ...], float, float]]:
    """Each selector's matchers and the ages (ms) between which it reads, when its node is evaluated at ages between
    `newest` and `oldest`."""
    match node:
        case Selector(matchers, shift):
            newest, oldest = _ages(shift, newest, oldest)
            yield matchers, max(0.0, newest), oldest + lookback if oldest > 0 else 0.0
        case RangeSelector(matchers, window, shift):
            newest, oldest = _ages(shift, newest, oldest)
            yield matchers, max(0.0, newest), max(0.0, oldest + window)
        case Subquery(body, window, _, shift):
            newest, oldest = _ages(shift, newest, oldest)
            yield from _reads(body, newest, oldest + window, lookback)
        case Negate(body):
            yield from _reads(body, newest, oldest, lookback)
        case Binary(_, left, right):
            yield from _reads(left, newest, oldest, lookback)
            yield from _reads(right, newest, oldest, lookback)
        case Aggregate(_, body, param):
            yield from _reads(body, newest, oldest, lookback)
            if param is not None:
                yield from _reads(param, newest, oldest, lookback)
        case Call(_, args):
            for arg in args:
                yield from _reads(arg, newest, oldest, lookback)


def _ages(shift: Shift, newest: float, oldest: float) -> tuple[float, float]:
    if isinstance(shift.at, int):
        return 0.0, math.inf  # who knows when it is evaluated
    if shift.at is not None:
        return shift.offset, shift.offset
    return newest + shift.offset, oldest + shift.offset
