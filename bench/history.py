"""What reading and keeping weeks costs: `python -m bench history --json [--devices 10000] [--queries 60] [--days 30]`.

A day of a whole fleet (40 series a device, a frame each minute) is written as blocks by the collector's own writer, its
last half hour through the log: a quarter of an hour is then compacted, the newest one is not. Graphs of single devices
over 24 h are asked through PromQL, as the query API does, each of another device, so that none profits from the one
before. The series are of five kinds: full-precision noise, constants, counters of bytes, whole-number gauges, and
counters of seconds; bytes per sample depend on such things more than on anything else.

Questions about the whole fleet are asked of the same day, and of a month of a tenth of the devices (10 series each, in
files as the last merge of a day leaves them), read and evaluated day by day as a backtest does.
"""

import argparse
import asyncio
import itertools
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collector.clock import from_milliseconds
from collector.promql import Engine, compile_expr
from collector.series.catalog import Catalog, DeviceFrame, Layout
from collector.series.history import manifest as manifests
from collector.series.history.blocks import FINAL, Blocks, BlockSettings
from collector.series.history.duck import Duck
from collector.series.history.history import History
from collector.series.history.index import SeriesIndex
from collector.series.history.manifest import DAY_MS, Block, Manifest
from collector.series.history.rows import Rows
from collector.series.labels import Strings, Target
from collector.series.store import SampleStore, StoreSettings

SERIES = 40
MINUTE_MS = 60_000
DAY_MINUTES = 24 * 60
LOGGED_MINUTES = 30
NOW = 1_700_000_000_000 // DAY_MS * DAY_MS + 15 * 3_600_000  # the graphs reach over midnight
PART_ROWS = 2_000_000
# About as many files as a day in the making has at most: yesterday is one run; today is seven that were merged once and
# six that were not, behind them what comes through the log. (level, minutes)
RUNS = ((FINAL, 9 * 60), *[(1, 120)] * 7, *[(0, 5)] * 6)
MERGED_DEVICES = 250
MERGED_RUNS = 8
MERGED_AT_ONCE = 50
GRAPHS = {
    "one metric, one series": 'metric_07{{device_id="{device}"}}',
    "rate of one metric": 'rate(metric_02{{device_id="{device}"}}[5m])',
    "the whole device, 40 series": '{{device_id="{device}"}}',
}
FLEET_QUERIES = ("avg(metric_07)", "sum by (customer) (rate(metric_02[5m]))", "max(metric_03) by (customer)")
MONTH_SERIES = 10
MONTH_RULE = "metric_01 > 0.999"


