"""What the reader says of a printer: its series as a layout and values, and what happened to it."""

from typing import TypedDict

from agent.frames import FrameBuilder
from agent.printers.exchange import TABLES_INTERVAL_SECONDS
from agent.printers.metrics import REACHABLE, state_samples, table_samples
from agent.printers.polling import PrinterPoll
from agent.printers.reading import Reading
from agent.probes.base import Sample
from protocol.wire import STALE_AFTER_INTERVALS, EventType, Layout

MAX_EVENTS_AT_ONCE = 20
COUNTED = ("printer_pages_total", "printer_uptime_seconds")


class Line(TypedDict):
    device_id: str
    layout: Layout | str
    v: list[float | None]
    interval_seconds: float
    events: list[dict[str, object]]


class Teller:
    """Of one printer: says its layout when it is another than before, and what it is when that changes."""

    def __init__(self, device_id: str, interval_seconds: float) -> None:
        self._device_id = device_id
        self._interval_seconds = interval_seconds
        self._layout_id = ""
        self._refusal = ""
        self._seen: dict[str, object] = {}

    def tell(self, poll: PrinterPoll, now: float) -> Line:
        layout, frame = FrameBuilder().build(self._samples(poll, now), 0)
        is_known = layout["id"] == self._layout_id
        self._layout_id = layout["id"]
        return Line(
            device_id=self._device_id,
            layout=layout["id"] if is_known else layout,
            v=frame["v"],
            interval_seconds=self._interval_seconds,
            events=self._events(poll),
        )

    def _samples(self, poll: PrinterPoll, now: float) -> list[Sample]:
        """The last reading of each part until it is three of its intervals old, then as not known."""
        state, tables = list(state_samples(poll.reading)), list(table_samples(poll.reading))
        for known_at, names in ((poll.state_at, None), (poll.counted_at, COUNTED)):
            if now - known_at >= STALE_AFTER_INTERVALS * self._interval_seconds:
                state = [one._replace(value=None) if names is None or one.name in names else one for one in state]
        if now - poll.tables_at >= STALE_AFTER_INTERVALS * max(TABLES_INTERVAL_SECONDS, self._interval_seconds):
            tables = [sample._replace(value=None) for sample in tables]
        return [Sample(REACHABLE, float(poll.is_reachable)), *state, *tables]

    def _events(self, poll: PrinterPoll) -> list[dict[str, object]]:
        events: list[dict[str, object]] = [
            {
                "type": EventType.PRINTER_ALERT.value,
                "device_id": self._device_id,
                "group": alert.group,
                "group_index": alert.group_index,
                "code": alert.code,
                "description": alert.description,
            }
            for alert in poll.take_happened()[:MAX_EVENTS_AT_ONCE]
        ]
        if poll.refusal != self._refusal:
            self._refusal = poll.refusal
            if poll.refusal:
                events.append(
                    {"type": EventType.PRINTER_REFUSED.value, "device_id": self._device_id, "reason": poll.refusal}
                )
        seen = describe(poll.reading) | {"refusal": poll.refusal}
        if poll.is_reachable and seen != self._seen:
            self._seen = seen
            events.append({"type": EventType.PRINTER_SEEN.value, "device_id": self._device_id, **seen})
        return events


def describe(reading: Reading) -> dict[str, object]:
    """What a printer is, without what it is just doing."""
    return {
        "model": reading.model,
        "serial": reading.serial,
        "firmware": reading.firmware,
        "name": reading.name,
        "location": reading.location,
        "pages_unit": reading.pages_unit,
        "display": " | ".join(reading.console),
        "supplies": [
            {
                "index": one.index,
                "description": one.description,
                "type": one.type,
                "color": one.color,
                "unit": one.unit,
                "max_capacity": one.max_capacity,
            }
            for one in reading.supplies
        ],
        "trays": [
            {
                "index": one.index,
                "name": one.name or one.description,
                "media": one.media,
                "max_capacity": one.max_capacity,
            }
            for one in reading.trays
        ],
    }
