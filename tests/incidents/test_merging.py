"""Tickets with alerts behind them that a person merges or resolves."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from collector.db.database import Database
from collector.desk import links, resolving
from collector.desk.fields import TicketError
from collector.desk.reading import Ticket, get_ticket
from collector.desk.states import TicketStatus
from collector.incidents import by_hand
from collector.incidents.by_hand import StillFiringError
from collector.incidents.reasons import why
from collector.series.labels import Target
from tests.incidents.world import ACME, ACME_2, World, world_with

RULES = """\
groups:
  - name: world
    rules:
      - alert: Full
        expr: x > 0.9
        labels: {severity: major, category: storage}
"""
BAD, GOOD = 0.95, 0.5
FLEET = tuple(Target(f"pc-{number:02}", "acme", "hq", "server") for number in range(8))


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        made.enrol(*FLEET)
        yield made


async def merge(world: World, number: int, into: int) -> None:
    async with world.database.begin() as connection:
        await by_hand.merge(connection, number, into, actor="anna", now=world.now)


async def two_tickets(world: World) -> tuple[int, int]:
    await world.tick({ACME: BAD, ACME_2: BAD})
    second, first = [ticket.number for ticket in await world.tickets()]
    return first, second


async def ticket(world: World, number: int) -> Ticket:
    async with world.database.connect() as connection:
        return await get_ticket(connection, number)


def open_ones(tickets: Sequence[Ticket]) -> list[int]:
    return [one.number for one in tickets if one.resolved_at is None]


async def test_the_target_is_over_when_all_alerts_are(world: World) -> None:
    first, second = await two_tickets(world)
    assert (await ticket(world, first)).category == "storage"
    await merge(world, second, first)
    assert open_ones(await world.tickets()) == [first]
    assert {alert["ticket"] for alert in await world.alerts()} == {first}
    await world.tick({ACME: GOOD, ACME_2: BAD})
    assert open_ones(await world.tickets()) == [first]
    await world.tick({ACME: GOOD, ACME_2: GOOD})
    resolved = await ticket(world, first)
    assert (resolved.status, resolved.resolved_at) == (TicketStatus.RESOLVED, world.now)


async def test_a_later_alert_of_the_merged_one_joins_the_target(world: World) -> None:
    first, second = await two_tickets(world)
    await merge(world, second, first)
    await world.tick({ACME: BAD, ACME_2: GOOD})
    await world.tick({ACME: BAD, ACME_2: BAD})
    assert open_ones(await world.tickets()) == [first]
    assert len(await world.tickets()) == 2
    await world.restart()
    await world.tick({ACME: GOOD, ACME_2: BAD})
    assert open_ones(await world.tickets()) == [first]


async def test_a_fault_that_is_back_soon_reopens_the_target_and_later_is_a_ticket_of_its_own(world: World) -> None:
    first, second = await two_tickets(world)
    await merge(world, second, first)
    await world.tick({ACME: GOOD, ACME_2: GOOD})
    world.now += timedelta(hours=3)
    await world.tick({ACME: GOOD, ACME_2: BAD})
    assert open_ones(await world.tickets()) == [first]
    await world.tick({ACME: GOOD, ACME_2: GOOD})
    world.now += timedelta(hours=30)
    await world.tick({ACME: GOOD, ACME_2: BAD})
    (third,) = open_ones(await world.tickets())
    assert third not in (first, second)
    assert (await ticket(world, third)).follows == first
    assert (await ticket(world, third)).device == ACME_2.device_id


async def test_merged_twice_it_ends_in_the_last(world: World) -> None:
    await world.tick({ACME: BAD, ACME_2: BAD, FLEET[0]: BAD})
    third, second, first = [one.number for one in await world.tickets()]
    await merge(world, third, second)
    await merge(world, second, first)
    assert {alert["ticket"] for alert in await world.alerts()} == {first}
    await world.tick({ACME: BAD, ACME_2: GOOD, FLEET[0]: GOOD})
    await world.tick({ACME: BAD, ACME_2: BAD, FLEET[0]: BAD})
    assert open_ones(await world.tickets()) == [first]


async def test_why_tells_of_the_merge(world: World) -> None:
    first, second = await two_tickets(world)
    await merge(world, second, first)
    number = next(alert["id"] for alert in await world.alerts() if alert["device"] == ACME_2.device_id)
    async with world.database.connect() as connection:
        told = await why(connection, int(str(number)))
    assert f"ticket {second} was merged into {first} by anna" in [one.reason for one in told.reasons]


async def test_a_storm_that_was_merged_takes_its_lines_along_and_the_target_keeps_its_title(world: World) -> None:
    await world.tick({ACME: BAD})
    (first,) = [one.number for one in await world.tickets()]
    world.now += timedelta(hours=1)
    await world.tick({ACME: BAD} | dict.fromkeys(FLEET[:7], BAD))
    storm = next(one for one in await world.tickets() if one.incident == "storm")
    title = (await ticket(world, first)).title
    await merge(world, storm.number, first)
    await world.tick({ACME: BAD} | dict.fromkeys(FLEET, BAD))
    assert first in open_ones(await world.tickets()) and storm.number not in open_ones(await world.tickets())
    assert (await ticket(world, first)).title == title


async def test_the_last_part_of_a_storm_that_a_person_resolves_ends_it(world: World) -> None:
    first, second = await two_tickets(world)
    async with world.database.begin() as connection:
        await links.set_parent(connection, second, first, actor="anna", now=world.now)
    await world.tick({ACME: GOOD, ACME_2: BAD})
    assert (await ticket(world, first)).resolved_at is None
    async with world.database.begin() as connection:
        await by_hand.set_status(
            connection, second, status=TicketStatus.RESOLVED, actor="anna", now=world.now, force=True
        )
    assert (await ticket(world, first)).resolved_at == world.now


async def test_cause_and_solution_are_asked_for(world: World) -> None:
    first, _ = await two_tickets(world)

    async def resolve(**more: object) -> None:
        told = {"cause": None, "solution": None, **more}
        async with world.database.begin() as connection:
            await by_hand.resolve(connection, first, actor="anna", now=world.now, **told)  # type: ignore[arg-type]

    with pytest.raises(StillFiringError):
        await resolve(cause="the disk was full", solution="emptied it")
    await world.tick({ACME: GOOD, ACME_2: BAD})
    async with world.database.begin() as connection:
        await by_hand.set_status(connection, first, status=TicketStatus.NEW, actor="anna", now=world.now)
    with pytest.raises(TicketError, match="no cause and no solution yet"):
        await resolve()
    with pytest.raises(TicketError, match="no solution yet"):
        await resolve(cause="the disk was full")
    await resolve(cause="the disk was full", solution="emptied it")
    async with world.database.connect() as connection:
        texts = await resolving.texts_of(connection, first)
    assert (texts.cause, texts.solution) == ("the disk was full", "emptied it")
    assert (await ticket(world, first)).status is TicketStatus.RESOLVED


async def test_a_person_may_say_that_there_is_nothing_to_say(world: World) -> None:
    first, _ = await two_tickets(world)
    async with world.database.begin() as connection:
        await by_hand.resolve(
            connection, first, cause=None, solution=None, without=True, force=True, actor="anna", now=world.now
        )
        told = await resolving.texts_of(connection, first)
    assert (told.cause, told.solution) == (None, None)
    assert (await ticket(world, first)).status is TicketStatus.RESOLVED
