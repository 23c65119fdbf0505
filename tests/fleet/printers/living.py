"""Printers in a whole collector, by a clock of the test's: what the agents that read them push."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from collector.clock import to_milliseconds
from collector.fleet.printers.asking import checked_asking
from collector.fleet.printers.store import NewPrinter, add_printer
from protocol import wire
from protocol.models import Push
from tests.fleet.living import Life
from tests.fleet.world import ACTOR, MODELS

Told = Mapping[tuple[str, ...], float]  # a metric's name and its labels, by turns, to its value


async def add(
    life: Life, name: str = "hall", *, customer: str = "acme", site: str = "hq", reader: str | None = None
) -> str:
    new = NewPrinter(customer, site, f"{name}.example", checked_asking({}, None, 300), name, reader)
    async with life.opened() as database, database.begin() as connection:
        printer = await add_printer(
            connection, MODELS, new, max_devices=1000, actor=ACTOR, now=life.now, new_suffix=lambda: "0001"
        )
    await life.collector.upkeep["changes"].work()
    return printer


async def tell(life: Life, agent: str, printer: str, told: Told, *, at: datetime | None = None) -> wire.PushAnswer:
    """The agent pushes a frame of the printer's."""
    machine = life.machines[agent]
    machine.seq += 1
    series: list[wire.Series] = [
        {"name": name, "labels": dict(zip(labels[::2], labels[1::2], strict=True))} for name, *labels in told
    ]
    layout = wire.layout_id(series)
    t = to_milliseconds(at or life.clock())
    push: dict[str, Any] = {"sent": t, "boot": "b", "spool": "s", "seq": machine.seq}
    push |= {"layouts": [{"id": layout, "series": series}]}
    push |= {"frames": [{"device": printer, "layout": layout, "t": t, "v": list(told.values())}], "events": []}
    sender = life.collector.fleet.sender_of(life.collector.fleet.directory.members[agent])
    return await life.collector.ingest.push(sender, Push.model_validate_json(json.dumps(push)))
