"""How it grows: `python -m bench scaling --json [--devices 1000,10000,100000] [--plot docs/scaling.svg]`.

For each fleet size, in processes of their own: taking samples in (from frames that are decoded already: log, fsync and
head; the first frame of each device, which makes its series, stands apart), one evaluation of the 20 rules of `bench
rules`, resident memory, and how long a new process takes until it has all of it again. The samples are
those of `bench rules`, 12 minutes of them; 6 for more than 50,000 devices. Alerts are kept and evaluated as always, but
open no tickets: those cost the same whatever the size of the fleet.
"""

import argparse
import asyncio
import gc
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import uvloop
from sqlalchemy.ext.asyncio import AsyncConnection

from bench._evaluating import rig
from bench._fleet import SERIES, STEP_MS, Fleet, rule_file
from bench._plot import render
from collector.alerting.evaluation import Transition
from collector.alerting.records import AlertRecord
from collector.alerting.rulefile import load_rules
from collector.alerting.ruleset import AlertRule
from collector.alerting.succession import Move
from collector.clock import from_milliseconds, system_clock
from collector.series.catalog import DeviceFrame
from collector.series.store import SampleStore

FRAMES_AT_ONCE = 5_000
EVALUATIONS = 4
EVALUATION_MS = 15_000

Work = Callable[[int, Path], Coroutine[None, None, dict[str, float]]]


class NoTickets:
    """An incident sink that takes note of nothing."""

    async def move(self, connection: AsyncConnection, moves: Sequence[Move], now: datetime) -> None:
        pass

    async def apply(self, connection: AsyncConnection, transitions: Sequence[Transition], now: datetime) -> None:
        pass

    async def sweep(
        self,
        connection: AsyncConnection,
        rules: Sequence[AlertRule],
        now: datetime,
        *,
        is_untold: Callable[[str, Mapping[str, str]], bool],
    ) -> None:
        pass

    async def retire(self, connection: AsyncConnection, gone: Sequence[AlertRecord], now: datetime) -> None:
        pass


async def fill_and_evaluate(devices: int, folder: Path) -> dict[str, float]:
    steps = 12 if devices <= 50_000 else 6
    fleet = Fleet(devices, int(time.time() * 1000) - steps * STEP_MS)
    rules = load_rules([folder / "rules.yaml"])
    async with rig(folder, fleet, rules, incidents=NoTickets()) as made:
        cpu = took = new_cpu = 0.0
        for step in range(steps):
            times, values = fleet.times(step), fleet.values(step)
            frames = [
                DeviceFrame(layout, at, at, row.tobytes())
                for layout, at, row in zip(made.layouts, times.tolist(), values, strict=True)
            ]
            cpu_before, before = time.process_time(), time.perf_counter()
            for start in range(0, devices, FRAMES_AT_ONCE):
                await made.store.append(frames[start : start + FRAMES_AT_ONCE])
            if step == 0:  # every series is new: what that costs does not depend on how many samples follow
                new_cpu = time.process_time() - cpu_before
                continue
            cpu, took = cpu + time.process_time() - cpu_before, took + time.perf_counter() - before
        samples = (steps - 1) * devices * len(SERIES)

        (group,) = rules.groups
        began = fleet.start_ms + steps * STEP_MS
        await made.evaluator.evaluate_group(group, from_milliseconds(began))  # the first one learns the labels
        costs = []
        for number in range(1, EVALUATIONS + 1):
            cpu_before, before = time.process_time(), time.perf_counter()
            at = from_milliseconds(began + number * EVALUATION_MS)
            done = await made.evaluator.evaluate_group(group, at)
            assert not done.errors, done.errors
            costs.append((time.process_time() - cpu_before, time.perf_counter() - before))
        rss = psutil.Process().memory_info().rss
    return {
        "devices": devices,
        "series": devices * len(SERIES),
        "ingest_cpu_seconds_per_million_samples": round(cpu / samples * 1e6, 3),
        "new_series_cpu_seconds_per_million": round(new_cpu / (devices * len(SERIES)) * 1e6, 2),
        "ingest_samples_per_second": round(samples / took),
        "evaluation_cpu_seconds": round(statistics.median(cpu for cpu, _ in costs), 3),
        "evaluation_seconds": round(statistics.median(seconds for _, seconds in costs), 3),
        "rss_mib": round(rss / 2**20, 1),
        "rss_bytes_per_series": round(rss / (devices * len(SERIES))),
    }


async def restart(_devices: int, folder: Path) -> dict[str, float]:
    rules = load_rules([folder / "rules.yaml"])
    before = time.perf_counter()
    store = await SampleStore.open(folder / "data", windows=rules.windows, clock=system_clock)
    took = time.perf_counter() - before
    await store.close()
    return {"restart_seconds": round(took, 2)}


def serve(work: Work, devices: int, folder: Path, answer: Connection) -> None:
    logging.disable(logging.INFO)
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)  # as `serve` does
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answer.send(runner.run(work(devices, folder)))


def in_a_process(work: Work, devices: int, folder: Path) -> dict[str, float]:
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(work, devices, folder, sender))
    process.start()
    sender.close()
    try:
        figures: dict[str, float] = receiver.recv()
        return figures
    finally:
        process.join()


def measure(devices: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as name:
        folder = Path(name)
        (folder / "rules.yaml").write_text(rule_file(EVALUATION_MS / 1000))
        filled = in_a_process(fill_and_evaluate, devices, folder)
        return {**filled, **in_a_process(restart, devices, folder)}


def plot(results: Sequence[dict[str, Any]]) -> str:
    titles = {
        "CPU-seconds per million samples": "ingest_cpu_seconds_per_million_samples",
        "CPU-seconds per evaluation": "evaluation_cpu_seconds",
        "resident memory, MiB": "rss_mib",
        "restart, seconds": "restart_seconds",
    }
    return render({title: [(one["devices"], one[name]) for one in results] for title, name in titles.items()})


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench scaling", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON array")
    parser.add_argument("--devices", default="1000,10000,100000", help="fleet sizes, separated by commas")
    parser.add_argument("--plot", type=Path, help="write the curves to this SVG file")
    options = parser.parse_args(arguments)
    results = [measure(int(devices)) for devices in options.devices.split(",")]
    if options.plot is not None:
        options.plot.write_text(plot(results), encoding="utf-8")
    if options.json:
        sys.stdout.write(json.dumps(results) + "\n")
    else:
        for result in results:
            sys.stdout.writelines(f"{name}: {value}\n" for name, value in result.items())
    return 0
