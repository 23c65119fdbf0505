"""The store under strain: a full disk, a slow one, too many series, a damaged checkpoint."""

import asyncio
import logging
import os
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from collector.clock import from_milliseconds
from collector.series.catalog import DeviceFrame, pack_values
from collector.series.commits import StoreBusyError
from collector.series.keeping import HeadLimits
from collector.series.labels import Target
from collector.series.log.files import segment_numbers
from collector.series.log.writer import LogWriteError
from collector.series.read import Matcher, MatchOp
from collector.series.store import SampleStore, StoreSettings
from collector.series.stream import LateSpan
from tests.disks import fill

NOW = 1_700_000_000_000
HOUR_MS = 3_600_000


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return from_milliseconds(self.now)


@asynccontextmanager
async def opened(
    folder: Path, settings: StoreSettings | None = None, clock: Time | None = None
) -> AsyncIterator[SampleStore]:
    store = await SampleStore.open(folder, windows={"m": 600.0}, clock=clock or Time(), settings=settings)
    try:
        yield store
    finally:
        await store.close()


def frame(store: SampleStore, t: int = NOW, *, device: str = "pc", names: str = "m", labels: int = 0) -> DeviceFrame:
    series: list[tuple[str, dict[str, str]]] = [(name, {}) for name in (*names, *(f"s{n}" for n in range(labels)))]
    layout = store.layout(Target(device, "acme", "hq", "server"), store.series(series))
    return DeviceFrame(layout, t, t, pack_values([float(t - NOW)] * len(series)))


def times_of(store: SampleStore, name: str = "m") -> list[int]:
    """The times of all samples of a metric, from NOW on."""
    selection = store.reader.select((Matcher("__name__", MatchOp.EQUAL, name),), 0, NOW + HOUR_MS)
    samples = store.reader.samples(selection, 0, NOW + HOUR_MS)
    return [t - NOW for row in range(len(selection)) for t in samples.times[row, : int(samples.counts[row])].tolist()]


