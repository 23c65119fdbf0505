"""Appends to a store and compacts it as fast as it can, says what was acknowledged, until it is killed."""

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

from collector.clock import system_clock
from collector.series.catalog import DeviceFrame, pack_values
from collector.series.history.blocks import BlockSettings
from collector.series.history.history import History, HistorySettings
from collector.series.labels import Target
from collector.series.store import SampleStore, StoreSettings

DEVICES = 4


async def write(folder: Path, first: int) -> None:
    store = await SampleStore.open(
        folder, windows={}, clock=system_clock, settings=replace(StoreSettings(), segment_bytes=3_000)
    )
    small = HistorySettings(blocks=BlockSettings(part_rows=40, fan_in=3), every_seconds=0.0)
    history = await History.open(store, clock=system_clock, settings=small)
    series = store.series([("number", {})])
    base = int(time.time() * 1000) - 3_600_000

    async def push(device: int) -> None:
        layout = store.layout(Target(f"pc-{device}", "acme", "hq", "server"), series)
        number = first
        while True:
            t = base + number
            await store.append([DeviceFrame(layout, t, t, pack_values([float(number)]))])
            sys.stdout.write(f"{device} {t} {number}\n")
            sys.stdout.flush()
            number += 1

    await asyncio.gather(history.maintain(), *map(push, range(DEVICES)))


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
