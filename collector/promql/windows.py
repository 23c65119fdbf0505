"""Windows of samples as matrices: how range selectors and subqueries reach the functions that work over time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.series.labels import Indexes
from collector.series.read import Mask, Samples, Times, Values, is_stale

# Cells of one chunk: large enough that NumPy's cost per call is nothing, small enough to stay in the processor's cache.
CHUNK_CELLS = 1 << 17


@dataclass(frozen=True, slots=True)
class Windows:
    """m windows of up to k samples: times and values of shape (m, k), counts (m,), starts, ends and at (m,) in ms.

    Row i holds counts[i] >= 1 samples in its first columns, oldest first, all in (starts[i], ends[i]]; what is beyond
    is undefined. `at` is the instant for which the window is evaluated; `offset` and `@` set it apart from the end.
    """

    times: Times
    values: Values
    counts: NDArray[np.int64]
    starts: Times
    ends: Times
    at: Times

    @property
    def valid(self) -> Mask | None:
        """Which cells hold samples; None if all do."""
        width = self.values.shape[1]
        if len(self.counts) == 0 or int(self.counts.min()) == width:
            return None
        return np.asarray(np.arange(width) < self.counts[:, None])

    @property
    def last(self) -> Indexes:
        return np.asarray(self.counts - 1, dtype=np.intp)


Kernel = Callable[..., tuple[Values, Mask | None]]
"""Windows, and scalars of shape (m,), in; values of shape (m,) and where there is a result (None: everywhere) out."""


def without_stale(samples: Samples) -> Samples:
    """The samples without staleness markers, which windows do not see."""
    if not np.isnan(samples.values).any():
        return samples
    width = samples.values.shape[1]
    ended = is_stale(np.ascontiguousarray(samples.values)) & (np.arange(width) < samples.counts[:, None])
    rows = np.flatnonzero(ended.any(axis=1))
    if len(rows) == 0:
        return samples
    kept = (np.arange(width) < samples.counts[rows, None]) & ~ended[rows]
    order = np.argsort(~kept, axis=1, kind="stable")
    times, values, counts = samples.times.copy(), samples.values.copy(), samples.counts.copy()
    times[rows] = np.take_along_axis(times[rows], order, axis=1)
    values[rows] = np.take_along_axis(values[rows], order, axis=1)
    counts[rows] = kept.sum(axis=1)
    return Samples(times, values, counts)


def slice_windows(
    samples: Samples, at: Times, starts: Times, ends: Times, wanted: Mask | None = None
) -> Iterator[tuple[slice | Indexes, Windows]]:
    """The non-empty windows (starts[s], ends[s]] of each series, chunk by chunk, each with its places in the flattened
    (series, steps) grid; of several steps only those that are `wanted`, of shape (series, steps). `at`, `starts` and
    `ends` have shape (steps,), rising."""
    series, width = samples.values.shape
    steps = len(at)
    if series == 0 or steps == 0 or width == 0:
        return
    if steps == 1:
        yield from _single_windows(samples, at, starts, ends)
        return
    rows = max(1, CHUNK_CELLS // max(width, steps))
    for low in range(0, series, rows):
        chunk = Samples(
            samples.times[low : low + rows], samples.values[low : low + rows], samples.counts[low : low + rows]
        )
        first, beyond = bounds(chunk, starts), bounds(chunk, ends)
        counts = (beyond - first).ravel()
        if wanted is not None:
            counts = np.where(wanted[low : low + rows].ravel(), counts, 0)
        places = np.flatnonzero(counts > 0)
        if len(places) == 0:
            continue
        widest = int(counts.max())
        step = places % steps
        row = places // steps
        first_column = first.ravel()[places] - row * width
        for part in range(0, len(places), max(1, CHUNK_CELLS // widest)):
            some = slice(part, part + max(1, CHUNK_CELLS // widest))
            columns = np.minimum(first_column[some, None] + np.arange(widest), width - 1)
            cells = row[some, None] * width + columns
            yield (
                low * steps + places[some],
                Windows(
                    np.ascontiguousarray(chunk.times).reshape(-1)[cells],
                    np.ascontiguousarray(chunk.values).reshape(-1)[cells],
                    counts[places[some]],
                    starts[step[some]],
                    ends[step[some]],
                    at[step[some]],
                ),
            )


def bounds(samples: Samples, instants: Times) -> NDArray[np.int64]:
    """Where the first sample after each instant lies in the flattened (series, k) samples: shape (series, steps)."""
    series, width = samples.values.shape
    valid = np.arange(width) < samples.counts[:, None]
    low = int(min(instants[0], samples.times[valid].min(initial=instants[0])))
    high = int(max(instants[-1], samples.times[valid].max(initial=instants[-1])))
    span = high - low + 2
    offsets = np.arange(series, dtype=np.int64) * span
    keys = np.where(valid, samples.times - low, span - 1) + offsets[:, None]
    wanted = np.asarray(instants, dtype=np.int64) - low + offsets[:, None]
    return np.asarray(np.searchsorted(keys.ravel(), wanted.ravel(), side="right").reshape(wanted.shape), dtype=np.int64)


def _single_windows(
    samples: Samples, at: Times, starts: Times, ends: Times
) -> Iterator[tuple[slice | Indexes, Windows]]:
    """One instant: the samples as they were read are the windows."""
    series, width = samples.values.shape
    rows = max(1, CHUNK_CELLS // width)
    whole = int(samples.counts.min()) > 0
    for low in range(0, series, rows):
        place: slice | Indexes = slice(low, min(low + rows, series))
        if not whole:
            place = low + np.flatnonzero(samples.counts[place] > 0)
        counts = samples.counts[place]
        windows = len(counts)
        if windows == 0:
            continue
        yield (
            place,
            Windows(
                samples.times[place],
                samples.values[place],
                counts,
                np.broadcast_to(starts, (windows,)),
                np.broadcast_to(ends, (windows,)),
                np.broadcast_to(at, (windows,)),
            ),
        )


def samples_of(values: Values, present: Mask, times: Times) -> Samples:
    """A grid of shape (n, steps) as samples, for the window around a subquery."""
    series, steps = values.shape
    counts = present.sum(axis=1)
    every = np.broadcast_to(times, (series, steps))
    if int(counts.min(initial=steps)) == steps:
        return Samples(every, values, counts)
    order = np.argsort(~present, axis=1, kind="stable")
    return Samples(np.take_along_axis(every, order, axis=1), np.take_along_axis(values, order, axis=1), counts)
