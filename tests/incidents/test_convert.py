"""A technician decides about what fires without a ticket."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from collector.contracts import AlertOutcome, Priority
from collector.db.database import Database
from collector.db.tables import audit
from collector.desk.states import TicketStatus
from collector.desk.tickets import history
from collector.incidents.convert import NotConvertibleError, convert, decline
from collector.incidents.reasons import NoSuchAlertError, why
from collector.incidents.silences import add_silence
from tests.incidents.test_by_hand import RULES
from tests.incidents.world import ACME, BAKKERIJ, MODELS, World, world_with

GOOD, BAD, WORSE = 0.5, 0.95, 0.99
BY_HAND = {"name": "by_hand", "on_alert": AlertOutcome.ASK_TECHNICIAN}


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        yield made


async def by_hand(world: World, alert: int) -> int:
    async with world.database.begin() as connection:
        return await convert(connection, MODELS, alert, actor="anna", now=world.now)


async def test_a_shadow_becomes_a_ticket_with_all_its_alerts_and_goes_on_as_one(world: World) -> None:
    await world.tick({BAKKERIJ: BAD})
    began = world.now
    await world.tick({BAKKERIJ: BAD})
    (alert,) = await world.alerts()
    number = await by_hand(world, int(str(alert["id"])))
    await world.tick({BAKKERIJ: WORSE})  # the critical one joins, although the plan keeps shadows
    (ticket,) = await world.tickets()
    assert (ticket.number, ticket.customer, ticket.began_at, ticket.status) == (
        number,
        "bakkerij",
        began,
        TicketStatus.NEW,
    )
    assert {one["ticket"] for one in await world.alerts()} == {number}
    assert ticket.priority is Priority.P2
    async with world.database.connect() as connection:
        told = [(event.actor, event.type) for event in await history(connection, number)]
        assert ("anna", "comment") in told
        assert "anna made it a ticket by hand" in "\n".join((await why(connection, int(str(alert["id"])))).told())
        assert "alerts.convert" in set(await connection.scalars(select(audit.c.action)))
    await world.tick({BAKKERIJ: GOOD})
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED]
    assert all(shadow.resolved_at for shadow in await world.shadows())


async def test_what_cannot_be_converted_is_refused(world: World) -> None:
    await world.tick({ACME: BAD, BAKKERIJ: BAD})
    ids = {str(one["customer"]): int(str(one["id"])) for one in await world.alerts()}
    with pytest.raises(NotConvertibleError, match=r"has ticket \d+ already"):
        await by_hand(world, ids["acme"])
    with pytest.raises(NoSuchAlertError):
        await by_hand(world, 4711)
    await world.tick({ACME: GOOD, BAKKERIJ: GOOD})
    with pytest.raises(NotConvertibleError, match="is resolved: only what fires"):
        await by_hand(world, ids["bakkerij"])


async def test_what_a_plan_leaves_to_a_technician_joins_the_ticket_that_one_made(world: World) -> None:
    world.models = {**MODELS, "by_hand": MODELS["monthly"].model_copy(update=BY_HAND)}
    await world.set_plan(ACME, "by_hand")
    await world.tick({ACME: BAD})
    (alert,) = await world.alerts()
    assert (alert["outcome"], await world.tickets()) == ("asked", [])
    async with world.database.begin() as connection:
        number = await convert(connection, world.models, int(str(alert["id"])), actor="anna", now=world.now)
    await world.tick({ACME: WORSE})  # the critical rule fires, too
    (ticket,) = await world.tickets()
    assert (ticket.number, ticket.priority) == (number, Priority.P1)
    alerts = await world.alerts()
    assert [(one["outcome"], one["ticket"]) for one in alerts] == [("ticket", number)] * 2
    assert "made by hand" in str(alerts[0]["reason"])
    await world.tick({ACME: GOOD})
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED]
    await world.tick({ACME: BAD})  # the next one is asked about anew
    assert ((await world.alerts())[0]["outcome"], len(await world.tickets())) == ("asked", 1)


@pytest.fixture
async def asking(world: World) -> World:
    """Acme's plan leaves alerts to a technician."""
    world.models = {**MODELS, "by_hand": MODELS["monthly"].model_copy(update=BY_HAND)}
    await world.set_plan(ACME, "by_hand")
    return world


