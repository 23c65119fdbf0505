"""Appends to a store as fast as it can and says what was acknowledged, until it is killed."""

import asyncio
import sys
import time
from pathlib import Path

from collector.clock import system_clock
from collector.series.catalog import DeviceFrame, pack_values
from collector.series.labels import Target
from collector.series.store import SampleStore

DEVICES = 8


async def write(folder: Path, first: int) -> None:
    store = await SampleStore.open(folder, windows={"number": 7200.0}, clock=system_clock)
    series = store.series([("number", {})])
    base = int(time.time() * 1000) - 60_000

    async def push(device: int) -> None:
        layout = store.layout(Target(f"pc-{device}", "acme", "hq", "server"), series)
        number = first
        while True:
            t = base + number
            await store.append([DeviceFrame(layout, t, t, pack_values([float(number)]))])
            sys.stdout.write(f"{device} {t} {number}\n")
            sys.stdout.flush()
            number += 1
            if number % 50 == 0:
                await store.checkpoint()

    await asyncio.gather(*map(push, range(DEVICES)))


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
