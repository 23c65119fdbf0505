"""What is known of one sender's frames about one device: their layout, when they came, and where their values go."""

from dataclasses import dataclass, field
from statistics import median

import numpy as np

from collector.series.catalog import DeviceFrame, Layout
from collector.series.labels import Target
from collector.series.read import NEVER, Milliseconds
from collector.series.rings import Block
from collector.series.slots import Slots

MAX_SPACING_SECONDS = 120  # longer ones are gaps


@dataclass(frozen=True, slots=True)
class Freshness:
    """What is known of a device's pushes."""

    newest_ms: Milliseconds | None  # time of its newest frame; None: none yet
    received_ms: Milliseconds  # when its last frame came in
    interval_seconds: float  # the usual distance of its frames, 1 to 120


@dataclass(frozen=True, slots=True)
class LateSpan:
    """Frames that came long after their time, such as those that an agent kept while it could not reach us."""

    first_ms: Milliseconds  # time of the oldest
    last_ms: Milliseconds  # of the newest
    received_ms: Milliseconds  # when the last of them came in

    def widened(self, t: Milliseconds, received: Milliseconds) -> "LateSpan":
        return LateSpan(min(self.first_ms, t), max(self.last_ms, t), max(self.received_ms, received))


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
    late: LateSpan | None = None  # those that nobody has looked at yet

    def note_late(self, frame: DeviceFrame) -> None:
        span = self.late or LateSpan(frame.t, frame.t, frame.received)
        self.late = span.widened(frame.t, frame.received)

    def note(self, frame: DeviceFrame) -> None:
        """Remember when a newer frame was and came."""
        if self.newest != NEVER:
            spacing = min(MAX_SPACING_SECONDS, -((self.newest - frame.t) // 1000))
            self.spacings = (self.spacings[1], self.spacings[2], spacing)
        self.newest = frame.t
        self.horizon = max(self.horizon, frame.t)
        self.received = max(self.received, frame.received)

    @property
    def freshness(self) -> Freshness:
        newest = None if self.newest == NEVER else self.newest
        return Freshness(newest, self.received, float(median(self.spacings)))
