"""Aggregation of series by their labels."""

from collections.abc import Callable
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from collector.promql.context import Context, Grid
from collector.promql.errors import EvaluationError
from collector.promql.groups import Groups, columns_for, group_by, group_frame
from collector.promql.kernels import quantile_rows
from collector.promql.nodes import Aggregate, Text
from collector.promql.sums import mean_rows, sum_rows
from collector.series.labels import Indexes, LabelFrame
from collector.series.read import Mask, Values

Counts = NDArray[np.int64]
RowFunction = Callable[[Values, Mask, Counts, Indexes], Values]
"""Rows of values (m, k), which of them count, how many, and at which step each row stands; (m,) out."""


def aggregate(context: Context, node: Aggregate, grid: Grid, param: Values | None) -> Grid:
    """One row per group. `param`, shape (steps,), is that of quantile, topk and bottomk."""
    if node.op == "count_values":
        return _count_values(context, node, grid)
    groups = context.remember(
        node, "groups", (grid.labels,), lambda: group_frame(grid.labels, _names(node, grid.labels))
    )
    if node.op in {"topk", "bottomk"}:
        assert param is not None  # noqa: S101 - the parser has counted the arguments
        kept = _ranks(groups, grid, largest=node.op == "topk") < _whole(param)
        return Grid(grid.labels, grid.values, grid.present & kept)
    labels = context.remember(
        node, "labels", (grid.labels,), lambda: grid.labels.only(_names(node, grid.labels)).take(groups.first)
    )
    counts = groups.count(grid.present)
    if node.op == "quantile":
        assert param is not None  # noqa: S101
        values = _by_rows(groups, grid, counts, lambda rows, valid, n, step: quantile_rows(param[step], rows, valid, n))
    else:
        values = _REDUCTIONS[node.op](groups, grid, counts)
    return Grid(labels, values, counts > 0)


def ranking(node: Aggregate, grid: Grid) -> tuple[Groups, Values]:
    """The order in which topk and bottomk list what they chose at the first step: groups, and ranks within them."""
    groups = group_frame(grid.labels, _names(node, grid.labels))
    return groups, _ranks(groups, grid, largest=node.op == "topk")[:, 0]


def _names(node: Aggregate, frame: LabelFrame) -> list[str]:
    return columns_for(frame, node.labels, on=not node.without)


def _sum(groups: Groups, grid: Grid, counts: Values) -> Values:
    sums = groups.reduce(np.add, np.where(grid.present, grid.values, 0.0))
    return _repeat_doubtful(groups, grid, counts, sums, lambda rows, valid, _n, _step: sum_rows(rows, valid))


def _avg(groups: Groups, grid: Grid, counts: Values) -> Values:
    means = groups.reduce(np.add, np.where(grid.present, grid.values, 0.0)) / counts
    return _repeat_doubtful(
        groups, grid, counts, means, lambda rows, valid, n, _step: mean_rows(rows, valid, n.astype(np.float64))
    )


def _repeat_doubtful(groups: Groups, grid: Grid, counts: Values, results: Values, repeat: RowFunction) -> Values:
    """Sums again, with care, where cancellation or an overflow may have cost digits."""
    magnitudes = groups.reduce(np.add, np.where(grid.present, np.abs(grid.values), 0.0))
    doubtful = (magnitudes > np.abs(results) * 1e3 * np.maximum(1, groups.sizes)[:, None]) | np.isinf(results)
    doubtful |= np.isnan(results) & np.isinf(magnitudes)
    return np.where(doubtful, _by_rows(groups, grid, counts, repeat), results) if doubtful.any() else results


def _stdvar(groups: Groups, grid: Grid, counts: Values) -> Values:
    # Seen from one of the group's values, so that equal values have no variance, not a rounding error's.
    anchor = groups.reduce(np.fmax, np.where(grid.present, grid.values, np.nan))
    moved = np.where(grid.present, grid.values - anchor[groups.of], 0.0)
    from_mean = moved - (groups.reduce(np.add, moved) / counts)[groups.of]
    return groups.reduce(np.add, np.where(grid.present, from_mean * from_mean, 0.0)) / counts


