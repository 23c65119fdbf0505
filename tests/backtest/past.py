"""A data folder with a past: customers, devices, and what their disks did."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from collector.clock import to_milliseconds
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.db.tables import devices
from collector.fleet.agreements import Consent
from collector.fleet.customers import add_customer, ensure_site
from collector.series.catalog import DeviceFrame
from collector.series.history.history import History, HistorySettings
from collector.series.labels import Target
from collector.series.store import SampleStore

END = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LABELS = {"system_filesystem_state": "used", "system_filesystem_mountpoint": "/", "system_filesystem_type": "ext4"}
UTILIZATION = "system_filesystem_utilization_ratio"
PLANS = {"acme": "monthly", "bakkerij": "break_fix"}


@dataclass(frozen=True, slots=True)
class Device:
    target: Target
    disk: Callable[[datetime], float | None]  # how full it is at a time; None: the device is off


def server(customer: str, name: str, disk: Callable[[datetime], float | None]) -> Device:
    return Device(Target(name, customer, "hq", "server"), disk)


async def make_past(folder: Path, url: str, fleet: list[Device], start: datetime, end: datetime = END) -> None:
    """What a collector with its database at `url` would have left that served from `start` to `end`, the last hours in
    the log alone."""
    await _make_state(url, [device.target for device in fleet], start)
    now = [start]
    store = await SampleStore.open(folder, windows={}, clock=lambda: now[0])
    history = await History.open(store, clock=lambda: now[0], settings=HistorySettings())
    try:
        series = store.series([(UTILIZATION, LABELS), ("system_uptime_seconds", {})])
        layouts = {device.target: store.layout(device.target, series) for device in fleet}
        while now[0] < end:
            frames = []
            for _ in range(60):
                at = to_milliseconds(now[0])
                for device in fleet:
                    full = device.disk(now[0])
                    if full is not None:
                        values = np.array([full, 1000.0]).tobytes()
                        frames.append(DeviceFrame(layouts[device.target], at, at, values))
                now[0] += MINUTE
            await store.append(frames)
            if now[0] < end - timedelta(hours=6):
                await store.checkpoint()
                await history.compact()
    finally:
        await history.close()
        await store.close()


async def _make_state(url: str, targets: list[Target], now: datetime) -> None:
    models = load_service_models()
    async with await Database.open(url) as database, database.begin() as connection:
        for customer, plan in PLANS.items():
            consent = Consent.parse("J. Jansen, 2026-01-05")
            await add_customer(
                connection, models, customer=customer, name=customer, plan=plan, consent=consent, actor="t", now=now
            )
            await ensure_site(connection, customer=customer, site="hq", name=None, actor="t", now=now)
        await connection.execute(insert(devices), [_row(target, now) for target in targets])


def _row(target: Target, now: datetime) -> Mapping[str, object]:
    return {
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
        "enrolled_at": now,
    }
