"""Walks the tree of a query; every node is evaluated once, for all series and all steps together."""

import numpy as np

from collector.promql import binary, sliding
from collector.promql.aggregate import aggregate
from collector.promql.calls import Argument, absent, call
from collector.promql.context import Context, Grid
from collector.promql.kernels import KEEPS_NAME, KERNELS
from collector.promql.nodes import (
    Aggregate,
    Binary,
    Call,
    Edge,
    Negate,
    Node,
    Number,
    RangeSelector,
    Selector,
    Shift,
    Subquery,
    Text,
)
from collector.promql.operators import SET_OPERATORS
from collector.promql.windows import bounds, samples_of, slice_windows, without_stale
from collector.series.labels import LabelFrame
from collector.series.read import Matcher, Milliseconds, Samples, Selection, Times, Values, is_stale


def evaluate(context: Context, node: Node, times: Times) -> Argument:
    """The node at `times` (steps,), evenly spaced and rising: a grid, a scalar of shape (steps,), or a text."""
    context.check_time()
    shared = context.shared
    if shared is None or len(times) > 1 or not context.remember(node, "shareable", (), lambda: _is_shareable(node)):
        return _evaluated(context, node, times)
    key = int(times[0]), node
    found = shared.results.get(key)
    if not isinstance(found, Grid):
        conflicts = len(context.conflicts)
        found = _evaluated(context, node, times)
        if len(context.conflicts) == conflicts:  # else every rule is to meet them itself
            shared.results[key] = found
    return found


def _is_shareable(node: Node) -> bool:
    """Whether another plan may use the result: it reads series, and holds no strings of this plan's own making."""
    match node:
        case Selector():
            return True
        case Call(name, args) if name in KERNELS:
            return all(_is_shareable(arg) or isinstance(arg, RangeSelector | Number) for arg in args)
        case Aggregate(op, body, param):
            return op != "count_values" and _is_shareable(body) and isinstance(param, Number | None)
        case Binary(_, left, right):
            return all(_is_shareable(side) or isinstance(side, Number) for side in (left, right))
        case Negate(body) | Subquery(body):
            return _is_shareable(body)
    return False


def _evaluated(context: Context, node: Node, times: Times) -> Argument:  # noqa: PLR0911 - one for each kind of node
    match node:
        case Number(value):
            return np.full(len(times), value)
        case Text(value):
            return value
        case Selector():
            return _instant(context, node, times)[0]
        case Negate(body):
            operand = evaluate(context, body, times)
            if isinstance(operand, Grid):
                return context.drop_name(node, Grid(operand.labels, -operand.values, operand.present))
            assert isinstance(operand, np.ndarray)  # noqa: S101 - the parser has checked the types
            return -operand
        case Binary():
            return _binary(context, node, times)
        case Aggregate():
            return _aggregate(context, node, times)
        case Call():
            return _call(context, node, times)
    raise TypeError(f"{type(node).__name__} stands outside a function")  # the parser lets none through


def _binary(context: Context, node: Binary, times: Times) -> Grid | Values:
    left, right = evaluate(context, node.left, times), evaluate(context, node.right, times)
    assert not isinstance(left, str)  # noqa: S101
    assert not isinstance(right, str)  # noqa: S101
    if not isinstance(left, Grid) and not isinstance(right, Grid):
        return binary.scalars(node, left, right)
    if not isinstance(left, Grid) or not isinstance(right, Grid):
        return binary.with_scalar(context, node, left, right)
    operate = binary.sets if node.op in SET_OPERATORS else binary.vectors
    return operate(context, node, left, right)


def _aggregate(context: Context, node: Aggregate, times: Times) -> Grid:
    grid = evaluate(context, node.body, times)
    assert isinstance(grid, Grid)  # noqa: S101
    param = None if node.param is None else evaluate(context, node.param, times)
    return aggregate(context, node, grid, None if isinstance(param, str | Grid) else param)


def _call(context: Context, node: Call, times: Times) -> Grid | Values:
    if node.name in KERNELS:
        return _over_time(context, node, times)
    if node.name == "absent_over_time":
        return absent(context, node, _present_over_time(context, node, times))
    if node.name == "timestamp" and isinstance(node.args[0], Selector):
        grid, sampled = _instant(context, node.args[0], times)
        return context.drop_name(node, Grid(grid.labels, sampled / 1000, grid.present))
    return call(context, node, [evaluate(context, arg, times) for arg in node.args], times)


