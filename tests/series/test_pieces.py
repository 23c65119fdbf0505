"""What many files tell becomes one matrix, whatever overlaps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.series.history.pieces import Piece, Wanted, matrix

SERIES = 4
told = st.lists(st.tuples(st.integers(0, SERIES), st.integers(0, 30)), max_size=40, unique=True)


@given(st.lists(told, max_size=5))
def test_of_one_series_and_time_the_first_stored_stands(files: list[list[tuple[int, int]]]) -> None:
    expected: dict[int, dict[int, float]] = {place: {} for place in range(SERIES)}
    pieces = []
    wanted = Wanted(np.arange(SERIES) * 10, np.arange(SERIES)[::-1])  # ids 0, 10, …, the last one stands first
    for rank, of_file in enumerate(files):
        rows = sorted(of_file)
        for series, t in rows:
            if series < SERIES:
                expected[SERIES - 1 - series].setdefault(t, rank + t / 100)
        ids = np.array([series * 10 for series, _ in rows], dtype=np.int64)
        times = np.array([t for _, t in rows], dtype=np.int64)
        pieces.append(Piece.of(rank, (ids, times, rank + times / 100), wanted))
    found = matrix(pieces[::-1], SERIES)
    for place, samples in expected.items():
        count = int(found.counts[place])
        listed = zip(found.times[place, :count].tolist(), found.values[place, :count].tolist(), strict=True)
        assert list(listed) == sorted(samples.items())


def test_no_files_no_samples() -> None:
    assert matrix([], 3).counts.tolist() == [0, 0, 0]
    assert matrix([Piece.none()], 0).times.shape == (0, 0)
