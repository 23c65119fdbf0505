"""Rings: the recent samples of series that rules read over a range.

The series of one device whose rules look equally far back form a *block*. They share one vector of times, and each has
a row of values, so that a sample takes 8 bytes and a little. Blocks of equal depth stand in one pool, whose arrays one
NumPy operation reads or writes for a whole fleet.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.series.read import ABSENT, NEVER, Milliseconds, Times, Values, is_absent
from collector.series.slots import SlotAllocator, Slots, capacity_for

MIN_DEPTH = 8
MAX_DEPTH = 2048
STEPS_PER_DOUBLING = 8  # depth classes lie so close that a ring is at most an eighth deeper than it needs to be

Counts = NDArray[np.int64]


def depth_class(samples: int) -> int:
    """The smallest depth that holds so many samples, MAX_DEPTH at most."""
    if samples <= MIN_DEPTH:
        return MIN_DEPTH
    step = max(MIN_DEPTH, (1 << (samples - 1).bit_length()) // (2 * STEPS_PER_DOUBLING))
    return min(MAX_DEPTH, -(-samples // step) * step)


def depth_for(keep: Milliseconds, interval: Milliseconds) -> int:
    """The depth of a ring that keeps a sample each `interval` for so long."""
    return depth_class(2 + keep // interval)


@dataclass(slots=True, eq=False)
class Block:
    """The rings of one device that keep equally much. Where they are changes when they grow."""

    pool: "RingPool"
    index: int  # in the pool
    keep: Milliseconds  # how far back samples must not be overwritten
    rows: Slots  # of the series table
    slots: Slots  # their rings in the pool
    positions: Slots  # where in the frames of the current layout their values stand; -1: not there any more


class RingPool:
    """Blocks of one depth. `counts` is how many columns of a block were written; the newest stands at
    (count - 1) % depth."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._clear()

    def _clear(self) -> None:
        self.blocks = SlotAllocator()
        self.rows = SlotAllocator()
        self.counts: Counts = np.empty(0, dtype=np.int64)
        self.keeps: Counts = np.empty(0, dtype=np.int64)
        self.times: Times = np.empty((0, self.depth), dtype=np.int64)
        self.values: Values = np.empty((0, self.depth))
        self.block_of: Slots = np.empty(0, dtype=np.int32)

    def add_block(self, keep: Milliseconds) -> int:
        return int(self.add_blocks(np.array([keep]))[0])

    def add_blocks(self, keeps: Counts) -> Slots:
        """New blocks, without columns."""
        indexes = self.blocks.take(len(keeps))
        capacity = capacity_for(self.blocks.used, len(self.counts))
        if capacity > len(self.counts):
            self.counts = _grown(self.counts, capacity)
            self.keeps = _grown(self.keeps, capacity)
            self.times = _grown(self.times, capacity)
        self.counts[indexes] = 0
        self.keeps[indexes] = keeps
        return indexes

    def add_rows(self, blocks: Slots) -> Slots:
        """A row more in each of `blocks` (a block may stand there often), without samples."""
        slots = self.rows.take(len(blocks))
        capacity = capacity_for(self.rows.used, len(self.block_of))
        if capacity > len(self.block_of):
            self.values = _grown(self.values, capacity)
            self.block_of = _grown(self.block_of, capacity)
        self.block_of[slots] = blocks
        older = slots[self.counts[blocks] > 0]
        if len(older):
            self.values[older] = ABSENT
        return slots

    def remove_rows(self, slots: Slots) -> None:
        self.rows.give(slots)

    def remove(self, index: int, slots: Slots) -> None:
        """Free a block and its rows; the arrays too when it was the last one."""
        self.blocks.give(np.array([index], dtype=np.int32))
        self.rows.give(slots)
        if len(self.blocks) == 0:
            self._clear()

    def would_lose(self, blocks: Slots, times: Times) -> NDArray[np.bool_]:
        """Whether one more column at `times` would overwrite one that must be kept; all of shape (n,)."""
        counts = self.counts[blocks]
        oldest = self.times[blocks, counts % self.depth]
        return (counts >= self.depth) & (oldest > times - self.keeps[blocks])

    def append(self, blocks: Slots, times: Times, rows: Slots, rows_per_block: Counts, values: Values) -> None:
        """One newer column for each of `blocks`: `times` of shape (blocks,), `values` of shape (rows,)."""
        columns = self.counts[blocks] % self.depth
        self.times[blocks, columns] = times
        self.counts[blocks] += 1
        self.values[rows, np.repeat(columns, rows_per_block)] = values

    def contents(self, block: int, rows: Slots) -> tuple[Times, Values]:
        """A block's columns, oldest first: times of shape (k,), values of shape (rows, k)."""
        count = int(self.counts[block])
        columns = np.arange(max(0, count - self.depth), count) % self.depth
        return self.times[block, columns], self.values[rows[:, None], columns]

    def replace(self, block: int, rows: Slots, times: Times, values: Values) -> None:
        """Put other columns in, at most `depth` of them."""
        count = len(times)
        self.counts[block] = count
        self.times[block, :count] = times
        self.values[rows, :count] = values

    def latest(self, rows: Slots, at: Milliseconds, oldest: Milliseconds) -> tuple[Times, Values]:
        """The newest sample in (oldest, at] of each row, of shape (n,); time NEVER where there is none."""
        found_times = np.full(len(rows), NEVER, dtype=np.int64)
        found_values = np.empty(len(rows))
        open_ = np.arange(len(rows))
        blocks = self.block_of[rows]
        counts = self.counts[blocks]
        for back in range(1, self.depth + 1):
            reached = counts[open_] >= back
            if not reached.all():
                open_ = open_[reached]
            if len(open_) == 0:
                break
            columns = (counts[open_] - back) % self.depth
            times = self.times[blocks[open_], columns]
            values = self.values[rows[open_], columns]
            hit = (times <= at) & (times > oldest) & ~is_absent(values)
            found_times[open_[hit]] = times[hit]
            found_values[open_[hit]] = values[hit]
            open_ = open_[~hit & (times > oldest)]
        return found_times, found_values

    def window(self, rows: Slots, start: Milliseconds, end: Milliseconds) -> tuple[Times, Values, Counts]:
        """The samples in (start, end]: times and values of shape (n, k), counts of shape (n,)."""
        blocks, of_block = np.unique(self.block_of[rows], return_inverse=True)
        counts = self.counts[blocks]
        times = self.times[blocks]
        written = np.minimum(counts, self.depth)
        past, over = times <= end, times <= start
        if int(written.min(initial=self.depth)) < self.depth:
            is_written = np.arange(self.depth) < written[:, None]
            past &= is_written
            over &= is_written
        # Times rise in a block, so that it is enough to count those before the window and those in it.
        until_start, until_end = over.sum(axis=1), past.sum(axis=1)
        inside_counts = until_end - until_start
        width = int(inside_counts.max(initial=0))
        starts = ((counts - written + until_start) % self.depth)[of_block]
        row_times, values = self._slices(rows, starts, width)
        row_counts = inside_counts[of_block]
        empty = is_absent(values)
        if empty.any():
            _close_gaps(row_times, values, row_counts, empty)
        return row_times, values, row_counts

    def _slices(self, rows: Slots, starts: Counts, width: int) -> tuple[Times, Values]:
        """`width` columns of each row from its start on, going round the ring; both of shape (n, width).

        Rows with one start are copied together, as slices: far faster than picking every sample by its own index."""
        times = np.empty((len(rows), width), dtype=np.int64)
        values = np.empty((len(rows), width))
        order = np.argsort(starts.astype(np.uint16), kind="stable")  # of so small numbers it is a radix sort
        heads = np.flatnonzero(np.diff(starts[order], prepend=-1))
        for group in np.split(order, heads[1:]) if width else []:
            start = int(starts[group[0]])
            before_the_end = min(width, self.depth - start)
            some = rows[group]
            blocks = self.block_of[some]
            times[group, :before_the_end] = self.times[blocks, start : start + before_the_end]
            values[group, :before_the_end] = self.values[some, start : start + before_the_end]
            if before_the_end < width:
                times[group, before_the_end:] = self.times[blocks, : width - before_the_end]
                values[group, before_the_end:] = self.values[some, : width - before_the_end]
        return times, values


