"""What rules give, ALERTS among it, stored as samples: logged, kept in memory and read like any other series."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Protocol

import numpy as np

from collector.clock import to_milliseconds
from collector.series.catalog import DeviceFrame, Layout, TemplateList
from collector.series.labels import Target

_TARGET_LABELS = tuple(field.name for field in fields(Target))

SAMPLES_AT_ONCE = 1_000
TARGETS_AT_ONCE = 200  # some milliseconds: a storm's alerts must not hold up the pushes

LabelledValues = Sequence[tuple[Mapping[str, str], float]]
NamedSamples = Sequence[tuple[str, Mapping[str, str], float]]  # metric, labels with whose they are, value


class SampleSink(Protocol):
    """The part of the sample store that is needed."""

    def series(self, series: Sequence[tuple[str, Mapping[str, str]]]) -> TemplateList: ...

    def layout(self, target: Target, series: TemplateList, stream: str = "") -> Layout: ...

    async def append(self, frames: Sequence[DeviceFrame]) -> None: ...


class Recorder:
    def __init__(self, store: SampleSink) -> None:
        self._store = store
        self._written: dict[str, set[Target]] = {}  # by stream, who had series at its last evaluation

    async def record(self, stream: str, metric: str, samples: LabelledValues, at: datetime) -> None:
        """The samples of one metric: see `record_all`."""
        await self.record_all(stream, [(metric, labels, value) for labels, value in samples], at)

    async def record_all(self, stream: str, samples: NamedSamples, at: datetime) -> None:
        """Returns once the samples are durable. `stream` names who gives them; the series that it gave before and
        gives no more get a staleness marker. Without samples now and before, nothing is written.

        Raises what the store's `append` raises.
        """
        by_target: dict[Target, list[tuple[str, Mapping[str, str], float]]] = {
            target: [] for target in self._written.get(stream, ())
        }
        for count, (metric, labels, value) in enumerate(samples, start=1):
            if count % SAMPLES_AT_ONCE == 0:
                await asyncio.sleep(0)
            own = {name: text for name, text in labels.items() if name not in _TARGET_LABELS}
            target = Target(**{name: labels.get(name, "") for name in _TARGET_LABELS})
            by_target.setdefault(target, []).append((metric, own, value))
        now = to_milliseconds(at)
        frames = []
        for count, (target, owned) in enumerate(by_target.items()):
            if count % TARGETS_AT_ONCE == TARGETS_AT_ONCE - 1:
                await asyncio.sleep(0)
            series = self._store.series([(metric, own) for metric, own, _ in owned])
            values = np.array([value for _, _, value in owned], dtype=np.float64).tobytes()
            frames.append(DeviceFrame(self._store.layout(target, series, stream), now, now, values))
        if frames:
            await self._store.append(frames)
        written = {target for target, owned in by_target.items() if owned}
        if written:
            self._written[stream] = written
        else:
            self._written.pop(stream, None)

    async def end_others(self, streams: Collection[str], at: datetime) -> None:
        """Ends the series of all streams but these, whose rules are no longer loaded. Raises as `record_all` does."""
        for stream in self._written.keys() - set(streams):
            await self.record_all(stream, [], at)
