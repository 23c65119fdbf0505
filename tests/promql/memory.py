"""A store in memory: series and their samples in lists, read as `SeriesReader` says."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from collector.series.labels import LabelFrame, Strings
from collector.series.read import Latest, Matcher, Milliseconds, Samples, Selection, is_stale

Point = tuple[int, float]  # Unix milliseconds, value


class MemoryReader:
    """Takes everything at once, or `add` in between: a selection is made anew when series were added."""

    def __init__(self, series: Iterable[tuple[Mapping[str, str], Sequence[Point]]] = ()) -> None:
        self.strings = Strings()
        self._points: dict[tuple[tuple[str, str], ...], dict[int, float]] = {}
        self._matrices: dict[tuple[tuple[str, str], ...], tuple[np.ndarray, np.ndarray]] = {}
        self._selections: dict[tuple[Matcher, ...], Selection] = {}
        for labels, points in series:
            self.add(labels, points)

    def add(self, labels: Mapping[str, str], points: Sequence[Point]) -> None:
        key = tuple(sorted((name, value) for name, value in labels.items() if value))
        if key not in self._points:
            self._points[key] = {}
            self._selections.clear()
        for at, value in points:
            self._points[key].setdefault(at, value)
        self._matrices.pop(key, None)

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
        if matchers not in self._selections:
            keys = [key for key in self._points if all(m.matches(dict(key).get(m.label, "")) for m in matchers)]
            self._selections[matchers] = Selection(LabelFrame.of([dict(key) for key in keys], self.strings), keys)
        return self._selections[matchers]

    def latest(self, selection: Selection, at: Milliseconds, lookback: Milliseconds) -> Latest:
        times, values = np.zeros(len(selection), np.int64), np.zeros(len(selection))
        present = np.zeros(len(selection), np.bool_)
        for row, (series_times, series_values) in enumerate(self._series(selection)):
            last = int(np.searchsorted(series_times, at, side="right")) - 1
            if last >= 0 and series_times[last] > at - lookback:
                times[row], values[row] = series_times[last], series_values[last]
                present[row] = not is_stale(series_values[last : last + 1])[0]
        return Latest(times, values, present)

    def samples(self, selection: Selection, start: Milliseconds, end: Milliseconds) -> Samples:
        found = []
        for times, values in self._series(selection):
            first, beyond = np.searchsorted(times, [start, end], side="right")
            found.append((times[first:beyond], values[first:beyond]))
        counts = np.array([len(times) for times, _ in found], dtype=np.int64)
        width = int(counts.max(initial=0))
        matrices = np.zeros((len(found), width), np.int64), np.full((len(found), width), 1e300)
        for row, (times, values) in enumerate(found):
            matrices[0][row, : len(times)], matrices[1][row, : len(values)] = times, values
        return Samples(*matrices, counts)

    def _series(self, selection: Selection) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        keys: list[tuple[tuple[str, str], ...]] = selection.handle  # type: ignore[assignment]
        for key in keys:
            if key not in self._matrices:
                points = sorted(self._points[key].items())
                times = np.array([at for at, _ in points], dtype=np.int64)
                self._matrices[key] = times, np.array([value for _, value in points], dtype=np.float64)
            yield self._matrices[key]
