"""Reading the head: which series it has, their recent samples, and since when it has all of them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.series.head import Head
from collector.series.labels import Strings
from collector.series.pools import LAST_POOL, Pools
from collector.series.read import NEVER, Latest, Matcher, Milliseconds, Samples, Selection, Times, is_stale
from collector.series.slots import Slots
from collector.series.table import NOWHERE

MAX_CACHED_SELECTIONS = 4_096


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """What a selection holds: rows, and how often each had been given out when it was picked, so that a row that has
    since become another series is not mistaken for the old one."""

    pools: Pools
    rows: Slots
    births: NDArray[np.uint32]

    def by_pool(self) -> Iterable[tuple[int, Slots, Slots]]:
        """By pool: which of the picked rows stand there, and in which slots."""
        table = self.pools.table
        pools = table.pool_of[self.rows].astype(np.int64)
        pools[table.births[self.rows] != self.births] = NOWHERE
        slots = table.slot_of[self.rows]
        for pool in (np.flatnonzero(np.bincount(pools + 1)) - 1).tolist():
            if pool != NOWHERE:
                places = np.flatnonzero(pools == pool).astype(np.int32)
                yield pool, places, slots[places]


class Selections:
    """What matchers picked from one head, remembered while its series stay the same."""

    def __init__(self, pools: Pools) -> None:
        self.pools = pools
        self._known: dict[tuple[Matcher, ...], tuple[Selection, int]] = {}  # with table.changes

    def select(self, matchers: tuple[Matcher, ...]) -> Selection:
        """The series that match; the same object as before if they are the same series."""
        table = self.pools.table
        with self.pools.lock:
            changes = table.changes
            cached = self._known.get(matchers)
            if cached is not None and cached[1] == changes:
                return cached[0]
            rows = table.matching(matchers)
            births = table.births[rows]
            if cached is not None:
                selection = cached[0]
                known = picked_of(selection)
                if not np.array_equal(known.rows, rows) or not np.array_equal(known.births, births):
                    cached = None
            if cached is None:
                if len(self._known) >= MAX_CACHED_SELECTIONS:
                    del self._known[next(iter(self._known))]
                selection = Selection(table.labels(rows), Picked(self.pools, rows, births))
            self._known[matchers] = (selection, changes)
            return selection


class HeadReader:
    """Reads the head that stands now; a selection keeps to the head that it was made of."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self._selections = Selections(head.pools)

    @property
    def strings(self) -> Strings:
        return self.head.strings

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
        """The series that match; the head holds the recent ones only, so `start` and `end` rule none out."""
        selections, pools = self._selections, self.head.pools
        if selections.pools is not pools:
            selections = self._selections = Selections(pools)
        return selections.select(matchers)

    def latest(self, selection: Selection, at: Milliseconds, lookback: Milliseconds) -> Latest:
        picked = picked_of(selection)
        pools = picked.pools
        times = np.full(len(picked.rows), NEVER, dtype=np.int64)
        values = np.empty(len(picked.rows))
        with pools.lock:
            for pool, places, slots in picked.by_pool():
                if pool == LAST_POOL:
                    times[places], values[places] = pools.last.latest(slots, at)
                else:
                    times[places], values[places] = pools.rings[pool].latest(slots, at, at - lookback)
        return Latest(times, values, (times > at - lookback) & ~is_stale(values))

    def samples(self, selection: Selection, start: Milliseconds, end: Milliseconds) -> Samples:
        picked = picked_of(selection)
        pools = picked.pools
        with pools.lock:
            parts = [
                (places, pools.last.window(slots, start, end))
                if pool == LAST_POOL
                else (places, pools.rings[pool].window(slots, start, end))
                for pool, places, slots in picked.by_pool()
            ]
        if len(parts) == 1 and len(parts[0][0]) == len(picked.rows):
            return Samples(*parts[0][1])
        width = max((part[0].shape[1] for _, part in parts), default=0)
        times = np.zeros((len(picked.rows), width), dtype=np.int64)
        values = np.zeros((len(picked.rows), width))
        counts = np.zeros(len(picked.rows), dtype=np.int64)
        for places, (part_times, part_values, part_counts) in parts:
            times[places, : part_times.shape[1]] = part_times
            values[places, : part_values.shape[1]] = part_values
            counts[places] = part_counts
        return Samples(times, values, counts)


def picked_of(selection: Selection) -> Picked:
    if not isinstance(selection.handle, Picked):
        raise TypeError("this selection was made by another reader")
    return selection.handle


def complete_since(picked: Picked) -> Times:
    """From when on the head has all samples of the series picked; NEVER: it has all that there are in its time."""
    pools = picked.pools
    since = np.full(len(picked.rows), NEVER, dtype=np.int64)
    with pools.lock:
        for pool, places, slots in picked.by_pool():
            if pool == LAST_POOL:
                since[places] = pools.last.second_times[slots]
                continue
            ring = pools.rings[pool]
            blocks = ring.block_of[slots]
            counts = ring.counts[blocks]
            oldest = ring.times[blocks, counts % ring.depth]
            newest = ring.times[blocks, (counts - 1) % ring.depth]
            full = counts >= ring.depth  # others have lost nothing
            since[places] = np.where(full, np.maximum(oldest, newest - ring.keeps[blocks]), NEVER)
    return since
