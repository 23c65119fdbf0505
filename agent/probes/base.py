"""What every probe declares and gives. Plain tuples and classes: `dataclasses` alone would cost the agent 1.3 MiB."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from agent.config import AgentConfig
from protocol.errors import PermanentError, TransientError
from protocol.wire import EventType

FAST_INTERVAL_SECONDS = 60.0  # read for every frame; follows the push interval
SLOW_INTERVAL_SECONDS = 300.0  # what changes slowly, or costs more to read
HOURLY_INTERVAL_SECONDS = 3600.0
DAILY_INTERVAL_SECONDS = 86_400.0
# What may take longer is read in the background, one after the other; no frame waits for it.
BACKGROUND_BEYOND_SECONDS = 10.0


class MetricType(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"


class Metric(NamedTuple):
    """A metric as a probe declares it; `docs/reference/metrics.md` is made of these."""

    name: str
    type: MetricType
    unit: str  # seconds, bytes, ratio, celsius; or what is counted: packets, processes
    help: str
    labels: tuple[str, ...] = ()


class Sample(NamedTuple):
    """One value of one series; `None`: the series exists, its value is not known now."""

    name: str
    value: float | None
    labels: dict[str, str] = {}  # noqa: RUF012 - a NamedTuple's default; nobody writes into a sample's labels


class Occurrence(NamedTuple):
    """What the next frame tells as an event."""

    type: EventType
    details: dict[str, object]


class Probe(Protocol):
    """A thing that is looked at. Where `sample` blocks longer than `timeout_seconds`, the agent goes on without it.

    Some things are optional. A class with `isolated = True` is loaded and read in a child process of its own, which
    costs about 0.1 CPU-seconds a reading and no memory in between: for hourly and daily readings. A class with
    `from_settings(section)` is made by it, from its section of `agent.toml` (agent.settings.Section). One with
    `configure(config)` is told what the collector wants (agent.config.AgentConfig), first before it is read, then
    whenever that changes. What `take_occurrences()` returns goes out as events with the next frame. `settle(seconds)`
    lets a probe that reads in threads of its own begin, and waits for it so long."""

    @property
    def name(self) -> str: ...
    @property
    def interval_seconds(self) -> float: ...
    @property
    def timeout_seconds(self) -> float: ...
    @property
    def metrics(self) -> tuple[Metric, ...]: ...

    def sample(self) -> Sequence[Sample]:
        """What is read now. Raises ProbeUnavailable if this machine has no such thing."""
        ...


def configure(probe: Probe, config: AgentConfig) -> None:
    """Tell a probe that asks for it what the collector wants."""
    take = getattr(probe, "configure", None)
    if take is not None:
        take(config)


class ProbeFailed(TransientError):  # noqa: N818 - it says what is the case
    """What the probe asked gave no usable answer. Counted; the probe is asked again at its interval."""


class ProbeUnavailable(PermanentError):  # noqa: N818 - it says what is the case
    """This machine lacks what the probe looks at. Said once; the probe is asked again at its interval."""
