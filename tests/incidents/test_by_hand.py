"""A ticket that somebody resolves while its fault is there."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from collector.db.database import Database
from collector.desk.states import TicketStatus
from collector.incidents.by_hand import StillFiringError, set_status
from tests.incidents.world import ACME, World, world_with

RULES = """\
groups:
  - name: world
    rules:
      - alert: Full
        expr: x > 0.9
        labels: {severity: major, incident: disk}
      - alert: VeryFull
        expr: x > 0.98
        labels: {severity: critical, incident: disk}
"""

GOOD, BAD, WORSE = 0.5, 0.95, 0.99


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        yield made


async def by_hand(world: World, status: TicketStatus, *, force: bool = False) -> None:
    (ticket,) = await world.tickets()
    async with world.database.begin() as connection:
        await set_status(connection, ticket.number, status=status, actor="anna", now=world.now, force=force)


async def is_open(world: World) -> bool:
    (ticket,) = await world.tickets()
    return ticket.resolved_at is None


async def test_a_fault_that_is_there_is_not_resolved(world: World) -> None:
    await world.tick({ACME: BAD})
    with pytest.raises(StillFiringError, match=r"Full on ws-1 fires since 2026-03-02 09:00 UTC.*--force"):
        await by_hand(world, TicketStatus.RESOLVED)
    await by_hand(world, TicketStatus.IN_PROGRESS)
    await world.tick({ACME: GOOD})
    assert await is_open(world)  # it is in hand
    await by_hand(world, TicketStatus.RESOLVED)
    assert not await is_open(world)


async def test_with_force_it_rests_until_it_fires_anew(world: World) -> None:
    await world.tick({ACME: BAD})
    await by_hand(world, TicketStatus.RESOLVED, force=True)
    with pytest.raises(StillFiringError):
        await by_hand(world, TicketStatus.CLOSED)
    await world.restart()
    for value in (BAD, GOOD):
        await world.tick({ACME: value})
        assert not await is_open(world)
    await world.tick({ACME: BAD})
    assert await is_open(world)


async def test_a_second_alert_of_the_incident_is_a_new_firing(world: World) -> None:
    await world.tick({ACME: BAD})
    await by_hand(world, TicketStatus.RESOLVED, force=True)
    await world.tick({ACME: WORSE})
    assert await is_open(world)


@pytest.mark.parametrize("absent", [timedelta(0), timedelta(hours=30)])
async def test_a_fault_that_is_seen_again_is_a_new_firing(world: World, absent: timedelta) -> None:
    await world.tick({ACME: BAD})
    await world.goodbye(ACME)
    await world.tick()
    assert await world.states() == ["unknown"]
    await by_hand(world, TicketStatus.RESOLVED)
    await world.restart(after=absent)
    await world.tick({ACME: BAD})
    newest = (await world.tickets())[0]
    assert newest.resolved_at is None
    assert (newest.follows is None) == (not absent)
