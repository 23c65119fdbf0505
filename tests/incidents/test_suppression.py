"""Silences, maintenance windows and inhibition hold tickets back, and let them go when they end."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from collector.alerting.matching import MatcherError
from collector.contracts.scope import ContractScope
from collector.db.database import Database
from collector.desk.states import TicketStatus
from collector.fleet.contracts import change_contract, contract_at
from collector.incidents.reasons import why
from collector.incidents.silences import SilenceError, add_silence, expire_silence
from collector.incidents.windows import Scope, WindowError, add_window, end_window
from protocol.wire import Kind
from tests.incidents.world import ACME, ACME_2, BAKKERIJ, INTERVAL, World, world_with

RULES = """\
groups:
  - name: world
    rules:
      - alert: Gone
        expr: gone == 1
        labels: {severity: critical, incident: device_offline}
      - alert: Full
        expr: x > 0.9
        labels: {severity: major, incident: disk}
"""

BAD, GOOD = 0.95, 0.5
ANNA = "anna"


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        yield made


async def silence(world: World, *matchers: str, minutes: int = 10) -> int:
    async with world.database.begin() as connection:
        return await add_silence(
            connection,
            matchers=matchers,
            starts_at=world.now,
            ends_at=world.now + timedelta(minutes=minutes),
            author=ANNA,
            comment="new disk on its way",
            now=world.now,
        )


async def window(world: World, scope: Scope, *, minutes: int = 10, recurrence: str | None = None) -> int:
    """Opens now, by the clock in Amsterdam, an hour ahead of UTC in March."""
    async with world.database.begin() as connection:
        return await add_window(
            connection,
            scope=scope,
            starts_local=world.now.replace(tzinfo=None) + timedelta(hours=1),
            length=timedelta(minutes=minutes),
            recurrence=recurrence,
            time_zone=None,
            author=ANNA,
            reason="patches",
            now=world.now,
        )


async def outcomes(world: World) -> dict[object, object]:
    return {alert["device"]: alert["outcome"] for alert in await world.alerts() if alert["state"] == "firing"}


async def told(world: World, device: str = "ws-1") -> str:
    async with world.database.connect() as connection:
        alert = next(alert["id"] for alert in await world.alerts() if alert["device"] == device)
        assert isinstance(alert, int)
        return "\n".join((await why(connection, alert)).told())


async def test_a_silence_holds_tickets_back_and_what_is_still_wrong_at_its_end_opens_them(world: World) -> None:
    await silence(world, "device_id=ws-1", 'alertname=~"F.*"', minutes=1)
    await world.tick({ACME: BAD, ACME_2: BAD})
    assert [ticket.device for ticket in await world.tickets()] == ["ws-2"]
    assert await outcomes(world) == {"ws-1": "suppressed", "ws-2": "ticket"}
    for _ in range(4):
        await world.tick({ACME: BAD, ACME_2: BAD})
    newest, _ = await world.tickets()
    assert (newest.device, newest.status) == ("ws-1", TicketStatus.NEW)
    assert newest.opened_at - newest.began_at == 3 * INTERVAL
    words = await told(world)
    assert "held back: silence 1 of anna until 2026-03-02 09:01 UTC: new disk on its way" in words
    assert "plan monthly opens a ticket (P2)" in words
    assert "ticket 1002" in words


async def test_what_healed_under_a_silence_stays_quiet(world: World) -> None:
    await silence(world, "customer=acme", minutes=1)
    await world.tick({ACME: BAD})
    await world.tick({ACME: GOOD})
    for _ in range(5):
        await world.tick({ACME: GOOD})
    assert await world.tickets() == []
    assert await world.states() == ["resolved"]


async def test_a_silence_may_be_ended_early(world: World) -> None:
    number = await silence(world, "customer=acme", minutes=600)
    await world.tick({ACME: BAD})
    async with world.database.begin() as connection:
        await expire_silence(connection, number, actor=ANNA, now=world.now)
    await world.tick({ACME: BAD})
    assert len(await world.tickets()) == 1
    async with world.database.begin() as connection:
        with pytest.raises(SilenceError, match="no silence"):
            await expire_silence(connection, number, actor=ANNA, now=world.now)


async def test_an_open_ticket_lives_on_under_a_silence_and_resolves_with_its_fault(world: World) -> None:
    await world.tick({ACME: BAD})
    await silence(world, "customer=acme")
    await world.tick({ACME: BAD})
    assert [ticket.status for ticket in await world.tickets()] == [TicketStatus.NEW]
    await world.tick({ACME: GOOD})
    assert [ticket.status for ticket in await world.tickets()] == [TicketStatus.RESOLVED]
    await world.tick({ACME: BAD})  # back while it is silenced
    assert [ticket.status for ticket in await world.tickets()] == [TicketStatus.RESOLVED]


async def test_silences_hold_back_shadows_too(world: World) -> None:
    await silence(world, "customer=bakkerij", minutes=1)
    await world.tick({BAKKERIJ: BAD})
    assert await world.shadows() == []
    for _ in range(4):
        await world.tick({BAKKERIJ: BAD})
    assert len(await world.shadows()) == 1


@pytest.mark.parametrize(
    ("matchers", "error", "said"),
    [
        ((), MatcherError, "name 1 to 20 matchers"),
        (("x",), MatcherError, "write a matcher like"),
        (("1x=a",), MatcherError, "write a matcher like"),
        (("x=~(",), MatcherError, "no regular expression"),
        (('x=""', "y=~.*"), MatcherError, "match every alert"),
    ],
)
async def test_a_wrong_silence_is_refused(
    world: World, matchers: tuple[str, ...], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        await silence(world, *matchers)


async def test_a_window_covers_its_customer_site_device_or_tag_alone(world: World) -> None:
    await window(world, Scope("acme", tag="patching"), minutes=1)
    world.tags = {"ws-2": frozenset({"patching"})}
    await world.tick({ACME: BAD, ACME_2: BAD, BAKKERIJ: BAD})
    assert await outcomes(world) == {"ws-1": "ticket", "ws-2": "suppressed", "kassa-1": "shadow"}
    assert "maintenance window 1 of acme, devices tagged patching until 2026-03-02 09:01 UTC: patches" in str(
        [alert["reason"] for alert in await world.alerts()]
    )
    for _ in range(4):
        await world.tick({ACME: BAD, ACME_2: BAD})
    assert sorted(str(ticket.device) for ticket in await world.tickets()) == ["ws-1", "ws-2"]


async def test_a_window_comes_again(world: World) -> None:
    await window(world, Scope("acme"), minutes=1, recurrence="FREQ=DAILY")
    await world.tick({ACME: BAD})
    await world.tick({ACME: GOOD})
    world.now += timedelta(days=1) - 2 * INTERVAL
    await world.tick({ACME: BAD})
    assert await world.tickets() == []
    world.now += timedelta(minutes=1)
    await world.tick({ACME: BAD})
    assert len(await world.tickets()) == 1


async def test_a_window_called_off_holds_nothing_back(world: World) -> None:
    number = await window(world, Scope("acme"))
    async with world.database.begin() as connection:
        await end_window(connection, number, actor=ANNA, now=world.now)
    await world.tick({ACME: BAD})
    assert len(await world.tickets()) == 1
    async with world.database.begin() as connection:
        with pytest.raises(WindowError, match="ended before"):
            await end_window(connection, number, actor=ANNA, now=world.now)


async def test_a_window_that_has_passed_is_refused(world: World) -> None:
    begins = world.now.replace(tzinfo=None) - timedelta(minutes=9)  # an hour and nine minutes ago, in Amsterdam
    async with world.database.begin() as connection:
        with pytest.raises(WindowError, match="has passed: check the date"):
            await add_window(
                connection,
                scope=Scope("acme"),
                starts_local=begins,
                length=timedelta(minutes=69),
                recurrence=None,
                time_zone=None,
                author=ANNA,
                reason="patches",
                now=world.now,
            )


async def test_a_device_that_is_offline_hides_its_checks(world: World) -> None:
    world.now += INTERVAL
    await world.push_series({ACME: {"x": BAD, "gone": 1.0}, ACME_2: {"x": BAD}})
    await world.evaluate()
    assert sorted(str(ticket.incident) for ticket in await world.tickets()) == ["device_offline", "disk"]
    assert [ticket.device for ticket in await world.tickets() if ticket.incident == "disk"] == ["ws-2"]
    held = next(alert for alert in await world.alerts() if alert["outcome"] == "suppressed")
    assert "Gone of ws-1 fires" in str(held["reason"])
    assert "a device that is offline hides its checks" in str(held["reason"])
    for _ in range(2):  # back, and the disk is still full
        world.now += INTERVAL
        await world.push_series({ACME: {"x": BAD, "gone": 0.0}, ACME_2: {"x": BAD}})
        await world.evaluate()
    assert sorted(str(ticket.device) for ticket in await world.tickets() if ticket.incident == "disk") == [
        "ws-1",
        "ws-2",
    ]


async def test_no_contract_is_told_and_decided_again_when_there_is_one(world: World) -> None:
    directory, world.directory = world.directory, type(world.directory)()
    await world.tick({ACME: BAD})
    (alert,) = await world.alerts()
    assert alert["outcome"] == "none"
    assert str(alert["reason"]).startswith("no ticket: customer acme has no contract in force; give it one with:")
    world.directory = directory
    await world.tick({ACME: BAD})
    assert len(await world.tickets()) == 1


async def test_outside_the_contracts_scope_there_is_no_ticket_until_it_covers_the_device(world: World) -> None:
    async def cover(scope: ContractScope | None) -> None:
        async with world.database.begin() as connection:
            contract = await contract_at(connection, ACME.customer, world.now)
            assert contract is not None
            changes = {"scope": scope}
            await change_contract(
                connection,
                world.models,
                contract.id,
                changes=changes,
                starts_at=world.now,
                actor="anna",
                now=world.now,
            )
        await world.load()

    await cover(ContractScope(kinds=("printer",)))
    await world.tick({ACME: BAD})
    (alert,) = await world.alerts()
    reason = "no ticket: device ws-1 is outside the contract of acme, which covers kinds: printer"
    assert (alert["outcome"], alert["reason"]) == ("none", reason)
    assert reason in await told(world)
    await cover(ContractScope(kinds=("printer",), tags=("vip",)))
    await world.tick({ACME: BAD})
    assert await world.tickets() == []
    await cover(ContractScope(tags=("vip",)))
    world.tags = {"ws-1": frozenset({"vip"})}
    await world.tick({ACME: BAD})
    assert [ticket.device for ticket in await world.tickets()] == ["ws-1"]


async def test_what_the_plan_does_not_watch_has_no_ticket_until_it_does(world: World) -> None:
    monthly = world.models["monthly"]
    world.models = {**world.models, "monthly": monthly.model_copy(update={"monitored": (Kind.PRINTER,)})}
    await world.tick({ACME: BAD})
    (alert,) = await world.alerts()
    reason = f"no ticket: plan monthly watches no {ACME.kind}; see 'monitored' in service_models.yaml"
    assert (alert["outcome"], alert["reason"]) == ("none", reason)
    assert reason in await told(world)
    world.models = {**world.models, "monthly": monthly}
    await world.tick({ACME: BAD})
    assert [ticket.device for ticket in await world.tickets()] == ["ws-1"]


async def test_why_tells_value_rule_version_and_every_step(world: World) -> None:
    await world.tick({ACME: BAD})
    await world.goodbye(ACME)
    await world.tick()
    await world.tick({ACME: GOOD})
    lines = (await told(world)).splitlines()
    assert lines[0] == "alert 1: Full on ws-1, acme is resolved"
    assert lines[1] == "2026-03-02 09:00:15 UTC  the condition began to hold"
    assert lines[2].startswith("2026-03-02 09:00:15 UTC  plan monthly opens a ticket (P2); value 0.95; rule version ")
    assert lines[3] == "2026-03-02 09:00:15 UTC  ticket 1001"
    assert lines[4] == "2026-03-02 09:00:30 UTC  not seen since 2026-03-02 09:00 UTC, so not known to be over"
    assert lines[5] == "2026-03-02 09:00:45 UTC  over: seen again, and the condition is gone"
