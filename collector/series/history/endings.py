"""Where series end, worked out of the log as the head does it, so that history shows the same staleness markers.

The log says when a device ended. That a series ended because the device's next frame has another layout is told by the
order of frames alone, so what each stream's newest layout was is kept from segment to segment.
"""

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import orjson

from collector.series.catalog import Layout
from collector.series.history.index import SeriesIndex
from collector.series.history.rows import Ids, distinct_of
from collector.series.labels import Target
from collector.series.log.format import End
from collector.series.read import Milliseconds, Times
from collector.series.slots import Slots
from protocol.wire import MAX_AHEAD_SECONDS

MAX_AHEAD_MS = int(MAX_AHEAD_SECONDS * 1000)
FORGOTTEN_MS = 24 * 3600 * 1000  # streams silent for so long have ended, or will be new when they come back

StreamKey = tuple[Target, str]


class Marker(NamedTuple):
    """These series ended at `t`; it was stored before the frame `frame` of those that were seen together."""

    rows: Slots
    t: Milliseconds
    frame: int = 0


class FrameTimes(NamedTuple):
    """Frames in log order: `layouts` are places in a list of layouts; all of shape (n,)."""

    layouts: Ids
    times: Times
    received: Times


@dataclass(slots=True)
class _Stream:
    rows: Slots  # of the newest frame's layout
    horizon: Milliseconds


@dataclass(slots=True)
class Endings:
    """The newest layout of each stream, and which target each device's streams belong to now."""

    index: SeriesIndex
    _streams: dict[StreamKey, _Stream] = field(default_factory=dict)
    _fed: dict[tuple[str, str], Target] = field(default_factory=dict)

    def frames(self, layouts: list[Layout], frames: FrameTimes) -> list[Marker]:
        """What ends by these frames, which follow those seen before."""
        present = distinct_of(frames.layouts)
        inverse = np.searchsorted(present, frames.layouts)
        keys = [(layouts[place].target, layouts[place].stream) for place in present.tolist()]
        layouts_of = Counter(keys)
        newest = np.full(len(present), np.iinfo(np.int64).min)
        in_time = frames.times <= frames.received + MAX_AHEAD_MS
        np.maximum.at(newest, inverse[in_time], frames.times[in_time])
        restless = np.zeros(len(present), dtype=bool)
        for place, (key, number) in enumerate(zip(keys, present.tolist(), strict=True)):
            stream = self._streams.get(key)
            if (
                stream is not None
                and layouts_of[key] == 1
                and np.array_equal(stream.rows, self.index.rows_of(layouts[number]))
            ):
                stream.horizon = max(stream.horizon, int(newest[place]))
            else:
                restless[place] = True
        markers: list[Marker] = []
        for frame in np.flatnonzero(restless[inverse] & in_time).tolist():
            told = self._frame(layouts[int(frames.layouts[frame])], int(frames.times[frame]))
            markers += [marker._replace(frame=frame) for marker in told]
        return markers

    def end(self, end: End) -> list[Marker]:
        """What ends by a record of ENDS."""
        stream = self._streams.get((end.layout.target, end.layout.stream))
        if stream is None:
            return [Marker(self.index.rows_of(end.layout), end.t)]
        stream.horizon = max(stream.horizon, end.t)
        return [Marker(stream.rows, end.t)]

    def _frame(self, layout: Layout, t: Milliseconds) -> Iterator[Marker]:
        rows = self.index.rows_of(layout)
        key = (layout.target, layout.stream)
        stream = self._streams.get(key)
        if stream is not None and stream.rows is rows:  # as the frame before it, which is nearly always so
            stream.horizon = max(stream.horizon, t)
            return
        if stream is not None and t <= stream.horizon:  # late: what the newest layout lacks has ended before it
            ended = np.setdiff1d(rows, stream.rows)
            if len(ended):
                yield Marker(ended, stream.horizon)
            return
        if stream is not None:
            ended = np.setdiff1d(stream.rows, rows)
            if len(ended):
                yield Marker(ended, t)
        device = (layout.target.device_id, layout.stream)
        before = self._fed.get(device)
        if before is not None and before != layout.target:  # the device moved; its series there ended
            left = self._streams.pop((before, layout.stream), None)
            if left is not None:
                yield Marker(left.rows, t)
        self._fed[device] = layout.target
        self._streams[key] = _Stream(rows, t)

    # On disk

    def dump(self) -> bytes:
        """All of it as bytes, without the streams that are long silent."""
        newest = max((stream.horizon for stream in self._streams.values()), default=0)
        kept = {key: one for key, one in self._streams.items() if one.horizon > newest - FORGOTTEN_MS}
        keys = [
            [
                target.device_id,
                target.customer,
                target.site,
                target.kind,
                name,
                self._fed.get((target.device_id, name)) == target,
            ]
            for target, name in kept
        ]
        rows = [stream.rows for stream in kept.values()]
        out = io.BytesIO()
        np.savez_compressed(
            out,
            keys=np.frombuffer(orjson.dumps(keys), dtype=np.uint8),
            horizons=np.array([stream.horizon for stream in kept.values()], dtype=np.int64),
            sizes=np.array([len(one) for one in rows], dtype=np.int64),
            ids=self.index.ids(np.concatenate([np.empty(0, dtype=np.int32), *rows])),
        )
        return out.getvalue()

    @classmethod
    def load(cls, data: bytes, index: SeriesIndex) -> Self:
        """Raises ValueError and the like if `data` is not what `dump` gave."""
        endings = cls(index)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            keys = orjson.loads(arrays["keys"].tobytes())
            rows = np.split(index.rows_of_ids(arrays["ids"]), np.cumsum(arrays["sizes"])[:-1])
            for key, horizon, of_stream in zip(keys, arrays["horizons"].tolist(), rows, strict=False):
                *target, name, is_fed = key
                owner = Target(*target)
                endings._streams[owner, name] = _Stream(of_stream[of_stream >= 0], horizon)
                if is_fed:
                    endings._fed[owner.device_id, name] = owner
        return endings
