"""The two newest samples of each series that no rule reads over a range.

Two, because an evaluation stands a little behind the newest sample and must not see it before its time.
"""

import numpy as np
from numpy.typing import NDArray

from collector.series.read import NEVER, Milliseconds, Times, Values, is_absent
from collector.series.slots import SlotAllocator, Slots, capacity_for


class LastPool:
    """Columns of times and values, one place for each series; time NEVER where there is no sample."""

    def __init__(self) -> None:
        self.slots = SlotAllocator()
        self.newest_times: Times = np.empty(0, dtype=np.int64)
        self.newest_values: Values = np.empty(0)
        self.second_times: Times = np.empty(0, dtype=np.int64)
        self.second_values: Values = np.empty(0)

    def take(self, count: int) -> Slots:
        slots = self.slots.take(count)
        capacity = capacity_for(self.slots.used, len(self.newest_times))
        if capacity > len(self.newest_times):
            self.newest_times = _grown(self.newest_times, capacity)
            self.newest_values = _grown(self.newest_values, capacity)
            self.second_times = _grown(self.second_times, capacity)
            self.second_values = _grown(self.second_values, capacity)
        self.newest_times[slots] = NEVER
        self.second_times[slots] = NEVER
        return slots

    def give(self, slots: Slots) -> None:
        self.slots.give(slots)

    def update(self, slots: NDArray[np.int32], times: Times, values: Values) -> None:
        """Take samples in, at most one for each slot; all arrays of shape (n,). The first of one time wins, ABSENT is
        no sample, and what is older than the two newest is let go."""
        kept = ~is_absent(values)
        if not kept.all():
            slots, times, values = slots[kept], times[kept], values[kept]
        newest = self.newest_times[slots]
        newer = times > newest
        if newer.all():
            self._shift(slots, newest, times, values)
            return
        self._shift(slots[newer], newest[newer], times[newer], values[newer])
        between = (times < newest) & (times > self.second_times[slots])
        self.second_times[slots[between]] = times[between]
        self.second_values[slots[between]] = values[between]

    def latest(self, slots: Slots, at: Milliseconds) -> tuple[Times, Values]:
        """The newest sample at or before `at`, each of shape (n,); time NEVER where there is none."""
        times = self.newest_times[slots]
        values = self.newest_values[slots]
        ahead = np.flatnonzero(times > at)
        if len(ahead):
            behind = slots[ahead]
            times[ahead] = self.second_times[behind]
            values[ahead] = self.second_values[behind]
            times[times > at] = NEVER
        return times, values

    def window(self, slots: Slots, start: Milliseconds, end: Milliseconds) -> tuple[Times, Values, NDArray[np.int64]]:
        """What is known in (start, end]: times and values of shape (n, 2), counts of shape (n,)."""
        times = np.stack((self.second_times[slots], self.newest_times[slots]), axis=1)
        values = np.stack((self.second_values[slots], self.newest_values[slots]), axis=1)
        inside = (times > start) & (times <= end)
        only_newest = np.flatnonzero(inside[:, 1] & ~inside[:, 0])
        times[only_newest, 0] = times[only_newest, 1]
        values[only_newest, 0] = values[only_newest, 1]
        return times, values, inside.sum(axis=1)

    def _shift(self, slots: Slots, newest: Times, times: Times, values: Values) -> None:
        self.second_times[slots] = newest
        self.second_values[slots] = self.newest_values[slots]
        self.newest_times[slots] = times
        self.newest_values[slots] = values


def _grown(array: NDArray, capacity: int) -> NDArray:  # type: ignore[type-arg]
    grown = np.empty(capacity, dtype=array.dtype)
    grown[: len(array)] = array
    return grown