def _close_gaps(times: Times, values: Values, counts: Counts, empty: NDArray[np.bool_]) -> None:
    """Move the samples of rows with ABSENT among them together, in place."""
    inside = np.arange(times.shape[1]) < counts[:, None]
    gappy = np.flatnonzero((empty & inside).any(axis=1))
    if len(gappy) == 0:
        return
    sample = inside[gappy] & ~empty[gappy]
    order = np.argsort(~sample, axis=1, kind="stable")
    times[gappy] = np.take_along_axis(times[gappy], order, axis=1)
    values[gappy] = np.take_along_axis(values[gappy], order, axis=1)
    counts[gappy] = sample.sum(axis=1)


def merged(times: Times, values: Values, new_times: Times, new_values: Values) -> tuple[Times, Values]:
    """Columns and more columns, in any order, as one: times rise strictly. Where two columns have one time, the first
    that is not ABSENT wins, series by series. Shapes (k,), (n, k), (m,), (n, m) in; (u,), (n, u) out."""
    all_times = np.concatenate((times, new_times))
    all_values = np.concatenate((values, new_values), axis=1)
    unique, first, place = np.unique(all_times, return_index=True, return_inverse=True)
    result = all_values[:, first]
    if len(unique) < len(all_times):
        repeated = np.ones(len(all_times), dtype=bool)
        repeated[first] = False
        for column in np.flatnonzero(repeated).tolist():
            target = result[:, place[column]]
            missing = is_absent(target)
            target[missing] = all_values[missing, column]
    return unique, result


def _grown(array: NDArray, capacity: int) -> NDArray:  # type: ignore[type-arg]
    grown = np.empty((capacity, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
