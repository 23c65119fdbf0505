"""Recording rules: what they give is read by the rules behind them, and ends when they give it no more."""

from pathlib import Path

from collector.db.database import Database
from tests.incidents.world import ACME, ACME_2, BAKKERIJ, world_with

RULES = """\
groups:
  - name: recorded
    rules:
      - record: customer:x:max
        expr: max by (customer) (x > 0)
        labels: {source: recorded}
      - alert: CustomerFull
        expr: customer:x:max{source="recorded"} > 0.9
        labels: {scope: customer}
"""


async def test_a_recorded_series_is_read_at_once_and_ends_with_its_result(database: Database, tmp_path: Path) -> None:
    async with world_with(database, tmp_path, RULES) as world:
        await world.tick({ACME: 0.5, ACME_2: 0.95, BAKKERIJ: 0.5})
        (ticket,) = await world.tickets()
        assert (ticket.customer, ticket.device) == ("acme", None)
        await world.tick({ACME: 0.5, ACME_2: 0, BAKKERIJ: 0})
        assert (await world.tickets())[0].resolved_at is not None
        await world.tick({ACME: 0, ACME_2: 0, BAKKERIJ: 0})
        at, second = int(world.now.timestamp() * 1000), 1000
        selection = world.store.reader.select((), at - 300 * second, at)
        latest = world.store.reader.latest(selection, at, 300 * second)
        names = [
            labels["__name__"]
            for i in range(len(selection))
            if (labels := selection.labels.texts(world.store.reader.strings, i)) and latest.present[i]
        ]
        assert names == ["x", "x", "x"]


async def test_the_recorded_series_of_two_customers_stand_beside_each_other(database: Database, tmp_path: Path) -> None:
    async with world_with(database, tmp_path, RULES) as world:
        for _ in range(2):
            await world.tick({ACME: 0.95, ACME_2: 0.5, BAKKERIJ: 0.97})
            (ticket,), (shadow,) = await world.tickets(), await world.shadows()
            assert (ticket.resolved_at, shadow.resolved_at) == (None, None)
