"""What people complain of most, lived through by a whole collector: who is reported missing, and who is not."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.db.copies import Copies
from tests.fleet.living import Life, resumed

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


async def all_report(life: Life) -> None:
    """Two servers, a desktop and a laptop at acme's."""
    for name, kind in (("srv-1", "server"), ("srv-2", "server"), ("ws-1", "desktop"), ("lap-1", "laptop")):
        await life.add(name, kind)
    await life.start()
    await life.pass_(6 * MINUTE)
    assert set((await life.presences()).values()) == {"online"}


@pytest.fixture
async def life(copies: Copies) -> AsyncIterator[Life]:
    async with resumed(copies, all_report) as life:
        yield life


async def test_a_laptop_goes_home(life: Life) -> None:
    await life.leave("lap-1")
    await life.pass_(2 * HOUR)
    device = await life.device("lap-1")
    assert (device.presence, await life.told()) == ("asleep", [])
    assert "roaming" in str(device.presence_reason)


async def test_a_desktop_is_switched_off_in_the_evening_and_stays_off_in_the_morning(life: Life) -> None:
    await life.pass_(9 * HOUR, step=30 * MINUTE)  # 18:06; longer steps are stalls, in which nobody is judged
    await life.pass_(10 * MINUTE)
    await life.leave("ws-1")
    await life.pass_(15 * MINUTE)
    assert (await life.presences())["ws-1"] == "shut_down"
    await life.pass_(15 * HOUR, step=30 * MINUTE)
    await life.pass_(15 * MINUTE)
    assert (await life.presences())["ws-1"] == "shut_down"
    assert await life.told() == []


async def test_a_desktop_whose_plug_is_pulled_at_noon_is_gone(life: Life) -> None:
    await life.leave("ws-1")
    await life.pass_(7 * MINUTE)
    assert await life.told() == [("DeviceGone", "ws-1")]
    life.machines["ws-1"].is_reporting = True
    await life.pass_(2 * MINUTE)
    (ticket,) = await life.tickets()
    assert ticket.resolved_at is not None


async def test_a_server_that_is_cut_is_gone_after_its_patience(life: Life) -> None:
    await life.leave("srv-1")
    await life.pass_(5 * MINUTE)
    assert await life.told() == []
    await life.pass_(2 * MINUTE)
    assert await life.told() == [("DeviceGone", "srv-1")]
    assert "2 others at acme/hq report" in str((await life.device("srv-1")).presence_reason)


async def test_a_server_that_shuts_down_in_good_order_is_no_fault(life: Life) -> None:
    await life.leave("srv-1", "shutdown")
    await life.pass_(20 * MINUTE)
    assert ((await life.presences())["srv-1"], await life.told()) == ("shut_down", [])


async def test_a_whole_site_that_is_cut_is_one_ticket(life: Life) -> None:
    for name in life.machines:
        await life.leave(name)
    await life.pass_(30 * MINUTE)
    assert set((await life.presences()).values()) == {"site_offline"}
    assert await life.told() == [("SiteOffline", None)]
    for machine in life.machines.values():
        machine.is_reporting = True
    await life.pass_(3 * MINUTE)
    assert set((await life.presences()).values()) == {"online"}
    (ticket,) = await life.tickets()
    assert ticket.resolved_at is not None


async def test_who_does_not_come_back_with_its_site_is_gone_by_itself(life: Life) -> None:
    for name in life.machines:
        await life.leave(name)
    await life.pass_(10 * MINUTE)
    for name in ("srv-1", "ws-1", "lap-1"):
        life.machines[name].is_reporting = True
    await life.pass_(10 * MINUTE)
    assert await life.told() == [("SiteOffline", None)]
    await life.pass_(3 * MINUTE)
    assert await life.told() == [("SiteOffline", None), ("DeviceGone", "srv-2")]


async def test_the_collector_is_down_for_two_hours(life: Life) -> None:
    await life.stop()
    await life.pass_(2 * HOUR)
    for machine in life.machines.values():
        machine.is_reporting = False
    await life.start()
    await life.pass_(5 * MINUTE)  # agents wait up to five minutes between tries
    assert set((await life.presences()).values()) == {"online"}
    for machine in life.machines.values():
        machine.is_reporting = True
    await life.pass_(30 * MINUTE)
    assert (set((await life.presences()).values()), await life.told()) == ({"online"}, [])


async def test_who_vanished_while_the_collector_was_down_is_found_after_a_grace(life: Life) -> None:
    await life.stop()
    await life.pass_(2 * HOUR)
    await life.leave("srv-1")
    await life.leave("ws-1")
    await life.start()
    await life.pass_(12 * MINUTE)
    # The desktop may have said goodbye to nobody.
    assert (await life.presences()) == {"lap-1": "online", "srv-1": "gone", "srv-2": "online", "ws-1": "shut_down"}
    assert await life.told() == [("DeviceGone", "srv-1")]


async def test_a_restart_forgets_nobody(life: Life) -> None:
    await life.leave("srv-1")
    await life.leave("lap-1", "sleep")
    await life.pass_(7 * MINUTE)
    before = await life.device("srv-1")
    await life.stop()
    await life.pass_(20 * MINUTE)
    await life.start()
    await life.pass_(20 * MINUTE)
    assert await life.device("srv-1") == before
    assert (await life.presences())["lap-1"] == "asleep"
    (ticket,) = await life.tickets()
    assert ticket.resolved_at is None


@pytest.mark.parametrize("hours", [-1, 1])
async def test_the_collectors_clock_jumps(life: Life, hours: int) -> None:
    life.clock_off_by = hours * HOUR
    await life.pass_(15 * MINUTE)
    assert (set((await life.presences()).values()), await life.told()) == ({"online"}, [])
    await life.leave("srv-1")
    await life.pass_(7 * MINUTE)
    assert (await life.presences())["srv-1"] == "gone"


async def test_an_agent_that_an_administrator_stops_is_told(life: Life) -> None:
    await life.leave("srv-1", "stop")
    await life.pass_(3 * MINUTE)
    assert await life.told() == [("AgentStopped", "srv-1")]


async def test_two_agents_on_one_machine_vouch_for_it(life: Life) -> None:
    for name in ("twin-1", "twin-2"):
        await life.add(name, "server", machine="m")
    await life.pass_(3 * MINUTE)
    await life.leave("twin-2")
    await life.pass_(7 * MINUTE)
    assert await life.told() == [("AgentCrashed", "twin-2")]


async def test_how_the_last_run_ended_is_counted_once(life: Life) -> None:
    life.tell("srv-1", "agent_started", version="9.0", last_run="crashed")
    life.tell("srv-1", "power", source="battery")
    told = list(life.machines["srv-1"].events)
    await life.pass_(MINUTE)
    life.machines["srv-1"].events = told  # sent again, as the answer was lost
    life.tell("srv-1", "agent_started", version="9.0", last_run="cut")
    await life.pass_(MINUTE)
    device = await life.device("srv-1")
    assert (device.agent_crashes, device.machine_cuts, device.agent_version) == (1, 1, "9.0")
    assert device.on_battery_since is not None
    await life.leave("srv-1")
    await life.pass_(7 * MINUTE)
    assert "on battery since" in str((await life.device("srv-1")).presence_reason)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_nothing_of_a_collector_that_is_given_a_clock_goes_by_the_machines(life: Life) -> None:
    """Or what becomes of samples that come late would depend on how busy the machine is."""
    assert life.collector._long_windows._monotonic == life.monotonic
