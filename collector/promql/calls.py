"""Functions of instant vectors and scalars."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from collector.promql.context import Context, Grid
from collector.promql.errors import EvaluationError
from collector.promql.functions import CALENDAR, ELEMENTWISE
from collector.promql.groups import group_frame
from collector.promql.histograms import histogram_quantile
from collector.promql.nodes import Call, RangeSelector, Selector
from collector.series.labels import ABSENT_CODE, NAME, Codes, LabelFrame
from collector.series.read import MatchOp, Times, Values
from collector.series.regex import RegexError, compile_regex, expand

Argument = Grid | Values | str


def call(  # noqa: PLR0912 - a table, one case for each function
    context: Context, node: Call, args: Sequence[Argument], times: Times
) -> Grid | Values:
    """The functions that take no range vector, at `times` (steps,)."""
    result: Grid | Values
    match node.name:
        case name if name in ELEMENTWISE:
            result = _map(context, node, args[0], ELEMENTWISE[name])
        case name if name in CALENDAR:
            result = _map(context, node, args[0] if args else vector(times / 1000), CALENDAR[name])
        case "absent":
            result = absent(context, node, _grid(args[0]))
        case "clamp" | "clamp_min" | "clamp_max":
            result = _clamp(context, node, args)
        case "round":
            inverse = 1.0 / (_scalar(args[1]) if len(args) > 1 else 1.0)
            result = _map(context, node, args[0], lambda values: np.floor(values * inverse + 0.5) / inverse)
        case "scalar":
            result = _scalar_of(_grid(args[0]))
        case "time":
            result = times / 1000
        case "pi":
            result = np.full(len(times), math.pi)
        case "vector":
            result = vector(_scalar(args[0]))
        case "timestamp":  # of anything but a selector, whose samples have times of their own: the evaluated instant
            result = _map(context, node, args[0], lambda values: np.broadcast_to(times / 1000, values.shape))
        case "sort" | "sort_desc":
            result = _grid(args[0])  # order is a matter of the final result
        case "label_replace":
            result = _label_replace(context, node, args)
        case "label_join":
            result = _label_join(context, node, args)
        case "histogram_quantile":
            result = histogram_quantile(context, node, _scalar(args[0]), _grid(args[1]))
        case name:
            raise TypeError(f"{name} is in FUNCTIONS but not here")
    return result


def vector(values: Values) -> Grid:
    """A scalar, shape (steps,), as a series without labels."""
    return Grid(LabelFrame(1), values[None, :], np.ones((1, len(values)), dtype=np.bool_))


def absent(context: Context, node: Call, grid: Grid) -> Grid:
    """1 at the steps at which no series is present, labelled by what the argument's matchers say for sure."""
    labels = context.remember(node, "absent", (), lambda: _labels_when_absent(context, node))
    missing = np.invert(grid.present.any(axis=0))[None, :]
    return Grid(labels, np.ones(missing.shape), missing)


def _labels_when_absent(context: Context, node: Call) -> LabelFrame:
    selector = node.args[0]
    known: dict[str, str] = {}
    seen: set[str] = set()
    if isinstance(selector, Selector | RangeSelector):
        for matcher in selector.matchers:
            if matcher.label == NAME:
                continue
            if matcher.op is MatchOp.EQUAL and matcher.label not in seen:
                known[matcher.label] = matcher.value
                seen.add(matcher.label)
            else:
                known.pop(matcher.label, None)
    context.memory.renewals += 1
    return LabelFrame.of([known], context.strings)


def _map(context: Context, node: Call, argument: Argument, function: Callable[..., Values]) -> Grid:
    assert isinstance(argument, Grid)  # noqa: S101 - the parser has checked the types
    grid = context.drop_name(node, argument)
    return Grid(grid.labels, np.asarray(function(grid.values), dtype=np.float64), grid.present)


def _clamp(context: Context, node: Call, args: Sequence[Argument]) -> Grid:
    low = _scalar(args[1]) if node.name != "clamp_max" else np.array([-np.inf])
    high = _scalar(args[-1]) if node.name != "clamp_min" else np.array([np.inf])
    argument = _grid(args[0])
    # Before the name goes: where the bounds cross there is no series, so none that equals another.
    kept = Grid(argument.labels, argument.values, argument.present & ~(high < low))
    grid = context.drop_name(node, kept)
    return Grid(grid.labels, _maximum(low, _minimum(high, grid.values)), grid.present)


def _maximum(some: Values, others: Values) -> Values:
    """As Go's math.Max: infinity even beside a NaN."""
    return np.where((some == np.inf) | (others == np.inf), np.inf, np.maximum(some, others))


def _minimum(some: Values, others: Values) -> Values:
    return -_maximum(-some, -others)


def _scalar_of(grid: Grid) -> Values:
    sums = np.where(grid.present, grid.values, 0.0).sum(axis=0)
    return np.where(grid.present.sum(axis=0) == 1, sums, np.nan)


def _label_replace(context: Context, node: Call, args: Sequence[Argument]) -> Grid:
    grid = _grid(args[0])
    labels = context.remember(
        node, "replaced", (grid.labels,), lambda: _replaced(context, grid.labels, *(_text(arg) for arg in args[1:]))
    )
    return context.merge_equal(node, Grid(labels, grid.values, grid.present))


def _replaced(context: Context, labels: LabelFrame, *texts: str) -> LabelFrame:
    target, replacement, source, pattern = texts
    try:
        compiled = compile_regex(pattern)
    except RegexError as exc:
        raise EvaluationError(f"label_replace: {pattern!r} is no regular expression: {exc}") from exc

    def replaced(text: str) -> int | None:
        match = compiled.fullmatch(text)
        return None if match is None else context.strings.code(expand(replacement, compiled, match))

    context.memory.renewals += 1
    distinct, which = np.unique(labels.column(source), return_inverse=True)
    codes = [replaced(context.strings.text(int(code))) for code in distinct]
    matched = np.array([code is not None for code in codes], dtype=np.bool_)
    new = np.array([code or ABSENT_CODE for code in codes], dtype=np.int32)
    if labels.length == 0:
        return labels
    return labels.with_column(target, np.where(matched[which], new[which], labels.column(target)))


def _label_join(context: Context, node: Call, args: Sequence[Argument]) -> Grid:
    grid = _grid(args[0])
    target, separator, *sources = (_text(arg) for arg in args[1:])
    labels = context.remember(
        node, "joined", (grid.labels,), lambda: _join(context, grid.labels, target, separator, sources)
    )
    return context.merge_equal(node, Grid(labels, grid.values, grid.present))


def _join(context: Context, labels: LabelFrame, target: str, separator: str, sources: Sequence[str]) -> LabelFrame:
    context.memory.renewals += 1
    groups = group_frame(labels, sources)
    columns = [labels.column(name) for name in sources]
    codes: Codes = np.array(
        [
            context.strings.code(separator.join(context.strings.text(int(column[row])) for column in columns))
            for row in groups.first
        ],
        dtype=np.int32,
    )
    return labels.with_column(target, codes[groups.of] if labels.length else codes)


def _grid(argument: Argument) -> Grid:
    assert isinstance(argument, Grid)  # noqa: S101 - the parser has checked the types
    return argument


def _scalar(argument: Argument) -> Values:
    assert isinstance(argument, np.ndarray)  # noqa: S101
    return argument


def _text(argument: Argument) -> str:
    assert isinstance(argument, str)  # noqa: S101
    return argument