def _by_rows(groups: Groups, grid: Grid, counts: Values, function: RowFunction) -> Values:
    """`function` on matrices whose rows begin with the present values of one group at one step."""
    results = np.full(counts.shape, np.nan)
    sizes = groups.sizes
    for size in np.unique(sizes):  # groups of one size form a block
        some = np.flatnonzero(sizes == size)
        members = groups.order[groups.starts[some][:, None] + np.arange(size)]
        values = np.moveaxis(grid.values[members], 1, 2).reshape(-1, size)
        valid = np.moveaxis(grid.present[members], 1, 2).reshape(-1, size)
        if not valid.all():
            order = np.argsort(~valid, axis=1, kind="stable")
            values, valid = np.take_along_axis(values, order, axis=1), np.take_along_axis(valid, order, axis=1)
        n = counts[some].reshape(-1).astype(np.int64)
        step = np.tile(np.arange(counts.shape[1]), len(some))
        filled = np.flatnonzero(n > 0)
        block = np.full(len(n), np.nan)
        block[filled] = function(values[filled], valid[filled], n[filled], step[filled])
        results[some] = block.reshape(len(some), -1)
    return results


def _ranks(groups: Groups, grid: Grid, *, largest: bool) -> Values:
    """Each present cell's place in its group and step, 0 first; NaN comes last, equals in the order of their rows."""
    ranks = np.full(grid.values.shape, np.inf)
    rows, steps = np.nonzero(grid.present)
    values = grid.values[rows, steps]
    of = groups.of[rows]
    order = np.lexsort((rows, -values if largest else values, np.isnan(values), of, steps))
    of, steps = of[order], steps[order]
    begins = np.flatnonzero(np.r_[True, (of[1:] != of[:-1]) | (steps[1:] != steps[:-1])]) if len(of) else of
    lengths = np.diff(begins, append=len(of))
    ranks[rows[order], steps] = np.arange(len(of)) - np.repeat(begins, lengths)
    return ranks


def _whole(param: Values) -> Values:
    if not (np.abs(param) < 2.0**63).all():
        raise EvaluationError("topk and bottomk take a whole number, got one that is none")
    return np.trunc(param)


def _count_values(context: Context, node: Aggregate, grid: Grid) -> Grid:
    assert isinstance(node.param, Text)  # noqa: S101 - the parser has checked the type
    label = node.param.value
    rows, steps = np.nonzero(grid.present)
    distinct, which = np.unique(grid.values[rows, steps], return_inverse=True)
    context.memory.renewals += 1
    codes = np.array([context.strings.code(number_text(value)) for value in distinct], dtype=np.int32)
    cells = grid.labels.take(rows).with_column(label, codes[which] if len(rows) else np.zeros(0, dtype=np.int32))
    names = columns_for(cells, node.labels if node.without else (*node.labels, label), on=not node.without)
    groups = group_by([cells.column(name) for name in names], cells.length)
    counts = np.zeros((len(groups), grid.values.shape[1]))
    np.add.at(counts, (groups.of, steps), 1.0)
    return Grid(cells.only(names).take(groups.first), counts, counts > 0)


def number_text(value: float) -> str:
    """A float in the shortest decimal notation that gives it back, never with an exponent."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(float(value))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


_REDUCTIONS: dict[str, Callable[[Groups, Grid, Values], Values]] = {
    "sum": _sum,
    "avg": _avg,
    "min": lambda groups, grid, _: groups.reduce(np.fmin, np.where(grid.present, grid.values, np.nan)),
    "max": lambda groups, grid, _: groups.reduce(np.fmax, np.where(grid.present, grid.values, np.nan)),
    "count": lambda _groups, _grid, counts: counts,
    "group": lambda _groups, _grid, counts: np.ones_like(counts),
    "stdvar": _stdvar,
    "stddev": lambda groups, grid, counts: np.sqrt(_stdvar(groups, grid, counts)),
}
