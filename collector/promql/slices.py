"""A long range query over many series, slice of time by slice: what is in memory at once is bounded, the answer the
same."""

from collections.abc import Sequence

import numpy as np

from collector.promql.context import Context, Grid
from collector.promql.groups import group_all, joined
from collector.promql.plan import Plan
from collector.series.labels import LabelFrame
from collector.series.read import Times

USUAL_SPACING_MS = 60_000  # between the samples of a series
SHARE = 0.4  # of the samples that a query may have, in one slice: spacings differ, and operators make cells too


def slices_of(context: Context, plan: Plan, times: Times) -> list[Times]:
    """The steps of a range query, as many together as should stay within the limit of samples."""
    if len(times) == 1:
        return [times]
    low, high = int(times[0]), int(times[-1])
    step = int(times[1] - times[0])
    series = sum(len(context.reader.select(matchers, low, high)) for matchers in plan.selectors)
    of_step = series * (1 + step / USUAL_SPACING_MS)
    at_once = max(1, int(context.limits.samples * SHARE / max(1.0, of_step)))
    return [times[begun : begun + at_once] for begun in range(0, len(times), at_once)]


def without_empty_rows(grid: Grid) -> Grid:
    rows = np.flatnonzero(grid.present.any(axis=1))
    return Grid(grid.labels.take(rows), grid.values[rows], grid.present[rows])


def strung(grids: Sequence[Grid]) -> Grid:
    """Grids of slices that follow each other, each without equal label sets, as one."""
    if len(grids) == 1:
        return grids[0]
    labels = LabelFrame(0)
    for grid in grids:
        labels = joined(labels, grid.labels)
    groups = group_all(labels)
    steps = sum(grid.values.shape[1] for grid in grids)
    values = np.zeros((len(groups), steps))
    present = np.zeros((len(groups), steps), dtype=np.bool_)
    row = column = 0
    for grid in grids:
        height, width = grid.values.shape
        rows = groups.of[row : row + height]
        values[rows, column : column + width] = grid.values
        present[rows, column : column + width] = grid.present
        row, column = row + height, column + width
    return Grid(labels.take(groups.first), values, present)
