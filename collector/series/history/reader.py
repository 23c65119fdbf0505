"""One reader over head, log and blocks.

The head answers as far back as it is complete; whatever reaches further is read from history, which holds every sample
there is. So each series comes from one source for each question, and there is no seam to show.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from collector.clock import Clock, to_milliseconds
from collector.series.head_reader import Picked, complete_since
from collector.series.labels import Indexes, LabelFrame, Strings
from collector.series.read import (
    Latest,
    Matcher,
    Milliseconds,
    Samples,
    Selection,
    SeriesReader,
    latest_of,
)
from collector.series.slots import Slots

MARGIN_MS = 120_000  # how much earlier than the head forgets a series it is no longer relied upon
MAX_SELECTIONS = 4_096


class SampleHistory(Protocol):
    """What is needed of history. Raises QuarkpulseError where reading fails."""

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Slots: ...

    def labels(self, rows: Slots) -> LabelFrame: ...

    def samples(self, rows: Slots, start: Milliseconds, end: Milliseconds) -> Samples: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Recent:
    """Series of the head, and how they were selected."""

    selection: Selection
    picked: Picked
    matchers: tuple[Matcher, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Older:
    """Series of history."""

    rows: Slots


class SpanningReader:
    """Reads the head where it suffices and history where it does not. For threads that may wait for the disk."""

    def __init__(
        self, head: SeriesReader, history: SampleHistory, clock: Clock, silent_ms: Callable[[], Milliseconds]
    ) -> None:
        self._head = head
        self._history = history
        self._clock = clock
        self._silent_ms = silent_ms  # how long the head knows a series that has no more samples
        self._recent: dict[int, Selection] = {}

    @property
    def strings(self) -> Strings:
        return self._head.strings

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
        """The series that match and may have samples in (start, end], those that ended long ago included."""
        if start < to_milliseconds(self._clock()) - self._silent_ms() + MARGIN_MS:
            rows = self._history.select(matchers, start, end)
            return Selection(self._history.labels(rows), _Older(rows))
        inner = self._head.select(matchers, start, end)
        known = self._recent.get(id(inner))
        if known is not None and isinstance(known.handle, _Recent) and known.handle.selection is inner:
            return known
        if not isinstance(inner.handle, Picked):
            raise TypeError("the head's own reader is needed")
        if len(self._recent) >= MAX_SELECTIONS:
            self._recent.clear()
        recent = Selection(inner.labels, _Recent(inner, inner.handle, matchers))  # holds `inner`, so its id is its own
        self._recent[id(inner)] = recent
        return recent

    def latest(self, selection: Selection, at: Milliseconds, lookback: Milliseconds) -> Latest:
        handle = selection.handle
        if isinstance(handle, _Older):
            return latest_of(self._history.samples(handle.rows, at - lookback, at))
        recent = _recent_of(selection)
        latest = self._head.latest(recent.selection, at, lookback)
        # The head gives the time of a staleness marker too, and none where it knows of nothing.
        unknown = np.flatnonzero(~latest.present & (latest.times <= at - lookback))
        unknown = unknown[complete_since(recent.picked)[unknown] > at - lookback]
        if len(unknown) == 0:
            return latest
        older = latest_of(self._older(selection, recent, unknown, at - lookback, at))
        for mine, theirs in zip(
            (latest.times, latest.values, latest.present), (older.times, older.values, older.present), strict=True
        ):
            mine[unknown] = theirs
        return latest

    def samples(self, selection: Selection, start: Milliseconds, end: Milliseconds) -> Samples:
        handle = selection.handle
        if isinstance(handle, _Older):
            return self._history.samples(handle.rows, start, end)
        recent = _recent_of(selection)
        short = complete_since(recent.picked) > start
        if not short.any():
            return self._head.samples(recent.selection, start, end)
        places = np.flatnonzero(short)
        older = self._older(selection, recent, places, start, end)
        if short.all():
            return older
        return _woven(self._head.samples(recent.selection, start, end), older, places)

    def _older(
        self, selection: Selection, recent: _Recent, places: Indexes, start: Milliseconds, end: Milliseconds
    ) -> Samples:
        """From history, the samples of the series at `places` of a selection of the head's."""
        rows = self._history.select(recent.matchers, start, end)
        found = selection.labels.take(places).places_among(self._history.labels(rows))
        known = np.flatnonzero(found >= 0)
        return _spread(self._history.samples(rows[found[known]], start, end), known, len(places))


def _recent_of(selection: Selection) -> _Recent:
    if not isinstance(selection.handle, _Recent):
        raise TypeError("this selection was made by another reader")
    return selection.handle


def _spread(samples: Samples, places: Indexes, size: int) -> Samples:
    """Samples of the series at `places` of `size` series; the others have none."""
    width = samples.times.shape[1]
    times = np.zeros((size, width), dtype=np.int64)
    values = np.zeros((size, width))
    counts = np.zeros(size, dtype=np.int64)
    times[places], values[places], counts[places] = samples.times, samples.values, samples.counts
    return Samples(times, values, counts)


def _woven(some: Samples, others: Samples, places: Indexes) -> Samples:
    """`some`, with the series at `places` replaced by `others`."""
    width = max(some.times.shape[1], others.times.shape[1])
    size = len(some.counts)
    times = np.zeros((size, width), dtype=np.int64)
    values = np.zeros((size, width))
    times[:, : some.times.shape[1]] = some.times
    values[:, : some.values.shape[1]] = some.values
    times[places, : others.times.shape[1]] = others.times
    values[places, : others.values.shape[1]] = others.values
    counts = some.counts.copy()
    counts[places] = others.counts
    return Samples(times, values, counts)
