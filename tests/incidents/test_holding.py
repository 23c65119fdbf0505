"""What the evaluator cannot know leaves alerts, and their tickets, as they are."""

from datetime import timedelta
from pathlib import Path

from collector.db.database import Database
from collector.desk.states import TicketStatus
from tests.incidents.world import ACME, ACME_2, INTERVAL, World, world_with

BAD, GOOD = 0.95, 0.5

ABOVE_ITS_LIMIT = """\
groups:
  - name: world
    rules:
      - alert: Full
        expr: x > on (device_id) group_left () {__name__=~"y|z"}
        labels: {severity: major, incident: disk}
"""


async def push(world: World, **metrics: float) -> None:
    """An interval goes by: ACME sends these, if any; ACME_2 is in good order, with one limit."""
    world.now += INTERVAL
    await world.push_series(({ACME: metrics} if metrics else {}) | {ACME_2: {"x": GOOD, "y": 0.9}})
    world.watch.sweep(world.members, world.now)
    await world.evaluate()


async def test_a_match_group_with_duplicates_resolves_no_alert(database: Database, tmp_path: Path) -> None:
    async with world_with(database, tmp_path, ABOVE_ITS_LIMIT) as world:
        world.now += INTERVAL
        await world.push_series({target: {"x": BAD, "y": 0.9} for target in (ACME, ACME_2)})
        world.watch.sweep(world.members, world.now)
        await world.evaluate()
        assert await world.states() == ["firing", "firing"]
        await push(world, x=BAD, y=0.9, z=0.9)
        assert world.stats.conflicts == {"acme": 1}
        assert await world.states() == ["firing", "resolved"]  # the other device's fault is gone
        await world.restart()
        await push(world, x=BAD, y=0.9, z=0.9)
        assert await world.states() == ["firing", "resolved"]
        await world.goodbye(ACME)
        await push(world)
        assert await world.states() == ["unknown", "resolved"]
        await push(world, x=BAD, y=0.9, z=0.9)
        assert await world.states() == ["unknown", "resolved"]
        world.now += timedelta(minutes=6)
        await push(world, x=GOOD, y=0.9)
        assert await world.states() == ["resolved", "resolved"]
        assert {one.status for one in await world.tickets()} == {TicketStatus.RESOLVED}


PENDING = """\
groups:
  - name: world
    rules: [{alert: Full, expr: x > 0.9, for: 5m, labels: {severity: major}}]
  - name: slow
    interval: 20m
    rules: [{alert: FullForLong, expr: x > 0.9, for: 30m, labels: {severity: major}}]
"""


async def test_pending_starts_again_after_evaluations_that_could_not_be_stored(
    database: Database, tmp_path: Path
) -> None:
    async with world_with(database, tmp_path, PENDING) as world:
        world.now += timedelta(minutes=20) - INTERVAL
        await world.tick({ACME: BAD})
        began = world.now
        assert await world.states() == ["pending", "pending"]
        world.now += timedelta(minutes=20) - INTERVAL
        await world.tick({ACME: BAD})  # nothing came in between: the fault may have been gone
        since = {alert["rule"]: (alert["state"], alert["active_since"]) for alert in await world.alerts()}
        assert since == {"Full": ("pending", world.now), "FullForLong": ("pending", began)}
        world.now += timedelta(minutes=19)
        await world.restart()
        assert {alert["rule"] for alert in await world.alerts()} == {"FullForLong"}
        world.now += timedelta(minutes=1) - INTERVAL
        await world.tick({ACME: BAD})
        since = {alert["rule"]: (alert["state"], alert["active_since"]) for alert in await world.alerts()}
        assert since == {"Full": ("pending", world.now), "FullForLong": ("firing", began)}


KEPT = """\
groups:
  - name: world
    rules: [{alert: Full, expr: x > 0.9, keep_firing_for: 1m, labels: {severity: major}}]
"""


async def test_keep_firing_for_goes_on_counting_over_restarts(database: Database, tmp_path: Path) -> None:
    async with world_with(database, tmp_path, KEPT) as world:
        for values in ([BAD, GOOD, GOOD], [BAD, *[GOOD] * 4]):  # what holds again is kept anew
            for value in values:
                await world.tick({ACME: value})
                await world.restart()
                assert await world.states() == ["firing"]
        await world.tick({ACME: GOOD})
        assert await world.states() == ["resolved"]
