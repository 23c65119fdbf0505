"""Rules that look back over a day: `python -m bench long_windows --json [--devices 1000] [--days 1.2]`.

Four series of each device at 60 s, compacted but for the last hours. Each rule is evaluated once, which reads history,
and then every 15 s while the fleet pushes; CPU is that of the whole process, pushes not included. The same query wholly
over history, as the query API reads it, stands beside it and must give the same.
"""

import argparse
import asyncio
import gc
import json
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil

from collector.clock import from_milliseconds
from collector.promql import Engine, Limits, Vector, compile_expr
from collector.series.catalog import DeviceFrame
from collector.series.history.history import History
from collector.series.history.reader import SpanningReader
from collector.series.labels import Target
from collector.series.long_windows import LongWindowReader
from collector.series.slab import BYTES_PER_SAMPLE
from collector.series.store import SampleStore

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
START = 1_700_006_400_000
CHUNK = 60 * MINUTE
EVERY_MS = 15_000
EVALUATIONS = 10
METRICS = ("requests_total", "errors_total", "celsius", "load")
RULES = {
    "day": (
        "increase(requests_total[1d]) > 10",
        "avg_over_time(celsius[1d])",
        "quantile_over_time(0.95, load[1d])",
        "max_over_time(rate(errors_total[5m])[1d:5m])",
        "celsius offset 1d",
    ),
    "week": ("avg_over_time(celsius[1w])", "increase(requests_total[1w])"),
}


class Fleet:
    """A store of so many devices, on a clock that it moves."""

    def __init__(self, store: SampleStore, devices: int) -> None:
        self.now = START
        self.random = np.random.default_rng(7)
        self.store = store
        series = store.series([(metric, {}) for metric in METRICS])
        self.layouts = [
            store.layout(Target(f"srv-{number}", "acme", "hq", "server"), series) for number in range(devices)
        ]
        self.totals = np.zeros((devices, 2))

    async def live(self, until: int) -> None:
        """Every device pushes each minute."""
        for t in range(self.now // MINUTE * MINUTE + MINUTE, until + 1, MINUTE):
            self.now = t
            size = len(self.layouts)
            self.totals += self.random.integers(0, 90, (size, 2))
            gauges = np.round(self.random.normal(40, 9, (size, 2)), 1)
            values = np.concatenate((self.totals, gauges), axis=1)
            await self.store.append(
                [DeviceFrame(layout, t, t, row.tobytes()) for layout, row in zip(self.layouts, values, strict=True)]
            )
        self.now = until


def values_of(engine: Engine, text: str, at: int) -> dict[str, float]:
    result = engine.instant(compile_expr(text), at)
    assert isinstance(result, Vector)
    return {
        labels["device_id"]: value for labels, value in zip(result.label_sets(), result.values.tolist(), strict=True)
    }


async def measure(devices: int, days: float, folder: Path) -> list[dict[str, object]]:
    texts = [*RULES["day"], *(RULES["week"] if days > 7 else ())]
    windows: dict[str | None, float] = dict.fromkeys(METRICS, 7200.0)
    moment = [START]

    def clock() -> datetime:
        return from_milliseconds(moment[0])

    store = await SampleStore.open(folder, windows=windows, clock=clock)
    history = await History.open(store, clock=clock)
    fleet = Fleet(store, devices)
    end = START + int(days * DAY)
    while fleet.now < end:
        await fleet.live(min(end, fleet.now + CHUNK))
        moment[0] = fleet.now
        await history.compact()
    reader = LongWindowReader(store.reader, history.reader, history, store.late, clock)
    rules, whole = Engine(reader), Engine(SpanningReader(store.reader, history, clock, lambda: 0), limits=Limits())
    results: list[dict[str, object]] = []
    for text in texts:
        held, reads = reader.samples_held, reader.counters.history_reads
        plan = compile_expr(text)
        cpu, began = time.process_time(), time.perf_counter()
        rules.instant(plan, moment[0])
        first = time.process_time() - cpu, time.perf_counter() - began
        first_reads = reader.counters.history_reads - reads
        costs = []
        for _ in range(EVALUATIONS):
            await fleet.live(fleet.now + EVERY_MS)
            moment[0] = fleet.now
            cpu, began = time.process_time(), time.perf_counter()
            rules.instant(plan, moment[0])
            costs.append((time.process_time() - cpu, time.perf_counter() - began))
        cpu = time.process_time()
        told = values_of(whole, text, moment[0])
        over_history = time.process_time() - cpu
        seen = values_of(rules, text, moment[0])
        assert seen.keys() == told.keys()
        assert np.allclose([seen[key] for key in told], list(told.values()), rtol=1e-9, atol=0.0, equal_nan=True)
        results.append(
            {
                "rule": text,
                "devices": devices,
                "first_cpu_seconds": round(first[0], 3),
                "first_seconds": round(first[1], 3),
                "first_history_reads": first_reads,
                "evaluation_cpu_seconds": round(statistics.median(one for one, _ in costs), 4),
                "evaluation_seconds": round(statistics.median(one for _, one in costs), 4),
                "history_reads_after": reader.counters.history_reads - reads - first_reads,
                "over_history_cpu_seconds": round(over_history, 3),
                "held_mib": round((reader.samples_held - held) * BYTES_PER_SAMPLE / 2**20, 1),
                "rss_mib": round(psutil.Process().memory_info().rss / 2**20),
            }
        )
    await history.close()
    await store.close()
    return results


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench long_windows", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON array")
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument(
        "--days", type=float, default=1.2, help="how much history there is; over 7: rules over a week too"
    )
    options = parser.parse_args(arguments)
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)  # as `serve` does
    with tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as name:
        results = asyncio.run(measure(options.devices, options.days, Path(name)))
    if options.json:
        sys.stdout.write(json.dumps(results) + "\n")
    else:
        for result in results:
            sys.stdout.write("  ".join(f"{name}={value}" for name, value in result.items()) + "\n")
    return 0
