"""What is looked at for each frame: probes when they are due, printers, the agent itself; and what of it goes out."""

import logging
from collections.abc import Iterator, Sequence

from agent.clock import AgentClock
from agent.configuration import Configuration
from agent.events import Events, make_uuid
from agent.frames import FrameBuilder
from agent.hidden_names import HiddenNames
from agent.inventory.watch import InventoryProbe
from agent.loading import assemble_probes, turned_off
from agent.own import OwnMetrics
from agent.presence import PowerWatch
from agent.printers.supervision import PrinterSupervisor
from agent.probes.base import Sample
from agent.sampling import Sampler, Schedule
from agent.settings import SettingsError, load_settings
from agent.shedding import Caps, Shedder
from agent.spool import Record
from agent.state import StateFolder
from protocol.wire import EventType

logger = logging.getLogger(__name__)


class Measuring:
    """All that looks at this machine. The main thread alone calls it."""

    def __init__(
        self,
        folder: StateFolder,
        clock: AgentClock,
        events: Events,
        configuration: Configuration,
        own: OwnMetrics,
        *,
        with_printers: bool,
    ) -> None:
        """Raises StateError."""
        self._folder = folder
        self._clock = clock
        self._events = events
        self._configuration = configuration
        self._own = own
        self._with_printers = with_printers
        self._printers = PrinterSupervisor(clock.boot, make_uuid)
        self._inventory = InventoryProbe(folder, clock.now)
        self._off = turned_off(folder)
        self._sampler = self._make_sampler()
        self._power = PowerWatch()
        self._hidden_names = HiddenNames()
        self._frames = FrameBuilder()
        names = [*(one.name for one in self._sampler.schedules), "printers"]
        self._shedder = Shedder(self._load_caps(), [name for name in names if name not in self._off], self._on_shed)

    @property
    def schedules(self) -> Sequence[Schedule]:
        """Of the probes that are not turned off."""
        return self._sampler.schedules

    @property
    def shed(self) -> Sequence[str]:
        """What is left out because the agent weighs too much."""
        return self._shedder.shed

    @property
    def is_at_end(self) -> bool:
        """Whether the agent holds too much memory, with all left out: then only a new process is smaller."""
        return self._shedder.is_at_end

    def measure(self, push_interval_seconds: float) -> Record:
        """Read what is due. A record with the agent's own frame, and all that has happened since the last one."""
        reader = self._printers.weight()
        self._shedder.review(self._own.weight().and_of(*reader), self._clock.boot())
        self._sampler.configure(self._configuration.current, push_interval_seconds, self._shedder.shed)
        if self._with_printers:
            is_off = "printers" in (*self._off, *self._shedder.shed)
            self._printers.configure(() if is_off else self._configuration.current.printers)
        self._sampler.read_due(slack_seconds=push_interval_seconds / 2)
        now = self._clock.boot()
        samples = self._own.sample(self._sampler.schedules, now, self._shedder.shed, reader)
        for schedule in self._sampler.schedules:
            samples += last_reading(schedule, now)
        if not self._configuration.current.privacy["user_names"]:
            samples = self._hidden_names.hide(samples)
        source = self._power.changed_to(samples)
        if source is not None:
            self._events.add(EventType.POWER, source=source.value)
        for occurrence in self._sampler.take_occurrences():
            self._events.add(occurrence.type, **occurrence.details)
        layout, frame = self._frames.build(samples, self._clock.now_milliseconds())
        record = Record(layouts=[layout], frames=[frame], events=self._events.take())
        inventory = self._inventory.take()
        if inventory is not None:
            record["inventory"] = inventory
        return record

    def printer_records(self, t_milliseconds: int, push_interval_seconds: float) -> Iterator[bytes]:
        """Records of printers, as JSON."""
        return self._printers.records(t_milliseconds, push_interval_seconds)

    def stop(self) -> None:
        """Begin no more readings."""
        self._printers.stop()
        self._sampler.stop()

    def wait(self, timeout_seconds: float) -> None:
        """Give readings that run this much more time to come back."""
        self._sampler.wait(timeout_seconds)

    def _make_sampler(self) -> Sampler:
        probes = assemble_probes(self._folder, self._on_left_out)
        if "inventory" not in self._off:
            probes.append(self._inventory)
        return Sampler(probes, boot=self._clock.boot, on_unavailable=self._on_unavailable)

    def _load_caps(self) -> Caps:
        try:
            return Caps.of(load_settings(self._folder.path))
        except SettingsError as error:
            self._on_left_out("caps", str(error))
            return Caps()

    def _on_shed(self, probe: str, is_shed: bool, reason: str) -> None:
        self._events.add(EventType.PROBE_SHED, probe=probe, is_shed=is_shed, reason=reason)

    def _on_left_out(self, probe: str, reason: str) -> None:
        logger.error("left out: probe=%s reason=%r", probe, reason)
        self._on_unavailable(probe, reason)

    def _on_unavailable(self, probe: str, reason: str) -> None:
        self._events.add(EventType.PROBE_UNAVAILABLE, probe=probe, reason=reason[:500])


def last_reading(schedule: Schedule, now: float) -> list[Sample]:
    """What a probe said last, as not known once it is too old."""
    if schedule.is_stale(now):
        return [sample._replace(value=None) for sample in schedule.samples]
    return list(schedule.samples)
