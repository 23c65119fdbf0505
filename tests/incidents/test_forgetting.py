"""Alerts that are over are forgotten some day, those behind something open are not."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from collector.db.database import Database
from collector.db.tables import alerts, decisions
from collector.incidents import forgetting
from collector.incidents.forgetting import forget_alerts
from tests.incidents.test_by_hand import RULES
from tests.incidents.world import ACME, BAKKERIJ, World, world_with

GOOD, BAD, WORSE = 0.5, 0.95, 0.99


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        yield made


async def counts(world: World) -> tuple[int, int]:
    """Alerts, and decisions about them."""
    async with world.database.connect() as connection:
        of_alerts = await connection.scalar(select(func.count()).select_from(alerts)) or 0
        return of_alerts, await connection.scalar(select(func.count()).select_from(decisions)) or 0


async def test_what_is_over_for_long_is_forgotten_slice_by_slice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "AT_ONCE", 2)
    for value in (WORSE, GOOD):
        await world.tick({ACME: value, BAKKERIJ: value})
    had, reasons = await counts(world)
    assert had == 4 and reasons >= 8
    assert await forget_alerts(world.database, world.now - timedelta(hours=1)) == 0
    assert await forget_alerts(world.database, world.now + timedelta(seconds=1)) == 4
    assert await counts(world) == (0, 0)
    await world.tick({ACME: BAD})
    assert (await world.tickets())[0].resolved_at is None  # tickets stay, and go on


async def test_what_belongs_to_something_open_is_kept(world: World) -> None:
    await world.tick({ACME: WORSE, BAKKERIJ: WORSE})
    await world.tick({ACME: BAD, BAKKERIJ: BAD})  # critical is over; ticket and shadow ticket are open
    assert sorted(map(str, await world.states())) == ["firing", "firing", "resolved", "resolved"]
    later = world.now + timedelta(days=500)
    assert await forget_alerts(world.database, later) == 0
    await world.tick({ACME: GOOD, BAKKERIJ: BAD})
    assert await forget_alerts(world.database, later) == 2
    await world.tick({ACME: GOOD, BAKKERIJ: GOOD})
    assert await forget_alerts(world.database, later) == 2
    assert await counts(world) == (0, 0)
