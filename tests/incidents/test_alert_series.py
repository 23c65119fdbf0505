"""ALERTS and ALERTS_FOR_STATE: what is pending and firing, as series that rules and graphs read."""

from pathlib import Path

from collector.clock import to_milliseconds
from collector.db.database import Database
from collector.promql import Engine, Vector, compile_expr
from tests.incidents.world import ACME, ACME_2, BAKKERIJ, INTERVAL, World, world_with

RULES = """\
groups:
  - name: disks
    rules:
      - alert: DiskFull
        expr: x > 0.9
        for: 30s
        labels: {severity: critical}
      - record: customer:alerts:count
        expr: count by (customer) (ALERTS{alertstate="firing"})
      - alert: Busy
        expr: x > 0.5 unless on (device_id) ALERTS{alertname="DiskFull"}
"""


def found(world: World, query: str) -> dict[tuple[str, ...], float]:
    """Values by device and state."""
    result = Engine(world.store.reader).instant(compile_expr(query), to_milliseconds(world.now))
    assert isinstance(result, Vector)
    keys = [(one.get("device_id", ""), one.get("alertstate", "")) for one in result.label_sets()]
    return dict(zip(keys, result.values.tolist(), strict=True))


async def test_an_alert_s_series_follow_its_state_and_end_with_it(database: Database, tmp_path: Path) -> None:
    async with world_with(database, tmp_path, RULES) as world:
        await world.tick({ACME: 0.95, ACME_2: 0.1, BAKKERIJ: 0.1})
        began = world.now
        assert found(world, 'ALERTS{alertname="DiskFull"}') == {("ws-1", "pending"): 1.0}
        assert found(world, "ALERTS_FOR_STATE") == {("ws-1", ""): began.timestamp()}
        await world.tick({ACME: 0.95, ACME_2: 0.1, BAKKERIJ: 0.1})
        await world.tick({ACME: 0.95, ACME_2: 0.1, BAKKERIJ: 0.1})
        assert found(world, 'ALERTS{alertname="DiskFull", severity="critical", customer="acme", site="hq"}') == {
            ("ws-1", "firing"): 1.0
        }
        assert found(world, "ALERTS_FOR_STATE") == {("ws-1", ""): began.timestamp()}
        await world.tick({ACME: 0.1, ACME_2: 0.1, BAKKERIJ: 0.1})
        assert found(world, '{__name__=~"ALERTS.*"}') == {}


async def test_a_rule_reads_what_the_rules_before_it_found(database: Database, tmp_path: Path) -> None:
    async with world_with(database, tmp_path, RULES) as world:
        for _ in range(3):
            await world.tick({ACME: 0.95, ACME_2: 0.6, BAKKERIJ: 0.6})
        assert found(world, 'ALERTS{alertname="Busy"}') == {("ws-2", "firing"): 1.0, ("kassa-1", "firing"): 1.0}
        # What Busy says here was not yet known when it was counted; it had fired before.
        assert found(world, "sum(customer:alerts:count)") == {("", ""): 3.0}


async def test_a_silent_fleet_writes_nothing(database: Database, tmp_path: Path) -> None:
    async with world_with(database, tmp_path, RULES) as world:
        await world.tick({ACME: 0.1, ACME_2: 0.1, BAKKERIJ: 0.1})
        before = world.store.stats().frames_appended
        await world.evaluate()
        assert world.store.stats().frames_appended == before


async def test_the_series_of_a_rule_that_is_gone_end(database: Database, tmp_path: Path) -> None:
    async with world_with(database, tmp_path, RULES) as world:
        await world.tick({ACME: 0.95, ACME_2: 0.1, BAKKERIJ: 0.1})
        await world.evaluator._recorder.end_others([], world.now + INTERVAL)
        world.now += 2 * INTERVAL
        assert found(world, '{__name__=~"ALERTS.*"}') == {}


async def test_an_offset_reads_and_records_the_past(database: Database, tmp_path: Path) -> None:
    rules = RULES.replace("  - name: disks\n", "  - name: disks\n    query_offset: 15s\n").replace(
        "for: 30s", "for: 0s"
    )
    async with world_with(database, tmp_path, rules) as world:
        await world.tick({ACME: 0.95, ACME_2: 0.1, BAKKERIJ: 0.1})
        assert await world.tickets() == []
        await world.tick({ACME: 0.1, ACME_2: 0.1, BAKKERIJ: 0.1})
        assert len(await world.tickets()) == 1
        assert found(world, 'ALERTS{alertname="DiskFull"} offset 15s') == {("ws-1", "firing"): 1.0}


async def test_more_than_the_limit_is_told_and_clears_nothing(database: Database, tmp_path: Path) -> None:
    rules = RULES.replace("  - name: disks\n", "  - name: disks\n    limit: 1\n")
    async with world_with(database, tmp_path, rules) as world:
        world.now += INTERVAL
        await world.push({ACME: 0.6, ACME_2: 0.6, BAKKERIJ: 0.1})
        (done,) = await world.evaluate()
        assert (done.over_limit, done.errors) == ({"Busy": 2}, {})
        assert [one.is_over_limit for one in done.transitions] == [True, True]
        assert [ticket.incident for ticket in await world.tickets()] == ["storm"]
