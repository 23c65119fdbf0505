"""Quantiles out of classic histograms: series that differ in their bucket's upper bound, the label `le`."""

from dataclasses import dataclass

import numpy as np

from collector.promql.context import Context, Grid
from collector.promql.groups import Groups, group_frame
from collector.promql.nodes import Node
from collector.series.labels import Indexes, LabelFrame
from collector.series.read import Mask, Values

_TOLERANCE = 1e-12  # relative: counts of neighbouring buckets this close are equal, their difference is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Histograms: rows (g, width) of their buckets with rising bounds, padded with -1 and infinity."""

    labels: LabelFrame
    rows: Indexes
    bounds: Values


def histogram_quantile(context: Context, node: Node, quantile: Values, grid: Grid) -> Grid:
    """The quantile, shape (steps,), of each classic histogram at each step, interpolated within its bucket."""
    buckets = context.remember(node, "buckets", (grid.labels,), lambda: _buckets(context, grid.labels))
    histograms, width = buckets.rows.shape
    steps = grid.values.shape[1]
    if histograms == 0:
        return Grid(buckets.labels, np.zeros((0, steps)), np.zeros((0, steps), dtype=np.bool_))
    context.charge_samples(histograms * width * steps)
    present = (grid.present[buckets.rows] & (buckets.rows >= 0)[:, :, None]).transpose(0, 2, 1).reshape(-1, width)
    counts = grid.values[buckets.rows].transpose(0, 2, 1).reshape(-1, width)
    bounds = np.repeat(buckets.bounds, steps, axis=0)
    order = np.argsort(~present, axis=1, kind="stable")  # what is there first, its bounds still rising
    present = np.take_along_axis(present, order, axis=1)
    counts = np.take_along_axis(counts, order, axis=1)
    bounds = np.take_along_axis(bounds, order, axis=1)
    values = _quantiles(np.tile(quantile, histograms), bounds, counts, present)
    found = present.any(axis=1).reshape(histograms, steps)
    return context.drop_name(node, Grid(buckets.labels, values.reshape(histograms, steps), found))


def _buckets(context: Context, labels: LabelFrame) -> Buckets:
    codes, which = np.unique(labels.column("le"), return_inverse=True)
    bound_of = np.array([_bound(context.strings.text(int(code))) for code in codes])
    bounds = bound_of[which] if labels.length else np.zeros(0)
    usable = np.flatnonzero(~np.isnan(bounds))
    kept = labels.take(usable)
    names = sorted(set(kept.columns) - {"le"})  # the metric name too: two histograms do not mix
    groups: Groups = group_frame(kept, names)
    order = np.lexsort((bounds[usable], groups.of))
    width = int(groups.sizes.max()) if len(groups) else 0
    rows = np.full((len(groups), width), -1, dtype=np.intp)
    within = np.arange(len(order)) - np.repeat(groups.starts, groups.sizes)
    rows[groups.of[order], within] = usable[order]
    padded = np.where(rows >= 0, bounds[rows] if labels.length else np.inf, np.inf)
    return Buckets(kept.only(names).take(groups.first), rows, padded)


def _bound(text: str) -> float:
    try:
        return float(text) if text.strip() == text and "_" not in text else np.nan
    except ValueError:
        return np.nan


def _quantiles(quantile: Values, bounds: Values, counts: Values, present: Mask) -> Values:
    """Rows of buckets, the present ones first: (m,) quantiles, (m, width) of the others in, (m,) out."""
    windows, width = bounds.shape
    lengths = present.sum(axis=1)
    rows = np.arange(windows)
    last = np.maximum(lengths - 1, 0)
    bounds, counts, lengths = _coalesced(bounds, np.where(present, counts, 0.0), lengths)
    unbounded = np.isposinf(bounds[rows, np.maximum(lengths - 1, 0)]) & (last >= 0)
    counts = _rising(counts, lengths)
    last = np.maximum(lengths - 1, 0)
    observations = counts[rows, last]
    rank = quantile * observations
    inside = np.arange(width) < (lengths - 1)[:, None]  # the last bucket catches what no other does
    reached = inside & (counts >= rank[:, None])
    bucket = np.where(reached.any(axis=1), reached.argmax(axis=1), last)
    before = np.maximum(bucket - 1, 0)
    start = np.where(bucket > 0, bounds[rows, before], 0.0)
    below = np.where(bucket > 0, counts[rows, before], 0.0)
    end = bounds[rows, bucket]
    result = start + (end - start) * ((rank - below) / (counts[rows, bucket] - below))
    result = np.where((bucket == 0) & (end <= 0), end, result)
    result = np.where(bucket == last, bounds[rows, np.maximum(last - 1, 0)], result)
    result = np.where((lengths < 2) | (observations == 0) | ~unbounded, np.nan, result)
    result = np.where(quantile < 0, -np.inf, np.where(quantile > 1, np.inf, result))
    return np.where(np.isnan(quantile), np.nan, result)


def _coalesced(bounds: Values, counts: Values, lengths: Indexes) -> tuple[Values, Values, Indexes]:
    """Buckets with equal bounds (`1` and `1.0`) made one, their counts added."""
    width = bounds.shape[1]
    inside = np.arange(width) < lengths[:, None]
    same = np.zeros_like(inside)
    same[:, 1:] = (bounds[:, 1:] == bounds[:, :-1]) & inside[:, 1:]
    if not same.any():
        return bounds, counts, lengths
    place = np.cumsum(~same, axis=1) - 1
    new_bounds, new_counts = np.full_like(bounds, np.inf), np.zeros_like(counts)
    rows = np.broadcast_to(np.arange(len(bounds))[:, None], bounds.shape)
    np.add.at(new_counts, (rows[inside], place[inside]), counts[inside])
    new_bounds[rows[inside], place[inside]] = bounds[inside]
    return new_bounds, new_counts, lengths - same.sum(axis=1)


def _rising(counts: Values, lengths: Indexes) -> Values:
    """Counts that never fall from bucket to bucket: tiny differences are rounding, others are scraped mid-update."""
    result = counts.copy()
    previous = result[:, 0]
    for column in range(1, result.shape[1]):
        current = result[:, column]
        close = np.abs(current - previous) < _TOLERANCE * (np.abs(current) + np.abs(previous))
        current = np.where(close | (current < previous), previous, current)
        current = np.where(column < lengths, current, previous)
        result[:, column] = current
        previous = current
    return result