@pytest.mark.needs_root
async def test_a_full_disk_is_left_alone_and_taken_again_when_it_has_room(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    ballast = small_disk / "ballast"
    async with opened(small_disk / "data") as store:
        await store.append([frame(store, NOW)])
        await asyncio.to_thread(fill, ballast)
        assert store.stats().last_commit_ok
        for turn in range(1, 40):
            with pytest.raises(LogWriteError, match="No space left") as refused:
                await store.append([frame(store, NOW + turn, labels=500)])
            assert str(small_disk) not in str(refused.value)
        assert not store.stats().last_commit_ok
        assert store.stats().write_failures == 39
        assert len(segment_numbers(store.log_directory)) == 1
        assert sum("cannot be stored" in record.message for record in caplog.records) == 1
        await asyncio.to_thread(ballast.unlink)
        async with asyncio.timeout(60):
            while not store.stats().last_commit_ok:
                await asyncio.to_thread(threading.Event().wait, 0.05)
                await store.tick()
        await store.append([frame(store, NOW + 100)])
    async with opened(small_disk / "data") as store:
        assert times_of(store) == [0, 100]
        assert store.stats().unreadable_segments == 0


async def test_more_than_may_wait_is_refused_as_busy(tmp_path: Path) -> None:
    async with opened(tmp_path, StoreSettings(max_waiting_frames=2, commit_interval_seconds=0.0)) as store:
        waiting = asyncio.ensure_future(store.append([frame(store, NOW), frame(store, NOW + 1)]))
        await asyncio.sleep(0)
        with pytest.raises(StoreBusyError, match="slower than"):
            await store.append([frame(store, NOW + 2)])
        await waiting
        await store.append([frame(store, NOW + 3)])
        assert store.stats().frames_refused_busy == 1
        assert times_of(store) == [0, 1, 3]


async def test_a_disk_that_hangs_is_told_as_busy_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    sync = os.fdatasync

    def hanging(descriptor: int) -> None:
        goes_on.wait(60)
        sync(descriptor)

    async with opened(tmp_path, StoreSettings(write_timeout_seconds=0.05)) as store:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", hanging)
            with pytest.raises(StoreBusyError, match="does not answer"):
                await store.append([frame(store, NOW)])
            assert not store.stats().last_commit_ok
            goes_on.set()
            await store.tick()  # behind the write that hung
        store._commits._write_timeout_seconds = 60.0
        await store.append([frame(store, NOW + 1)])
        assert store.stats().last_commit_ok
        assert times_of(store) == [0, 1]


async def test_series_have_limits(tmp_path: Path) -> None:
    limits = replace(HeadLimits(), max_series=3, max_series_per_stream=2)
    async with opened(tmp_path, StoreSettings(head=limits)) as store:
        await store.append([frame(store, names="abc")])
        assert store.stats().series == 2
        refused = store.stats().series_refused
        await store.append([frame(store, device="nas", names="ab")])
        assert store.stats().series == 3
        assert store.stats().series_refused > refused > 0
        assert (len(times_of(store, "a")), len(times_of(store, "b"))) == (2, 1)
        await store.append([frame(store, NOW + 1, names="cd")])  # what left makes room for what came
        assert store.stats().series == 3
        assert len(times_of(store, "d")) == 1


async def test_what_is_silent_is_freed(tmp_path: Path) -> None:
    clock = Time()
    async with opened(tmp_path, clock=clock) as store:
        await store.append([frame(store, names="ab"), frame(store, device="nas")])
        clock.now += 3 * HOUR_MS
        await store.append([frame(store, clock.now, names="a")])
        await store.checkpoint()
        assert (store.stats().series, store.stats().devices) == (2, 1)  # b left only now
        clock.now += 3 * HOUR_MS
        await store.append([frame(store, clock.now, names="a")])
        await store.checkpoint()
        assert (store.stats().series, store.stats().devices) == (1, 1)
        assert store.freshness("nas") is None


@pytest.mark.parametrize("at", [0, 3, 40, -1])
async def test_a_damaged_checkpoint_costs_time_and_nothing_else(
    tmp_path: Path, at: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as store:
        await store.append([frame(store, NOW + n) for n in range(5)])
    path = tmp_path / "head.checkpoint"
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    async with opened(tmp_path) as store:
        assert times_of(store) == [0, 1, 2, 3, 4]
    assert "checkpoint not used" in caplog.text


async def test_files_are_for_the_collector_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with opened(folder) as store:
        await store.append([frame(store)])
        await store.checkpoint()
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    assert {"data", "log", "head.checkpoint", "series.lock", "0000000001.seg"} <= modes.keys()
    assert {mode for name, mode in modes.items() if name in ("data", "log")} == {0o700}
    assert {mode for name, mode in modes.items() if name not in ("data", "log")} == {0o600}


async def test_what_was_set_aside_does_not_stay_for_ever(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    for number in range(1, 21):
        (log / f"{number:010d}.seg").write_bytes(b"no segment at all, but longer than a header")
    async with opened(tmp_path) as store:
        assert store.stats().unreadable_segments == 20
        await store.checkpoint()
        left = sorted(path.name for path in log.glob("*.unreadable"))
    assert len(left) == 8
    assert left[0] == "0000000013.seg.unreadable"


@pytest.mark.parametrize(("lookback_ms", "is_kept"), [(300_000, False), (1_500_000, True)])
async def test_a_value_is_kept_for_as_long_as_the_lookback_that_is_configured(
    tmp_path: Path, lookback_ms: int, is_kept: bool
) -> None:
    limits = replace(HeadLimits(), lookback_ms=lookback_ms)
    async with opened(tmp_path, StoreSettings(head=limits)) as store:
        layout = store.layout(Target("pc", "acme", "hq", "server"), store.series([("m", {})]))
        await store.append([DeviceFrame(layout, NOW, NOW, pack_values([7.0]))])
        for minute in range(1, 25):  # the probe is not read
            t = NOW + minute * 60_000
            await store.append([DeviceFrame(layout, t, t, pack_values([None]))])
        selection = store.reader.select((Matcher("__name__", MatchOp.EQUAL, "m"),), 0, t)
        assert store.reader.latest(selection, t, lookback_ms).present.tolist() == [is_kept]


@pytest.mark.parametrize("by_checkpoint", [True, False], ids=["checkpoint", "log"])
async def test_what_came_late_is_told_once_it_has_ended_and_over_a_restart(tmp_path: Path, by_checkpoint: bool) -> None:
    clock = Time()
    late = LateSpan(NOW - 3 * HOUR_MS, NOW - HOUR_MS, NOW)
    async with opened(tmp_path, clock=clock) as store:
        kept = [frame(store, NOW - hours * HOUR_MS) for hours in (2, 3, 1)]
        await store.append([frame(store), *(one._replace(received=NOW) for one in kept)])
        await store.append([frame(store, NOW - 120_000, device="hiccup")._replace(received=NOW)])
        assert store.late_spans(NOW) == {}
        assert store.late_spans(NOW + 1) == {"pc": late}
        if by_checkpoint:
            await store.checkpoint()
    async with opened(tmp_path, clock=clock) as store:
        assert store.late_spans(NOW + 1) == {"pc": late}
        await store.append([frame(store, NOW - HOUR_MS + 1)._replace(received=NOW + 60_000)])
        await store.forget_late({"pc": late})
        widened = replace(late, last_ms=NOW - HOUR_MS + 1, received_ms=NOW + 60_000)
        assert store.late_spans(NOW + HOUR_MS) == {"pc": widened}  # it went on since
        await store.forget_late({"pc": widened})
        assert store.late_spans(NOW + HOUR_MS) == {}
