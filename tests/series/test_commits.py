"""Batches of frames: when one begins."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from collector.series.catalog import Catalog, DeviceFrame, pack_values
from collector.series.commits import ENOUGH_FRAMES, GroupCommit
from collector.series.labels import Target
from collector.series.worker import Worker

PATIENCE_SECONDS = 60.0


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker("test")
    yield worker
    await worker.stop()


async def test_a_batch_waits_for_its_time_unless_much_has_gathered(worker: Worker) -> None:
    catalog = Catalog()
    layout = catalog.layout(Target("pc-1", "acme", "hq", "server"), catalog.series([("cpu", ())]))
    frame = DeviceFrame(layout, 1, 1, pack_values([0.5]))
    batches: list[int] = []
    commits = GroupCommit(
        worker,
        lambda frames: batches.append(len(frames)),
        interval_seconds=3_600.0,
        max_waiting_bytes=1 << 20,
        max_waiting_frames=10_000,
        write_timeout_seconds=3_600.0,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        await commits.append([frame])  # after a rest: at once
        waiting = [asyncio.ensure_future(commits.append([frame])) for _ in range(ENOUGH_FRAMES - 1)]
        await worker.run(lambda: None)
        assert (batches, commits.idle.is_set()) == ([1], False)
        await commits.append([frame])
        await asyncio.gather(*waiting)
        await commits.append([frame] * (2 * ENOUGH_FRAMES))
    assert batches == [1, ENOUGH_FRAMES, 2 * ENOUGH_FRAMES]
    assert commits.idle.is_set()
