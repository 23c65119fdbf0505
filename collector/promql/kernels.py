"""The functions over time, each on a matrix of windows at once. They follow Prometheus 3's promql/functions.go."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from collector.promql.sums import mean_rows, sum_rows
from collector.promql.windows import Kernel, Windows
from collector.series.labels import Indexes
from collector.series.read import Mask, Times, Values

Number = TypeVar("Number", np.float64, np.int64)

_TOO_FAR = 1.1  # average distances between samples: further from the window's edge, and the series ends in between


def _at(matrix: NDArray[Number], columns: Indexes | Times) -> NDArray[Number]:
    """The cell of each row in the column given for it."""
    return np.asarray(np.take_along_axis(matrix, columns[:, None], axis=1)[:, 0])


def _padded(windows: Windows, filler: float) -> Values:
    valid = windows.valid
    return windows.values if valid is None else np.where(valid, windows.values, filler)


def _pairs(windows: Windows) -> Mask | None:
    """Which neighbouring columns are both samples, shape (m, k - 1); None if all are."""
    valid = windows.valid
    return None if valid is None else valid[:, 1:]


def _extrapolated(windows: Windows, *, is_counter: bool) -> tuple[Values, Mask]:
    """The growth over the window, extrapolated to its edges where the samples come close to them."""
    values, last = windows.values, windows.last
    first_value = values[:, 0]
    growth = _at(values, last) - first_value
    if is_counter and values.shape[1] > 1:
        resets = values[:, 1:] < values[:, :-1]
        pairs = _pairs(windows)
        if pairs is not None:
            resets &= pairs
        rows = np.flatnonzero(resets.any(axis=1))
        if len(rows):
            growth[rows] += np.where(resets[rows], values[rows, :-1], 0.0).sum(axis=1)
    first_time, last_time = windows.times[:, 0], _at(windows.times, last)
    to_start = (first_time - windows.starts) / 1000
    to_end = (windows.ends - last_time) / 1000
    sampled = (last_time - first_time) / 1000
    average = sampled / last
    threshold = average * _TOO_FAR
    to_start = np.where(to_start >= threshold, average / 2, to_start)
    if is_counter:
        # A counter cannot have been negative: no further back than where the slope meets zero.
        to_zero = sampled * (first_value / growth)
        to_start = np.where((growth > 0) & (first_value >= 0) & (to_zero < to_start), to_zero, to_start)
    to_end = np.where(to_end >= threshold, average / 2, to_end)
    return growth * ((sampled + to_start + to_end) / sampled), windows.counts > 1


def increase(windows: Windows) -> tuple[Values, Mask | None]:
    return _extrapolated(windows, is_counter=True)


def delta(windows: Windows) -> tuple[Values, Mask | None]:
    return _extrapolated(windows, is_counter=False)


def rate(windows: Windows) -> tuple[Values, Mask | None]:
    growth, present = _extrapolated(windows, is_counter=True)
    return growth / ((windows.ends - windows.starts) / 1000), present


def _last_two(windows: Windows) -> tuple[Values, Values, Values, Mask]:
    """The values of the last two samples, the seconds between them, and where there are two."""
    before = np.maximum(windows.last - 1, 0)
    seconds = (_at(windows.times, windows.last) - _at(windows.times, before)) / 1000
    return _at(windows.values, before), _at(windows.values, windows.last), seconds, windows.counts > 1


def irate(windows: Windows) -> tuple[Values, Mask | None]:
    older, newer, seconds, present = _last_two(windows)
    return np.where(newer < older, newer, newer - older) / seconds, present


def idelta(windows: Windows) -> tuple[Values, Mask | None]:
    older, newer, _, present = _last_two(windows)
    return newer - older, present


def _regression(windows: Windows, origin: Times) -> tuple[Values, Values]:
    """Least squares: slope per second, and the value of the line at `origin` (ms, shape (m,))."""
    valid, counts, values = windows.valid, windows.counts.astype(np.float64), windows.values
    since = np.subtract(windows.times, origin[:, None], dtype=np.float64)  # ms
    if valid is not None:
        since = np.where(valid, since, 0.0)
    mean_since = since.sum(axis=1) / counts
    mean_value = sum_rows(values, valid) / counts
    since -= mean_since[:, None]
    rise = values - mean_value[:, None]
    if valid is not None:
        since *= valid
        rise = np.where(valid, rise, 0.0)
    slope = np.einsum("ij,ij->i", since, rise) / np.einsum("ij,ij->i", since, since)
    intercept = mean_value - slope * mean_since
    # A series that does not move has slope 0 exactly, not what rounding leaves.
    first = values[:, 0]
    flat = np.flatnonzero(first == _at(values, windows.last))
    level = values[flat] == first[flat, None]
    flat = flat[(level if valid is None else level | ~valid[flat]).all(axis=1)]
    nothing = np.where(np.isinf(first[flat]), np.nan, 0.0)
    slope[flat] = nothing
    intercept[flat] = first[flat] + nothing
    return slope * 1000, intercept


def deriv(windows: Windows) -> tuple[Values, Mask | None]:
    return _regression(windows, windows.times[:, 0])[0], windows.counts > 1


def predict_linear(windows: Windows, seconds: Values) -> tuple[Values, Mask | None]:
    slope, intercept = _regression(windows, windows.at)
    return slope * seconds + intercept, windows.counts > 1


def changes(windows: Windows) -> tuple[Values, Mask | None]:
    older, newer = windows.values[:, :-1], windows.values[:, 1:]
    changed = (older != newer) & ~(np.isnan(older) & np.isnan(newer))
    pairs = _pairs(windows)
    return (changed if pairs is None else changed & pairs).sum(axis=1).astype(np.float64), None


def resets(windows: Windows) -> tuple[Values, Mask | None]:
    fallen = windows.values[:, 1:] < windows.values[:, :-1]
    pairs = _pairs(windows)
    return (fallen if pairs is None else fallen & pairs).sum(axis=1).astype(np.float64), None


def avg_over_time(windows: Windows) -> tuple[Values, Mask | None]:
    return mean_rows(windows.values, windows.valid, windows.counts.astype(np.float64)), None


def sum_over_time(windows: Windows) -> tuple[Values, Mask | None]:
    return sum_rows(windows.values, windows.valid), None


def min_over_time(windows: Windows) -> tuple[Values, Mask | None]:
    return np.fmin.reduce(_padded(windows, np.nan), axis=1), None  # NaN only where all are NaN


def max_over_time(windows: Windows) -> tuple[Values, Mask | None]:
    return np.fmax.reduce(_padded(windows, np.nan), axis=1), None


def count_over_time(windows: Windows) -> tuple[Values, Mask | None]:
    return windows.counts.astype(np.float64), None


def last_over_time(windows: Windows) -> tuple[Values, Mask | None]:
    return _at(windows.values, windows.last), None


def present_over_time(windows: Windows) -> tuple[Values, Mask | None]:
    return np.ones(len(windows.counts)), None


def stdvar_over_time(windows: Windows) -> tuple[Values, Mask | None]:
    valid, counts = windows.valid, windows.counts.astype(np.float64)
    # Seen from the first sample, so that a series that does not move has no variance at all, not a rounding error's.
    moved = windows.values - windows.values[:, :1]
    from_mean = moved - (sum_rows(moved, valid) / counts)[:, None]
    squares = from_mean * from_mean
    return sum_rows(squares, valid) / counts, None


def stddev_over_time(windows: Windows) -> tuple[Values, Mask | None]:
    return np.sqrt(stdvar_over_time(windows)[0]), None


def quantile_over_time(windows: Windows, quantile: Values) -> tuple[Values, Mask | None]:
    return quantile_rows(quantile, windows.values, windows.valid, windows.counts), None


def quantile_rows(quantile: Values, values: Values, valid: Mask | None, counts: Times) -> Values:
    """The quantile of each row's valid cells, interpolated between neighbours; NaN counts as smaller than all."""
    ordered = np.sort(values if valid is None else np.where(valid, values, np.nan), axis=1)  # NaN last
    nans = np.isnan(values if valid is None else np.where(valid, values, 0.0)).sum(axis=1)
    rank = quantile * (counts - 1)
    inside = np.where((quantile >= 0) & (quantile <= 1), rank, 0.0)
    lower = np.floor(inside).astype(np.int64)
    upper = np.minimum(lower + 1, counts - 1)
    weight = inside - lower

    def pick(index: Times) -> Values:
        return np.where(index < nans, np.nan, _at(ordered, np.maximum(index - nans, 0)))

    result = pick(lower) * (1 - weight) + pick(upper) * weight
    result = np.where(quantile < 0, -np.inf, np.where(quantile > 1, np.inf, result))
    return np.asarray(np.where(np.isnan(quantile), np.nan, result))


KERNELS: dict[str, Kernel] = {
    kernel.__name__: kernel
    for kernel in (
        rate,
        increase,
        delta,
        irate,
        idelta,
        deriv,
        predict_linear,
        changes,
        resets,
        avg_over_time,
        sum_over_time,
        min_over_time,
        max_over_time,
        count_over_time,
        last_over_time,
        present_over_time,
        stdvar_over_time,
        stddev_over_time,
        quantile_over_time,
    )
}
KEEPS_NAME = frozenset({"last_over_time"})
