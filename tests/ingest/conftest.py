"""An ingest on a real store, with a clock that stands still until a test moves it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from collector.clock import from_milliseconds
from collector.ingest.native import Ingest, Sender
from collector.series.labels import Target
from collector.series.read import Matcher, MatchOp
from collector.series.store import SampleStore
from protocol import wire
from protocol.models import Event, Push

NOW = 1_700_000_000_000
PC = Target("pc-1", "acme", "hq", "server")
PRINTER = Target("prn-1", "acme", "hq", "printer")
SENDER = Sender(PC, {"prn-1": PRINTER}, '"etag"')


@dataclass
class KeptEvents:
    """An event sink that remembers."""

    events: list[Event] = field(default_factory=list)
    inventories: list[Mapping[str, object]] = field(default_factory=list)

    async def take(
        self, sender: Sender, events: Sequence[Event], inventory: Mapping[str, object] | None, received_ms: int
    ) -> None:
        self.events += events
        if inventory is not None:
            self.inventories.append(inventory)


@dataclass
class Bench:
    """All that a test of ingest touches."""

    store: SampleStore
    ingest: Ingest
    sink: KeptEvents
    now: int = NOW

    def clock(self) -> datetime:
        return from_milliseconds(self.now)

    async def push(self, *, sender: Sender = SENDER, **parts: object) -> wire.PushAnswer:
        return await self.ingest.push(sender, push(**parts))

    def read(self, name: str, device: str = "pc-1") -> dict[str, float]:
        """The newest values of a metric's series at the clock's time, by their labels other than the device's."""
        matchers = (Matcher("__name__", MatchOp.EQUAL, name), Matcher("device_id", MatchOp.EQUAL, device))
        selection = self.store.reader.select(matchers, 0, self.now)
        latest = self.store.reader.latest(selection, self.now, 300_000)
        found = {}
        for index in range(len(selection)):
            if latest.present[index]:
                labels = selection.labels.texts(self.store.reader.strings, index)
                own = {
                    k: v for k, v in labels.items() if k not in ("__name__", "customer", "site", "kind", "device_id")
                }
                found[",".join(f"{k}={v}" for k, v in sorted(own.items()))] = float(latest.values[index])
        return found


def push(**parts: object) -> Push:
    whole = {"sent": NOW, "boot": "b", "spool": "s", "seq": 7, **parts}
    return Push.model_validate(whole)


def layout(wire_id: str, *series: tuple[str, dict[str, str]]) -> dict[str, object]:
    return {"id": wire_id, "series": [{"name": name, "labels": labels} for name, labels in series]}


def frame(wire_id: str, values: list[float | None], t: int = NOW, device: str | None = None) -> dict[str, object]:
    return {"layout": wire_id, "t": t, "v": values, "device": device}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made: Bench | None = None

    def clock() -> datetime:
        return from_milliseconds(NOW if made is None else made.now)

    store = await SampleStore.open(tmp_path, windows={}, clock=clock)
    sink = KeptEvents()
    made = Bench(store, Ingest(store, sink, clock), sink)
    yield made
    await store.close()
