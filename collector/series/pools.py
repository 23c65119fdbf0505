"""Where the samples of all series stand: the two newest of each, or a ring; and how they get there.

What is kept of a series follows from how far back the rules read its metric. One frame of each of many devices goes in
by a few NumPy operations; what is late, or of another layout, goes in one device at a time.
"""

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from collector.series.catalog import ABSENT_BYTES, VALUE_BYTES, DeviceFrame, Layout, Template, TemplateList
from collector.series.labels import Strings
from collector.series.last import LastPool
from collector.series.read import ABSENT, STALE, Milliseconds, Times, Values
from collector.series.rings import MAX_DEPTH, Block, RingPool, depth_class, depth_for, merged
from collector.series.slots import Slots
from collector.series.stream import Stream
from collector.series.table import SeriesTable

LAST_POOL = 0  # in SeriesTable.pool_of; rings have their depth there


Shares = tuple[tuple[Milliseconds, Slots], ...]  # how long some series of a list are kept, and their places in it


class Pools:
    """Written by one thread, read by any; `lock` is held meanwhile, by whoever calls."""

    def __init__(self, strings: Strings, expected_interval_ms: Milliseconds) -> None:
        self.lock = threading.Lock()
        self.table = SeriesTable(strings)
        self.last = LastPool()
        self.rings: dict[int, RingPool] = {}
        self.samples_overwritten = 0  # rings at their greatest depth that still were too short
        self._expected_interval_ms = expected_interval_ms  # rings of new series are made for this push interval
        self._positions: dict[int, Slots] = {}  # Stream.last_positions by the number of the template list

    def begin(self, stream: Stream, series: TemplateList, shares: Shares) -> None:
        """All series of a stream that has none, and where the values of its frames go."""
        rows = stream.rows = self.table.add(stream.index, series.templates)
        stream.last_slots = stream.last_positions = np.empty(0, dtype=np.int32)
        for keep, places in shares:
            of_keep = rows[places]
            if keep == 0:
                stream.last_slots, stream.last_positions = self.last.take(len(places)), places
                self.table.place(of_keep, LAST_POOL, stream.last_slots)
                continue
            pool = self.ring_pool(depth_for(keep, self._expected_interval_ms))
            index = pool.add_block(keep)
            slots = pool.add_rows(np.full(len(places), index, dtype=np.int32))
            stream.blocks = (*stream.blocks, Block(pool, index, keep, of_keep, slots, places))
            self.table.place(of_keep, pool.depth, slots)

    def add(self, stream: Stream, templates: Sequence[Template], keeps: NDArray[np.int64]) -> Slots:
        """New rows for series of a stream, of whose samples so much is kept (ms; 0: only the newest)."""
        rows = self.table.add(stream.index, templates)
        stream.rows = np.concatenate((stream.rows, rows))
        for keep in np.unique(keeps).tolist():
            of_keep = rows[keeps == keep]
            if keep == 0:
                self.table.place(of_keep, LAST_POOL, self.last.take(len(of_keep)))
                continue
            block = next((block for block in stream.blocks if block.keep == keep), None)
            if block is None:
                pool = self.ring_pool(depth_for(keep, self._expected_interval_ms))
                empty = np.empty(0, dtype=np.int32)
                block = Block(pool, pool.add_block(keep), keep, empty, empty, empty)
                stream.blocks = (*stream.blocks, block)
            slots = block.pool.add_rows(np.full(len(of_keep), block.index))
            block.rows = np.concatenate((block.rows, of_keep))
            block.slots = np.concatenate((block.slots, slots))
            block.positions = np.concatenate((block.positions, np.full(len(slots), -1, dtype=np.int32)))
            self.table.place(of_keep, block.pool.depth, slots)
        return rows

    def remove(self, stream: Stream, rows: Slots) -> None:
        """Free rows of a stream; they no longer are in its layout."""
        self.last.give(self.table.slot_of[rows[self.table.pool_of[rows] == LAST_POOL]])
        blocks: list[Block] = []
        for block in stream.blocks:
            gone = np.isin(block.rows, rows)
            kept = ~gone
            if kept.any():
                block.pool.remove_rows(block.slots[gone])
                block.rows, block.slots, block.positions = block.rows[kept], block.slots[kept], block.positions[kept]
                blocks.append(block)
            else:
                block.pool.remove(block.index, block.slots)
        stream.blocks = tuple(blocks)
        stream.rows = stream.rows[~np.isin(stream.rows, rows)]
        for row in rows.tolist():
            stream.left.pop(row, None)
        self.table.remove(rows)

    def bind(self, stream: Stream, layout: Layout, rows: Slots) -> None:
        """Work out where the values of the stream's layout go; `rows` in frame order, -1 for what has none."""
        position_of = {row: position for position, row in enumerate(rows.tolist())}
        is_last = (rows >= 0) & (self.table.pool_of[rows] == LAST_POOL)
        stream.last_slots = self.table.slot_of[rows[is_last]]
        stream.last_positions = self._shared_positions(layout, np.flatnonzero(is_last).astype(np.int32))
        for block in stream.blocks:
            block.positions = np.array([position_of.get(row, -1) for row in block.rows.tolist()], dtype=np.int32)

    def _shared_positions(self, layout: Layout, positions: Slots) -> Slots:
        """The same array for all devices with equal layouts, to save memory."""
        shared = self._positions.setdefault(layout.series.number, positions)
        return shared if np.array_equal(shared, positions) else positions

    def tidy(self) -> None:
        """Let go of what no series needs any more."""
        self.table.drop_unused_templates()
        self._positions.clear()

    def append(self, group: Sequence[tuple[Stream, DeviceFrame]]) -> None:
        """One frame of each stream, newer than what it has and of the layout that it is bound to."""
        flat = np.frombuffer(b"".join([*[frame.values for _, frame in group], ABSENT_BYTES]))
        sizes = np.array([len(frame.values) for _, frame in group]) // VALUE_BYTES
        starts = np.cumsum(sizes) - sizes
        times = np.array([frame.t for _, frame in group])
        lasts = [stream.last_slots for stream, _ in group]
        last_counts = np.array([len(slots) for slots in lasts])
        if last_counts.any():
            positions = np.concatenate([stream.last_positions for stream, _ in group])
            values = flat[positions + np.repeat(starts, last_counts)]
            self.last.update(np.concatenate(lasts), np.repeat(times, last_counts), values)
        self._make_room(group)
        by_pool: dict[RingPool, tuple[list[Block], list[int]]] = {}
        for index, (stream, _) in enumerate(group):
            for block in stream.blocks:
                blocks, indexes = by_pool.setdefault(block.pool, ([], []))
                blocks.append(block)
                indexes.append(index)
        for pool, (blocks, indexes) in by_pool.items():
            counts = np.array([len(block.slots) for block in blocks])
            positions = np.concatenate([block.positions for block in blocks])
            places = np.where(positions < 0, len(flat) - 1, positions + np.repeat(starts[indexes], counts))
            pool.append(
                np.array([block.index for block in blocks], dtype=np.int32),
                times[indexes],
                np.concatenate([block.slots for block in blocks]),
                counts,
                flat[places],
            )

    def merge(self, stream: Stream, rows: Slots, times: Times, matrix: Values) -> None:
        """Columns of a stream's series among what it has, whatever their times: rows of shape (n,), -1 for what has
        none, times of shape (k,), matrix of shape (k, n)."""
        is_last = (rows >= 0) & (self.table.pool_of[rows] == LAST_POOL)
        slots = self.table.slot_of[rows[is_last]]
        if len(slots):
            reach = self.last.second_times[slots].min()
            for place in np.flatnonzero(times > reach).tolist():
                self.last.update(slots, np.full(len(slots), times[place]), matrix[place, is_last])
        position_of = {row: position for position, row in enumerate(rows.tolist())}
        for block in stream.blocks:
            positions = np.array([position_of.get(row, -1) for row in block.rows.tolist()])
            if (positions >= 0).any():
                values = np.where(positions[:, None] < 0, ABSENT, matrix.T[positions])
                self._merge_block(block, times, values)

    def mark_stale(self, stream: Stream, rows: Slots, t: Milliseconds) -> None:
        """End these series of a stream at `t`."""
        if len(rows) == 0:
            return
        slots = self.table.slot_of[rows[self.table.pool_of[rows] == LAST_POOL]]
        self.last.update(slots, np.full(len(slots), t), np.full(len(slots), STALE))
        for block in stream.blocks:
            ending = np.isin(block.rows, rows)
            if ending.any():
                self._merge_block(block, np.array([t]), np.where(ending, STALE, ABSENT)[:, None])

    def ring_pool(self, depth: int) -> RingPool:
        pool = self.rings.get(depth)
        if pool is None:
            pool = self.rings[depth] = RingPool(depth)
        return pool

    def _make_room(self, group: Sequence[tuple[Stream, DeviceFrame]]) -> None:
        """Deepen the rings that would otherwise lose a sample that rules may still read."""
        by_pool: dict[RingPool, list[tuple[Stream, Block, int]]] = {}
        for stream, frame in group:
            for block in stream.blocks:
                by_pool.setdefault(block.pool, []).append((stream, block, frame.t))
        for pool, members in by_pool.items():
            indexes = np.array([block.index for _, block, _ in members], dtype=np.int32)
            times = np.array([t for _, _, t in members])
            for place in np.flatnonzero(pool.would_lose(indexes, times)).tolist():
                _, block, t = members[place]
                if pool.depth == MAX_DEPTH:
                    self.samples_overwritten += len(block.slots)
                    continue
                block_times, values = pool.contents(block.index, block.slots)
                kept = int((block_times > t - block.keep).sum())
                span = max(1, t - int(block_times[0]))
                needed = max(kept + 1, -(-block.keep * len(block_times) // span) + 2)
                self._fill(block, block_times, values, depth_class(min(needed, MAX_DEPTH)))

    def _fill(self, block: Block, times: Times, values: Values, depth: int) -> None:
        """Give a block these columns, in a ring of at least `depth`; the newest stay if not all fit."""
        if depth > block.pool.depth:
            old, old_index, old_slots = block.pool, block.index, block.slots
            block.pool = self.ring_pool(depth)
            block.index = block.pool.add_block(block.keep)
            block.slots = block.pool.add_rows(np.full(len(old_slots), block.index))
            self.table.place(block.rows, block.pool.depth, block.slots)
            old.remove(old_index, old_slots)
        fits = block.pool.depth
        block.pool.replace(block.index, block.slots, times[-fits:], values[:, -fits:])

    def _merge_block(self, block: Block, times: Times, values: Values) -> None:
        old_times, old_values = block.pool.contents(block.index, block.slots)
        new_times, new_values = merged(old_times, old_values, times, values)
        needed = int((new_times > new_times[-1] - block.keep).sum())
        if needed > MAX_DEPTH:
            self.samples_overwritten += (needed - MAX_DEPTH) * len(block.slots)
        self._fill(block, new_times, new_values, depth_class(needed))
