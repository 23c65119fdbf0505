"""Label sets as groups: which series agree in some labels. It depends on labels alone and is worth remembering."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from collector.series.labels import NAME, Codes, Indexes, LabelFrame
from collector.series.read import Mask, Values

# What names a metric rather than one of its series: dropped from every newly computed value.
METADATA = (NAME, "__type__", "__unit__")
_LARGEST_KEY = 1 << 62


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """A partition of n rows: `of` (n,) gives each row's group, `first` (g,) each group's first row.

    `order` (n,) lists the rows group by group and `starts` (g,) where each group begins in it, as ufunc.reduceat wants.
    """

    of: Indexes
    first: Indexes
    order: Indexes
    starts: Indexes

    def __len__(self) -> int:
        return len(self.first)

    @property
    def singles(self) -> bool:
        """Whether no two rows share a group."""
        return len(self.first) == len(self.of)

    def reduce(self, function: np.ufunc, cells: Values | Mask) -> Values:
        """`function` over the rows of each group: cells of shape (n, steps) in, (g, steps) out."""
        if len(self.first) == 0:
            return np.zeros((0, cells.shape[1]))
        return np.asarray(function.reduceat(cells[self.order], self.starts, axis=0))

    def count(self, present: Mask) -> Values:
        """How many rows of each group are present, shape (g, steps)."""
        return self.reduce(np.add, present.astype(np.float64))

    @property
    def sizes(self) -> Indexes:
        return np.asarray(np.diff(self.starts, append=len(self.of)), dtype=np.intp)


def group_by(columns: Sequence[Codes], rows: int) -> Groups:
    """Rows grouped by equal codes in all columns."""
    key = np.zeros(rows, dtype=np.int64)
    size = 1
    for column in columns if rows else ():
        low = int(column.min())
        span = int(column.max()) - low + 1
        if span == 1:
            continue
        if size > _LARGEST_KEY // span:
            distinct, key = np.unique(key, return_inverse=True)
            size = len(distinct)
        key = key * span + (column.astype(np.int64) - low)
        size *= span
    _, first, of = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], np.arange(len(first)))
    return Groups(of, first, order, np.asarray(starts, dtype=np.intp))


def columns_for(frame: LabelFrame, labels: Iterable[str], *, on: bool) -> list[str]:
    """The label names that tell groups apart: `labels` themselves, or all but those and the metric name."""
    if on:
        return sorted(set(labels))
    return sorted(set(frame.columns) - set(labels) - {NAME})


def group_frame(frame: LabelFrame, names: Collection[str]) -> Groups:
    return group_by([frame.column(name) for name in names], frame.length)


def group_all(frame: LabelFrame) -> Groups:
    """Rows grouped by their whole label sets."""
    return group_by(list(frame.columns.values()), frame.length)


def joined(above: LabelFrame, below: LabelFrame) -> LabelFrame:
    """The label sets of one frame followed by those of another."""
    names = [*above.columns, *(name for name in below.columns if name not in above.columns)]
    return LabelFrame(
        above.length + below.length,
        {name: np.concatenate([above.column(name), below.column(name)]) for name in names},
    )


def split(groups: Groups, above: int) -> tuple[Indexes, Indexes]:
    """The groups of the first `above` rows and those of the rest."""
    return groups.of[:above], groups.of[above:]
