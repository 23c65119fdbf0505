"""An edit of a rule while its fault holds neither closes the ticket nor makes a second one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.contracts import Priority
from collector.db.database import Database
from collector.desk.states import TicketStatus
from collector.desk.tickets import history
from collector.series.labels import Target
from tests.incidents.world import ACME, BAKKERIJ, World, world_with

RULES = """\
groups:
  - name: world
    rules:
      - alert: Full
        expr: x > 0.9
        for: 30s
        labels: {severity: major, incident: disk}
      - alert: VeryFull
        expr: x > 0.98
        labels: {severity: critical, incident: disk}
"""

BAD, GOOD = 0.95, 0.5
EDITS = {
    "a label": ("severity: major", "severity: major, team: storage"),
    "severity": ("severity: major", "severity: minor"),
    "shorter for": ("for: 30s", "for: 15s"),
    "expression": ("expr: x > 0.9", "expr: max by (device_id, customer, site) (x) > 0.9"),
    "alert": ("alert: Full", "alert: Fuller"),
    "group": ("name: world", "name: globe"),
    "alert and expression": (
        "Full\n        expr: x > 0.9",
        "Fuller\n        keep_firing_for: 0s\n        expr: x >= 0.9",
    ),
}


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        yield made


async def edit(world: World, old: str, new: str) -> None:
    path = world.rules_folder / "world.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    await world.restart()


async def assert_one_steady_ticket(world: World) -> None:
    (ticket,) = await world.tickets()
    assert ticket.resolved_at is None
    async with world.database.connect() as connection:
        assert not [event for event in await history(connection, ticket.number) if event.type == "status"]


@pytest.mark.parametrize("change", EDITS)
async def test_the_ticket_of_a_firing_alert_stays(world: World, change: str) -> None:
    for _ in range(3):
        await world.tick({ACME: BAD})
    (before,) = await world.alerts()
    await edit(world, *EDITS[change])
    await world.restart()  # between the edit and its first pass
    await assert_one_steady_ticket(world)
    for _ in range(3):
        await world.tick({ACME: BAD})
        (after,) = await world.alerts()
        assert [after[name] for name in ("id", "state", "active_since", "fired_at", "ticket")] == [
            before[name] for name in ("id", "state", "active_since", "fired_at", "ticket")
        ]
    await assert_one_steady_ticket(world)
    await world.restart()
    await world.tick({ACME: GOOD})
    assert await world.states() == ["resolved"]
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED]


async def test_the_rule_is_moved_to_another_file(world: World) -> None:
    for _ in range(3):
        await world.tick({ACME: BAD})
    (world.rules_folder / "world.yaml").rename(world.rules_folder / "disks.yaml")
    await world.restart()
    await world.tick({ACME: BAD})
    assert await world.states() == ["firing"]
    await assert_one_steady_ticket(world)


async def test_pending_goes_on_counting(world: World) -> None:
    await world.tick({ACME: BAD})
    began = world.now
    await edit(world, *EDITS["a label"])
    await world.tick({ACME: BAD})
    await world.tick({ACME: BAD})
    assert [(alert["state"], alert["active_since"]) for alert in await world.alerts()] == [("firing", began)]


@pytest.mark.parametrize("change", ["a label", "alert"])
async def test_what_was_not_seen_during_the_edit_is_the_same_incident(world: World, change: str) -> None:
    for _ in range(3):
        await world.tick({ACME: BAD})
    await world.goodbye(ACME)
    await world.tick()
    await edit(world, *EDITS[change])
    await world.goodbye(ACME)  # which the watch of this world forgets with its process
    await world.tick()
    assert await world.states() == ["unknown"]
    for _ in range(3):
        await world.tick({ACME: BAD})
    assert await world.states() == ["firing"]
    await assert_one_steady_ticket(world)


async def test_a_fault_that_is_gone_with_the_edit_is_over(world: World) -> None:
    for _ in range(3):
        await world.tick({ACME: BAD})
    await edit(world, *EDITS["alert"])
    await world.tick({ACME: GOOD})
    assert await world.states() == ["resolved"]
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED]


@pytest.mark.parametrize("target", [ACME, BAKKERIJ])
async def test_a_severity_that_is_raised_raises_the_priority_and_a_lower_one_takes_nothing_back(
    world: World, target: Target
) -> None:
    async def priority() -> Priority:
        found = await world.tickets() if target is ACME else await world.shadows()
        return found[0].priority

    for _ in range(3):
        await world.tick({target: BAD})
    before = await priority()
    await edit(world, "severity: major", "severity: critical")
    await world.tick({target: BAD})
    raised = await priority()
    assert raised < before
    await edit(world, "severity: critical", "severity: minor")
    await world.tick({target: BAD})
    assert await priority() is raised
