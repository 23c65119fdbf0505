"""Pushes of agents, protocol version 1: what is stored, what is refused, and what the agent is told."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from collector.clock import Clock, to_milliseconds
from collector.ingest.budget import LayoutLimits
from collector.ingest.layouts import LayoutBook, RefusedLayout
from collector.ingest.plain import PlainFrame, PlainPush
from collector.series.catalog import VALUE_BYTES, DeviceFrame, pack_values
from collector.series.labels import Target
from collector.series.store import SampleStore
from protocol import wire
from protocol.errors import QuarkpulseError
from protocol.models import Event, Push

logger = logging.getLogger(__name__)

MAX_AGE_MS = int(wire.MAX_AGE_SECONDS * 1000)
MAX_AHEAD_MS = int(wire.MAX_AHEAD_SECONDS * 1000)
# A clock further ahead than the oldest frame may be behind is wrong beyond use; its frames would wait for days.
MAX_FUTURE_MS = MAX_AGE_MS


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose push it is, as its secret tells."""

    target: Target
    printers: Mapping[str, Target]  # that its configuration lists, by device id
    config_etag: str
    # Printers that it read before, and until when, in Unix milliseconds: what it took until then is still taken.
    former_printers: Mapping[str, tuple[Target, int]] = field(default_factory=dict)

    def printer(self, device: str, t: int) -> Target | None:
        """A printer that it reads, or read at time `t`."""
        found = self.printers.get(device)
        if found is None and device in self.former_printers:
            former, until = self.former_printers[device]
            found = former if t <= until else None
        return found


class EventSink(Protocol):
    """Who keeps events and inventories."""

    async def take(
        self, sender: Sender, events: Sequence[Event], inventory: Mapping[str, object] | None, received_ms: int
    ) -> None:
        """Return once they are durable. The same event may come twice."""
        ...


@dataclass(slots=True)
class IngestCounters:
    """What came in since the start."""

    pushes: int = 0
    pushes_without_layouts: int = 0  # answered with need_layouts
    frames: int = 0  # stored
    samples: int = 0  # values in them, nulls included
    events: int = 0
    layouts: int = 0
    frames_ahead: int = 0  # more than a minute ahead of the clock: stored, and they wait
    frames_too_old: int = 0
    frames_too_far_ahead: int = 0
    frames_of_unknown_device: int = 0
    frames_of_wrong_size: int = 0
    frames_with_dropped_series: int = 0
    frames_of_refused_layout: int = 0  # beyond what layouts may cost


