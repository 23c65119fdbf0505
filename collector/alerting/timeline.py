"""What a rule would have done over a stretch of the past: the alert state machine over whole arrays of instants.

It gives what `state.step` gives instant by instant, for thousands of series at once: a test compares the two. Labels
are those of the first instant: a rule whose labels hold a value has one alert here for what is a series of them live.
Where so many match groups were left out that not all are told, none is clear in the whole stretch.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from collector.alerting.evaluation import borne, concerns, final_labels
from collector.alerting.ruleset import AlertRule
from collector.alerting.state import fingerprint
from collector.clock import from_milliseconds
from collector.promql import MAX_CONFLICTS, Conflict, Matrix
from collector.series.read import Milliseconds

_MILLISECOND = timedelta(milliseconds=1)
_Span = tuple[Milliseconds, Milliseconds]  # first and last instant


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert from its beginning to its end."""

    rule: AlertRule
    labels: Mapping[str, str]  # final: `alertname` among them
    fingerprint: str
    annotations: Mapping[str, str]
    value: float
    active_since: datetime
    fired_at: datetime | None  # None: it never did
    ended_at: datetime | None  # when it was inactive again; None: it goes on


@dataclass(slots=True)
class _Open:
    """An alert that had not ended where the last stretch did."""

    series: Mapping[str, str]  # the labels of the result
    labels: Mapping[str, str]  # of the alert
    active_since: Milliseconds
    last_held: Milliseconds
    value: float  # at which it fired, or of the last instant before
    fired_at: Milliseconds | None = None


class Timeline:
    """Follows one rule through stretches of instants that are `interval` apart, each beginning where the one before
    ended."""

    def __init__(self, rule: AlertRule, interval: timedelta) -> None:
        self._rule = rule
        self._interval = interval // _MILLISECOND
        self._hold = rule.hold_for // _MILLISECOND
        self._keep = rule.keep_firing_for // _MILLISECOND
        self._open: dict[str, _Open] = {}
        self._conflicts: list[Conflict] = []  # that an alert in `_open` may have met since its condition last held
        self._unclear: dict[str, list[_Span]] = {}  # by fingerprint, the times at which nobody knows whether it ended

    def advance(self, matrix: Matrix) -> list[Episode]:
        """The episodes that ended within the stretch, or before it."""
        ended: list[Episode] = []
        if len(matrix.times):
            self._take_in(matrix)
            for labels, row, first, last in _runs(matrix):
                ended += self._follow(matrix, labels, row, first, last)
            ended += self._end_by(int(matrix.times[-1]))
        return ended

    def open(self) -> list[Episode]:
        """Those that go on."""
        return [self._told(mark, one, None) for mark, one in self._open.items()]

    def _follow(self, matrix: Matrix, labels: Mapping[str, str], row: int, first: int, last: int) -> Iterator[Episode]:
        """The condition holds for a label set from instant `first` to instant `last` of the stretch."""
        begins, ends = int(matrix.times[first]), int(matrix.times[last])
        values = matrix.values[row]
        final = final_labels(self._rule, labels, float(values[first]))
        mark = fingerprint(final)
        one = self._open.get(mark)
        if one is not None and (until := self._end_of(mark, one)) < begins:
            yield self._told(mark, one, until)
            one = None
        if one is None:
            one = self._open[mark] = _Open(labels, final, begins, ends, float(values[last]))
        one.last_held = max(one.last_held, ends)
        if one.fired_at is None:
            due = max(begins, one.active_since + -(-self._hold // self._interval) * self._interval)
            one.value = float(values[last])
            if due <= ends:
                one.fired_at = due
                one.value = float(values[first + (due - begins) // self._interval])

    def _end_by(self, now: Milliseconds) -> Iterator[Episode]:
        for mark, one in list(self._open.items()):
            if (until := self._end_of(mark, one)) <= now:
                del self._open[mark]
                yield self._told(mark, one, until)

    def _end_of(self, mark: str, one: _Open) -> Milliseconds:
        """The instant at which it is inactive if the condition does not hold again."""
        clear = self._told_from(mark, one, one.last_held + self._interval)
        if one.fired_at is None:
            return clear
        return self._told_from(mark, one, clear + -(-self._keep // self._interval) * self._interval)

    def _told_from(self, mark: str, one: _Open, at: Milliseconds) -> Milliseconds:
        """The first instant from `at` on of which it is known whether the condition is gone."""
        if not self._conflicts:
            return at
        unclear = self._unclear.get(mark)
        if unclear is None:
            met = (conflict.spans for conflict in self._conflicts if concerns(conflict, one.labels))
            unclear = self._unclear[mark] = sorted(itertools.chain.from_iterable(met))
        for first, last in unclear:
            if first > at:
                break
            at = max(at, last + self._interval)
        return at

    def _take_in(self, matrix: Matrix) -> None:
        """The stretch's conflicts; of those before it, what an open alert may have met since its condition held."""
        since = min((one.last_held for one in self._open.values()), default=int(matrix.times[-1]))
        self._conflicts = [one for one in self._conflicts if any(last > since for _, last in one.spans)]
        self._unclear.clear()
        if len(matrix.conflicts) >= MAX_CONFLICTS:
            whole = (int(matrix.times[0]), int(matrix.times[-1]))
            self._conflicts.append(Conflict({}, len(matrix.conflicts), "more conflicts than are told", (whole,)))
        else:
            self._conflicts += [borne(self._rule, one) for one in matrix.conflicts]

    def _told(self, mark: str, one: _Open, until: Milliseconds | None) -> Episode:
        return Episode(
            self._rule,
            one.labels,
            mark,
            self._rule.render_annotations(one.series, one.value),
            one.value,
            from_milliseconds(one.active_since),
            None if one.fired_at is None else from_milliseconds(one.fired_at),
            None if until is None else from_milliseconds(until),
        )


def _runs(matrix: Matrix) -> Iterator[tuple[Mapping[str, str], int, int, int]]:
    """Label set, row, and first and last instant of each unbroken stretch in which a series is there, row by row."""
    padded = np.zeros((len(matrix), len(matrix.times) + 2), dtype=np.int8)
    padded[:, 1:-1] = matrix.present
    steps = np.diff(padded, axis=1)
    rows, firsts = np.nonzero(steps == 1)
    _, afters = np.nonzero(steps == -1)
    row_before, labels = -1, {}
    for row, first, after in zip(rows.tolist(), firsts.tolist(), afters.tolist(), strict=True):
        if row != row_before:
            row_before, labels = row, matrix.labels.texts(matrix.strings, row)
        yield labels, row, first, after - 1
