"""A compaction that dies at any point loses and doubles nothing."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.clock import system_clock, to_milliseconds
from collector.series.history.blocks import BlockSettings
from collector.series.history.duck import Duck
from collector.series.history.history import History, HistorySettings
from collector.series.store import SampleStore
from tests.series import model
from tests.series.test_history import DAY, Place, samples_of

SETTINGS = HistorySettings(blocks=BlockSettings(part_rows=60, fan_in=2))
KILLS = 6
ACKS_PER_LIFE = 150
TAKEN_UP_EVERY = 5


class Witness:
    """Copies the folder after each thing that is done to it, as a process that dies there would leave it, and sees to
    it that a manifest names only files that are durable."""

    def __init__(self, folder: Path, copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.copies: list[Path] = []
        self._folder, self._to = folder, copies
        self._synced: set[str] = set()
        self._last: dict[str, bytes] = {}
        for owner, name in ((Path, "replace"), (Path, "unlink"), (Path, "write_bytes"), (Duck, "write")):
            monkeypatch.setattr(owner, name, self._after(getattr(owner, name)))
        sync = os.fsync

        def fsync(descriptor: int) -> None:
            sync(descriptor)
            self._synced.add(Path(f"/proc/self/fd/{descriptor}").readlink().name)
            self._copy()

        monkeypatch.setattr(os, "fsync", fsync)

    def _after(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(target: Any, *arguments: Any, **options: Any) -> Any:
            if method.__name__ == "replace" and target.name == "manifest.json.draft":
                told = orjson.loads(target.read_bytes())
                new = {*told["dictionaries"], told["endings"], *(block["name"] for block in told["blocks"])}
                assert {*new, target.name} <= self._synced
            result = method(target, *arguments, **options)
            self._copy()
            return result

        return wrapped

    def _copy(self) -> None:
        content = {str(path): path.read_bytes() for path in self._folder.rglob("*") if path.is_file()}
        if content == self._last:  # a sync changes nothing that a copy would show
            return
        self._last = content
        copy = self._to / str(len(self.copies))
        shutil.copytree(self._folder, copy)
        self.copies.append(copy)


@pytest.mark.slow
async def test_dying_between_any_two_steps_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "live", SETTINGS, segment_bytes=3_000)
    await place.open()
    expected: dict[tuple[str, str], dict[int, model.Value]] = defaultdict(dict)
    for number in range(14):
        place.now += DAY // 6
        t = place.now - (DAY if number % 10 == 3 else 0)
        for device, kind in (("pc", "server"), ("laser", "printer")):
            names = ("a", "b") if number % 9 else ("a", "b", "c")
            for _ in range(2 if number % 7 == 0 else 1):
                await place.push(device, names, t, [float(number)] * len(names), kind)
            for name in names:
                expected[device, name].setdefault(t, float(number))  # some late ones repeat a time: the first wins
    with monkeypatch.context() as patched:
        witness = Witness(place.folder, tmp_path / "copies", patched)
        await place.history.compact()
    await place.close()
    assert len(witness.copies) > 30
    for name in ("fsync", "fdatasync"):  # what follows need not survive anything
        monkeypatch.setattr(os, name, lambda _: None)
    for place_of_death, copy in enumerate(witness.copies):
        survivor = Place(copy, SETTINGS, segment_bytes=3_000)
        survivor.now = place.now
        await survivor.open()
        for is_taken_up in (False, True):
            if is_taken_up and place_of_death % TAKEN_UP_EVERY:
                continue  # going on takes longest; not at every place
            if is_taken_up:
                await survivor.history.compact()
            for (device, name), samples in expected.items():
                found = survivor.everything(device, name)
                assert {t: value for t, value in found.items() if value != model.STALE} == samples
        await survivor.close()
        shutil.rmtree(copy)


@pytest.mark.slow
def test_kill_9_while_compacting_loses_and_doubles_nothing(tmp_path: Path) -> None:
    acked: dict[str, dict[int, float]] = defaultdict(dict)
    for life in range(KILLS):
        command = [sys.executable, "-m", "tests.series.compacting_process", str(tmp_path), str(life * 10_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            acks = ACKS_PER_LIFE + 37 * life
            while acks > 0 or not list(tmp_path.rglob("*.parquet")):
                device, t, number = process.stdout.readline().split()
                acked[f"pc-{device}"][int(t)] = float(number)
                acks -= 1
            process.kill()
            for line in process.stdout.read().splitlines(keepends=True):
                if line.endswith("\n"):
                    device, t, number = line.split()
                    acked[f"pc-{device}"][int(t)] = float(number)
    asyncio.run(_check(tmp_path, acked))


async def _check(folder: Path, acked: dict[str, dict[int, float]]) -> None:
    store = await SampleStore.open(folder, windows={}, clock=system_clock)
    history = await History.open(store, clock=system_clock)
    assert history.stats().blocks > 0
    for _ in range(2):
        for device, expected in acked.items():
            found = samples_of(history.reader, device, "number", 0, to_milliseconds(system_clock()))
            assert {t: found.get(t) for t in expected} == expected
        await history.compact()
    await history.close()
    await store.close()
