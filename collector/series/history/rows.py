"""Samples as plain columns, as they travel between log, Parquet and queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from collector.series.read import Mask, Times, Values

Ids = NDArray[np.int64]

_LARGEST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Rows:
    """n samples, all of shape (n,). `series` is a series' id, or its place among those asked for; `order` rises with
    the order in which samples were stored, which decides between two of one series and time."""

    series: Ids
    times: Times
    values: Values
    order: Ids

    def __len__(self) -> int:
        return len(self.series)

    @classmethod
    def none(cls) -> Self:
        empty = np.empty(0, dtype=np.int64)
        return cls(empty, empty, np.empty(0), empty)

    @classmethod
    def joined(cls, parts: Sequence["Rows"]) -> "Rows":
        if len(parts) == 1:
            return parts[0]
        return Rows(
            *(
                np.concatenate([getattr(empty_or_part, name) for empty_or_part in (cls.none(), *parts)])
                for name in ("series", "times", "values", "order")
            )
        )

    def where(self, mask: Mask) -> "Rows":
        if mask.all():
            return self
        return Rows(self.series[mask], self.times[mask], self.values[mask], self.order[mask])

    def distinct(self) -> "Rows":
        """Sorted by series and time, of each series and time only what was stored first."""
        if _rises(self.series, self.times):
            return self
        order = np.lexsort((self.order, self.times, self.series))
        series, times = self.series[order], self.times[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = (series[1:] != series[:-1]) | (times[1:] != times[:-1])
        order = order[first]
        return Rows(series[first], times[first], self.values[order], self.order[order])


def runs(values: Ids) -> tuple[Ids, Ids]:
    """The distinct values of an array whose equals stand together, and how often each stands there."""
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    return values[starts], np.diff(starts, append=len(values))


def distinct_of(numbers: Ids) -> Ids:
    """The distinct ones of numbers that lie close together (days, places in a list), rising."""
    lowest = numbers.min(initial=_LARGEST)
    distinct: Ids = np.flatnonzero(np.bincount(numbers - lowest)) + lowest
    return distinct


def _rises(series: Ids, times: Times) -> bool:
    """Whether the rows are strictly sorted already, as those of one healthy fleet are."""
    same = series[1:] == series[:-1]
    return bool(np.all((series[1:] > series[:-1]) | (same & (times[1:] > times[:-1]))))
