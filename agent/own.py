"""What the agent says about itself in every frame."""

from collections.abc import Callable, Sequence
from pathlib import Path

from agent import VERSION
from agent.children import cpu_seconds
from agent.clock import AgentClock
from agent.configuration import Configuration
from agent.delivery import Delivery
from agent.events import Events
from agent.probes.base import Metric, MetricType, Sample
from agent.sampling import Schedule
from agent.shedding import PAGE_BYTES, Weight
from agent.spool import Spool

METRICS = (
    Metric("agent_info", MetricType.GAUGE, "info", "Always 1", ("version",)),
    Metric(
        "agent_probe_age_seconds",
        MetricType.GAUGE,
        "seconds",
        "Age of a probe's last reading; null before the first",
        ("probe",),
    ),
    Metric("agent_probe_errors_total", MetricType.COUNTER, "errors", "Readings that failed or hung", ("probe",)),
    Metric(
        "agent_clock_offset_seconds",
        MetricType.GAUGE,
        "seconds",
        "What is missing from this machine's own clock: positive if it is slow",
    ),
    Metric("agent_clock_steps_total", MetricType.COUNTER, "steps", "Times the agent's clock was moved at once"),
    Metric("agent_spool_bytes", MetricType.GAUGE, "bytes", "Spooled, not yet acknowledged"),
    Metric("agent_spool_records", MetricType.GAUGE, "records", "Spooled, not yet acknowledged"),
    Metric(
        "agent_spool_dropped_total",
        MetricType.COUNTER,
        "records",
        "Records lost: too many, too large or too old for the spool",
    ),
    Metric(
        "agent_spool_set_aside_total",
        MetricType.COUNTER,
        "records",
        "Records set aside: damaged, or the collector will never take them",
    ),
    Metric(
        "agent_spool_damaged_total",
        MetricType.COUNTER,
        "files",
        "Files of the spool that could not be read: records, which are set aside, and the file of its numbers",
    ),
    Metric("agent_push_failures_total", MetricType.COUNTER, "pushes", "Pushes that were not acknowledged"),
    Metric("agent_frames_refused_total", MetricType.COUNTER, "frames", "Frames that the collector refused one by one"),
    Metric(
        "agent_config_refused",
        MetricType.GAUGE,
        "boolean",
        "1 while the collector's newest configuration cannot be used, and the one before holds",
    ),
    Metric(
        "agent_events_dropped_total",
        MetricType.COUNTER,
        "events",
        "Events lost: too many between one frame and the next",
    ),
    Metric("agent_ticks_skipped_total", MetricType.COUNTER, "ticks", "Frames left out because the one before was late"),
    Metric("agent_memory_bytes", MetricType.GAUGE, "bytes", "Resident memory of the agent"),
    Metric("agent_cpu_seconds_total", MetricType.COUNTER, "seconds", "Processor time of the agent"),
    Metric(
        "agent_children_cpu_seconds_total",
        MetricType.COUNTER,
        "seconds",
        "Processor time of the programs that it asked, once they have ended",
    ),
    Metric("agent_reader_memory_bytes", MetricType.GAUGE, "bytes", "Resident memory of the reader of printers"),
    Metric(
        "agent_reader_cpu_seconds_total",
        MetricType.COUNTER,
        "seconds",
        "Processor time of the reader of printers since it was started",
    ),
    Metric(
        "agent_sent_bytes_total", MetricType.COUNTER, "bytes", "Sent to the collector: what requests hold, compressed"
    ),
    Metric("agent_probes_shed", MetricType.GAUGE, "probes", "Left out because the agent weighed too much"),
)

STATM = Path("/proc/self/statm")


class OwnMetrics:
    """Read when a frame is made; costs one small file."""

    def __init__(
        self,
        clock: AgentClock,
        spool: Spool,
        delivery: Delivery,
        events: Events,
        configuration: Configuration,
        *,
        sent_bytes: Callable[[], int],
    ) -> None:
        self.clock_steps = 0
        self.ticks_skipped = 0
        self._clock = clock
        self._spool = spool
        self._delivery = delivery
        self._events = events
        self._configuration = configuration
        self._sent_bytes = sent_bytes

    def weight(self) -> Weight:
        """What the agent takes now, without the reader of printers while that runs."""
        return Weight(read_resident_bytes(), sum(cpu_seconds()), self._sent_bytes())

    def sample(
        self,
        schedules: Sequence[Schedule],
        now: float,
        shed: Sequence[str] = (),
        reader: tuple[int, float] = (0, 0.0),
    ) -> list[Sample]:
        """`now` by the boot clock; `reader`: resident bytes and CPU-seconds of that of printers, if it runs."""
        own_cpu_seconds, children_cpu_seconds = cpu_seconds()
        reader_bytes, reader_cpu_seconds = reader
        samples = [
            Sample("agent_info", 1, {"version": VERSION}),
            Sample("agent_clock_offset_seconds", round(self._clock.correction_seconds(), 3)),
            Sample("agent_clock_steps_total", self.clock_steps),
            Sample("agent_spool_bytes", self._spool.bytes),
            Sample("agent_spool_records", len(self._spool)),
            Sample("agent_spool_dropped_total", self._spool.dropped),
            Sample("agent_spool_set_aside_total", self._spool.set_aside_total),
            Sample("agent_spool_damaged_total", self._spool.damaged),
            Sample("agent_push_failures_total", self._delivery.push_failures),
            Sample("agent_frames_refused_total", self._delivery.frames_refused),
            Sample("agent_config_refused", int(self._configuration.is_refused)),
            Sample("agent_events_dropped_total", self._events.dropped),
            Sample("agent_ticks_skipped_total", self.ticks_skipped),
            Sample("agent_memory_bytes", read_resident_bytes()),
            Sample("agent_cpu_seconds_total", round(own_cpu_seconds, 3)),
            Sample("agent_children_cpu_seconds_total", round(children_cpu_seconds, 3)),
            Sample("agent_sent_bytes_total", self._sent_bytes()),
            Sample("agent_probes_shed", len(shed)),
        ]
        if reader_bytes:
            samples += [
                Sample("agent_reader_memory_bytes", reader_bytes),
                Sample("agent_reader_cpu_seconds_total", round(reader_cpu_seconds, 3)),
            ]
        for schedule in schedules:
            labels = {"probe": schedule.name}
            samples.append(Sample("agent_probe_errors_total", schedule.errors, labels))
            age_seconds = schedule.age_seconds(now)
            samples.append(
                Sample("agent_probe_age_seconds", None if age_seconds is None else round(age_seconds, 3), labels)
            )
        return samples


def read_resident_bytes() -> int:
    try:
        return int(STATM.read_bytes().split()[1]) * PAGE_BYTES
    except FileNotFoundError:  # not Linux
        import psutil  # noqa: PLC0415 - only where /proc is missing

        resident: int = psutil.Process().memory_info().rss
        return resident
