"""Series and their samples in lists, read as `SeriesReader` says: for the unit tests of rules, and for tests."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np

from collector.series.labels import LabelFrame, Strings
from collector.series.read import Latest, Matcher, Milliseconds, Samples, Selection, Times, Values, is_stale

Point = tuple[int, float]  # Unix milliseconds, value
Key = tuple[tuple[str, str], ...]  # labels that are not empty, sorted by name


class InMemorySeries:
    """One series: times strictly rising."""

    def __init__(self, labels: Key) -> None:
        self.labels = labels
        self.times: list[int] = []
        self.values: list[float] = []
        self._arrays: tuple[Times, Values] | None = None

    def add(self, at: Milliseconds, value: float) -> float:
        """The value that the series has at `at` then: an earlier one stands."""
        place = bisect_right(self.times, at)
        if place and self.times[place - 1] == at:
            return self.values[place - 1]
        self.times.insert(place, at)
        self.values.insert(place, value)
        self._arrays = None
        return value

    def arrays(self) -> tuple[Times, Values]:
        if self._arrays is None:
            self._arrays = np.array(self.times, dtype=np.int64), np.array(self.values, dtype=np.float64)
        return self._arrays


class InMemoryReader:
    """Takes everything at once, or `add` in between: a selection is made anew when a series came that belongs to it."""

    def __init__(self, series: Iterable[tuple[Mapping[str, str], Sequence[Point]]] = ()) -> None:
        self.strings = Strings()
        self._series: dict[Key, InMemorySeries] = {}
        self._selections: dict[tuple[Matcher, ...], Selection] = {}
        for labels, points in series:
            self.add(labels, points)

    def __len__(self) -> int:
        """How many series there are, those included that have no samples yet."""
        return len(self._series)

    def has_none(self, matchers: tuple[Matcher, ...]) -> bool:
        """Whether no series matches, whenever its samples are."""
        return len(self.select(matchers, 0, 0)) == 0

    def add(self, labels: Mapping[str, str], points: Iterable[Point]) -> None:
        """Adds samples. Where a series has one at that time already, it stands."""
        series = self.series(labels)
        for at, value in points:
            series.add(at, value)

    def series(self, labels: Mapping[str, str]) -> InMemorySeries:
        """The series with these labels, an empty one if it is new."""
        key = tuple(sorted((name, value) for name, value in labels.items() if value))
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = InMemorySeries(key)
            known = dict(key)
            for matchers in [one for one in self._selections if _match(one, known)]:
                del self._selections[matchers]
        return found

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
        found = self._selections.get(matchers)
        if found is None:
            series = [one for key, one in self._series.items() if _match(matchers, dict(key))]
            labels = LabelFrame.of([dict(one.labels) for one in series], self.strings)
            found = self._selections[matchers] = Selection(labels, series)
        return found

    def latest(self, selection: Selection, at: Milliseconds, lookback: Milliseconds) -> Latest:
        times, values = np.zeros(len(selection), np.int64), np.zeros(len(selection))
        present = np.zeros(len(selection), np.bool_)
        for row, series in enumerate(_picked(selection)):
            last = bisect_right(series.times, at) - 1
            if last >= 0 and series.times[last] > at - lookback:
                times[row], values[row] = series.times[last], series.values[last]
                present[row] = True
        return Latest(times, values, present & ~is_stale(values))

    def samples(self, selection: Selection, start: Milliseconds, end: Milliseconds) -> Samples:
        found = []
        for series in _picked(selection):
            times, values = series.arrays()
            first, beyond = np.searchsorted(times, [start, end], side="right")
            found.append((times[first:beyond], values[first:beyond]))
        counts = np.array([len(times) for times, _ in found], dtype=np.int64)
        width = int(counts.max(initial=0))
        # What is undefined holds what nobody could take for a sample.
        every_time, every_value = np.zeros((len(found), width), np.int64), np.full((len(found), width), 1e300)
        for row, (times, values) in enumerate(found):
            every_time[row, : len(times)], every_value[row, : len(values)] = times, values
        return Samples(every_time, every_value, counts)


def _match(matchers: tuple[Matcher, ...], labels: Mapping[str, str]) -> bool:
    return all(one.matches(labels.get(one.label, "")) for one in matchers)


def _picked(selection: Selection) -> list[InMemorySeries]:
    return cast("list[InMemorySeries]", selection.handle)
