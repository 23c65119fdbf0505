"""Lines through windows that slide along a series: each window costs the same, however many samples it holds.

Sums of the samples up to each one are made once; a window's sums are differences of them. That loses digits where the
window is small or flat beside the rest, so each result comes with whether its error is known to be small. The others
are left to the kernels, which look at every sample of every window.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.promql.windows import bounds
from collector.series.read import Mask, Samples, Times, Values

CHUNK_CELLS = 1 << 15  # a dozen matrices of them are held at once, in the processor's cache
ERROR_ALLOWED = 1e-9  # of the result; what is reckoned with is some hundred times what is seen
WORTH = 4  # samples of all windows for each sample and each window: with fewer the kernels are as fast

_EPS = float(np.finfo(np.float64).eps)
_LONG_EPS = float(np.finfo(np.longdouble).eps)
_Long = NDArray[np.longdouble]


@dataclass(frozen=True, slots=True)
class Lines:
    """Of each window: the slope per second, the line's value at an instant, and whether each is known to be right.
    Shapes (series, steps)."""

    slopes: Values
    values: Values
    slope_is_sure: Mask
    value_is_sure: Mask


def is_worth_it(samples: Samples, starts: Times, ends: Times) -> bool:
    """Whether the windows (starts[s], ends[s]] overlap so much that sliding pays."""
    steps = len(ends)
    taken = int(samples.counts.sum())
    spread = int(ends[-1]) - int(starts[0])
    if steps < 2 or taken == 0 or spread <= 0:
        return False
    of_windows = taken * steps * (int(ends[0]) - int(starts[0])) / spread
    return of_windows > WORTH * (taken + steps * len(samples.counts))


def lines(samples: Samples, starts: Times, ends: Times, instants: Values) -> Lines:
    """`starts` and `ends`, rising, and `instants`, where the lines are read, in ms: of shape (steps,)."""
    series, width = samples.values.shape
    shape = (series, len(ends))
    found = Lines(np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_))
    rows = max(1, CHUNK_CELLS // max(width, len(ends)))
    for low in range(0, series, rows):
        some = slice(low, min(low + rows, series))
        chunk = Samples(samples.times[some], samples.values[some], samples.counts[some])
        with np.errstate(all="ignore"):  # what divides by nothing is not sure
            of_chunk = _lines(chunk, starts, ends, instants)
        for name in Lines.__annotations__:
            getattr(found, name)[some] = getattr(of_chunk, name)
    return found


def _lines(chunk: Samples, starts: Times, ends: Times, instants: Values) -> Lines:
    height, width = chunk.values.shape
    offsets = np.arange(height)[:, None] * width
    first, beyond = bounds(chunk, starts) - offsets, bounds(chunk, ends) - offsets
    counts = np.asarray(beyond - first)

    valid = np.arange(width) < chunk.counts[:, None]
    finite = valid & np.isfinite(chunk.values)
    base = (int(ends[-1]) + int(starts[0])) // 2
    x = np.where(finite, chunk.times - base, 0).astype(np.longdouble)
    magnitude = np.abs(np.where(finite, chunk.values, 0.0)).max(axis=1, initial=0.0)
    level = np.where(finite, chunk.values, 0.0).sum(axis=1) / np.maximum(finite.sum(axis=1), 1)
    y = np.where(finite, chunk.values - level[:, None], 0.0).astype(np.longdouble)

    def over(terms: NDArray[np.longdouble]) -> _Long:
        """The sum of each window."""
        sums = np.zeros((height, width + 1), np.longdouble)
        np.cumsum(terms, axis=1, out=sums[:, 1:])
        return np.asarray(np.take_along_axis(sums, beyond, axis=1) - np.take_along_axis(sums, first, axis=1))

    n = counts.astype(np.longdouble)
    x_sum, y_sum = over(x), over(y)
    spread = over(x * x) - x_sum * x_sum / n
    long_slopes = np.asarray((over(x * y) - x_sum * y_sum / n) / spread, dtype=np.longdouble)  # per ms
    ahead = (instants - base) - x_sum / n
    values = np.asarray(level[:, None] + y_sum / n + long_slopes * ahead, dtype=np.float64)

    # How far off they may be needs no more digits than others have.
    slopes = _short(long_slopes)
    slope_off = _slope_off(
        _short(x),
        _short(y),
        x_mean=_short(x_sum / n),
        y_mean=_short(y_sum / n),
        slopes=slopes,
        spread=_short(spread),
        spans=counts * (ends - starts),
    )
    value_off = slope_off * np.abs(_short(ahead)) + 4 * _EPS * magnitude[:, None]

    moves = np.zeros((height, width), np.int64)  # at each sample, whether it differs from the one before
    moves[:, 1:] = (chunk.values[:, 1:] != chunk.values[:, :-1]) & valid[:, 1:]
    moved = np.cumsum(moves, axis=1)
    last, head = np.clip(beyond - 1, 0, width - 1), np.clip(first, 0, width - 1)
    is_flat = np.take_along_axis(moved, last, axis=1) == np.take_along_axis(moved, head, axis=1)
    several = counts > 1
    if (valid & ~finite).any():
        strange = np.zeros((height, width + 1), np.int64)
        np.cumsum(valid & ~finite, axis=1, out=strange[:, 1:])
        several &= np.take_along_axis(strange, beyond, axis=1) == np.take_along_axis(strange, first, axis=1)
    return Lines(
        np.where(is_flat, 0.0, slopes * 1000),
        np.where(is_flat, np.take_along_axis(chunk.values, head, axis=1), values),
        np.asarray(several & (is_flat | (slope_off <= ERROR_ALLOWED * np.abs(slopes)))),
        np.asarray(several & (is_flat | (value_off <= ERROR_ALLOWED * np.abs(values)))),
    )


def _slope_off(
    x: Values, y: Values, *, x_mean: Values, y_mean: Values, slopes: Values, spread: Values, spans: Values
) -> Values:
    """A bound on how far off each slope is. `x` and `y` of each sample, the others of each window, of shape (series,
    steps); `spans`: its length in ms for each of its samples."""

    def total(terms: Values) -> Values:
        return np.asarray(np.abs(terms).sum(axis=1)[:, None])

    rounding = x.shape[1] * _LONG_EPS
    x_total, y_total = total(x), total(y)
    off = rounding * (total(x * y) + np.abs(x_mean) * y_total + np.abs(y_mean) * x_total)
    off += _EPS * np.abs(y).max(axis=1, initial=0.0)[:, None] * spans  # what taking the level off rounded
    off_spread = rounding * (total(x * x) + 2 * np.abs(x_mean) * x_total)
    return np.asarray((off + np.abs(slopes) * off_spread) / spread)


def _short(numbers: _Long) -> Values:
    return numbers.astype(np.float64)


def deriv(samples: Samples, _at: Times, starts: Times, ends: Times) -> tuple[Values, Mask]:
    found = lines(samples, starts, ends, ends.astype(np.float64))
    return found.slopes, found.slope_is_sure


def predict_linear(samples: Samples, at: Times, starts: Times, ends: Times, seconds: Values) -> tuple[Values, Mask]:
    found = lines(samples, starts, ends, at + seconds * 1000)
    return found.values, found.value_is_sure


# By the names of the kernels that they stand for: values and where they are sure, both of shape (series, steps).
KERNELS: Mapping[str, Callable[..., tuple[Values, Mask]]] = {"deriv": deriv, "predict_linear": predict_linear}
