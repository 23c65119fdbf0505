"""What very many alerts at once cost: `python -m bench storm --alerts 10000`.

The incident path alone, on a SQLite database of its own: alerts fire and end in one evaluation each, first all at one
customer (one storm), then spread over customers with four each (a ticket for each). Told are the CPU seconds of the
process, the wall time, the longest that the event loop had no turn, and the statements.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import event, insert

from bench._world import surroundings
from collector.alerting.evaluation import Transition
from collector.alerting.external import ExternalRule, external_key
from collector.alerting.state import Alert, Change, Phase, fingerprint
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.db.tables import customers
from collector.incidents.service import Incidents

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TICK_SECONDS = 0.005
EACH_ITS_OWN = 4  # alerts of one customer that are no storm
RULE = ExternalRule(external_key("DiskFull"), "DiskFull")


@dataclass(slots=True)
class Cost:
    what: str
    alerts: int
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    longest_lag_seconds: float = 0.0
    statements: int = 0


@asynccontextmanager
async def measured(cost: Cost, database: Database) -> AsyncIterator[None]:
    def note(*_: object) -> None:
        cost.statements += 1

    async def watch() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            lag = time.monotonic() - before - TICK_SECONDS
            cost.longest_lag_seconds = max(cost.longest_lag_seconds, lag)

    async with database.connect() as connection:
        engine = connection.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    cpu, wall = time.process_time(), time.monotonic()
    try:
        yield
    finally:
        cost.cpu_seconds, cost.wall_seconds = time.process_time() - cpu, time.monotonic() - wall
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        event.remove(engine, "before_cursor_execute", note)


def transitions(count: int, each: int, changes: tuple[Change, ...], at: datetime) -> list[Transition]:
    """`count` alerts on as many devices, `each` of them at one customer."""
    made = []
    for number in range(count):
        labels = {
            "alertname": "DiskFull",
            "severity": "major",
            "customer": f"c{number // each}",
            "site": "hq",
            "device_id": f"pc-{number}",
            "kind": "desktop",
        }
        alert = Alert(labels, Phase.FIRING, at, 0.95, {"summary": f"pc-{number} is full"}, at)
        made.append(Transition(RULE, fingerprint(labels), alert, changes))
    return made


async def measure(count: int, each: int, what: str) -> list[Cost]:
    model = load_service_models()["monthly"]
    incidents = Incidents(surroundings(model), lambda *_: None)
    with tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as folder:
        async with await Database.open(f"sqlite:///{Path(folder) / 'quarkpulse.db'}") as database:
            names = sorted({f"c{number // each}" for number in range(count)})
            async with database.begin() as connection:
                rows = [{"id": name, "name": name, "created_at": START} for name in names]
                await connection.execute(insert(customers), rows)
            costs = []
            later = START + timedelta(minutes=5)
            for told, changes, at in (
                ("fire", (Change.STARTED, Change.FIRED), START),
                ("end", (Change.RESOLVED,), later),
            ):
                cost = Cost(f"{what}, all {told}", count)
                changed = transitions(count, each, changes, at)
                async with measured(cost, database), database.begin() as connection:
                    await incidents.apply(connection, changed, at)
                costs.append(cost)
    return costs


async def run(count: int) -> Sequence[Cost]:
    return [
        *await measure(count, count, "one customer"),
        *await measure(count, EACH_ITS_OWN, f"{EACH_ITS_OWN} at each customer"),
    ]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench storm", description=__doc__.partition("\n")[0])
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    costs = asyncio.run(run(asked.alerts))
    if asked.json:
        sys.stdout.write(json.dumps([asdict(cost) for cost in costs]) + "\n")
        return 0
    for cost in costs:
        sys.stdout.write(
            f"{cost.what}: {cost.cpu_seconds:.1f} CPU-s, {cost.wall_seconds:.1f} s, "
            f"no turn for up to {cost.longest_lag_seconds:.2f} s, {cost.statements} statements\n"
        )
    return 0
