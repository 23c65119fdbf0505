"""Whatever comes in whatever order, and wherever the process stops: what is read equals the naive model."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.clock import from_milliseconds
from collector.series.catalog import DeviceFrame, pack_values
from collector.series.keeping import HeadLimits, Windows
from collector.series.labels import Target
from collector.series.read import STALE_BITS, Matcher, MatchOp
from collector.series.store import SampleStore, StoreSettings
from tests.series import model
from tests.series.model import NaiveStore

START = 1_700_000_000_000
SERIES = ("a", "b", "c", "d")
WINDOWS: Windows = {"b": 300.0, "c": 900.0}
DEEPER: Windows = {"a": 60.0, "b": 1200.0, "c": 900.0}
LOOKBACK = 300_000
SETTINGS = StoreSettings(
    segment_bytes=2_000, commit_interval_seconds=0.0, head=replace(HeadLimits(), expected_interval_ms=120_000)
)


@dataclass(frozen=True)
class Push:
    device: str
    layout: tuple[str, ...]
    ages: tuple[int, ...]  # milliseconds before (or after, if negative) the clock
    seed: int


@dataclass(frozen=True)
class Wait:
    milliseconds: int


@dataclass(frozen=True)
class End:
    device: str
    age: int


@dataclass(frozen=True)
class Do:
    what: str


devices = st.sampled_from(("pc", "nas"))
steps = st.sampled_from((0, 1, 5_000, 30_000, 60_000, 61_000, 90_000, 200_000))
ages = st.builds(lambda step, sign: step * sign, steps, st.sampled_from((1, 1, 1, -1)))
layouts = st.sampled_from((SERIES, ("a", "b"), ("c", "b"), ("d",), ("c", "d", "a")))
pushes = st.builds(Push, devices, layouts, st.lists(ages, min_size=1, max_size=12).map(tuple), st.integers(0, 999))
deeds = st.sampled_from(("restart", "crash", "checkpoint", "deepen")).map(Do)
actions = st.one_of(
    pushes, pushes, pushes, st.builds(Wait, steps), st.builds(Wait, steps), st.builds(End, devices, steps), deeds
)


stories = st.lists(actions, min_size=1, max_size=40)


LATE_THEN_NEW = [Push("nas", ("a", "b"), (0,) * 5, 1), Push("nas", SERIES, (0, -1), 2), Do("crash")]


@given(stories)
@example(LATE_THEN_NEW)  # replayed at once, the late frame of a layout must not profit from the newer one behind it
@settings(max_examples=25)
def test_what_is_read_is_what_the_model_says(todo: list[object]) -> None:
    _check_story(todo)


@pytest.mark.slow
@given(stories)
@settings(max_examples=200)
def test_what_is_read_is_what_the_model_says_at_length(todo: list[object]) -> None:
    _check_story(todo)


def _check_story(todo: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(todo, Path(folder)))


async def _play(todo: Sequence[object], folder: Path) -> None:
    now = START
    windows = WINDOWS
    naive = NaiveStore()
    generation = 0

    def clock() -> datetime:
        return from_milliseconds(now)

    async def opened() -> SampleStore:
        return await SampleStore.open(folder / str(generation), windows=windows, clock=clock, settings=SETTINGS)

    store = await opened()
    for one in todo:
        match one:
            case Push(device, layout, offsets, seed):
                values = np.random.default_rng(seed).integers(-1, 50, (len(offsets), len(layout))).tolist()
                rows = [[None if value < 0 else float(value) for value in row] for row in values]
                handle = store.layout(_target(device), store.series([(name, {}) for name in layout]))
                frames = [
                    DeviceFrame(handle, now - age, now, pack_values(row))
                    for age, row in zip(offsets, rows, strict=True)
                ]
                await store.append(frames)
                for age, row in zip(offsets, rows, strict=True):
                    naive.append(device, layout, now - age, row, now)
            case Wait(milliseconds):
                now += milliseconds
                await store.tick()
                naive.tick(now)
            case End(device, age):
                await store.end_device(device, now - age)
                naive.end(device, now - age)
            case Do("restart"):
                await store.close()
                store = await opened()
            case Do("crash"):
                generation += 1
                shutil.copytree(folder / str(generation - 1), folder / str(generation))
                await store.close()
                store = await opened()
            case Do("checkpoint"):
                await store.checkpoint()
            case Do("deepen"):
                windows = DEEPER
                await store.set_windows(windows)
        _compare(store, naive, windows)
    await store.close()


def _target(device: str) -> Target:
    return Target(device, "acme", "hq", "server")


def _compare(store: SampleStore, naive: NaiveStore, windows: Windows) -> None:
    for device, stream in naive.streams.items():
        for name in stream.known:
            _compare_series(store, device, name, stream.samples.get(name, {}), windows.get(name, 0.0))


def _compare_series(
    store: SampleStore, device: str, name: str, expected: dict[int, model.Value], window_seconds: float
) -> None:
    matchers = (Matcher("__name__", MatchOp.EQUAL, name), Matcher("device_id", MatchOp.EQUAL, device))
    selection = store.reader.select(matchers, 0, 0)
    assert len(selection) == 1
    assert store.reader.select(matchers, 0, 0) is selection
    assert selection.labels.texts(store.reader.strings, 0) == {
        "__name__": name, "customer": "acme", "site": "hq", "device_id": device, "kind": "server",
    }  # fmt: skip
    if not expected:
        return
    times = sorted(expected)
    for at in times[-2:] if window_seconds == 0 else times:
        if at < times[-1] - window_seconds * 1000 and window_seconds:
            continue
        latest = store.reader.latest(selection, at, LOOKBACK)
        assert bool(latest.present[0]) == (expected[at] != model.STALE)
        if latest.present[0]:
            assert (int(latest.times[0]), latest.values[0]) == (at, expected[at])
    if window_seconds:
        end = times[-1]
        start = end - int(window_seconds * 1000)
        samples = store.reader.samples(selection, start, end)
        count = int(samples.counts[0])
        found = [
            (t, model.STALE if value.view(np.uint64) == STALE_BITS else float(value))
            for t, value in zip(samples.times[0, :count].tolist(), samples.values[0, :count], strict=True)
        ]
        assert found == [(t, expected[t]) for t in times if start < t <= end]
