"""The head: the recent samples of all series in memory, a cache of the log.

What is kept of a series follows from how far back the rules read its metric: the two newest samples, or a ring. All
frames of a batch are taken in by a few NumPy operations; frames that are late, or the first of another layout, go one
device at a time. A sample's identity is (series, t): the first one stored wins, so a repeat changes nothing.

When a device's newest frame has another layout than the one before, the series that it lacks get a staleness marker at
its time. Frames from the future wait and enter when their time comes.
"""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

from collector.series.catalog import ABSENT_BYTES, VALUE_BYTES, DeviceFrame, Layout, Template
from collector.series.labels import Strings, Target
from collector.series.last import LastPool
from collector.series.log.format import End
from collector.series.read import ABSENT, STALE, Latest, Matcher, Milliseconds, Samples, Selection, Times, Values
from collector.series.rings import MAX_DEPTH, NEVER, Block, RingPool, depth_class, depth_for, merged
from collector.series.slots import Slots
from collector.series.table import NOWHERE, SeriesTable
from protocol.wire import MAX_AHEAD_SECONDS

logger = logging.getLogger(__name__)

Windows = Mapping[str | None, float]  # metric name to the seconds of history that rules read; None: all other names

LAST_POOL = 0  # in SeriesTable.pool_of; rings have their depth there
MAX_WINDOW_MS = 2 * 3600 * 1000
MAX_SPACING_SECONDS = 120  # longer ones are gaps
SLACK_MS = 120_000  # an evaluation may stand so far behind the newest sample and still see its whole window
MAX_AHEAD_MS = int(MAX_AHEAD_SECONDS * 1000)
MAX_CACHED_SELECTIONS = 4_096
ROUNDS = 4  # a device's frames beyond so many in one batch are merged at once instead of one by one


def keep_ms(window_seconds: float, lookback_ms: Milliseconds) -> Milliseconds:
    """How far back samples are kept that rules read so far back, infinity included; 0: only the newest."""
    if window_seconds <= 0:
        return 0
    return max(int(min(MAX_WINDOW_MS, window_seconds * 1000)), lookback_ms) + SLACK_MS


@dataclass(frozen=True, slots=True)
class HeadLimits:
    lookback_ms: Milliseconds = 300_000  # Prometheus's default
    silent_ms: Milliseconds = 2 * 3600 * 1000  # series without a sample for so long are freed
    expected_interval_ms: Milliseconds = 60_000  # rings of new series are made for this push interval
    max_series: int = 5_000_000
    max_series_per_stream: int = 2_000
    max_ahead_frames_per_stream: int = 240


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """What a selection holds: rows, and how often each had been given out when it was picked, so that a row that has
    since become another series is not mistaken for the old one."""

    head: "Head"
    rows: Slots
    births: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Freshness:
    """What is known of a device's pushes."""

    newest_ms: Milliseconds | None  # time of its newest frame; None: none yet
    received_ms: Milliseconds  # when its last frame came in
    interval_seconds: float  # the usual distance of its frames, 1 to 120


@dataclass(slots=True)
class HeadCounters:
    samples: int = 0
    late_frames: int = 0
    frames_ahead_refused: int = 0  # more frames from the future than may wait
    series_refused: int = 0  # beyond the limit on all series
    samples_overwritten: int = 0  # rings at their greatest depth that still were too short


@dataclass(slots=True, eq=False)
class Stream:
    """The series that one sender's frames about one device feed."""

    key: tuple[Target, str]
    index: int
    layout: Layout | None = None  # of the newest frame
    newest: Milliseconds = NEVER  # time of the newest frame
    horizon: Milliseconds = NEVER  # time of what is newest in the rings: a frame, or the end of the device
    received: Milliseconds = NEVER
    spacings: tuple[int, int, int] = (60, 60, 60)  # of the last frames, in whole seconds, rounded up
    rows: Slots = field(default_factory=lambda: np.empty(0, dtype=np.int32))  # all rows, those that left included
    left: dict[int, Milliseconds] = field(default_factory=dict)  # rows not in the layout: since when
    last_slots: Slots = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    last_positions: Slots = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    blocks: tuple[Block, ...] = ()
    ahead: tuple[DeviceFrame, ...] = ()  # frames from the future


