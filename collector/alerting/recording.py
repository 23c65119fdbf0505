"""What rules give, ALERTS among it, stored as samples: logged, kept in memory and read like any other series."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
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


class _Series:
    """A series that a stream gives, taken apart once. The same series of the same stream is the same object."""

    __slots__ = ("labels", "metric", "target")

    def __init__(self, metric: str, labels: Mapping[str, str]) -> None:
        self.metric = metric
        self.target = Target(**{name: labels.get(name, "") for name in _TARGET_LABELS})
        self.labels = {name: text for name, text in labels.items() if name not in _TARGET_LABELS}


@dataclass(slots=True)
class _Stream:
    """What a stream gave at its last evaluation: most of it comes again at the next."""

    series: dict[tuple[str, frozenset[tuple[str, str]]], _Series] = field(default_factory=dict)
    owned: dict[Target, tuple[list[_Series], Layout]] = field(default_factory=dict)


class Recorder:
    def __init__(self, store: SampleSink) -> None:
        self._store = store
        self._streams: dict[str, _Stream] = {}

    async def record(self, stream: str, metric: str, samples: LabelledValues, at: datetime) -> None:
        """The samples of one metric: see `record_all`."""
        await self.record_all(stream, [(metric, labels, value) for labels, value in samples], at)

    async def record_all(self, stream: str, samples: NamedSamples, at: datetime) -> None:
        """Returns once the samples are durable. `stream` names who gives them; the series that it gave before and
        gives no more get a staleness marker. Of a series that stands there twice the first sample counts. Without
        samples now and before, nothing is written.

        Raises what the store's `append` raises.
        """
        before, given = self._streams.get(stream, _Stream()), _Stream()
        owned: dict[Target, tuple[list[_Series], list[float]]] = {target: ([], []) for target in before.owned}
        for count, (metric, labels, value) in enumerate(samples, start=1):
            if count % SAMPLES_AT_ONCE == 0:
                await asyncio.sleep(0)
            key = (metric, frozenset(labels.items()))
            if key in given.series:
                continue
            one = given.series[key] = before.series.get(key) or _Series(metric, labels)
            series, values = owned.setdefault(one.target, ([], []))
            series.append(one)
            values.append(value)
        now = to_milliseconds(at)
        frames = []
        for count, (target, (series, values)) in enumerate(owned.items()):
            if count % TARGETS_AT_ONCE == TARGETS_AT_ONCE - 1:
                await asyncio.sleep(0)
            known = before.owned.get(target)
            layout = known[1] if known is not None and known[0] == series else self._layout(stream, target, series)
            if series:
                given.owned[target] = (series, layout)
            frames.append(DeviceFrame(layout, now, now, np.array(values, dtype=np.float64).tobytes()))
        if frames:
            await self._store.append(frames)
        if given.owned:
            self._streams[stream] = given
        else:
            self._streams.pop(stream, None)

    def _layout(self, stream: str, target: Target, series: Sequence[_Series]) -> Layout:
        return self._store.layout(target, self._store.series([(one.metric, one.labels) for one in series]), stream)

    async def end_others(self, streams: Collection[str], at: datetime) -> None:
        """Ends the series of all streams but these, whose rules are no longer loaded. Raises as `record_all` does."""
        for stream in self._streams.keys() - set(streams):
            await self.record_all(stream, [], at)
