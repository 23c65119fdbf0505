"""Binary operators on grids and scalars."""

import numpy as np

from collector.promql.context import MAX_CONFLICTS, Context, Grid
from collector.promql.groups import Groups, group_all, joined
from collector.promql.joins import Pairs, Sides, count_pairs, pairs_of, sides_of
from collector.promql.nodes import Binary, Cardinality
from collector.promql.operators import ARITHMETIC, COMPARISONS
from collector.series.labels import Indexes, LabelFrame
from collector.series.read import Mask, Values


def scalars(node: Binary, left: Values, right: Values) -> Values:
    """Both sides scalar, shape (steps,)."""
    function = ARITHMETIC.get(node.op) or COMPARISONS[node.op]
    return np.asarray(function(left, right), dtype=np.float64)


def with_scalar(context: Context, node: Binary, left: Grid | Values, right: Grid | Values) -> Grid:
    """A vector and a scalar: the vector's labels, and in a comparison the vector's values."""
    if isinstance(left, Grid):
        grid, operands = left, (left.values, right)
    else:
        assert isinstance(right, Grid)  # noqa: S101 - two scalars are `scalars`
        grid, operands = right, (left, right.values)
    if node.op in ARITHMETIC:
        return context.drop_name(node, Grid(grid.labels, ARITHMETIC[node.op](*operands), grid.present))
    holds = COMPARISONS[node.op](*operands)
    if node.returns_bool:
        return context.drop_name(node, Grid(grid.labels, holds.astype(np.float64), grid.present))
    return Grid(grid.labels, grid.values, grid.present & holds)


def vectors(context: Context, node: Binary, left: Grid, right: Grid) -> Grid:
    """Arithmetic and comparison of two vectors, matched by labels."""
    sides = _sides(context, node, left, right)
    pairs = context.remember(
        node, "pairs", (left.labels, right.labels), lambda: _pairs(context, node, left, right, sides)
    )
    left_present, right_present = left.present, right.present
    if pairs.clash_left or pairs.clash_right:
        allowed = _allowed(context, node, left, right, sides)
        left_present, right_present = left_present & allowed[sides.left], right_present & allowed[sides.right]
    left_values = left.values[pairs.left]
    present = left_present[pairs.left] & right_present[pairs.right]
    reason = "multiple matches for labels: grouping labels must ensure unique matches"
    if pairs.merge is not None:  # before a comparison filters: that it hides a clash at this instant makes none
        present = context.settle(pairs.merge, present, pairs.labels, reason)
    if node.op in ARITHMETIC:
        values = ARITHMETIC[node.op](left_values, right.values[pairs.right])
    else:
        holds = COMPARISONS[node.op](left_values, right.values[pairs.right])
        if node.returns_bool:
            values = holds.astype(np.float64)
        else:
            values, present = left_values, present & holds
    grid = Grid(pairs.labels, values, present)
    return grid if pairs.merge is None else context.merge(pairs.merge, grid, pairs.labels, reason)


def sets(context: Context, node: Binary, left: Grid, right: Grid) -> Grid:
    """`and`, `or`, `unless`: whole samples kept or left out by whether the other side has their match group."""
    sides = _sides(context, node, left, right)
    if node.op == "or":
        taken = _present_groups(sides.left, sides.groups, left.present)
        others = right.present & ~taken[sides.right]
        labels, groups = context.remember(
            node, "union", (left.labels, right.labels), lambda: _union(left.labels, right.labels)
        )
        both = Grid(labels, np.concatenate([left.values, right.values]), np.concatenate([left.present, others]))
        if groups is None:
            return both
        return context.merge(groups, both, labels, "vector cannot contain metrics with the same labelset")
    found = _present_groups(sides.right, sides.groups, right.present)[sides.left]
    return Grid(left.labels, left.values, left.present & (found if node.op == "and" else ~found))


def _sides(context: Context, node: Binary, left: Grid, right: Grid) -> Sides:
    return context.remember(
        node, "sides", (left.labels, right.labels), lambda: sides_of(left.labels, right.labels, node.matching)
    )


def _pairs(context: Context, node: Binary, left: Grid, right: Grid, sides: Sides) -> Pairs:
    context.charge_samples(count_pairs(sides) * left.values.shape[1])
    keeps_name = node.op in COMPARISONS and not node.returns_bool
    return pairs_of(left.labels, right.labels, sides, node.matching, keeps_name=keeps_name)


def _allowed(context: Context, node: Binary, left: Grid, right: Grid, sides: Sides) -> Mask:
    """Where each match group (groups, steps) has no more rows on a side than its cardinality allows."""
    lefts, rights = _count(sides.left, sides.groups, left.present), _count(sides.right, sides.groups, right.present)
    meets = left.present.any(axis=0) & right.present.any(axis=0)  # nothing on one side: nothing to match, nothing wrong
    one_is_left = node.matching.cardinality is Cardinality.ONE_TO_MANY
    one, many = (lefts, rights) if one_is_left else (rights, lefts)
    duplicates = (one > 1) & meets
    side, rows_of, grid = ("left", sides.left, left) if one_is_left else ("right", sides.right, right)
    for group in np.flatnonzero(duplicates.any(axis=1))[:MAX_CONFLICTS]:
        reason = (
            f"found duplicate series for the match group on the {side} hand-side of the operation; "
            "many-to-many matching not allowed: matching labels must be unique on one side"
        )
        rows = _rows(rows_of, int(group), grid.present)
        context.report(grid.labels, sides.names, rows, grid.present[rows] & duplicates[group], reason)
    allowed = ~duplicates
    if node.matching.cardinality is Cardinality.ONE_TO_ONE:
        crowded = (many > 1) & (one == 1)
        for group in np.flatnonzero(crowded.any(axis=1))[:MAX_CONFLICTS]:
            reason = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            rows = _rows(sides.left, int(group), left.present)
            context.report(left.labels, sides.names, rows, left.present[rows] & crowded[group], reason)
        allowed &= ~crowded
    return allowed


def _rows(of: Indexes, group: int, present: Mask) -> Indexes:
    return np.flatnonzero((of == group) & present.any(axis=1))


def _count(of: Indexes, groups: int, present: Mask) -> Values:
    if present.shape[1] == 1:
        return np.bincount(of[present[:, 0]], minlength=groups)[:, None].astype(np.float64)
    counts = np.zeros((groups, present.shape[1]))
    rows, steps = np.nonzero(present)
    np.add.at(counts, (of[rows], steps), 1.0)
    return counts


def _present_groups(of: Indexes, groups: int, present: Mask) -> Mask:
    found = np.zeros((groups, present.shape[1]), dtype=np.bool_)
    rows, steps = np.nonzero(present)
    found[of[rows], steps] = True
    return found


def _union(left: LabelFrame, right: LabelFrame) -> tuple[LabelFrame, Groups | None]:
    both = joined(left, right)
    groups = group_all(both)
    return (both, None) if groups.singles else (both.take(groups.first), groups)