class Fleet:
    """Devices that all have the same series."""

    def __init__(self, devices: int, layout: Callable[[Target], Layout], series: int = SERIES) -> None:
        self.series = series
        self.layouts = [
            layout(Target(f"pc-{number:05}", f"customer-{number // 50:03}", "hq", "desktop"))
            for number in range(devices)
        ]
        self._random = np.random.default_rng(1)

    def values(self, devices: int, minutes: int) -> NDArray[np.float64]:
        """Shape (devices, series, minutes)."""
        random, shape = self._random, (devices, self.series // 5, minutes)
        return np.concatenate(
            (
                random.random(shape),
                np.broadcast_to(np.round(random.random((devices, self.series // 5, 1)), 2), shape),
                np.cumsum(random.integers(0, 100_000, shape), axis=2).astype(float),
                np.round(np.cumsum(random.normal(0, 0.5, shape), axis=2) + 50),
                np.cumsum(random.random(shape) * 60, axis=2).round(2),
            ),
            axis=1,
        )

    def rows(self, index: SeriesIndex, first: int, devices: int, start: int, minutes: int) -> Rows:
        """Samples of some devices, sorted."""
        layouts = self.layouts[first : first + devices]
        for layout in layouts:
            series_of = index.rows_of(layout)
            index.note(series_of, np.full(self.series, start), np.full(self.series, start + minutes * MINUTE_MS))
        ids = np.concatenate([index.ids(index.rows_of(layout)) for layout in layouts])
        times = np.broadcast_to(
            start + (np.arange(len(layouts)) * 7919 % MINUTE_MS)[:, None, None] + np.arange(minutes) * MINUTE_MS,
            (len(layouts), self.series, minutes),
        ).ravel()
        rows = len(times)
        series = np.repeat(ids, minutes)
        return Rows(series, times, self.values(len(layouts), minutes).ravel(), np.zeros(rows, dtype=np.int64))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench history", description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=60, help="graphs of each kind")
    parser.add_argument("--days", type=int, default=30, help="of the month of a tenth of the devices")
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(measure(Path(folder), options.devices, options.queries))
        report["merge"] = measure_merge(Path(folder) / "merge")
    with tempfile.TemporaryDirectory() as folder:
        report["month"] = asyncio.run(measure_month(Path(folder), options.devices // 10, options.days))
    if options.as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(f"{name}: {value}" for name, value in report.items()) + "\n")
    return 0


async def measure(folder: Path, devices: int, queries: int) -> dict[str, object]:
    now = NOW - LOGGED_MINUTES * MINUTE_MS

    def clock() -> datetime:
        return from_milliseconds(now)

    settings = replace(StoreSettings(), segment_bytes=1 << 40, segment_seconds=LOGGED_MINUTES * 30.0)
    store = await SampleStore.open(folder, windows={}, clock=clock, settings=settings)
    history = await History.open(store, clock=clock)
    names = store.series([(f"metric_{number:02}", {}) for number in range(SERIES)])
    fleet = Fleet(devices, lambda target: store.layout(target, names))
    written = await asyncio.to_thread(write_day, folder / "history", fleet, store)
    await history.close()
    opened = time.perf_counter()
    history = await History.open(store, clock=clock)
    opened = time.perf_counter() - opened
    for minute in range(LOGGED_MINUTES):
        now = NOW + (minute - LOGGED_MINUTES) * MINUTE_MS
        values = fleet.values(devices, 1)[:, :, 0]
        await store.append(
            [
                DeviceFrame(layout, now + place * 7919 % MINUTE_MS, now, values[place].tobytes())
                for place, layout in enumerate(fleet.layouts)
            ]
        )
    now = NOW + MINUTE_MS
    before, cpu, wall = history.stats(), time.process_time(), time.perf_counter()
    await history.compact()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    after = history.stats()
    compacted = after.done.samples_compacted - before.done.samples_compacted
    report: dict[str, object] = {
        "devices": devices,
        "samples_in_blocks": after.samples,
        "blocks": after.blocks,
        "bytes_per_sample": round(after.block_bytes / after.samples, 2),
        "bytes_per_device_and_day": round(after.block_bytes / after.samples * SERIES * DAY_MINUTES),
        "day_written_seconds": round(written, 1),
        "opened_seconds": round(opened, 2),
        "compaction": {
            "samples": compacted,
            "seconds": round(wall, 2),
            "cpu_seconds_per_million_samples": round(cpu / compacted * 1e6, 3),
        },
    }
    engine = Engine(history.reader, lookback=timedelta(minutes=5))
    step = 60_000
    graphs: dict[str, object] = {}
    for name, expression in GRAPHS.items():
        seconds = []
        for number in range(queries):
            device = f"pc-{number * 7919 % devices:05}"
            plan = compile_expr(expression.format(device=device))
            begun = time.perf_counter()
            result = await asyncio.to_thread(engine.range, plan, NOW - DAY_MS, NOW, step)
            seconds.append(time.perf_counter() - begun)
            assert result is not None
        graphs[name] = milliseconds(seconds)
    report["graph_24_h_ms"] = graphs
    report["fleet_24_h"] = {
        query: await timed(partial(engine.range, compile_expr(query), NOW - DAY_MS, NOW, step))
        for query in FLEET_QUERIES
    }
    report["highest_resident_mib"] = highest_resident_mib()
    await history.close()
    await store.close()
    return report


async def measure_month(folder: Path, devices: int, days: int) -> dict[str, object]:
    """A whole month of one metric: read alone, and replayed through a rule."""

    def clock() -> datetime:
        return from_milliseconds(NOW)

    store = await SampleStore.open(folder, windows={}, clock=clock)
    names = store.series([(f"metric_{number:02}", {}) for number in range(MONTH_SERIES)])
    fleet = Fleet(devices, lambda target: store.layout(target, names), MONTH_SERIES)
    (folder / "history").mkdir()
    written = await asyncio.to_thread(write_month, folder / "history", fleet, store, days)
    history = await History.open(store, clock=clock)
    reader = history.reader
    engine = Engine(reader, lookback=timedelta(minutes=5))
    plan = compile_expr(MONTH_RULE)
    (matchers,) = plan.selectors
    midnight = NOW // DAY_MS * DAY_MS
    spans = [(midnight - day * DAY_MS, midnight - (day - 1) * DAY_MS) for day in range(days, 0, -1)]

    def read() -> int:
        total = 0
        for start, end in spans:
            selection = reader.select(matchers, start - 1, end - 1)
            total += int(reader.samples(selection, start - 1, end - 1).counts.sum())
        return total

    def replay() -> int:
        found = [engine.range(plan, start, end - MINUTE_MS, MINUTE_MS) for start, end in spans]
        return sum(int(matrix.present.sum()) for matrix in found)

    begun = time.perf_counter()
    samples = await asyncio.to_thread(read)
    seconds = time.perf_counter() - begun
    report: dict[str, object] = {
        "devices": devices,
        "days": days,
        "month_written_seconds": round(written, 1),
        "samples_read": samples,
        "read_seconds": round(seconds, 2),
        "samples_per_second": round(samples / seconds),
        "replayed": await timed(replay),
        "highest_resident_mib": highest_resident_mib(),
    }
    await history.close()
    await store.close()
    return report


async def timed(work: Callable[[], object]) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.to_thread(work)
    return {
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }


def highest_resident_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def write_month(directory: Path, fleet: Fleet, store: SampleStore, days: int) -> float:
    """Days as their last merge leaves them, all with the same values; returns the seconds it took."""
    begun = time.perf_counter()
    duck = Duck(directory, memory_limit="512MB")
    index = SeriesIndex(store.reader.strings, store.catalog)
    blocks = Blocks(directory, duck, index, BlockSettings())
    files = itertools.count(1)
    written: list[Block] = []
    midnight = NOW // DAY_MS * DAY_MS
    at_once = PART_ROWS // (fleet.series * DAY_MINUTES)
    for first in range(0, len(fleet.layouts), at_once):
        rows = fleet.rows(index, first, at_once, midnight, DAY_MINUTES)
        for day in range(days, 0, -1):
            of_day = replace(rows, times=rows.times - day * DAY_MS)
            written += blocks.write(of_day, FINAL, -day, files)
    for layout in fleet.layouts:
        of_layout = index.rows_of(layout)
        index.note(of_layout, np.full(fleet.series, midnight - days * DAY_MS), np.full(fleet.series, midnight))
    commit(directory, duck, index, Manifest(next_file=next(files), blocks=tuple(written)))
    duck.close()
    return time.perf_counter() - begun


def write_day(directory: Path, fleet: Fleet, store: SampleStore) -> float:
    """Blocks of all but the last half hour; returns the seconds it took, values made up included."""
    begun = time.perf_counter()
    start = NOW - DAY_MS
    duck = Duck(directory, memory_limit="512MB")
    index = SeriesIndex(store.reader.strings, store.catalog)
    blocks = Blocks(directory, duck, index, BlockSettings())
    files = itertools.count(1)
    written: list[Block] = []
    for run, (level, minutes) in enumerate(RUNS):
        at_once = PART_ROWS // (SERIES * minutes)
        for first in range(0, len(fleet.layouts), at_once):
            written += blocks.write(fleet.rows(index, first, at_once, start, minutes), level, run - len(RUNS), files)
        start += minutes * MINUTE_MS
    commit(directory, duck, index, Manifest(next_file=next(files), blocks=tuple(written)))
    duck.close()
    return time.perf_counter() - begun


def commit(directory: Path, duck: Duck, index: SeriesIndex, manifest: Manifest) -> None:
    name = "series-0000000000.parquet"
    duck.write(directory / name, index.all())
    manifests.commit(directory, replace(manifest, dictionaries=(name,), tidied=NOW))


def measure_merge(directory: Path) -> dict[str, object]:
    """Several runs of one day made one."""
    directory.mkdir()

    catalog = Catalog()
    names = catalog.series((f"metric_{number:02}", ()) for number in range(SERIES))
    fleet = Fleet(MERGED_DEVICES, lambda target: catalog.layout(target, names))
    duck = Duck(directory, memory_limit="512MB")
    index = SeriesIndex(Strings(), catalog)
    blocks = Blocks(directory, duck, index, BlockSettings())
    files = itertools.count(1)
    minutes = DAY_MINUTES // MERGED_RUNS
    start = NOW // DAY_MS * DAY_MS
    written = [
        block
        for run in range(MERGED_RUNS)
        for first in range(0, MERGED_DEVICES, MERGED_AT_ONCE)
        for block in blocks.write(
            fleet.rows(index, first, MERGED_AT_ONCE, start + run * minutes * MINUTE_MS, minutes - 1), 0, run, files
        )
    ]
    manifest = Manifest(next_file=next(files), blocks=tuple(written))
    due = blocks.due_merge(manifest, NOW + 2 * DAY_MS)
    assert due is not None
    cpu, wall = time.process_time(), time.perf_counter()
    merged = blocks.merge(manifest, due)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    samples = sum(block.rows for block in merged.blocks)
    duck.close()
    return {
        "samples": samples,
        "files_before": len(written),
        "files_after": len(merged.blocks),
        "seconds": round(wall, 2),
        "cpu_seconds_per_million_samples": round(cpu / samples * 1e6, 3),
    }


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "median": round(statistics.median(ordered) * 1000, 1),
        "p99": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
        "max": round(ordered[-1] * 1000, 1),
    }
