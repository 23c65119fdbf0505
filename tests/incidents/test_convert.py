"""A technician makes what fires without a ticket a ticket."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from collector.contracts import AlertOutcome, Priority
from collector.db.database import Database
from collector.db.tables import audit
from collector.desk.states import TicketStatus
from collector.desk.tickets import history
from collector.incidents.convert import NotConvertibleError, convert
from collector.incidents.reasons import NoSuchAlertError, why
from tests.incidents.test_by_hand import RULES
from tests.incidents.world import ACME, BAKKERIJ, MODELS, World, world_with

GOOD, BAD, WORSE = 0.5, 0.95, 0.99


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
    world.models = {**MODELS, "by_hand": MODELS["monthly"].model_copy(update={"on_alert": AlertOutcome.ASK_TECHNICIAN})}
    await world.set_plan(ACME, "by_hand")
    await world.tick({ACME: BAD})
    (alert,) = await world.alerts()
    assert (alert["outcome"], await world.tickets()) == ("none", [])
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
    assert ((await world.alerts())[0]["outcome"], len(await world.tickets())) == ("none", 1)
