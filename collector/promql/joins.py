"""How the two sides of a binary operator find each other: worked out on labels alone."""

from dataclasses import dataclass

import numpy as np

from collector.promql.groups import METADATA, Groups, columns_for, group_all, group_by, joined, split
from collector.promql.nodes import Cardinality, Matching
from collector.series.labels import Indexes, LabelFrame


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """The match groups of both sides: each row's group, left (n,) and right (m,), out of `groups`."""

    left: Indexes
    right: Indexes
    groups: int
    names: tuple[str, ...]  # the labels that make a group


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Every pair of rows in one match group, and the label sets of their results.

    `left`, `right` (p,) are row indexes. `merge` groups pairs with equal result labels, None if all differ.
    """

    left: Indexes
    right: Indexes
    labels: LabelFrame
    merge: Groups | None
    clash_left: bool  # some group has several rows on the left
    clash_right: bool


def sides_of(left: LabelFrame, right: LabelFrame, matching: Matching) -> Sides:
    both = joined(left, right)
    names = columns_for(both, matching.labels, on=matching.on)
    groups = group_by([both.column(name) for name in names], both.length)
    of_left, of_right = split(groups, left.length)
    return Sides(of_left, of_right, len(groups), tuple(names))


def count_pairs(sides: Sides) -> int:
    """How many pairs `pairs_of` would make."""
    left = np.bincount(sides.left, minlength=sides.groups)
    right = np.bincount(sides.right, minlength=sides.groups)
    return int(left @ right)


def pairs_of(left: LabelFrame, right: LabelFrame, sides: Sides, matching: Matching, *, keeps_name: bool) -> Pairs:
    per_group = np.bincount(sides.right, minlength=sides.groups)
    order = np.argsort(sides.right, kind="stable")
    starts = np.concatenate([[0], np.cumsum(per_group)[:-1]]) if sides.groups else np.zeros(0, dtype=np.intp)
    partners = per_group[sides.left]
    left_rows = np.repeat(np.arange(left.length), partners)
    within = np.arange(len(left_rows)) - np.repeat(np.cumsum(partners) - partners, partners)
    right_rows = order[starts[sides.left[left_rows]] + within]
    many, one = (left, right) if matching.cardinality is not Cardinality.ONE_TO_MANY else (right, left)
    many_rows, one_rows = (left_rows, right_rows) if many is left else (right_rows, left_rows)
    labels = many.take(many_rows)
    if not keeps_name:
        labels = labels.without(METADATA)
    if matching.cardinality is Cardinality.ONE_TO_ONE:
        labels = labels.only(matching.labels) if matching.on else labels.without(matching.labels)
    for name in matching.include:
        labels = labels.with_column(name, one.column(name)[one_rows])
    merge = group_all(labels)
    return Pairs(
        left_rows,
        right_rows,
        labels if merge.singles else labels.take(merge.first),
        None if merge.singles else merge,
        clash_left=bool((np.bincount(sides.left, minlength=sides.groups) > 1).any()),
        clash_right=bool((per_group > 1).any()),
    )