def _over_time(context: Context, node: Call, times: Times) -> Grid:
    scalars: list[Values] = []
    read = None
    for arg in node.args:
        if isinstance(arg, RangeSelector | Subquery):
            read = read_windows(context, arg, times)
        else:
            scalar = evaluate(context, arg, times)
            assert isinstance(scalar, np.ndarray)  # noqa: S101
            scalars.append(scalar)
    assert read is not None  # noqa: S101 - the parser has counted the arguments
    labels, samples, starts, ends = read
    series, steps = labels.length, len(times)
    context.charge_samples(series * steps)
    values = np.zeros(series * steps)
    present = np.zeros(series * steps, dtype=np.bool_)
    wanted = None
    if node.name in sliding.KERNELS and sliding.is_worth_it(samples, starts, ends):
        slid, sure = sliding.KERNELS[node.name](samples, times, starts, ends, *scalars)
        values[:], present[:], wanted = slid.ravel(), sure.ravel(), ~sure
    kernel = KERNELS[node.name]
    for places, window in slice_windows(samples, times, starts, ends, wanted):
        context.check_time()
        at_step = (
            np.searchsorted(times, window.at) if scalars and steps > 1 else np.zeros(len(window.at), dtype=np.intp)
        )
        result, where = kernel(window, *(scalar[at_step] for scalar in scalars))
        values[places] = result
        present[places] = True if where is None else where
    grid = Grid(labels, values.reshape(series, steps), present.reshape(series, steps))
    return grid if node.name in KEEPS_NAME else context.drop_name(node, grid)


def _present_over_time(context: Context, node: Call, times: Times) -> Grid:
    argument = node.args[0]
    assert isinstance(argument, RangeSelector | Subquery)  # noqa: S101
    labels, samples, starts, ends = read_windows(context, argument, times)
    present = np.zeros(labels.length * len(times), dtype=np.bool_)
    for places, _ in slice_windows(samples, times, starts, ends):
        present[places] = True
    cells = present.reshape(labels.length, len(times))
    return Grid(labels, cells.astype(np.float64), cells)


def read_windows(
    context: Context, node: RangeSelector | Subquery, times: Times
) -> tuple[LabelFrame, Samples, Times, Times]:
    """The series, all their samples, and each step's window (start, end] among them."""
    ends = _shifted(context, node.shift, times)
    starts = ends - node.window
    low, high = int(starts.min()), int(ends.max())
    if isinstance(node, RangeSelector):
        selection = _select(context, node.matchers, low, high)
        samples = context.reader.samples(selection, low, high)
        context.charge_samples(int(samples.counts.sum()))
        return selection.labels, without_stale(samples), starts, ends
    step = node.step or context.subquery_step
    first = (low // step + 1) * step  # aligned to multiples of the step, whatever the offset
    context.charge_samples(max(0, (high - first) // step + 1))
    inner = np.arange(first, high + 1, step, dtype=np.int64)
    if len(inner) == 0:
        return LabelFrame(0), Samples(np.zeros((0, 0), np.int64), np.zeros((0, 0)), np.zeros(0, np.int64)), starts, ends
    with context.within(inner, starts, ends):
        body = evaluate(context, node.body, inner)
    assert isinstance(body, Grid)  # noqa: S101
    return body.labels, samples_of(body.values, body.present, inner), starts, ends


def _instant(context: Context, node: Selector, times: Times) -> tuple[Grid, Times]:
    """The newest sample of each series within the lookback at each step, and its time in ms."""
    instants = _shifted(context, node.shift, times)
    fixed = len(instants) == 1 or int(instants[0]) == int(instants[-1])
    low, high = int(instants[0]) - context.lookback, int(instants[-1])
    selection = _select(context, node.matchers, low, high)
    series, steps = selection.labels.length, len(times)
    context.charge_samples(series * steps)
    shape = (series, steps)
    if fixed:
        latest = context.reader.latest(selection, high, context.lookback)
        values, present = (
            np.broadcast_to(latest.values[:, None], shape),
            np.broadcast_to(latest.present[:, None], shape),
        )
        return Grid(selection.labels, values, present), np.broadcast_to(latest.times[:, None], shape)
    samples = context.reader.samples(selection, low, high)
    width = samples.values.shape[1]
    context.charge_samples(int(samples.counts.sum()))
    if width == 0 or series == 0:
        return Grid(selection.labels, np.zeros(shape), np.zeros(shape, np.bool_)), np.zeros(shape, np.int64)
    cell = bounds(samples, instants) - 1
    found = cell >= np.arange(series)[:, None] * width
    cell = np.where(found, cell, 0)
    values = np.ascontiguousarray(samples.values).reshape(-1)[cell]
    sampled = np.ascontiguousarray(samples.times).reshape(-1)[cell]
    present = found & (sampled > instants - context.lookback) & ~is_stale(values)
    return Grid(selection.labels, values, present), sampled


def _select(context: Context, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
    selection = context.reader.select(matchers, start, end)
    context.charge_series(len(selection))
    return selection


def _shifted(context: Context, shift: Shift, times: Times) -> Times:
    match shift.at:
        case None:
            return times - shift.offset
        case Edge.START:
            at = context.start
        case Edge.END:
            at = context.end
        case int():
            at = shift.at
    return np.full(len(times), at - shift.offset, dtype=np.int64)