class Head:
    """Written by one thread, read by any: `lock` is held for the few milliseconds that either takes."""

    def __init__(self, strings: Strings, windows: Windows, limits: HeadLimits) -> None:
        self.lock = threading.Lock()
        self.windows = windows
        self.limits = limits
        self.counters = HeadCounters()
        self.table = SeriesTable(strings)
        self.last = LastPool()
        self.rings: dict[int, RingPool] = {}
        self.streams: dict[tuple[Target, str], Stream] = {}
        self._bound: dict[int, Stream] = {}  # by the number of the stream's current layout
        self._by_device: dict[tuple[str, str], Stream] = {}  # the stream that a device's frames feed now
        self._selections: dict[tuple[Matcher, ...], tuple[Selection, int]] = {}  # with table.changes
        self._waiting: set[Stream] = set()  # streams with frames from the future
        self._positions: dict[int, Slots] = {}  # last_positions by the number of the template list

    # Reading

    @property
    def strings(self) -> Strings:
        return self.table.strings

    def select(self, matchers: tuple[Matcher, ...]) -> Selection:
        """The series that match; the same object as before if they are the same series."""
        with self.lock:
            changes = self.table.changes
            cached = self._selections.get(matchers)
            if cached is not None and cached[1] == changes:
                return cached[0]
            rows = self.table.matching(matchers)
            births = self.table.births[rows]
            if cached is not None:
                selection = cached[0]
                known = selection.handle
                assert isinstance(known, Picked)  # noqa: S101 - made below
                if not np.array_equal(known.rows, rows) or not np.array_equal(known.births, births):
                    cached = None
            if cached is None:
                if len(self._selections) >= MAX_CACHED_SELECTIONS:
                    del self._selections[next(iter(self._selections))]
                selection = Selection(self.table.labels(rows), Picked(self, rows, births))
            self._selections[matchers] = (selection, changes)
            return selection

    def latest(self, picked: Picked, at: Milliseconds, lookback: Milliseconds) -> Latest:
        times = np.full(len(picked.rows), NEVER, dtype=np.int64)
        values = np.empty(len(picked.rows))
        with self.lock:
            for pool, places, slots in self._places(picked):
                if pool == LAST_POOL:
                    times[places], values[places] = self.last.latest(slots, at)
                else:
                    times[places], values[places] = self.rings[pool].latest(slots, at, at - lookback)
        present = (times > at - lookback) & ~np.equal(values.view(np.uint64), STALE.view(np.uint64))
        return Latest(times, values, present)

    def samples(self, picked: Picked, start: Milliseconds, end: Milliseconds) -> Samples:
        with self.lock:
            parts = [
                (places, self.last.window(slots, start, end))
                if pool == LAST_POOL
                else (places, self.rings[pool].window(slots, start, end))
                for pool, places, slots in self._places(picked)
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

    def _places(self, picked: Picked) -> Iterable[tuple[int, Slots, Slots]]:
        """By pool: which of the picked rows stand there, and in which slots."""
        pools = self.table.pool_of[picked.rows].astype(np.int64)
        pools[self.table.births[picked.rows] != picked.births] = NOWHERE
        slots = self.table.slot_of[picked.rows]
        for pool in (np.flatnonzero(np.bincount(pools + 1)) - 1).tolist():
            if pool != NOWHERE:
                places = np.flatnonzero(pools == pool).astype(np.int32)
                yield pool, places, slots[places]

    # Freshness

    def freshness(self, device_id: str) -> Freshness | None:
        """What is known of a device's own pushes; None if it has been silent for so long that it was forgotten."""
        stream = self._by_device.get((device_id, ""))
        return None if stream is None else _freshness(stream)

    def freshness_all(self) -> dict[str, Freshness]:
        """The same of all devices, by device id."""
        return {
            device_id: _freshness(stream) for (device_id, name), stream in list(self._by_device.items()) if not name
        }

    @property
    def reach_ms(self) -> Milliseconds:
        """How far back the head may know anything."""
        return max(MAX_WINDOW_MS + SLACK_MS, self.limits.silent_ms)

    @property
    def frames_ahead(self) -> int:
        return sum(len(stream.ahead) for stream in self._waiting)

    # Writing

    def apply(self, frames: Sequence[DeviceFrame]) -> None:
        """Take frames in, in the order in which they arrived."""
        if not frames:
            return
        with self.lock:
            self._enter(max(frame.received for frame in frames))
            self._apply(self._not_ahead(frames))

    def tick(self, now: Milliseconds) -> None:
        """Take in what was ahead of its time and no longer is."""
        if self._waiting:
            with self.lock:
                self._enter(now)

    def end(self, end: End) -> None:
        """Write staleness markers for all series of a device's stream. Idempotent."""
        stream = self.streams.get((end.layout.target, end.layout.stream))
        if stream is None:
            return
        with self.lock:
            self._end_stream(stream, end.t)

    def end_of(self, device_id: str, at: Milliseconds) -> End | None:
        """The end to log for a device: at `at`, but behind its newest frame; None if it has ended already."""
        stream = self._by_device.get((device_id, ""))
        if stream is None or stream.layout is None or stream.horizon > stream.newest:
            return None
        return End(stream.layout, max(at, stream.newest + 1))

    def sweep(self, now: Milliseconds) -> None:
        """Free the series that have had no sample for long."""
        oldest = now - self.limits.silent_ms
        with self.lock:
            for stream in list(self.streams.values()):
                if max(stream.newest, stream.received) < oldest and not stream.ahead:
                    self._drop(stream)
                elif stream.left and min(stream.left.values()) < oldest:
                    gone = [row for row, since in stream.left.items() if since < oldest]
                    self._remove_rows(stream, np.array(gone, dtype=np.int32))
                    self.rebind(stream)
            self.table.drop_unused_templates()
            self._positions.clear()

    # For the checkpoint

    def add_stream(self, key: tuple[Target, str]) -> Stream:
        expected = self.limits.expected_interval_ms // 1000
        stream = Stream(key, self.table.add_stream(key[0]), spacings=(expected, expected, expected))
        self.streams[key] = stream
        return stream

    def feed(self, stream: Stream) -> None:
        """Say that the device's frames go to this stream now."""
        target, name = stream.key
        self._by_device[target.device_id, name] = stream

    def is_fed(self, stream: Stream) -> bool:
        target, name = stream.key
        return self._by_device.get((target.device_id, name)) is stream

    def wait(self, stream: Stream, frame: DeviceFrame) -> None:
        """Keep a frame until its time comes."""
        stream.ahead = (*stream.ahead, frame)
        self._waiting.add(stream)

    def rebind(self, stream: Stream) -> None:
        """Make a stream with a layout ready for its next frame."""
        if stream.layout is not None:
            self._bound[stream.layout.number] = stream
            self._bind(stream, stream.layout)

    def is_deepened_by(self, windows: Windows) -> bool:
        """Whether `windows` asks for more than is kept now."""
        names = {None, *windows, *self.windows}
        return any(self._keep_ms(name, windows) > self._keep_ms(name, self.windows) for name in names)

    def _not_ahead(self, frames: Sequence[DeviceFrame]) -> Sequence[DeviceFrame]:
        """Without the frames from the future, which wait."""
        if all(frame.t <= frame.received + MAX_AHEAD_MS for frame in frames):
            return frames
        now: list[DeviceFrame] = []
        for frame in frames:
            if frame.t <= frame.received + MAX_AHEAD_MS:
                now.append(frame)
                continue
            stream = self._stream_of(frame.layout)
            stream.received = max(stream.received, frame.received)
            if len(stream.ahead) < self.limits.max_ahead_frames_per_stream:
                self.wait(stream, frame)
            else:
                self.counters.frames_ahead_refused += 1
        return now

    def _enter(self, now: Milliseconds) -> None:
        due: list[DeviceFrame] = []
        for stream in list(self._waiting):
            due += [frame for frame in stream.ahead if frame.t <= now + MAX_AHEAD_MS]
            stream.ahead = tuple(frame for frame in stream.ahead if frame.t > now + MAX_AHEAD_MS)
            if not stream.ahead:
                self._waiting.discard(stream)
        self._apply(due)

    def _apply(self, frames: Sequence[DeviceFrame]) -> None:
        """Rounds: each takes at most one frame of each stream, so that one operation takes all of them."""
        pending = frames
        for _ in range(ROUNDS):
            if not pending:
                return
            newer: list[tuple[Stream, DeviceFrame]] = []
            other: list[tuple[Stream, DeviceFrame]] = []
            rest: list[DeviceFrame] = []
            taken: set[Stream] = set()
            for frame in pending:
                stream = self._bound.get(frame.layout.number)
                if stream is None:
                    stream = self._stream_of(frame.layout)
                    group = other
                else:
                    group = newer if frame.t > stream.horizon else other
                if stream in taken:
                    rest.append(frame)
                else:
                    taken.add(stream)
                    group.append((stream, frame))
            if newer:
                self._append_newer(newer)
            for stream, frame in other:
                self._take_in(stream, [frame])
            pending = rest
        by_stream: dict[Stream, list[DeviceFrame]] = {}
        for frame in pending:
            by_stream.setdefault(self._stream_of(frame.layout), []).append(frame)
        for stream, of_stream in by_stream.items():
            self._take_in(stream, of_stream)

    def _stream_of(self, layout: Layout) -> Stream:
        key = (layout.target, layout.stream)
        stream = self.streams.get(key)
        if stream is None:
            stream = self.add_stream(key)
        return stream

    def _append_newer(self, group: list[tuple[Stream, DeviceFrame]]) -> None:
        """One frame of each stream, newer than what it has and of the layout that it has."""
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
        for stream, frame in group:
            self._note(stream, frame)
        self.counters.samples += len(flat) - 1

    def _note(self, stream: Stream, frame: DeviceFrame) -> None:
        """Remember when a newer frame of a stream was and came."""
        if stream.newest != NEVER:
            spacing = min(MAX_SPACING_SECONDS, -((stream.newest - frame.t) // 1000))
            stream.spacings = (stream.spacings[1], stream.spacings[2], spacing)
        stream.newest = frame.t
        stream.horizon = max(stream.horizon, frame.t)
        stream.received = max(stream.received, frame.received)

    def _make_room(self, group: list[tuple[Stream, DeviceFrame]]) -> None:
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
                    self.counters.samples_overwritten += len(block.slots)
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

    def ring_pool(self, depth: int) -> RingPool:
        pool = self.rings.get(depth)
        if pool is None:
            pool = self.rings[depth] = RingPool(depth)
        return pool

    # One stream at a time

    def _take_in(self, stream: Stream, frames: Sequence[DeviceFrame]) -> None:
        """Frames of one stream in the order in which they came, whatever their times and layouts."""
        run: list[DeviceFrame] = []
        for frame in frames:
            is_newer = frame.t > stream.horizon
            changes = is_newer and frame.layout is not stream.layout
            if run and (changes or frame.layout is not run[-1].layout):
                self._merge(stream, run)
                run = []
            if changes:
                self._change_layout(stream, frame)
            if frame.t > stream.newest:
                self._note(stream, frame)
            stream.received = max(stream.received, frame.received)
            self.counters.late_frames += not is_newer
            run.append(frame)
        self._merge(stream, run)

    def _change_layout(self, stream: Stream, frame: DeviceFrame) -> None:
        """The newest frame has another layout: what it lacks ends at its time."""
        known = self._known_rows(stream)
        numbers = set(frame.layout.series.numbers.tolist())
        leaving = [row for number, row in known.items() if number not in numbers and row not in stream.left]
        self._mark_stale(stream, np.array(leaving, dtype=np.int32), frame.t)
        staying = {known[number] for number in numbers & known.keys()}
        stream.left = {row: since for row, since in stream.left.items() if row not in staying}
        stream.left.update(dict.fromkeys(leaving, frame.t))
        self._take_over(stream, frame.t)
        self._unbind(stream)
        stream.layout = frame.layout
        self._make_space(stream, len(numbers - known.keys()))
        self.rebind(stream)

    def _take_over(self, stream: Stream, t: Milliseconds) -> None:
        """A device that moved to another site or customer has other series from now on; the old ones end."""
        target, name = stream.key
        before = self._by_device.get((target.device_id, name))
        if before is not None and before is not stream:
            self._end_stream(before, t)
            self._unbind(before)
        self.feed(stream)

    def _unbind(self, stream: Stream) -> None:
        if stream.layout is not None:
            self._bound.pop(stream.layout.number, None)
            stream.layout = None

    def _end_stream(self, stream: Stream, t: Milliseconds) -> None:
        self._mark_stale(stream, stream.rows[~np.isin(stream.rows, list(stream.left))], t)
        stream.horizon = max(stream.horizon, t)

    def _make_space(self, stream: Stream, coming: int) -> None:
        """Free at once the series that left, oldest first, where the stream would otherwise have too many."""
        excess = len(stream.rows) + coming - self.limits.max_series_per_stream
        if excess > 0 and stream.left:
            oldest_first = sorted(stream.left, key=stream.left.__getitem__)
            self._remove_rows(stream, np.array(oldest_first[:excess], dtype=np.int32))

    def _bind(self, stream: Stream, layout: Layout) -> None:
        """Work out where the values of the stream's layout go."""
        rows = self._rows_for(stream, layout)
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

    def _known_rows(self, stream: Stream) -> dict[int, int]:
        """Rows of a stream by the numbers of their templates."""
        return dict(zip(self.table.numbers(stream.rows), stream.rows.tolist(), strict=True))

    def _rows_for(self, stream: Stream, layout: Layout) -> Slots:
        """The rows of a layout's series in frame order, new ones where needed; -1 where there may be no more."""
        known = self._known_rows(stream)
        missing = [template for template in layout.series.templates if template.number not in known]
        room = self.limits.max_series - len(self.table)
        if stream.key[1] == "":
            room = min(room, self.limits.max_series_per_stream - len(stream.rows))
        if len(missing) > room:
            self.counters.series_refused += len(missing) - max(0, room)
            missing = missing[: max(0, room)]
        if missing:
            rows = self._add_rows(stream, missing)
            known.update(zip((template.number for template in missing), rows.tolist(), strict=True))
        return np.array([known.get(number, -1) for number in layout.series.numbers.tolist()], dtype=np.int32)

    def _add_rows(self, stream: Stream, templates: Sequence[Template]) -> Slots:
        rows = self.table.add(stream.index, templates)
        stream.rows = np.concatenate((stream.rows, rows))
        keeps = np.array([self._keep_ms(template.name, self.windows) for template in templates])
        for keep in np.unique(keeps).tolist():
            of_keep = rows[keeps == keep]
            if keep == 0:
                self.table.place(of_keep, LAST_POOL, self.last.take(len(of_keep)))
                continue
            block = next((block for block in stream.blocks if block.keep == keep), None)
            if block is None:
                pool = self.ring_pool(depth_for(keep, self.limits.expected_interval_ms))
                empty = np.empty(0, dtype=np.int32)
                block = Block(pool, pool.add_block(keep), keep, empty, empty, empty)
                stream.blocks = (*stream.blocks, block)
            slots = block.pool.add_rows(np.full(len(of_keep), block.index))
            block.rows = np.concatenate((block.rows, of_keep))
            block.slots = np.concatenate((block.slots, slots))
            block.positions = np.concatenate((block.positions, np.full(len(slots), -1, dtype=np.int32)))
            self.table.place(of_keep, block.pool.depth, slots)
        return rows

    def _keep_ms(self, name: str | None, windows: Windows) -> Milliseconds:
        """How far back a metric's samples are kept; 0: only the newest."""
        return keep_ms(windows.get(name, windows.get(None, 0.0)), self.limits.lookback_ms)

    def _mark_stale(self, stream: Stream, rows: Slots, t: Milliseconds) -> None:
        if len(rows) == 0:
            return
        slots = self.table.slot_of[rows[self.table.pool_of[rows] == LAST_POOL]]
        self.last.update(slots, np.full(len(slots), t), np.full(len(slots), STALE))
        for block in stream.blocks:
            ending = np.isin(block.rows, rows)
            if ending.any():
                self._merge_block(block, np.array([t]), np.where(ending, STALE, ABSENT)[:, None])

    def _merge(self, stream: Stream, frames: Sequence[DeviceFrame]) -> None:
        """Frames of one layout, whatever their times, among what the stream has."""
        if not frames:
            return
        layout = frames[0].layout
        had = len(stream.rows)
        rows = self._rows_for(stream, layout)
        if len(stream.rows) > had:
            self._end_unknown(stream, stream.rows[had:])
        times = np.array([frame.t for frame in frames])
        matrix = np.frombuffer(b"".join([frame.values for frame in frames])).reshape(len(frames), len(rows))
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
        self.counters.samples += matrix.size

    def _end_unknown(self, stream: Stream, rows: Slots) -> None:
        """Series that only late frames have: they ended before the newest frame, which lacks them."""
        stream.left.update(dict.fromkeys(rows.tolist(), stream.horizon))
        self._mark_stale(stream, rows, stream.horizon)

    def _merge_block(self, block: Block, times: Times, values: Values) -> None:
        old_times, old_values = block.pool.contents(block.index, block.slots)
        new_times, new_values = merged(old_times, old_values, times, values)
        needed = int((new_times > new_times[-1] - block.keep).sum())
        if needed > MAX_DEPTH:
            self.counters.samples_overwritten += (needed - MAX_DEPTH) * len(block.slots)
        self._fill(block, new_times, new_values, depth_class(needed))

    def _remove_rows(self, stream: Stream, rows: Slots) -> None:
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

    def _drop(self, stream: Stream) -> None:
        self._remove_rows(stream, stream.rows)
        self.table.remove_stream(stream.index)
        self._unbind(stream)
        del self.streams[stream.key]
        target, name = stream.key
        if self._by_device.get((target.device_id, name)) is stream:
            del self._by_device[target.device_id, name]


def _freshness(stream: Stream) -> Freshness:
    newest = None if stream.newest == NEVER else stream.newest
    return Freshness(newest, stream.received, float(median(stream.spacings)))
