"""Lines through sliding windows are those that the kernels find, or are said not to be sure."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.promql import kernels, sliding
from collector.promql.windows import slice_windows
from collector.series.read import Samples

START_MS = 1_772_442_000_000
MINUTE_MS = 60_000

gaps = st.integers(1, 300_000)
numbers = st.one_of(
    st.floats(-1e3, 1e3),
    st.floats(allow_nan=False, width=64),
    st.sampled_from([0.0, 1.0, 0.5, 1e-12, -1e-12, 1e15, 1e300, -1e300, float("nan"), float("inf"), float("-inf")]),
)
walks = st.lists(st.tuples(gaps, numbers), min_size=1, max_size=60)
levels = st.lists(st.tuples(st.just(MINUTE_MS), st.sampled_from([0.5, 0.5, 0.5, 0.6])), min_size=1, max_size=60)


def samples_of(series: list[list[tuple[int, float]]]) -> Samples:
    width = max(map(len, series), default=0)
    times, values = np.zeros((len(series), width), np.int64), np.zeros((len(series), width))
    for row, points in enumerate(series):
        times[row, : len(points)] = START_MS + np.cumsum([gap for gap, _ in points], dtype=np.int64)
        values[row, : len(points)] = [value for _, value in points]
    return Samples(times, values, np.array([len(points) for points in series], np.int64))


@given(
    st.lists(st.one_of(walks, levels), min_size=1, max_size=4),
    st.integers(2, 40),
    st.integers(1, 3_600_000),
    st.integers(1_000, 300_000),
    st.sampled_from([-3_600.0, 0.0, 60.0, 14_400.0]),
)
def test_what_is_sure_is_what_the_kernels_find(
    series: list[list[tuple[int, float]]], steps: int, window: int, step: int, seconds: float
) -> None:
    samples = samples_of(series)
    ends = START_MS + np.arange(steps, dtype=np.int64) * step
    starts, ahead = ends - window, np.full(steps, seconds)
    with np.errstate(all="ignore"):
        for name, scalars in (("deriv", ()), ("predict_linear", (ahead,))):
            slid, sure = sliding.KERNELS[name](samples, ends, starts, ends, *scalars)
            expected, present = np.zeros(slid.size), np.zeros(slid.size, np.bool_)
            for places, windows in slice_windows(samples, ends, starts, ends):
                of_window = [np.full(len(windows.counts), seconds)] if scalars else []
                expected[places], present[places] = kernels.KERNELS[name](windows, *of_window)
            assert not (sure.ravel() & ~present).any()
            np.testing.assert_allclose(slid[sure], expected[sure.ravel()], rtol=1e-9, atol=0)


def test_usual_samples_are_nearly_all_sure() -> None:
    """Else each window would be looked at sample by sample after all, and a backtest over a month would take hours."""
    minutes = np.arange(2 * 1_440)
    rows = [0.5 + 0.1 * np.sin(minutes / 1_440 * 2 * np.pi), 0.3 + minutes * 1e-5, np.full(len(minutes), 0.7)]
    values = np.stack([*rows, 0.9 - np.random.default_rng(1).random(len(minutes)) * 0.2])
    times = np.broadcast_to(START_MS + minutes * MINUTE_MS, values.shape)
    samples = Samples(times, values, np.full(len(values), len(minutes)))
    ends = START_MS + minutes[1_440:] * MINUTE_MS
    for hours in (2, 24):
        starts = ends - hours * 60 * MINUTE_MS
        assert sliding.is_worth_it(samples, starts, ends)
        _, sure = sliding.predict_linear(samples, ends, starts, ends, np.full(len(ends), 3 * 86_400.0))
        assert sure.mean() > 0.95


def test_a_few_windows_are_left_to_the_kernels() -> None:
    samples = samples_of([[(MINUTE_MS, 1.0)] * 60])
    ends = START_MS + np.arange(3, dtype=np.int64) * 15 * MINUTE_MS
    assert not sliding.is_worth_it(samples, ends - 5 * MINUTE_MS, ends)
