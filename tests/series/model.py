"""What the store must say, worked out in the plainest way: dictionaries, one sample at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_AHEAD_MS = 60_000
STALE = "stale"

Value = float | str


@dataclass
class NaiveStream:
    layout: tuple[str, ...] | None = None
    newest: int | None = None
    horizon: int | None = None
    known: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    samples: dict[str, dict[int, Value]] = field(default_factory=dict)
    ahead: list[tuple[int, tuple[str, ...], Sequence[float | None]]] = field(default_factory=list)

    def put(self, series: str, t: int, value: Value) -> None:
        self.samples.setdefault(series, {}).setdefault(t, value)


class NaiveStore:
    def __init__(self) -> None:
        self.streams: dict[str, NaiveStream] = {}

    def append(self, device: str, layout: tuple[str, ...], t: int, values: Sequence[float | None], now: int) -> None:
        self.tick(now)
        stream = self.streams.setdefault(device, NaiveStream())
        if t > now + MAX_AHEAD_MS:
            stream.ahead.append((t, layout, values))
        else:
            self._take(stream, layout, t, values)

    def tick(self, now: int) -> None:
        for stream in self.streams.values():
            due = [frame for frame in stream.ahead if frame[0] <= now + MAX_AHEAD_MS]
            stream.ahead = [frame for frame in stream.ahead if frame[0] > now + MAX_AHEAD_MS]
            for t, layout, values in due:
                self._take(stream, layout, t, values)

    def end(self, device: str, at: int) -> None:
        stream = self.streams.get(device)
        if stream is None or stream.newest is None or stream.horizon is None or stream.horizon > stream.newest:
            return
        t = max(at, stream.newest + 1)
        for series in stream.known - stream.left:
            stream.put(series, t, STALE)
        stream.horizon = t

    def _take(self, stream: NaiveStream, layout: tuple[str, ...], t: int, values: Sequence[float | None]) -> None:
        if stream.horizon is None or t > stream.horizon:
            if layout != stream.layout:
                for series in stream.known - stream.left - set(layout):
                    stream.put(series, t, STALE)
                    stream.left.add(series)
                stream.left -= set(layout)
            stream.layout, stream.horizon = layout, t
        else:
            for series in set(layout) - stream.known:
                stream.put(series, stream.horizon, STALE)
                stream.left.add(series)
        stream.newest = t if stream.newest is None else max(stream.newest, t)
        stream.known |= set(layout)
        for series, value in zip(layout, values, strict=True):
            if value is not None:
                stream.put(series, t, value)
