"""Pushes of agents, protocol version 1: what is stored, what is refused, and what the agent is told."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from collector.clock import Clock, to_milliseconds
from collector.ingest.budget import LayoutLimits
from collector.ingest.layouts import LayoutBook, RefusedLayout
from collector.series.catalog import DeviceFrame, pack_values
from collector.series.labels import Target
from collector.series.store import SampleStore
from protocol import wire
from protocol.models import Event, Frame, Push

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
        self.counters.pushes += 1
        device_id = sender.target.device_id
        if push.layouts:
            self._layouts.define(device_id, push.layouts)
        self.counters.layouts += len(push.layouts)
        frames: list[DeviceFrame] = []
        refused: list[wire.Refusal] = []
        missing: list[str] = []
        for index, frame in enumerate(push.frames):
            target = sender.target
            if frame.device is not None and frame.device != device_id:
                printer = sender.printers.get(frame.device)
                if printer is None:
                    self.counters.frames_of_unknown_device += 1
                    refused.append({"frame": index, "reason": f"this agent is not set to read {frame.device}"})
                    continue
                target = printer
            found = self._layouts.find(device_id, target, frame.layout, now)
            if found is None:
                missing.append(frame.layout)
                continue
            if isinstance(found, RefusedLayout):
                self.counters.frames_of_refused_layout += 1
                refused.append({"frame": index, "reason": found.reason})
                continue
            known, layout = found
            reason = self._why_not(frame, known.sent, now)
            if reason is not None:
                refused.append({"frame": index, "reason": reason})
                continue
            values = pack_values(frame.v)
            if known.kept is not None:
                values = np.frombuffer(values)[known.kept].tobytes()
                self.counters.frames_with_dropped_series += 1
                refused.append({"frame": index, "reason": known.dropped or ""})
            if frame.t > now + MAX_AHEAD_MS or target.device_id in self._ahead:
                self._note_ahead(target.device_id, frame.t - now)
            frames.append(DeviceFrame(layout, frame.t, now, values))
        if missing:
            self.counters.pushes_without_layouts += 1
            return _answer(None, now, list(dict.fromkeys(missing)), [], sender)
        if frames:
            await self._store.append(frames)
            self.counters.frames += len(frames)
            self.counters.samples += sum(len(frame.values) for frame in frames) // 8
        if push.events or push.inventory is not None:
            await self._events.take(sender, push.events, push.inventory, now)
            self.counters.events += len(push.events)
        return _answer(push.seq, now, [], refused, sender)

    def _why_not(self, frame: Frame, size: int, now: int) -> str | None:
        if len(frame.v) != size:
            self.counters.frames_of_wrong_size += 1
            return f"{len(frame.v)} values for a layout of {size} series"
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


def _answer(
    acked: int | None, now: int, need_layouts: list[str], refused: list[wire.Refusal], sender: Sender
) -> wire.PushAnswer:
    return {
        "acked": acked,
        "now": now,
        "need_layouts": need_layouts,
        "refused": refused,
        "config_etag": sender.config_etag,
    }
