"""The collector's own health as samples of its own device: rules watch the collector as they watch the fleet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Protocol

from collector.clock import Clock
from collector.reporting.exposition import Health, health_families
from collector.series.labels import Target
from protocol.wire import EXPORTED_PREFIX, RESERVED_LABELS

WRITE_SECONDS = 60.0  # well within the lookback of five minutes
STREAM = "own health"
# By customer, kind and presence: thousands of series, and the presence of each device is stored anyway.
LEFT_OUT = frozenset({"quarkpulse_devices"})

NamedSample = tuple[str, dict[str, str], float]  # metric, labels with whose it is, value


class SampleRecorder(Protocol):
    """Stores samples of one instant; the series that a stream gave before and gives no more end."""

    async def record_all(
        self, stream: str, samples: Sequence[tuple[str, Mapping[str, str], float]], at: datetime, /
    ) -> None: ...


class OwnHealth:
    """`write` is called every WRITE_SECONDS."""

    def __init__(self, recorder: SampleRecorder, target: Target, health: Callable[[], Health], clock: Clock) -> None:
        self._recorder = recorder
        self._target = target
        self._health = health
        self._clock = clock

    async def write(self) -> None:
        """Returns once the samples are durable. Raises what the recorder raises."""
        await self._recorder.record_all(STREAM, list(health_samples(self._health(), self._target)), self._clock())


def health_samples(health: Health, target: Target) -> Iterator[NamedSample]:
    """What `/metrics` says of the process, under the same names, as series of `target`. Where a metric has a label that
    is reserved, it becomes `exported_…`, as a sender's does."""
    whose = asdict(target)
    for family in health_families(health):
        if family.name not in LEFT_OUT:
            for sample in family.samples:
                own = {
                    EXPORTED_PREFIX + name if name in RESERVED_LABELS else name: text
                    for name, text in sample.labels.items()
                }
                yield sample.name, own | whose, float(sample.value)
