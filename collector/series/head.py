"""The head: the recent samples of all series in memory, a cache of the log.

This decides which frame goes where; `Pools` holds the samples. A sample's identity is (series, t): the first one stored
wins, so a repeat changes nothing.

When a device's newest frame has another layout than the one before, the series that it lacks get a staleness marker at
its time. Frames from the future wait and enter when their time comes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collector.series.catalog import VALUE_BYTES, DeviceFrame, Layout, TemplateList
from collector.series.keeping import MAX_WINDOW_MS, SLACK_MS, HeadLimits, Windows, is_deeper, keep_of
from collector.series.labels import Strings, Target
from collector.series.log.format import End
from collector.series.pools import Pools, Shares
from collector.series.read import Milliseconds
from collector.series.slots import Slots
from collector.series.stream import Freshness, LateSpan, Stream
from protocol.wire import MAX_AHEAD_SECONDS

MAX_AHEAD_MS = int(MAX_AHEAD_SECONDS * 1000)
LATE_MS = 150_000  # what comes longer after its time was kept somewhere: two frames are 120 s apart at the most
ROUNDS = 4  # a device's frames beyond so many in one batch are merged at once instead of one by one


@dataclass(slots=True)
class HeadCounters:
    samples: int = 0
    late_frames: int = 0
    frames_ahead_refused: int = 0  # more frames from the future than may wait
    series_refused: int = 0  # beyond the limit on all series


class Head:
    """Written by one thread, which holds the lock of `pools` for the few milliseconds that it takes; read by any."""

    def __init__(self, strings: Strings, windows: Windows, limits: HeadLimits) -> None:
        self.windows = windows
        self.limits = limits
        self.counters = HeadCounters()
        self.pools = Pools(strings, limits.expected_interval_ms)
        self.streams: dict[tuple[Target, str], Stream] = {}
        self._bound: dict[int, Stream] = {}  # by the number of the stream's current layout
        self._by_device: dict[tuple[str, str], Stream] = {}  # the stream that a device's frames feed now
        self._waiting: set[Stream] = set()  # streams with frames from the future
        self._shares: dict[int, Shares] = {}  # by the number of the template list, for `_shares_for`
        self._shares_for = windows

    @property
    def strings(self) -> Strings:
        return self.pools.table.strings

    # Freshness

    def freshness(self, device_id: str) -> Freshness | None:
        """What is known of a device's own pushes; None if it has been silent for so long that it was forgotten."""
        stream = self._by_device.get((device_id, ""))
        return None if stream is None else stream.freshness

    def freshness_all(self) -> dict[str, Freshness]:
        """The same of all devices, by device id."""
        return {device_id: stream.freshness for (device_id, name), stream in list(self._by_device.items()) if not name}

    def late_spans(self, received_before: Milliseconds) -> dict[str, LateSpan]:
        """By device, what came late and has come to its end: nothing of the kind was received since."""
        found: dict[str, LateSpan] = {}
        for stream in list(self.streams.values()):
            span = stream.late
            if span is not None and span.received_ms < received_before:
                found[stream.key[0].device_id] = span
        return found

    def forget_late(self, spans: Mapping[str, LateSpan]) -> None:
        """They were looked at; what came since stays. For the thread that writes."""
        for stream in self.streams.values():
            if stream.late is not None and spans.get(stream.key[0].device_id) == stream.late:
                stream.late = None

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
        with self.pools.lock:
            self._enter(max(frame.received for frame in frames))
            self._apply(self._not_ahead(frames))
            for frame in frames:
                if frame.received - frame.t > LATE_MS and not frame.layout.stream:
                    self._stream_of(frame.layout).note_late(frame)

    def tick(self, now: Milliseconds) -> None:
        """Take in what was ahead of its time and no longer is."""
        if self._waiting:
            with self.pools.lock:
                self._enter(now)

    def end(self, end: End) -> None:
        """Write staleness markers for all series of a device's stream. Idempotent."""
        stream = self.streams.get((end.layout.target, end.layout.stream))
        if stream is None:
            return
        with self.pools.lock:
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
        with self.pools.lock:
            for stream in list(self.streams.values()):
                if max(stream.newest, stream.received) < oldest and not stream.ahead:
                    self._drop(stream)
                elif stream.left and min(stream.left.values()) < oldest:
                    gone = [row for row, since in stream.left.items() if since < oldest]
                    self.pools.remove(stream, np.array(gone, dtype=np.int32))
                    self.rebind(stream)
            self.pools.tidy()
            self._shares.clear()

    # For the checkpoint

    def add_stream(self, key: tuple[Target, str]) -> Stream:
        expected = self.limits.expected_interval_ms // 1000
        stream = Stream(key, self.pools.table.add_stream(key[0]), spacings=(expected, expected, expected))
        self.streams[key] = stream
        return stream

    def feed(self, stream: Stream) -> None:
        """Say that the device's frames go to this stream now."""
        self._by_device[_owner(stream)] = stream

    def is_fed(self, stream: Stream) -> bool:
        return self._by_device.get(_owner(stream)) is stream

    def wait(self, stream: Stream, frame: DeviceFrame) -> None:
        """Keep a frame until its time comes."""
        stream.ahead = (*stream.ahead, frame)
        self._waiting.add(stream)

    def rebind(self, stream: Stream) -> None:
        """Make a stream with a layout ready for its next frame."""
        if stream.layout is not None:
            self._bound[stream.layout.number] = stream
            self.pools.bind(stream, stream.layout, self._rows_for(stream, stream.layout))

    def is_deepened_by(self, windows: Windows) -> bool:
        """Whether `windows` asks for more than is kept now."""
        return is_deeper(windows, self.windows, self.limits.lookback_ms)

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
            stream.received = frame.received
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
                    continue
                taken.add(stream)
                if len(stream.rows) == 0 and frame.t > stream.horizon and frame.layout is not stream.layout:
                    # A new device: there is nothing to merge its frame with.
                    self._change_layout(stream, frame)
                    group = newer
                group.append((stream, frame))
            if newer:
                self.pools.append(newer)
                for stream, frame in newer:
                    stream.note(frame)
                    self.counters.samples += len(frame.values) // VALUE_BYTES
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
                stream.note(frame)
            stream.received = frame.received
            self.counters.late_frames += not is_newer
            run.append(frame)
        self._merge(stream, run)

    def _change_layout(self, stream: Stream, frame: DeviceFrame) -> None:
        """The newest frame has another layout: what it lacks ends at its time."""
        known = self._known_rows(stream)
        numbers = set(frame.layout.series.numbers.tolist())
        leaving = [row for number, row in known.items() if number not in numbers and row not in stream.left]
        self.pools.mark_stale(stream, np.array(leaving, dtype=np.int32), frame.t)
        staying = {known[number] for number in numbers & known.keys()}
        stream.left = {row: since for row, since in stream.left.items() if row not in staying}
        stream.left.update(dict.fromkeys(leaving, frame.t))
        self._take_over(stream, frame.t)
        self._unbind(stream)
        stream.layout = frame.layout
        if len(stream.rows) == 0 and len(numbers) <= self._room(stream):
            self._bound[frame.layout.number] = stream
            self.pools.begin(stream, frame.layout.series, self._shares_of(frame.layout.series))
            return
        self._make_space(stream, len(numbers - known.keys()))
        self.rebind(stream)

    def _take_over(self, stream: Stream, t: Milliseconds) -> None:
        """A device that moved to another site or customer has other series from now on; the old ones end."""
        before = self._by_device.get(_owner(stream))
        if before is not None and before is not stream:
            self._end_stream(before, t)
            self._unbind(before)
        self.feed(stream)

    def _unbind(self, stream: Stream) -> None:
        if stream.layout is not None:
            self._bound.pop(stream.layout.number, None)
            stream.layout = None

    def _end_stream(self, stream: Stream, t: Milliseconds) -> None:
        self.pools.mark_stale(stream, stream.rows[~np.isin(stream.rows, list(stream.left))], t)
        stream.horizon = max(stream.horizon, t)

    def _make_space(self, stream: Stream, coming: int) -> None:
        """Free at once the series that left, oldest first, where the stream would otherwise have too many."""
        excess = len(stream.rows) + coming - self.limits.max_series_per_stream
        if excess > 0 and stream.left:
            oldest_first = sorted(stream.left, key=stream.left.__getitem__)
            self.pools.remove(stream, np.array(oldest_first[:excess], dtype=np.int32))

    def _known_rows(self, stream: Stream) -> dict[int, int]:
        """Rows of a stream by the numbers of their templates."""
        return dict(zip(self.pools.table.numbers(stream.rows), stream.rows.tolist(), strict=True))

    def _rows_for(self, stream: Stream, layout: Layout) -> Slots:
        """The rows of a layout's series in frame order, new ones where needed; -1 where there may be no more."""
        known = self._known_rows(stream)
        missing = [template for template in layout.series.templates if template.number not in known]
        room = self._room(stream)
        if len(missing) > room:
            self.counters.series_refused += len(missing) - max(0, room)
            missing = missing[: max(0, room)]
        if missing:
            lookback = self.limits.lookback_ms
            keeps = np.array([keep_of(template.name, self.windows, lookback) for template in missing])
            rows = self.pools.add(stream, missing, keeps)
            known.update(zip((template.number for template in missing), rows.tolist(), strict=True))
        return np.array([known.get(number, -1) for number in layout.series.numbers.tolist()], dtype=np.int32)

    def _room(self, stream: Stream) -> int:
        """How many more series it may have."""
        room = self.limits.max_series - len(self.pools.table)
        return room if stream.key[1] else min(room, self.limits.max_series_per_stream - len(stream.rows))

    def _shares_of(self, series: TemplateList) -> Shares:
        """Which of the series are kept how long; many devices have the same list."""
        if self._shares_for is not self.windows:
            self._shares, self._shares_for = {}, self.windows
        found = self._shares.get(series.number)
        if found is None:
            lookback = self.limits.lookback_ms
            keeps = np.array([keep_of(one.name, self.windows, lookback) for one in series.templates], dtype=np.int64)
            found = tuple((keep, np.flatnonzero(keeps == keep).astype(np.int32)) for keep in np.unique(keeps).tolist())
            self._shares[series.number] = found
        return found

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
        self.pools.merge(stream, rows, times, matrix)
        self.counters.samples += matrix.size

    def _end_unknown(self, stream: Stream, rows: Slots) -> None:
        """Series that only late frames have: they ended before the newest frame, which lacks them."""
        stream.left.update(dict.fromkeys(rows.tolist(), stream.horizon))
        self.pools.mark_stale(stream, rows, stream.horizon)

    def _drop(self, stream: Stream) -> None:
        self.pools.remove(stream, stream.rows)
        self.pools.table.remove_stream(stream.index)
        self._unbind(stream)
        del self.streams[stream.key]
        if self.is_fed(stream):
            del self._by_device[_owner(stream)]


def _owner(stream: Stream) -> tuple[str, str]:
    """Whose frames feed the stream: a device's, wherever it stands; what belongs to no device stays where it is."""
    target, name = stream.key
    return target.device_id or f"{target.customer}/{target.site}/{target.kind}", name
