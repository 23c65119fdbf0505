"""Whatever is compacted, merged or still in the log, and wherever the process stops: what is read equals the model."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.clock import from_milliseconds
from collector.series.catalog import DeviceFrame, pack_values
from collector.series.history.blocks import BlockSettings
from collector.series.history.fetch import TooManySamplesError
from collector.series.history.history import History, HistorySettings
from collector.series.keeping import HeadLimits, Windows
from collector.series.labels import Target
from collector.series.read import STALE_BITS, Matcher, MatchOp, Samples, SeriesReader
from collector.series.store import SampleStore, StoreSettings
from tests.series import model
from tests.series.model import NaiveStore
from tests.series.test_against_model import End, Push, Wait, devices, layouts, steps

START = 1_700_000_000_000
DAY = 86_400_000
HOUR = 3_600_000
SILENT_MS = HeadLimits().silent_ms
STORE = StoreSettings(commit_interval_seconds=0.0, head=replace(HeadLimits(), expected_interval_ms=120_000))
SMALL = HistorySettings(blocks=BlockSettings(part_rows=7, fan_in=2))
WINDOWS: Windows = {"b": 300.0, "c": 900.0}

ages = st.sampled_from((0, 1, 5_000, 60_000, 61_000, 200_000, 30 * HOUR))
pushes = st.builds(Push, devices, layouts, st.lists(ages, min_size=1, max_size=12).map(tuple), st.integers(0, 999))
waits = st.builds(Wait, st.sampled_from((1, 30_000, 60_000, 90_000, 5 * HOUR)))
deeds = st.sampled_from(("compact", "compact", "restart", "crash"))
stories = st.lists(st.one_of(pushes, pushes, waits, st.builds(End, devices, steps), deeds), min_size=1, max_size=25)


class Place:
    """A store with its history in a folder, and a clock."""

    def __init__(self, folder: Path, history_settings: HistorySettings = SMALL, segment_bytes: int = 1_500) -> None:
        self.now = START
        self.folder = folder
        self.history_settings = history_settings
        self.store_settings = replace(STORE, segment_bytes=segment_bytes)

    def clock(self) -> datetime:
        return from_milliseconds(self.now)

    async def open(self) -> None:
        self.store = await SampleStore.open(
            self.folder, windows=WINDOWS, clock=self.clock, settings=self.store_settings
        )
        self.history = await History.open(self.store, clock=self.clock, settings=self.history_settings)

    async def close(self) -> None:
        await self.history.close()
        await self.store.close()

    async def push(
        self, device: str, names: Sequence[str], t: int, values: Sequence[float | None], kind: str = "server"
    ) -> None:
        series = self.store.series([(name, {}) for name in names])
        layout = self.store.layout(Target(device, "acme", "hq", kind), series)
        await self.store.append([DeviceFrame(layout, t, self.now, pack_values(values))])

    def everything(self, device: str, name: str) -> dict[int, model.Value]:
        return samples_of(self.history.reader, device, name, 0, self.now)


def samples_of(reader: SeriesReader, device: str, name: str, start: int, end: int) -> dict[int, model.Value]:
    matchers = (Matcher("__name__", MatchOp.EQUAL, name), Matcher("device_id", MatchOp.EQUAL, device))
    selection = reader.select(matchers, start, end)
    assert len(selection) <= 1
    return plain(reader.samples(selection, start, end)) if len(selection) else {}


def plain(samples: Samples, row: int = 0) -> dict[int, model.Value]:
    count = int(samples.counts[row])
    times = samples.times[row, :count]
    assert (np.diff(times) > 0).all()
    return {
        t: model.STALE if value.view(np.uint64) == STALE_BITS else float(value)
        for t, value in zip(times.tolist(), samples.values[row, :count], strict=True)
    }


@given(stories)
@settings(max_examples=25, deadline=None)
def test_history_has_every_sample_once(story: list[object]) -> None:
    _check_story(story)


@pytest.mark.slow
@given(stories)
@settings(max_examples=100, deadline=None)
def test_history_has_every_sample_once_at_length(story: list[object]) -> None:
    _check_story(story)


def _check_story(story: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(story, Path(folder)))


async def _play(story: Sequence[object], folder: Path) -> None:
    place = Place(folder / "0")
    naive = NaiveStore()
    generation = 0
    await place.open()
    for one in story:
        match one:
            case Push(device, names, offsets, seed):
                numbers = np.random.default_rng(seed).integers(-1, 50, (len(offsets), len(names))).tolist()
                for age, row in zip(offsets, numbers, strict=True):
                    values = [None if value < 0 else float(value) for value in row]
                    await place.push(device, names, place.now - age, values)
                    naive.append(device, names, place.now - age, values, place.now)
            case Wait(milliseconds):
                place.now += milliseconds
                await place.store.tick()
                naive.tick(place.now)
            case End(device, age):
                await place.store.end_device(device, place.now - age)
                naive.end(device, place.now - age)
            case "compact":
                await place.history.compact()
            case "restart":
                await place.close()
                await place.open()
            case "crash":
                generation += 1
                place.folder = folder / str(generation)
                shutil.copytree(folder / str(generation - 1), place.folder)
                await place.close()
                await place.open()
        _compare(place, naive)
    await place.close()


def _compare(place: Place, naive: NaiveStore) -> None:
    """Every sample once, and what was stored first for a series and time stands, be it a sample or a staleness marker.
    That a series has ended may be told once more, behind its last sample: history does not forget that it ended."""
    for device, stream in naive.streams.items():
        for name in stream.known:
            recent = place.now - 40_000
            expected = {t: value for t, value in stream.samples.get(name, {}).items() if t <= place.now}
            told = place.everything(device, name)
            again = told.keys() - expected.keys()
            assert {told[t] for t in again} <= {model.STALE}
            assert {t: value for t, value in told.items() if t not in again} == expected
            lately = samples_of(place.history.reader, device, name, recent, place.now)
            telling = {t: value for t, value in _without_idle_ends(expected).items() if t > recent}
            assert {t: value for t, value in lately.items() if t in telling or value != model.STALE} == telling


def _without_idle_ends(samples: dict[int, model.Value]) -> dict[int, model.Value]:
    """Without the ends of what had ended already or was silent for so long that memory has forgotten it."""
    telling: dict[int, model.Value] = {}
    before = 0
    value_before: model.Value = model.STALE
    for t, value in sorted(samples.items()):
        if value != model.STALE or (value_before != model.STALE and t - before < SILENT_MS):
            telling[t] = value
        before, value_before = t, value
    return telling


@pytest.mark.parametrize("compacted", [False, True])
async def test_series_end_where_they_end_in_the_head(tmp_path: Path, compacted: bool) -> None:
    place = Place(tmp_path)
    naive = NaiveStore()
    await place.open()
    for minute in range(40):
        place.now += 60_000
        if minute % 10 == 9:
            await place.store.end_device("pc", place.now)
            naive.end("pc", place.now)
        else:
            names = ("b", "c") if minute % 4 else ("c", "d")
            await place.push("pc", names, place.now, [float(minute), 1.0])
            naive.append("pc", names, place.now, [float(minute), 1.0], place.now)
        if compacted and minute % 3 == 0:
            await place.history.compact()
        if compacted and minute % 7 == 0:
            await place.close()
            await place.open()
    for name, expected in naive.streams["pc"].samples.items():
        assert place.everything("pc", name) == expected
    start = place.now - 900_000
    head = samples_of(place.store.reader, "pc", "c", start, place.now)
    assert model.STALE in head.values()
    assert {t: value for t, value in place.everything("pc", "c").items() if t > start} == head
    await place.close()


async def test_special_values_come_back_as_they_were(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.open()
    told = [float("nan"), -0.0, 0.0, float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308, 0.1]
    for number, value in enumerate(told * 20):
        await place.push("pc", ("d",), START + number, [value])
    await place.push("pc", ("a",), START + 1_000, [1.0])
    place.now += HOUR
    await place.push("pc", ("a",), place.now, [1.0])
    before = _bits(place)
    await place.history.compact()
    assert place.history.stats().segments_waiting == 1
    assert _bits(place) == before == np.array([*told * 20]).view(np.uint64).tolist()
    await place.close()


def _bits(place: Place) -> list[int]:
    matchers = (Matcher("__name__", MatchOp.EQUAL, "d"),)
    selection = place.history.reader.select(matchers, 0, place.now)
    samples = place.history.reader.samples(selection, 0, START + 999)
    return list(samples.values[0, : int(samples.counts[0])].view(np.uint64).tolist())


async def test_many_files_become_few_and_nothing_is_lost(tmp_path: Path) -> None:
    place = Place(tmp_path, HistorySettings(blocks=BlockSettings(part_rows=1_000, fan_in=4)), segment_bytes=3_000)
    await place.open()
    expected: dict[int, model.Value] = {}
    for number in range(400):
        place.now += 240_000
        late = place.now - (3 * HOUR if number % 5 == 0 else 0)
        await place.push("pc", ("a", "b"), late, [float(number), 2.0])
        expected[late] = float(number)
        if number % 50 == 49:
            await place.history.compact()
    place.now += DAY
    await place.history.compact()
    days = {t // DAY for t in expected}
    stats = place.history.stats()
    assert stats.blocks <= len(days) + 3
    assert place.everything("pc", "a") == expected
    await place.close()


async def test_compacted_segments_go_when_the_head_needs_them_no_more(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.open()
    for number in range(200):
        place.now += 60_000
        await place.push("pc", ("a",), place.now, [float(number)])
    await place.store.checkpoint()
    kept = place.store.stats().log_segments
    await place.history.compact()
    place.now += 3 * HOUR
    await place.push("pc", ("a",), place.now, [0.0])
    await place.store.checkpoint()
    assert place.store.stats().log_segments < kept
    assert len(place.everything("pc", "a")) == 201
    await place.close()
    await place.open()
    assert len(place.everything("pc", "a")) == 201
    await place.close()


async def test_retention_keeps_printers_longer_and_forgets_what_is_gone(tmp_path: Path) -> None:
    limits = BlockSettings(retention_ms=3 * DAY, printer_retention_ms=10 * DAY, part_rows=1_000)
    place = Place(tmp_path, HistorySettings(blocks=limits), segment_bytes=600)
    await place.open()
    for _ in range(14):
        for _ in range(4):
            place.now += DAY // 4
            await place.push("pc", ("a",), place.now, [1.0])
            await place.push("laser", ("a",), place.now, [2.0], kind="printer")
        await place.history.compact()
    oldest = {device: min(place.everything(device, "a")) for device in ("pc", "laser")}
    assert 3 * DAY <= place.now - oldest["pc"] <= 5 * DAY
    assert 10 * DAY <= place.now - oldest["laser"] <= 12 * DAY
    assert place.history.stats().series == 2
    for _ in range(20):
        place.now += DAY
        await place.push("other", tuple(f"x{number}" for number in range(20)), place.now, [1.0] * 20)
        await place.history.compact()
    everything = place.history.reader.select((), 0, place.now)
    assert set(np.unique(everything.labels.column("device_id")).tolist()) == {place.store.reader.strings.find("other")}
    await place.close()


async def test_too_much_to_keep_costs_the_oldest_days(tmp_path: Path) -> None:
    place = Place(tmp_path, HistorySettings(blocks=BlockSettings(retention_bytes=2_500)), segment_bytes=8_000)
    await place.open()
    for _ in range(100):
        place.now += HOUR
        await place.push("pc", ("a",), place.now, [1.0])
    await place.history.compact()
    assert 0 < place.history.stats().block_bytes <= 2_500
    assert min(place.everything("pc", "a")) > START + DAY
    await place.close()


async def test_a_damaged_block_costs_its_samples_and_no_others(tmp_path: Path) -> None:
    place = Place(tmp_path, HistorySettings(blocks=BlockSettings(part_rows=1_000, fan_in=100)))
    await place.open()
    for number in range(100):
        place.now += 60_000
        await place.push("pc", ("a",), place.now, [float(number)])
    await place.history.compact()
    victim = min((tmp_path / "history").glob("*-samples-*.parquet"))
    victim.write_bytes(b"PAR1" + b"\0" * 100)
    assert 50 < len(place.everything("pc", "a")) < 100
    place.now += 3 * DAY  # the day is over: its blocks are merged
    await place.history.compact()
    assert 50 < len(place.everything("pc", "a")) < 100
    assert (tmp_path / "history.unreadable" / victim.name).exists()
    assert place.history.stats().blocks == 1
    await place.close()


async def test_a_damaged_manifest_sets_history_aside_and_the_collector_starts(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.open()
    for _ in range(50):
        place.now += 60_000
        await place.push("pc", ("a",), place.now, [1.0])
    await place.history.compact()
    await place.close()
    (tmp_path / "history" / "manifest.json").write_text("{")
    await place.open()
    assert [name for name in os.listdir(tmp_path) if name.startswith("history.unreadable-")]  # noqa: PTH208
    assert len(place.everything("pc", "a")) == 50  # the log still has them
    await place.close()


async def test_a_question_that_is_too_large_is_refused_by_name(tmp_path: Path) -> None:
    place = Place(tmp_path, HistorySettings(max_samples=10))
    await place.open()
    for _ in range(100):
        place.now += 60_000
        await place.push("pc", ("a",), place.now, [1.0])
    await place.history.compact()
    with pytest.raises(TooManySamplesError, match="more than 10 samples"):
        place.everything("pc", "a")
    assert len(samples_of(place.history.reader, "pc", "a", START + 10 * 60_000, START + 15 * 60_000)) == 5
    await place.close()


async def test_a_device_that_moves_has_two_series_and_the_first_one_ends(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.open()
    series = place.store.series([("a", {})])
    for number, site in enumerate(("hq", "hq", "branch", "branch")):
        place.now += 60_000
        layout = place.store.layout(Target("pc", "acme", site, "server"), series)
        await place.store.append([DeviceFrame(layout, place.now, place.now, pack_values([float(number)]))])
    reader = place.history.reader
    selection = reader.select((Matcher("__name__", MatchOp.EQUAL, "a"),), 0, place.now)
    samples = reader.samples(selection, 0, place.now)
    by_site = {selection.labels.texts(reader.strings, row)["site"]: plain(samples, row) for row in range(2)}
    minute = [START + 60_000 * number for number in range(5)]
    assert by_site["hq"] == {minute[1]: 0.0, minute[2]: 1.0, minute[3]: model.STALE}
    assert by_site["branch"] == {minute[3]: 2.0, minute[4]: 3.0}
    await place.close()


async def test_an_emptied_log_costs_what_was_in_it_alone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.open()
    for number in range(60):
        place.now += 60_000
        await place.push("pc", ("a",), place.now, [float(number)])
    await place.history.compact()
    compacted = place.history.stats().samples
    await place.close()
    shutil.rmtree(tmp_path / "log")
    (tmp_path / "head.checkpoint").unlink()
    await place.open()
    for number in range(60):
        place.now += 60_000
        await place.push("pc", ("a",), place.now, [float(number)])
        await place.history.compact()
    assert len(place.everything("pc", "a")) == compacted + 60
    await place.close()