async def no_ticket(world: World, alert: int) -> list[int]:
    async with world.database.begin() as connection:
        return await decline(connection, alert, reason="a known peak", actor="anna", now=world.now)


async def outcomes(world: World) -> list[tuple[object, object]]:
    return [(one["rule"], one["outcome"]) for one in await world.alerts()]


async def test_what_was_declined_stays_so_as_long_as_it_fires(asking: World) -> None:
    world = asking
    await world.tick({ACME: BAD})
    (alert,) = await world.alerts()
    first = int(str(alert["id"]))
    assert await no_ticket(world, first) == [first]
    await world.tick({ACME: BAD})
    await world.tick({ACME: BAD})
    (alert,) = await world.alerts()
    assert (alert["outcome"], alert["reason"]) == ("declined", "anna made it no ticket: a known peak")
    async with world.database.connect() as connection:
        assert "anna made it no ticket: a known peak" in "\n".join((await why(connection, first)).told())
        assert "alerts.decline" in set(await connection.scalars(select(audit.c.action)))
    await world.tick({ACME: WORSE})  # the critical rule says more than what was declined
    assert [outcome for _, outcome in await outcomes(world)] == ["asked", "declined"]
    await world.tick({ACME: GOOD})
    await world.tick({ACME: BAD})
    assert (await outcomes(world))[0][1] == "asked"  # the next one is asked about anew


async def test_what_was_declined_may_become_a_ticket_all_the_same(asking: World) -> None:
    world = asking
    await world.tick({ACME: WORSE})
    ids = [int(str(one["id"])) for one in await world.alerts()]
    assert await no_ticket(world, ids[0]) == sorted(ids)  # both are one ticket's
    async with world.database.begin() as connection:
        number = await convert(connection, world.models, ids[0], actor="anna", now=world.now)
    assert {(one["outcome"], one["ticket"]) for one in await world.alerts()} == {("ticket", number)}


async def test_a_silence_undoes_no_decision(asking: World) -> None:
    world = asking
    await world.tick({ACME: BAD})
    (alert,) = await world.alerts()
    await no_ticket(world, int(str(alert["id"])))
    async with world.database.begin() as connection:
        await add_silence(
            connection,
            matchers=['customer="acme"'],
            starts_at=world.now,
            ends_at=world.now + timedelta(hours=1),
            author="anna",
            comment="backup",
            now=world.now,
        )
    await world.tick({ACME: BAD})
    await world.tick({ACME: BAD})
    assert [outcome for _, outcome in await outcomes(world)] == ["declined"]


async def test_a_plan_that_opens_tickets_decides_for_itself(asking: World) -> None:
    world = asking
    await world.tick({ACME: BAD})
    await world.set_plan(ACME, "monthly")
    await world.tick({ACME: BAD})
    assert [outcome for _, outcome in await outcomes(world)] == ["ticket"]


async def test_what_waits_for_nobody_is_not_declined(asking: World) -> None:
    world = asking
    await world.tick({ACME: BAD, BAKKERIJ: BAD})
    ids = {str(one["customer"]): int(str(one["id"])) for one in await world.alerts()}
    with pytest.raises(NotConvertibleError, match="waits for nobody's decision"):
        await no_ticket(world, ids["bakkerij"])
    with pytest.raises(NoSuchAlertError):
        await no_ticket(world, 4711)
    await no_ticket(world, ids["acme"])
    with pytest.raises(NotConvertibleError, match="waits for nobody's decision: anna made it no ticket"):
        await no_ticket(world, ids["acme"])
    await world.tick({ACME: GOOD, BAKKERIJ: GOOD})
    with pytest.raises(NotConvertibleError, match="is resolved: there is nothing to decide"):
        await no_ticket(world, ids["acme"])
    async with world.database.begin() as connection:
        with pytest.raises(NotConvertibleError, match="say in 1 to 500 characters"):
            await decline(connection, ids["acme"], reason=" ", actor="anna", now=world.now)
