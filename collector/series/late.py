"""Which devices' samples came so late that what was remembered of their past no longer holds."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collector.series.catalog import DeviceFrame, Layout
from collector.series.log.format import End
from collector.series.read import Milliseconds

LATE_MS = 55 * 60_000  # received so long after its time; whoever remembers samples leaves out the last hour
MAX_DEVICES = 200_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """When a device's late samples were, both ends included, and the number of the newest arrival."""

    first: Milliseconds
    last: Milliseconds
    number: int


class LateFrames:
    """Noted by the thread that writes, read by any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0  # of arrivals
        self._forgotten = 0  # arrivals up to this number may not be known any more
        self._by_device: dict[str, Stretch] = {}  # in the order of their numbers

    @property
    def number(self) -> int:
        """Of the newest arrival: pass it to `since` to hear what came after."""
        return self._number

    def note(self, frames: Sequence[DeviceFrame]) -> None:
        """Look for late ones among frames that are on disk."""
        self._note([(frame.layout, frame.t) for frame in frames if frame.received - frame.t > LATE_MS])

    def note_ends(self, ends: Sequence[End], now: Milliseconds) -> None:
        """The same for ends of devices."""
        self._note([(end.layout, end.t) for end in ends if now - end.t > LATE_MS])

    def _note(self, late: Sequence[tuple[Layout, Milliseconds]]) -> None:
        if not late:
            return
        with self._lock:
            self._number += 1
            for layout, t in late:
                device = layout.target.device_id
                known = self._by_device.pop(device, Stretch(t, t, 0))
                self._by_device[device] = Stretch(min(known.first, t), max(known.last, t), self._number)
            while len(self._by_device) > MAX_DEVICES:
                self._forgotten = self._by_device.pop(next(iter(self._by_device))).number

    def since(self, number: int) -> Mapping[str, Stretch] | None:
        """The devices with late samples after arrival `number`; None if there were too many to know them all."""
        if number == self._number:
            return {}
        with self._lock:
            if number < self._forgotten:
                return None
            return {device: stretch for device, stretch in self._by_device.items() if stretch.number > number}
