"""What a change of plan does to what fires, and what it leaves alone."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from collector.contracts import AlertOutcome
from collector.contracts.scope import ContractScope
from collector.db.database import Database
from collector.desk.states import TicketStatus
from collector.desk.tickets import history
from collector.fleet.contracts import change_contract, contract_at
from collector.incidents.silences import add_silence
from collector.series.labels import Target
from tests.incidents.world import ACME, BAKKERIJ, INTERVAL, MODELS, START, World, world_with

RULES = """\
groups:
  - name: world
    rules:
      - alert: Full
        expr: x > 0.9
        labels: {severity: warning, incident: disk}
      - alert: VeryFull
        expr: x > 0.98
        labels: {severity: critical, incident: disk}
  - name: other
    rules:
      - alert: Hot
        expr: x > 0.99
        labels: {severity: minor}
      - alert: TonerRunsOut
        expr: x{device_id="till-6"} > 0.1
        labels: {severity: minor, incident: printer_supplies, scope: customer}
"""

GOOD, BAD, WORSE, HOT = 0.5, 0.95, 0.985, 0.995


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        yield made


@pytest.mark.parametrize("restarts", [False, True])
async def test_what_fires_becomes_a_ticket_when_the_plan_opens_tickets(world: World, *, restarts: bool) -> None:
    await world.tick({BAKKERIJ: BAD})
    began_at = world.now
    await world.tick({BAKKERIJ: WORSE})
    assert await world.tickets() == []
    await world.set_plan(BAKKERIJ, "monthly")
    changed_at = world.now
    if restarts:
        await world.restart()
    await world.tick({BAKKERIJ: WORSE})
    opened_at = world.now
    for _ in range(2):
        if restarts:
            await world.restart()
        await world.tick({BAKKERIJ: WORSE})
    (ticket,) = await world.tickets()
    assert (ticket.customer, ticket.rule, ticket.priority) == ("bakkerij", "Full", "P2")
    assert (ticket.began_at, ticket.opened_at) == (began_at, opened_at)
    (shadow,) = await world.shadows()
    assert shadow.resolved_at == opened_at
    for alert in await world.alerts():
        assert (alert["outcome"], alert["ticket"], alert["shadow_ticket"]) == ("ticket", ticket.number, None)
        assert f"was a shadow until the plan changed to monthly on {changed_at:%Y-%m-%d %H:%M}" in str(alert["reason"])
    async with world.database.connect() as connection:
        events = await history(connection, ticket.number)
    assert [event.type for event in events] == ["opened", "comment"]
    assert "was shadow ticket" in str(events[1].data["text"])
    await world.tick({BAKKERIJ: GOOD})
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED]


async def test_a_planned_change_waits_for_its_day(world: World) -> None:
    await world.tick({BAKKERIJ: BAD})
    await world.set_plan(BAKKERIJ, "monthly", START + 3 * INTERVAL)
    await world.tick({BAKKERIJ: BAD})
    assert await world.tickets() == []
    await world.tick({BAKKERIJ: BAD})
    (ticket,) = await world.tickets()
    assert (ticket.opened_at, ticket.began_at) == (START + 3 * INTERVAL, START + INTERVAL)


async def test_what_ends_as_the_plan_changes_stays_a_shadow(world: World) -> None:
    await world.tick({BAKKERIJ: HOT})
    await world.set_plan(BAKKERIJ, "monthly")
    await world.restart(after=timedelta(hours=2))
    await world.tick({BAKKERIJ: GOOD})
    assert await world.tickets() == []
    assert all(shadow.resolved_at for shadow in await world.shadows())


async def test_what_is_not_seen_waits_until_the_fault_is_seen_again(world: World) -> None:
    await world.tick({BAKKERIJ: BAD})
    await world.goodbye(BAKKERIJ)
    await world.tick()
    await world.set_plan(BAKKERIJ, "monthly")
    await world.tick()
    assert (await world.tickets(), await world.states()) == ([], ["unknown"])
    await world.tick({BAKKERIJ: BAD})
    assert len(await world.tickets()) == 1


async def test_a_new_alert_of_the_incident_shares_the_ticket(world: World) -> None:
    await world.tick({BAKKERIJ: BAD})
    await world.set_plan(BAKKERIJ, "monthly")
    await world.tick({BAKKERIJ: WORSE})  # VeryFull opens the ticket, the shadow of Full follows
    (ticket,) = await world.tickets()
    assert {alert["ticket"] for alert in await world.alerts()} == {ticket.number}
    await world.tick({BAKKERIJ: BAD})
    assert [one.resolved_at for one in await world.tickets()] == [None]


async def test_open_tickets_stay_when_the_plan_opens_no_more(world: World) -> None:
    await world.tick({ACME: BAD})
    await world.set_plan(ACME, "break_fix")
    for _ in range(2):
        await world.tick({ACME: HOT})
    (ticket,) = await world.tickets()
    assert (ticket.resolved_at, ticket.rule, ticket.priority) == (None, "Full", "P1")
    (shadow,) = await world.shadows()
    assert shadow.rule == "Hot"
    outcomes = {str(alert["rule"]): alert for alert in await world.alerts()}
    assert {rule: alert["outcome"] for rule, alert in outcomes.items()} == {
        "Full": "ticket",
        "VeryFull": "ticket",  # of the same incident: its ticket must not resolve while this holds
        "Hot": "shadow",
    }
    assert f"joins ticket {ticket.number}" in str(outcomes["VeryFull"]["reason"])
    await world.tick({ACME: GOOD})
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED]
    await world.tick({ACME: BAD})
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED]
    assert [one.rule for one in await world.shadows()] == ["Full", "Hot"]


async def test_what_was_left_to_a_technician_becomes_a_ticket_when_the_plan_opens_tickets(world: World) -> None:
    by_hand = MODELS["monthly"].model_copy(update={"name": "by_hand", "on_alert": AlertOutcome.ASK_TECHNICIAN})
    world.models = {**MODELS, "by_hand": by_hand}
    await world.set_plan(ACME, "by_hand")
    await world.tick({ACME: BAD})
    assert await world.tickets() == []
    await world.set_plan(ACME, "monthly")
    await world.tick({ACME: BAD})
    (ticket,) = await world.tickets()
    assert (ticket.opened_at, ticket.began_at) == (world.now, world.now - INTERVAL)


async def test_many_shadows_become_one_storm(world: World) -> None:
    tills = [Target(f"till-{number}", "bakkerij", "hq", "desktop") for number in range(7)]
    world.enrol(*tills)
    for count in range(1, 8):  # one by one, so that they are no storm as shadows
        world.now += timedelta(minutes=11)
        await world.tick(dict.fromkeys(tills[:count], BAD))
    assert sorted(shadow.incident for shadow in await world.shadows()) == ["disk"] * 7 + ["printer_supplies"]
    await world.set_plan(BAKKERIJ, "monthly")
    await world.tick(dict.fromkeys(tills, BAD))
    (order, storm) = sorted(await world.tickets(), key=lambda ticket: ticket.incident)
    assert (order.incident, order.parent) == ("printer_supplies", None)  # an order is no line of it
    assert (storm.incident, storm.title) == ("storm", "7 incidents at once: all Full")
    assert storm.began_at < storm.opened_at == world.now
    assert all(shadow.resolved_at for shadow in await world.shadows())
    await world.tick(dict.fromkeys(tills, GOOD))
    assert {ticket.incident: ticket.status for ticket in await world.tickets()} == {
        "storm": TicketStatus.RESOLVED,
        "printer_supplies": TicketStatus.NEW,
    }


async def test_a_silence_holds_back_what_the_new_plan_would_open(world: World) -> None:
    await world.tick({BAKKERIJ: BAD})
    async with world.database.begin() as connection:
        await add_silence(
            connection,
            matchers=["customer=bakkerij"],
            starts_at=world.now,
            ends_at=world.now + timedelta(minutes=1),
            author="anna",
            comment="known",
            now=world.now,
        )
    await world.set_plan(BAKKERIJ, "monthly")
    await world.tick({BAKKERIJ: BAD})
    assert await world.tickets() == []
    for _ in range(4):
        await world.tick({BAKKERIJ: BAD})
    assert len(await world.tickets()) == 1


async def test_what_the_new_contract_does_not_cover_stays_a_shadow(world: World) -> None:
    await world.tick({BAKKERIJ: BAD})
    async with world.database.begin() as connection:
        contract = await contract_at(connection, BAKKERIJ.customer, world.now)
        assert contract is not None
        changes = {"plan": "monthly", "scope": ContractScope(tags=("vip",))}
        await change_contract(
            connection, world.models, contract.id, changes=changes, starts_at=world.now, actor="anna", now=world.now
        )
    await world.load()
    for _ in range(2):
        await world.tick({BAKKERIJ: BAD})
        assert await world.tickets() == []
    world.tags = {BAKKERIJ.device_id: frozenset({"vip"})}
    await world.tick({BAKKERIJ: BAD})
    assert [ticket.device for ticket in await world.tickets()] == [BAKKERIJ.device_id]