class Ingest:
    """Takes pushes in. Used from one event loop."""

    def __init__(self, store: SampleStore, events: EventSink, clock: Clock, limits: LayoutLimits | None = None) -> None:
        self.counters = IngestCounters()
        self._store = store
        self._events = events
        self._clock = clock
        self._layouts = LayoutBook(store, limits or LayoutLimits())
        self._ahead: set[str] = set()  # devices whose newest frame was ahead of the clock

    async def push(self, sender: Sender, push: Push) -> wire.PushAnswer:
        """Store a push and answer it; the answer is given when all of it is durable.

        Raises what `SampleStore.append` and the event sink raise; the push is then to be sent again."""
        now = to_milliseconds(self._clock())
        if push.layouts:
            self._layouts.define(sender.target.device_id, push.layouts)
        self.counters.layouts += len(push.layouts)
        judged = self._judge(sender, [PlainFrame(f.device, f.layout, f.t, pack_values(f.v)) for f in push.frames], now)
        if judged.missing:
            return judged.answer(None, now, sender)
        if judged.frames:
            await self._store.append(judged.frames)
            self._count(judged.frames)
        if push.events or push.inventory is not None:
            await self._events.take(sender, push.events, push.inventory, now)
            self.counters.events += len(push.events)
        return judged.answer(push.seq, now, sender)

    def submit(self, sender: Sender, push: PlainPush, settle: Callable[[wire.PushAnswer | Exception], None]) -> None:
        """As `push`, without a task that waits: `settle` gets the answer, or what `push` would have raised."""
        now = to_milliseconds(self._clock())
        judged = self._judge(sender, push.frames, now)

        def stored(error: Exception | None) -> None:
            if error is None:
                self._count(judged.frames)
            settle(error or judged.answer(push.seq, now, sender))

        if judged.missing or not judged.frames:
            settle(judged.answer(None if judged.missing else push.seq, now, sender))
            return
        try:
            self._store.submit(judged.frames, stored)
        except QuarkpulseError as error:
            settle(error)

    def _count(self, frames: Sequence[DeviceFrame]) -> None:
        self.counters.frames += len(frames)
        self.counters.samples += sum(len(frame.values) for frame in frames) // VALUE_BYTES

    def _judge(self, sender: Sender, frames: Sequence[PlainFrame], now: int) -> "_Judged":
        """What is to be stored of a push, and what is not."""
        self.counters.pushes += 1
        device_id = sender.target.device_id
        judged = _Judged()
        for index, frame in enumerate(frames):
            target = sender.target
            if frame.device is not None and frame.device != device_id:
                printer = sender.printer(frame.device, frame.t)
                if printer is None:
                    self.counters.frames_of_unknown_device += 1
                    judged.refuse(index, f"this agent is not set to read {frame.device}")
                    continue
                target = printer
            found = self._layouts.find(device_id, target, frame.layout, now)
            if found is None:
                judged.missing.append(frame.layout)
                continue
            if isinstance(found, RefusedLayout):
                self.counters.frames_of_refused_layout += 1
                judged.refuse(index, found.reason)
                continue
            known, layout = found
            values = frame.values
            reason = self._why_not(frame, known.sent, now)
            if reason is not None:
                judged.refuse(index, reason)
                continue
            if known.kept is not None:
                values = np.frombuffer(values)[known.kept].tobytes()
                self.counters.frames_with_dropped_series += 1
                judged.refuse(index, known.dropped or "")
            if frame.t > now + MAX_AHEAD_MS or target.device_id in self._ahead:
                self._note_ahead(target.device_id, frame.t - now)
            judged.frames.append(DeviceFrame(layout, frame.t, now, values))
        if judged.missing:
            self.counters.pushes_without_layouts += 1
        return judged

    def _why_not(self, frame: PlainFrame, size: int, now: int) -> str | None:
        sent = len(frame.values) // VALUE_BYTES
        if sent != size:
            self.counters.frames_of_wrong_size += 1
            return f"{sent} values for a layout of {size} series"
        if frame.t < now - MAX_AGE_MS:
            self.counters.frames_too_old += 1
            return f"older than {wire.MAX_AGE_SECONDS / 86_400:.0f} days"
        if frame.t > now + MAX_FUTURE_MS:
            self.counters.frames_too_far_ahead += 1
            return "more than a week in the future: set the device's clock right"
        return None

    def _note_ahead(self, device_id: str, ahead_ms: int) -> None:
        """Count a frame from the future; say it when a device begins or ends to send such."""
        if ahead_ms <= MAX_AHEAD_MS:
            self._ahead.discard(device_id)
            logger.info("clock right again: device=%s", device_id)
            return
        self.counters.frames_ahead += 1
        if device_id not in self._ahead:
            self._ahead.add(device_id)
            logger.warning(
                "clock ahead, samples wait for their time: device=%s seconds=%.0f", device_id, ahead_ms / 1e3
            )


@dataclass(slots=True)
class _Judged:
    """What becomes of a push's frames."""

    frames: list[DeviceFrame] = field(default_factory=list)  # to be stored
    refused: list[wire.Refusal] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # layouts that are not known; then nothing is stored

    def refuse(self, index: int, reason: str) -> None:
        self.refused.append({"frame": index, "reason": reason})

    def answer(self, acked: int | None, now: int, sender: Sender) -> wire.PushAnswer:
        return {
            "acked": acked,
            "now": now,
            "need_layouts": list(dict.fromkeys(self.missing)),
            "refused": [] if self.missing else self.refused,
            "config_etag": sender.config_etag,
        }
