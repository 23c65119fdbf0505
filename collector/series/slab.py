"""A stretch of the past in memory: the samples of some series, one behind the other in two flat columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from collector.series.labels import Indexes, LabelFrame
from collector.series.read import Mask, Milliseconds, Samples, Values

BYTES_PER_SAMPLE = 16
TIME_BITS = 42  # of a key, so that 2 million series fit, and times until the year 2109
TIME_MASK = (1 << TIME_BITS) - 1
CHUNK_CELLS = 1 << 18  # copied at once: the interpreter's other threads get their turn in between

Keys = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Slab:
    """All samples in (start, until] of the series in `labels`; never changed in place."""

    labels: LabelFrame
    start: Milliseconds
    until: Milliseconds
    keys: Keys  # (n,), rising: the series' row, then the time
    values: Values  # (n,)

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def empty(cls, start: Milliseconds, until: Milliseconds) -> Self:
        return cls(LabelFrame(0), start, until, np.empty(0, dtype=np.int64), np.empty(0))

    @classmethod
    def of(cls, labels: LabelFrame, samples: Samples, start: Milliseconds, until: Milliseconds) -> Self:
        """Samples as they were read from (start, until]."""
        valid = np.arange(samples.times.shape[1]) < samples.counts[:, None]
        rows = np.repeat(np.arange(labels.length, dtype=np.int64), samples.counts)
        return cls(labels, start, until, (rows << TIME_BITS) + samples.times[valid], samples.values[valid])

    def with_series(self, labels: LabelFrame) -> Self:
        """The same with more series, which have no samples in it."""
        return type(self)(self.labels.joined(labels), self.start, self.until, self.keys, self.values)

    def joined(self, other: "Slab") -> Self:
        """The samples of both, none of which they have in common. Rows stay what they are; new series come behind."""
        places = other.labels.places_among(self.labels)
        new = np.flatnonzero(places < 0)
        places[new] = self.labels.length + np.arange(len(new))
        labels = self.labels.joined(other.labels.take(new)) if len(new) else self.labels
        moved = (places[other.keys >> TIME_BITS].astype(np.int64) << TIME_BITS) + (other.keys & TIME_MASK)
        keys = np.concatenate((self.keys, moved))
        values = np.concatenate((self.values, other.values))
        order = np.argsort(keys, kind="stable")
        start, until = min(self.start, other.start), max(self.until, other.until)
        return type(self)(labels, start, until, keys[order], values[order])

    def emptied(self) -> Self:
        """The same series without samples."""
        return type(self)(self.labels, self.start, self.until, self.keys[:0].copy(), self.values[:0].copy())

    def since(self, start: Milliseconds) -> Self:
        """Without what is at or before `start`."""
        if start <= self.start:
            return self
        kept = (self.keys & TIME_MASK) > start
        return type(self)(self.labels, start, self.until, self.keys[kept], self.values[kept])

    def without_samples_of(self, rows: Mask) -> Self:
        """The same series, those marked in `rows` without samples."""
        kept = ~rows[self.keys >> TIME_BITS]
        return type(self)(self.labels, self.start, self.until, self.keys[kept], self.values[kept])

    def only(self, rows: Indexes) -> Self:
        """These rows alone, which rise; the others have no samples."""
        place = np.zeros(self.labels.length, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        keys = (place[self.keys >> TIME_BITS] << TIME_BITS) + (self.keys & TIME_MASK)
        return type(self)(self.labels.take(rows), self.start, self.until, keys, self.values)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many samples each series has."""
        return np.bincount(self.keys >> TIME_BITS, minlength=self.labels.length).astype(np.int64)

    def window(self, start: Milliseconds, end: Milliseconds, newer: Samples | None, rows: Indexes) -> Samples:
        """The samples in (start, end], followed by `newer` ones, which are of the series in `rows`."""
        series = self.labels.length
        first_keys = np.arange(series, dtype=np.int64) << TIME_BITS
        first = np.searchsorted(self.keys, first_keys + start, side="right")
        older = np.maximum(0, np.searchsorted(self.keys, first_keys + min(end, self.until), side="right") - first)
        counts = older.astype(np.int64)
        if newer is not None:
            counts[rows] += newer.counts
        shape = series, int(counts.max(initial=0))
        times, values = np.zeros(shape, dtype=np.int64), np.zeros(shape)
        width = int(older.max(initial=0))
        for some in _slices(series, width):
            cells = np.minimum(first[some, None] + np.arange(width), len(self.keys) - 1)
            times[some, :width] = self.keys[cells] & TIME_MASK
            values[some, :width] = self.values[cells]
        if newer is None:
            return Samples(times, values, counts)
        valid = np.arange(newer.times.shape[1]) < newer.counts[:, None]
        for some in _slices(len(rows), newer.times.shape[1]):
            which, column = np.nonzero(valid[some])
            row = rows[some][which]
            times[row, older[row] + column] = newer.times[some][which, column]
            values[row, older[row] + column] = newer.values[some][which, column]
        return Samples(times, values, counts)


def _slices(rows: int, width: int) -> Sequence[slice]:
    if width == 0:
        return ()
    step = max(1, CHUNK_CELLS // width)
    return [slice(low, low + step) for low in range(0, rows, step)]
