"""Many at once are one ticket; what comes and goes is one ticket, and ends in its true state."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from collector.db.database import Database
from collector.desk.states import TicketStatus
from collector.desk.tickets import history
from collector.incidents.silences import add_silence
from collector.series.labels import Target
from tests.incidents.world import ACME, INTERVAL, START, World, world_with

RULES = """\
groups:
  - name: world
    rules:
      - alert: BadUpdate
        expr: x > 0.9
        labels: {severity: major}
"""
# An order, of which the alert of one of the fleet is a line.
WITH_ORDER = f"""{RULES}\
      - alert: TonerRunsOut
        expr: x{{device_id="pc-39"}} > 0.5
        labels: {{severity: minor, incident: printer_supplies, scope: customer}}
"""
LIMITED = RULES.replace("rules:\n", "limit: 2\n    rules:\n", 1)

BAD, GOOD = 0.95, 0.5
FLEET = tuple(Target(f"pc-{number:02}", "acme", "hq", "server") for number in range(40))
BAKKERIJ_FLEET = tuple(Target(f"kassa-{number:02}", "bakkerij", "hq", "desktop") for number in range(40))


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        made.enrol(*FLEET, *BAKKERIJ_FLEET)
        yield made


def all_of(fleet: Sequence[Target], value: float) -> dict[Target, float]:
    return dict.fromkeys(fleet, value)


async def test_forty_at_once_are_one_ticket(world: World) -> None:
    await world.tick(all_of(FLEET, BAD))
    (storm,) = await world.tickets()
    assert (storm.incident, storm.status, storm.priority) == ("storm", TicketStatus.NEW, "P2")
    assert storm.title == "40 incidents at once: all BadUpdate"
    assert {alert["ticket"] for alert in await world.alerts()} == {storm.number}
    await world.tick(all_of(FLEET[:39], GOOD) | {FLEET[39]: BAD})
    assert [ticket.resolved_at for ticket in await world.tickets()] == [None]
    await world.tick(all_of(FLEET, GOOD))
    assert [ticket.status for ticket in await world.tickets()] == [TicketStatus.RESOLVED]


async def test_five_at_once_are_five_tickets(world: World) -> None:
    await world.tick(all_of(FLEET[:5], BAD))
    assert [ticket.incident for ticket in await world.tickets()] == ["BadUpdate"] * 5


async def test_trickling_in_they_are_five_tickets_and_the_storm(world: World) -> None:
    for count in range(1, 13):
        world.now += timedelta(seconds=45)
        await world.tick(all_of(FLEET[:count], BAD))
    every = await world.tickets()
    storm = next(ticket for ticket in every if ticket.incident == "storm")
    assert [ticket.parent for ticket in every if ticket is not storm] == [storm.number] * 5
    assert storm.title == "12 incidents at once: all BadUpdate"
    await world.tick(all_of(FLEET[:12], GOOD))
    assert {ticket.status for ticket in await world.tickets()} == {TicketStatus.RESOLVED}


async def test_a_storm_that_is_over_takes_in_no_more(world: World) -> None:
    await world.tick(all_of(FLEET[:10], BAD))
    world.now += timedelta(minutes=11)
    await world.tick(all_of(FLEET[:11], BAD))
    assert sorted(ticket.incident for ticket in await world.tickets()) == ["BadUpdate", "storm"]


async def test_the_storm_ends_with_its_children(world: World) -> None:
    await world.tick(all_of(FLEET[:5], BAD))
    await world.tick(all_of(FLEET[:6], BAD))
    storm = next(ticket for ticket in await world.tickets() if ticket.incident == "storm")
    await world.tick(all_of(FLEET[:5], BAD) | {FLEET[5]: GOOD})
    assert [one.status for one in await world.tickets() if one.number == storm.number] == [TicketStatus.NEW]
    await world.tick(all_of(FLEET[:6], GOOD))
    assert {ticket.status for ticket in await world.tickets()} == {TicketStatus.RESOLVED}


async def test_shadows_storm_alike_and_customers_apart(world: World) -> None:
    await world.tick(all_of(FLEET[:3], BAD) | all_of(BAKKERIJ_FLEET, BAD))
    assert [ticket.incident for ticket in await world.tickets()] == ["BadUpdate"] * 3
    (storm,) = await world.shadows()
    assert (storm.incident, storm.title) == ("storm", "40 incidents at once: all BadUpdate")
    await world.tick(all_of(BAKKERIJ_FLEET, GOOD))
    assert (await world.shadows())[0].resolved_at is not None


async def test_a_group_beyond_its_limit_clears_nothing_and_is_one_storm(database: Database, tmp_path: Path) -> None:
    async with world_with(database, tmp_path, LIMITED) as world:
        world.enrol(*FLEET)
        await world.tick(all_of(FLEET[:3], BAD))
        (storm,) = await world.tickets()
        assert storm.incident == "storm"
        assert await world.states() == ["firing"] * 3


async def test_numbers_are_settings(database: Database, tmp_path: Path) -> None:
    async with world_with(database, tmp_path, RULES) as world:
        world.enrol(*FLEET)
        world.settings = replace(world.settings, storm_incidents=2)
        world.evaluator = world.new_evaluator()
        await world.tick(all_of(FLEET[:3], BAD))
        assert [ticket.incident for ticket in await world.tickets()] == ["storm"]


async def test_an_order_is_no_incident_of_a_storm(database: Database, tmp_path: Path) -> None:
    async with world_with(database, tmp_path, WITH_ORDER) as world:
        world.enrol(*FLEET)
        runs_out = {FLEET[39]: 0.6}
        await world.tick(all_of(FLEET[:5], BAD) | runs_out)  # five, and no sixth
        assert sorted(ticket.incident for ticket in await world.tickets()) == ["BadUpdate"] * 5 + ["printer_supplies"]
        await world.tick(all_of(FLEET[:6], BAD) | runs_out)
        every = {ticket.incident: ticket for ticket in await world.tickets()}
        assert every["printer_supplies"].parent is None
        assert every["storm"].title == "6 incidents at once: all BadUpdate"
        await world.tick(all_of(FLEET[:6], GOOD) | runs_out)
        assert [ticket.incident for ticket in await world.tickets() if ticket.resolved_at is None] == [
            "printer_supplies"
        ]


async def test_an_order_that_comes_in_a_storm_is_a_ticket_of_its_own(database: Database, tmp_path: Path) -> None:
    async with world_with(database, tmp_path, WITH_ORDER) as world:
        world.enrol(*FLEET)
        await world.tick(all_of(FLEET[:10], BAD))
        await world.tick(all_of(FLEET[:10], BAD) | {FLEET[39]: 0.6})
        assert sorted(ticket.incident for ticket in await world.tickets()) == ["printer_supplies", "storm"]


async def flap(world: World, rounds: int) -> None:
    for _ in range(rounds):
        await world.tick({ACME: BAD})
        await world.tick({ACME: GOOD})


async def test_what_comes_and_goes_is_held_open_and_ends_resolved_if_it_is_gone(world: World) -> None:
    await flap(world, 2)
    assert [ticket.status for ticket in await world.tickets()] == [TicketStatus.RESOLVED]
    await flap(world, 20)
    (ticket,) = await world.tickets()
    assert ticket.resolved_at is None
    assert ticket.unstable_since == START + 6 * INTERVAL
    async with world.database.connect() as connection:
        events = [event.type for event in await history(connection, ticket.number)]
    assert events == ["opened", "status", "status", "status", "status", "unstable"]
    world.now += timedelta(minutes=30)
    await world.tick({ACME: GOOD})
    (ticket,) = await world.tickets()
    assert (ticket.status, ticket.unstable_since) == (TicketStatus.RESOLVED, None)


async def test_what_comes_and_goes_stays_open_if_the_fault_stays(world: World) -> None:
    await flap(world, 3)
    await world.tick({ACME: BAD})
    for _ in range(8):
        world.now += timedelta(minutes=5)
        await world.tick({ACME: BAD})
    (ticket,) = await world.tickets()
    assert (ticket.status, ticket.unstable_since) == (TicketStatus.NEW, None)
    await world.tick({ACME: GOOD})
    assert (await world.tickets())[0].status is TicketStatus.RESOLVED


async def test_a_restart_forgets_no_flapping(world: World) -> None:
    await flap(world, 2)
    await world.restart()
    await flap(world, 1)
    assert (await world.tickets())[0].unstable_since is not None
    await world.restart(after=timedelta(minutes=31))
    await world.tick({ACME: GOOD})
    await world.tick({ACME: GOOD})
    assert (await world.tickets())[0].status is TicketStatus.RESOLVED


async def test_short_ones_one_after_another_are_a_storm_too(world: World) -> None:
    """They are over before the next begins: what counts is that the customer got their tickets."""
    for number in range(12):
        await world.tick({FLEET[number]: BAD})
        await world.tick({FLEET[number]: GOOD})
    every = await world.tickets()
    storm = next(ticket for ticket in every if ticket.incident == "storm")
    assert [ticket.parent for ticket in every if ticket is not storm] == [storm.number] * 5


async def test_a_storm_of_what_a_silence_let_go_takes_in_what_follows(world: World) -> None:
    async with world.database.begin() as connection:
        await add_silence(
            connection,
            matchers=["customer=acme"],
            starts_at=world.now,
            ends_at=world.now + timedelta(minutes=30),
            author="anna",
            comment="update",
            now=world.now,
        )
    await world.tick(all_of(FLEET[:8], BAD))
    world.now += timedelta(minutes=30)
    await world.tick(all_of(FLEET[:8], BAD))
    await world.tick(all_of(FLEET[:10], BAD))
    (storm,) = await world.tickets()
    assert (storm.incident, storm.title) == ("storm", "10 incidents at once: all BadUpdate")


async def test_what_reopens_after_its_storm_is_no_child_of_it_any_more(world: World) -> None:
    for count in range(1, 7):
        await world.tick(all_of(FLEET[:count], BAD))
    await world.tick(all_of(FLEET[:6], GOOD))
    assert {ticket.status for ticket in await world.tickets()} == {TicketStatus.RESOLVED}
    world.now += timedelta(hours=2)
    await world.tick({FLEET[0]: BAD})
    (again,) = [ticket for ticket in await world.tickets() if ticket.resolved_at is None]
    assert (again.device, again.parent) == (FLEET[0].device_id, None)
