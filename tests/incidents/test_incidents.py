"""From samples to tickets: one incident, one ticket, and nothing healthy by silence."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from collector.db.database import Database
from collector.desk.states import TicketStatus
from collector.desk.tickets import history
from collector.fleet.devices import DeviceStatus
from collector.fleet.directory import FleetDirectory
from collector.promql import EvaluationError
from tests.incidents.world import ACME, ACME_2, BAKKERIJ, INTERVAL, START, World, world_with

RULES = """\
groups:
  - name: world
    rules:
      - alert: Full
        expr: x > 0.9
        for: 30s
        labels: {severity: major, incident: disk}
        annotations: {summary: "{{ $labels.device_id }} is {{ $value | humanizePercentage }} full ({{ $labels.__name__ }})"}
      - alert: VeryFull
        expr: x > 0.98
        labels: {severity: critical, incident: disk}
      - alert: Quiet
        expr: x > 0.97
        labels: {ticket: never}
"""  # noqa: E501 - a rule file

BAD, WORSE, GOOD = 0.95, 0.99, 0.5


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        yield made


async def fire(world: World, *targets: object) -> None:
    """Long enough for the rule with `for`."""
    for _ in range(3):
        await world.tick(dict.fromkeys(targets or [ACME], BAD))  # type: ignore[arg-type]


async def test_the_contract_decides(world: World) -> None:
    await world.tick({ACME: BAD, BAKKERIJ: BAD})
    assert await world.states() == ["pending", "pending"]
    assert {alert["reason"] for alert in await world.alerts()} == {"pending: fires when it has held for 30s"}
    assert await world.tickets() == []
    await fire(world, ACME, BAKKERIJ)
    (ticket,) = await world.tickets()
    assert (ticket.customer, ticket.device, ticket.rule, ticket.priority) == ("acme", "ws-1", "Full", "P2")
    assert ticket.title == "ws-1 is 95% full (x)"
    assert ticket.opened_at - ticket.began_at == timedelta(seconds=30)
    (shadow,) = await world.shadows()
    assert (shadow.customer, shadow.device) == ("bakkerij", "kassa-1")
    by_customer = {alert["customer"]: alert for alert in await world.alerts()}
    assert by_customer["acme"]["outcome"] == "ticket"
    assert by_customer["acme"]["ticket"] == ticket.number
    assert by_customer["bakkerij"]["outcome"] == "shadow"
    assert "break_fix" in str(by_customer["bakkerij"]["reason"])
    await world.tick({ACME: GOOD, BAKKERIJ: GOOD})
    assert [ticket.status for ticket in await world.tickets()] == [TicketStatus.RESOLVED]
    assert all(shadow.resolved_at for shadow in await world.shadows())


async def test_rules_of_one_incident_share_a_ticket_that_lives_as_long_as_the_last(world: World) -> None:
    await fire(world)
    await world.tick({ACME: WORSE})
    (ticket,) = await world.tickets()
    assert ticket.priority == "P1"
    await world.tick({ACME: BAD})
    assert [(one.status, one.resolved_at) for one in await world.tickets()] == [(TicketStatus.NEW, None)]
    await world.tick({ACME: GOOD})
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED]


async def test_each_device_has_a_ticket_of_its_own(world: World) -> None:
    await fire(world, ACME, ACME_2)
    assert sorted(str(ticket.device) for ticket in await world.tickets()) == ["ws-1", "ws-2"]


async def test_a_rule_may_forbid_tickets(world: World) -> None:
    await world.tick({ACME: 0.975})
    quiet = [alert for alert in await world.alerts() if alert["rule"] == "Quiet"]
    assert [(alert["outcome"], alert["state"]) for alert in quiet] == [("none", "firing")]
    assert "ticket: never" in str(quiet[0]["reason"])


async def test_a_customer_without_contract_is_told_so(world: World) -> None:
    world.directory = FleetDirectory()
    await fire(world)
    assert await world.tickets() == []
    assert "no contract" in str((await world.alerts())[0]["reason"])


async def test_what_is_not_seen_is_not_healthy(world: World) -> None:
    await fire(world)
    await world.goodbye(ACME)
    await world.tick()
    assert await world.states() == ["unknown"]
    assert "not seen since" in str((await world.alerts())[0]["reason"])
    assert (await world.tickets())[0].resolved_at is None
    await world.tick()
    assert await world.states() == ["unknown"]
    await world.tick({ACME: GOOD})
    assert await world.states() == ["resolved"]
    assert (await world.tickets())[0].status is TicketStatus.RESOLVED


async def test_what_came_in_since_the_instant_of_an_evaluation_proves_nothing_to_it(world: World) -> None:
    """The frame with which a device comes back lies a little behind the instant that is being evaluated."""
    await fire(world)
    await world.goodbye(ACME)
    await world.tick()
    world.now += INTERVAL
    instant = world.now
    world.now += INTERVAL / 5
    await world.push({ACME: BAD})
    for group in world.evaluator.rules.groups:
        await world.evaluator.evaluate_group(group, instant)
    assert await world.states() == ["unknown"]
    world.now = instant
    await fire(world)
    (ticket,) = await world.tickets()
    async with world.database.connect() as connection:
        assert not [event for event in await history(connection, ticket.number) if event.type == "status"]


async def test_what_a_device_left_behind_is_over_when_nobody_looks_after_it_any_more(world: World) -> None:
    await fire(world)
    await world.goodbye(ACME)
    for _ in range(4):
        await world.tick({BAKKERIJ: GOOD})
    assert await world.states() == ["unknown"]
    world.members["ws-1"] = replace(world.members["ws-1"], status=DeviceStatus.ENDED)
    await world.tick({BAKKERIJ: GOOD})
    assert "the device is no longer looked after" in str((await world.alerts())[0]["reason"])
    assert (await world.tickets())[0].status is TicketStatus.RESOLVED


async def test_a_rule_that_cannot_be_evaluated_tells_nothing_of_a_device_that_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> NoReturn:
        raise EvaluationError("it took too long")

    await fire(world)
    await world.goodbye(ACME)
    await world.tick()
    with monkeypatch.context() as broken:
        broken.setattr(type(world.store.reader), "select", unreadable)
        await world.tick({ACME: BAD})
    assert await world.states() == ["unknown"]
    await world.tick({ACME: GOOD})
    assert await world.states() == ["resolved"]


async def test_silence_without_goodbye_is_not_healthy_either(world: World) -> None:
    await fire(world)
    for _ in range(21):  # the lookback is 5 minutes
        await world.tick({BAKKERIJ: GOOD})
    assert await world.states() == ["unknown"]
    assert len(await world.tickets()) == 1


async def test_a_fault_that_is_still_there_after_the_silence_is_the_same_incident(world: World) -> None:
    await fire(world)
    await world.goodbye(ACME)
    await world.tick()
    await fire(world)
    assert await world.states() == ["firing"]
    (ticket,) = await world.tickets()
    assert ticket.resolved_at is None


async def test_pending_that_ends_leaves_nothing(world: World) -> None:
    await world.tick({ACME: BAD})
    await world.tick({ACME: GOOD})
    assert await world.alerts() == []


@pytest.mark.parametrize("ticks_before", [1, 2, 3, 4])
async def test_a_restart_changes_nothing(world: World, ticks_before: int) -> None:
    """`for` goes on counting, and one incident stays one ticket."""
    for tick in range(5):
        if tick == ticks_before:
            await world.restart()
        await world.tick({ACME: BAD, BAKKERIJ: BAD})
        assert await world.states() == [["pending", "pending", "firing", "firing", "firing"][tick]] * 2
    assert len(await world.tickets()) == len(await world.shadows()) == 1


async def test_after_a_long_absence_pending_starts_again_and_firing_stays(world: World) -> None:
    await fire(world)
    await world.tick({ACME: BAD, ACME_2: BAD})
    assert await world.states() == ["firing", "pending"]
    await world.restart(after=timedelta(minutes=11))
    await world.tick({ACME: BAD, ACME_2: BAD})
    assert await world.states() == ["firing", "pending"]
    await world.tick({ACME: BAD, ACME_2: BAD})
    assert await world.states() == ["firing", "pending"]
    assert len(await world.tickets()) == 1


async def test_an_outage_of_the_collector_resolves_no_ticket(world: World) -> None:
    await fire(world)
    await world.restart(after=timedelta(hours=2))
    await world.tick()
    assert await world.states() == ["unknown"]
    await world.tick({ACME: BAD})
    await fire(world)
    assert await world.states() == ["firing"]
    assert len(await world.tickets()) == 1


async def test_alerts_of_a_rule_that_is_gone_are_over(world: World) -> None:
    await fire(world)
    (world.rules_folder / "world.yaml").write_text(
        RULES.replace("incident: disk", "incident: other").replace("alert: Full", "alert: Fuller")
    )
    await world.restart()
    assert await world.states() == ["resolved"]
    assert "no longer loaded" in str((await world.alerts())[0]["reason"])
    assert [ticket.status for ticket in await world.tickets()] == [TicketStatus.RESOLVED]


async def test_the_same_fault_within_a_day_reopens_its_ticket(world: World) -> None:
    await fire(world)
    await world.tick({ACME: GOOD})
    await fire(world)
    (ticket,) = await world.tickets()
    assert ticket.resolved_at is None
    await world.tick({ACME: GOOD})
    world.now += timedelta(hours=25)
    await fire(world)
    assert len(await world.tickets()) == 2


async def test_a_rule_over_a_range_has_seen_two_samples_before_it_tells_that_the_fault_is_gone(
    database: Database, tmp_path: Path
) -> None:
    rules = (
        "groups: [{name: world, rules: [{alert: Errors, expr: 'increase(x[10m]) > 0.5', labels: {severity: major}}]}]\n"
    )
    async with world_with(database, tmp_path, rules) as world:
        for errors in range(4):
            await world.tick({ACME: float(errors)})
        await world.goodbye(ACME)
        for _ in range(48):
            await world.tick()
        assert await world.states() == ["unknown"]
        await world.tick({ACME: 100.0})
        assert await world.states() == ["unknown"]  # one sample gives no rate
        await world.tick({ACME: 101.0})
        assert await world.states() == ["firing"]
        await world.goodbye(ACME)
        for _ in range(48):
            await world.tick()
        for _ in range(10):
            await world.tick({ACME: 200.0})
        assert await world.states() == ["unknown"]
        await world.tick({ACME: 200.0})
        assert await world.states() == ["resolved"]
        (ticket,) = await world.tickets()
        assert ticket.opened_at == START + 2 * INTERVAL
