"""`kill -9` in the middle of writing, again and again: what was acknowledged is there, once."""

import asyncio
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from collector.clock import system_clock, to_milliseconds
from collector.series.read import Matcher, MatchOp
from collector.series.store import SampleStore

KILLS = 4
ACKS_PER_LIFE = 300


@pytest.mark.slow
def test_every_acknowledged_sample_survives_kill_9_once(tmp_path: Path) -> None:
    acked: dict[str, dict[int, float]] = defaultdict(dict)
    for life in range(KILLS):
        command = [sys.executable, "-m", "tests.series.writing_process", str(tmp_path), str(life * 1_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(ACKS_PER_LIFE):
                device, t, number = process.stdout.readline().split()
                acked[f"pc-{device}"][int(t)] = float(number)
            process.kill()
            for line in process.stdout.read().splitlines(keepends=True):
                if line.endswith("\n"):
                    device, t, number = line.split()
                    acked[f"pc-{device}"][int(t)] = float(number)
    asyncio.run(_check(tmp_path, acked))


async def _check(folder: Path, acked: dict[str, dict[int, float]]) -> None:
    store = await SampleStore.open(folder, windows={"number": 7200.0}, clock=system_clock)
    try:
        now = to_milliseconds(system_clock())
        for device, expected in acked.items():
            matchers = (Matcher("device_id", MatchOp.EQUAL, device),)
            selection = store.reader.select(matchers, 0, now)
            assert len(selection) == 1
            samples = store.reader.samples(selection, 0, now)
            count = int(samples.counts[0])
            times = samples.times[0, :count].tolist()
            found = dict(zip(times, samples.values[0, :count].tolist(), strict=True))
            assert len(found) == count
            assert {t: found.get(t) for t in expected} == expected
    finally:
        await store.close()
