"""Simulated devices: machines that are switched on and off, and the agents on them that sample, spool and push."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from collector.clock import to_milliseconds
from protocol import wire
from protocol.models import Event, Frame, Layout, Push, PushAnswer, Series
from tests.scenarios.moments import parse_duration
from tests.scenarios.story import Act, Ramp, Reading, Swing, series_of

BATCH_RECORDS = 100  # of the backlog in one push, as the agent's own delivery has it
STEP_BEYOND = timedelta(seconds=10)  # an agent's clock that is off by more is set at once
UPTIME = "system_uptime_seconds"


@dataclass(frozen=True, slots=True)
class Record:
    """What the spool holds of one moment."""

    frame: Frame | None
    event: Event | None
    layout: Layout | None


@dataclass(slots=True)
class SimulatedDevice:
    """One machine with its agent. `at` is always true time; the agent stamps with what it believes."""

    id: str
    push_interval: timedelta
    is_running: bool
    is_connected: bool = True
    booted_at: datetime | None = None
    reader: "SimulatedDevice | None" = None  # of a printer, which has no agent of its own
    clock_off_by: timedelta = timedelta(0)
    starts_at: datetime | None = None  # of a reboot
    spool: list[Record] = field(default_factory=list)
    _is_leaving: bool = False  # its last word goes out in this moment
    _readings: dict[str, tuple[Reading, datetime]] = field(default_factory=dict)
    _sampled_at: datetime | None = None
    _seq: int = 0
    _known_layouts: set[str] = field(default_factory=set)

    def act(self, act: Act, at: datetime, takes: timedelta) -> None:
        match act:
            case Act.START:
                self._boot(at)
            case Act.OPEN_LID:
                self.is_running = True
                self.booted_at = self.booted_at or at
            case Act.SHUT_DOWN:
                self._leave(at, "shutdown")
            case Act.REBOOT:
                self._leave(at, "shutdown")
                self.starts_at = at + takes
            case Act.CLOSE_LID:
                self._leave(at, "sleep")
            case Act.STOP_AGENT:
                self._leave(at, "stop")
            case Act.LOSE_POWER:
                self.is_running = False
            case Act.LEAVE_NETWORK:
                self.is_connected = False
            case Act.JOIN_NETWORK:
                self.is_connected = True

    def read(self, readings: Mapping[str, Reading], at: datetime) -> None:
        """From here on the probes find this."""
        self._readings.update({name: (reading, at) for name, reading in readings.items()})

    def is_due(self, at: datetime) -> bool:
        """Whether it does something at this time, if nobody touches it."""
        if self.starts_at is not None and at >= self.starts_at:
            return True
        return self.is_running and (self._sampled_at is None or at - self._sampled_at >= self.push_interval)

    def tick(self, at: datetime) -> None:
        """Samples if it is time to."""
        if self.starts_at is not None and at >= self.starts_at:
            self._boot(self.starts_at)
            self.starts_at = None
        if self.is_running and self.is_due(at):
            self._sampled_at = at
            if self.reader is None:
                self.spool.append(self._sample(at))
            elif self.reader.is_running:
                self.reader.spool.append(self._sample(at))

    def pushes(self, at: datetime) -> list[tuple[Push, list[Record]]]:
        """What it sends now: the newest record first, then the gap behind it, oldest first."""
        can_send = self.is_connected and (self.is_running or self._is_leaving)
        self._is_leaving = False
        if not self.spool or not can_send:
            return []
        *behind, newest = self.spool
        batches = [[newest], *(behind[start : start + BATCH_RECORDS] for start in range(0, len(behind), BATCH_RECORDS))]
        return [(self._push(batch, at), batch) for batch in batches if batch]

    def with_layouts(self, push: Push, records: Sequence[Record]) -> Push:
        """The same push, with the layouts that the collector asked for."""
        return push.model_copy(update={"layouts": _layouts(records)})

    def acknowledged(self, records: Sequence[Record], answer: PushAnswer, at: datetime) -> None:
        """The collector has these for good, and told its time."""
        taken = {id(record) for record in records}
        self.spool = [record for record in self.spool if id(record) not in taken]
        self._known_layouts |= {layout.id for layout in _layouts(records)}
        off_by = timedelta(milliseconds=answer.now - to_milliseconds(at))
        if abs(off_by - self.clock_off_by) > STEP_BEYOND:
            self.clock_off_by = off_by

    def _boot(self, at: datetime) -> None:
        self.is_running = True
        self.booted_at = at
        self._sampled_at = None

    def _leave(self, at: datetime, reason: str) -> None:
        if self.is_running:
            stamp = self._stamp(at)
            name = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.id} goodbye {stamp}")
            event = Event.model_validate({"id": str(name), "t": stamp, "type": "goodbye", "reason": reason})
            self.spool.append(Record(None, event, None))
            self._is_leaving = True
        self.is_running = False
        self._sampled_at = None

    def _stamp(self, at: datetime) -> int:
        return to_milliseconds(at + self.clock_off_by)

    def _sample(self, at: datetime) -> Record:
        booted = self.booted_at or at
        series: list[tuple[str, dict[str, str], float | None]] = []
        if self.reader is None:
            series.append((UPTIME, {}, (at - booted).total_seconds()))
        for name, (reading, since) in self._readings.items():
            series.append((*series_of(name), value_of(reading, at - since)))
        listed = [wire.Series(name=name, labels=labels) for name, labels, _ in series]
        layout = Layout(
            id=wire.layout_id(listed), series=[Series(name=name, labels=labels) for name, labels, _ in series]
        )
        frame = Frame(
            device=None if self.reader is None else self.id,
            layout=layout.id,
            t=(self.reader or self)._stamp(at),
            v=[value for *_, value in series],
        )
        return Record(frame, None, layout)

    def _push(self, records: Sequence[Record], at: datetime) -> Push:
        self._seq += 1
        boot = f"{self.id} {self.booted_at:%Y-%m-%d %H:%M}" if self.booted_at else self.id
        return Push(
            sent=self._stamp(at),
            boot=boot,
            spool=hashlib.sha256(self.id.encode()).hexdigest()[:16],
            seq=self._seq,
            layouts=[layout for layout in _layouts(records) if layout.id not in self._known_layouts],
            frames=[record.frame for record in records if record.frame],
            events=[record.event for record in records if record.event],
        )


def value_of(reading: Reading, after: timedelta) -> float | None:
    """What a reading is so long after it was set."""
    match reading:
        case Swing():
            return reading.swings[int(after / parse_duration(reading.every)) % len(reading.swings)]
        case Ramp():
            low, high = reading.climbs
            return low + (high - low) * min(1.0, after / parse_duration(reading.over))
        case _:
            return reading


def _layouts(records: Sequence[Record]) -> list[Layout]:
    return list({record.layout.id: record.layout for record in records if record.layout}.values())
