"""What a backtest takes: `python -m bench backtest --json [--devices 1000] [--days 30] [--pack]`.

Samples of a month, one a minute, are written as blocks by the collector's own writer: how full a disk is, which swings
over the day and each day at one device in a hundred is above the rule's threshold for some hours, and the time since
boot. The rule is compared with one that waits longer. `--pack` writes a dozen metrics more and compares the shipped
rules for servers with themselves; rules that stand in both sets are replayed once. What the command does is run whole:
a picture of the samples, two sets of rules, the whole incident path.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert

from bench.history import commit, highest_resident_mib
from collector.alerting.yamlfile import shipped_folder
from collector.backtest.report import compare
from collector.clock import to_milliseconds
from collector.config import Settings
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.db.tables import devices as devices_table
from collector.fleet.customers import add_customer, ensure_site
from collector.series.history.blocks import FINAL, Blocks, BlockSettings
from collector.series.history.duck import Duck
from collector.series.history.index import SeriesIndex
from collector.series.history.manifest import DAY_MS, Block, Manifest
from collector.series.history.rows import Rows
from collector.series.labels import Target
from collector.series.store import SampleStore

MINUTES = 24 * 60
MINUTE_MS = 60_000
END = datetime(2026, 3, 31, tzinfo=UTC)
DEVICES_A_CUSTOMER = 20
AT_ONCE = 100

DISK = {"system_filesystem_state": "used", "system_filesystem_mountpoint": "/", "system_filesystem_type": "ext4"}
SERIES: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("system_uptime_seconds", {}),
    ("system_filesystem_utilization_ratio", DISK),
)
MORE: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("system_filesystem_usage_bytes", DISK),
    ("system_filesystem_limit_bytes", {name: DISK[name] for name in DISK if name != "system_filesystem_state"}),
    ("system_filesystem_inodes_utilization_ratio", DISK),
    ("system_memory_utilization_ratio", {"system_memory_state": "used"}),
    ("system_paging_utilization_ratio", {"system_paging_state": "used"}),
    ("system_cpu_utilization_ratio", {"cpu_mode": "idle"}),
    ("system_cpu_load_average_15m", {}),
    ("system_cpu_logical_count", {}),
    ("system_disk_io_time_seconds_total", {"system_device": "sda"}),
    ("system_network_errors_total", {"network_interface_name": "eth0", "network_io_direction": "receive"}),
    ("hw_temperature_celsius", {"hw_id": "cpu", "hw_name": "cpu"}),
    ("agent_clock_offset_seconds", {}),
)
PROCESSORS = len(SERIES) + [name for name, _ in MORE].index("system_cpu_logical_count")  # do not change every minute
RULE = """\
groups:
  - name: disks
    rules:
      - alert: ServerFilesystemFull
        expr: |-
          system_filesystem_utilization_ratio{kind="server", system_filesystem_state="used"}
            > on (device_id) group_left () quarkpulse_threshold{name="filesystem_full"}
        for: 10m
        labels: {severity: major, incident: filesystem_space}
        annotations: {summary: "{{ $labels.device_id }} is full"}
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench backtest", description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--pack", action="store_true", help="the shipped rules for servers instead of one rule")
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args(arguments)
    series = SERIES + MORE if options.pack else SERIES
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(measure(Path(folder), options.devices, options.days, series, is_pack=options.pack))
    if options.as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{name}: {value}\n" for name, value in report.items()))
    return 0


async def measure(
    folder: Path, count: int, days: int, series: Sequence[tuple[str, Mapping[str, str]]], *, is_pack: bool
) -> dict[str, object]:
    data = folder / "data"
    targets = [
        Target(f"srv-{number:05}", f"customer-{number // DEVICES_A_CUSTOMER:03}", "hq", "server")
        for number in range(count)
    ]
    settings = Settings(data=data)
    begun = time.perf_counter()
    await write_samples(data, targets, series, days)
    written = time.perf_counter() - begun
    async with await Database.open(settings.database) as database:
        await write_state(database, targets)
        (folder / "rule.yaml").write_text(RULE)
        (folder / "before.yaml").write_text(RULE.replace("for: 10m", "for: 30m"))
        rules = shipped_folder() / "server.yaml" if is_pack else folder / "rule.yaml"
        begun, cpu = time.perf_counter(), time.process_time()
        rows, _ = await compare(
            settings,
            database,
            file=rules,
            against=rules if is_pack else folder / "before.yaml",
            since=timedelta(days=days),
            step=timedelta(minutes=1),
            customer=None,
            now=END,
        )
    return {
        "devices": count,
        "days": days,
        "samples": count * len(series) * days * MINUTES,
        "rules": str(rules.name),
        "alerts": sum(int(str(row["alerts"])) for row in rows),
        "tickets": sum(int(str(row["tickets"])) for row in rows),
        "written_seconds": round(written, 1),
        "seconds_for_both_sets_of_rules": round(time.perf_counter() - begun, 1),
        "cpu_seconds_for_both_sets_of_rules": round(time.process_time() - cpu, 1),
        "highest_resident_mib": highest_resident_mib(),
    }


