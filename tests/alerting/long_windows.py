"""A collector's store with more than a week behind it, and rules that look back so far, asked in two ways."""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from collector.clock import from_milliseconds
from collector.promql import Engine, Plan, Result, Vector
from collector.series.catalog import DeviceFrame, Layout, pack_values
from collector.series.history.blocks import BlockSettings
from collector.series.history.history import History, HistorySettings
from collector.series.history.reader import SpanningReader
from collector.series.labels import Target
from collector.series.long_windows import LongWindowReader
from collector.series.store import SampleStore, StoreSettings

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EVERY = 2 * MINUTE
START = 1_700_006_400_000  # midnight, UTC
METRICS = ("requests_total", "celsius")


class Machine:
    """Made-up readings of one device: a counter that resets, a gauge with gaps."""

    def __init__(self, store: SampleStore, number: int) -> None:
        self.random = random.Random(number)  # noqa: S311 - no secret
        self.name = f"srv-{number}"
        series = [(metric, {"part": "a"}) for metric in METRICS]
        self.layout: Layout = store.layout(Target(self.name, "acme", "hq", "server"), store.series(series))
        self.total = 0.0

    def frame(self, t: int, received: int | None = None) -> DeviceFrame:
        if self.random.random() < 0.002:
            self.total = 0.0
        self.total += self.random.choice((0.0, 1.0, 2.5, 1e6))
        celsius = None if self.random.random() < 0.05 else round(self.random.gauss(40, 9), 1)
        return DeviceFrame(self.layout, t, t if received is None else received, pack_values([self.total, celsius]))


class Place:
    """A store, its history, and two engines: as rules are evaluated, and wholly over history."""

    def __init__(
        self,
        folder: Path,
        plans: Sequence[Plan],
        *,
        now: int = START,
        devices: int = 3,
        max_samples: int = 10_000_000,
    ) -> None:
        self.now = now
        self.elapsed = 0.0
        self.folder = folder
        self.plans = plans
        self.devices = devices
        self.max_samples = max_samples

    def clock(self) -> datetime:
        return from_milliseconds(self.now)

    async def open(self) -> None:
        windows: dict[str | None, float] = {}
        for plan in self.plans:
            for name, seconds in plan.windows.items():
                windows[name] = max(seconds, windows.get(name, 0.0))
        self.store = await SampleStore.open(
            self.folder, windows=windows, clock=self.clock, settings=StoreSettings(commit_interval_seconds=0.0)
        )
        blocks = BlockSettings(retention_ms=30 * DAY)
        self.history = await History.open(self.store, clock=self.clock, settings=HistorySettings(blocks=blocks))
        self.reader = LongWindowReader(
            self.store.reader,
            self.history.reader,
            self.history,
            self.store.late,
            self.clock,
            max_samples=self.max_samples,
            monotonic=lambda: self.elapsed,
        )
        self.rules = Engine(self.reader)
        self.whole = Engine(SpanningReader(self.store.reader, self.history, self.clock, lambda: 0))
        self.machines = [Machine(self.store, number) for number in range(self.devices)]

    async def close(self) -> None:
        await self.history.close()
        await self.store.close()

    async def live(self, until: int, without: Sequence[str] = ()) -> None:
        """All devices push every two minutes until then."""
        while self.now < until:
            stop = min(until, self.now + 6 * HOUR)
            frames = [
                machine.frame(t)
                for t in range(self.now // EVERY * EVERY + EVERY, stop + 1, EVERY)
                for machine in self.machines
                if machine.name not in without and machine.random.random() > 0.02
            ]
            self.now = stop
            if frames:
                await self.store.append(frames)

    def both(self, plan: Plan) -> tuple[dict[str, float], dict[str, float]]:
        """What a rule sees now, and what history says, by device."""
        return values_of(self.rules.instant(plan, self.now)), values_of(self.whole.instant(plan, self.now))

    def compare(self) -> Iterator[str]:
        """What a rule sees that history does not say."""
        for plan in self.plans:
            seen, told = self.both(plan)
            if seen.keys() != told.keys():
                yield f"{plan}: {sorted(seen)} instead of {sorted(told)}"
                continue
            keys = sorted(told)
            some, others = np.array([seen[key] for key in keys]), np.array([told[key] for key in keys])
            if not np.allclose(some, others, rtol=1e-9, atol=0.0, equal_nan=True):
                yield f"{plan}: {seen} instead of {told}"


def values_of(result: Result) -> dict[str, float]:
    assert isinstance(result, Vector)
    return {
        f"{labels.get('device_id')} {labels.get('__name__', '')}": value
        for labels, value in zip(result.label_sets(), result.values.tolist(), strict=True)
    }