async def write_samples(
    data: Path, targets: Sequence[Target], series: Sequence[tuple[str, Mapping[str, str]]], days: int
) -> None:
    """A history of whole days, and a log that is empty but for the present."""
    store = await SampleStore.open(data, windows={}, clock=lambda: END)
    directory = data / "history"
    directory.mkdir(exist_ok=True)
    await asyncio.to_thread(_write_blocks, directory, store, targets, series, days)
    await store.close()


def _write_blocks(
    directory: Path,
    store: SampleStore,
    targets: Sequence[Target],
    series: Sequence[tuple[str, Mapping[str, str]]],
    days: int,
) -> None:
    duck = Duck(directory, memory_limit="512MB")
    index = SeriesIndex(store.reader.strings, store.catalog)
    blocks = Blocks(directory, duck, index, BlockSettings())
    templates = store.series([(name, dict(labels)) for name, labels in series])
    layouts = [store.layout(target, templates) for target in targets]
    files = itertools.count(1)
    written: list[Block] = []
    first_day = to_milliseconds(END) // DAY_MS - days
    for some in range(0, len(layouts), AT_ONCE):
        members = layouts[some : some + AT_ONCE]
        ids = np.concatenate([index.ids(index.rows_of(layout)) for layout in members])
        for day in range(days):
            start = (first_day + day) * DAY_MS
            times = np.broadcast_to(start + np.arange(MINUTES) * MINUTE_MS, (len(ids), MINUTES)).ravel()
            values = np.concatenate([_values(some + number, day, len(series)) for number in range(len(members))])
            rows = Rows(np.repeat(ids, MINUTES), times, values.ravel(), np.zeros(len(times), dtype=np.int64))
            written += blocks.write(rows, FINAL, day - days, files)
    for layout in layouts:
        of_layout = index.rows_of(layout)
        bounds = [first_day * DAY_MS, (first_day + days) * DAY_MS]
        index.note(of_layout, *(np.full(len(of_layout), bound) for bound in bounds))
    commit(directory, duck, index, Manifest(next_file=next(files), blocks=tuple(written)))
    duck.close()


async def write_state(database: Database, targets: Sequence[Target]) -> None:
    models = load_service_models()
    begin = END - timedelta(days=400)
    async with database.begin() as connection:
        for customer in sorted({target.customer for target in targets}):
            await add_customer(
                connection, models, customer=customer, name=customer, plan="monthly", consent=None, actor="b", now=begin
            )
            await ensure_site(connection, customer=customer, site="hq", name=None, actor="b", now=begin)
        await connection.execute(
            insert(devices_table),
            [
                {
                    "id": target.device_id,
                    "customer": target.customer,
                    "site": target.site,
                    "kind": target.kind,
                    "hostname": target.device_id,
                    "machine_id": target.device_id,
                    "instance": "1",
                    "os": "linux",
                    "arch": "x86_64",
                    "agent_version": "0.1.0",
                    "enrolled_at": begin,
                }
                for target in targets
            ],
        )


def _values(device: int, day: int, count: int) -> NDArray[np.float64]:
    """Shape (series, minutes)."""
    minutes = day * MINUTES + np.arange(MINUTES)
    level = 0.5 + 0.1 * np.sin(minutes / MINUTES * 2 * np.pi)
    if device % 100 == day % 100:
        level = np.where((minutes % MINUTES > 600) & (minutes % MINUTES < 800), 0.97, level)
    random = np.random.default_rng(device * 1_000 + day)
    rest = np.round(random.random((max(0, count - 2), MINUTES)) * 0.5, 3)
    if count > PROCESSORS:
        rest[PROCESSORS - 2] = 4.0
    return np.concatenate([(minutes * 60.0)[None, :], level[None, :], rest])[:count]
