"""Presence as series in a real store: always all of them, at once on a change, and nobody's freshness."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from collector.clock import to_milliseconds
from collector.fleet.devices import DeviceStatus
from collector.fleet.directory import Member
from collector.fleet.policy import Policy
from collector.fleet.presence import Presence, State
from collector.fleet.presence_series import DEVICE_SERIES, ROUND_SECONDS, PresenceSeries, is_older
from collector.fleet.watch import Known
from collector.series.labels import Target
from collector.series.store import SampleStore
from tests.fleet.world import NOW, after

MEMBERS = {
    name: Member(
        target=Target(name, customer, "hq", "server"),
        status=DeviceStatus.ACTIVE,
        hostname=name,
        os="Debian 12",
        agent_version="",
        read_by=None,
        address=None,
        enrolled_at=NOW,
        last_seen_at=None,
        goodbye_at=None,
        goodbye_reason=None,
        model="X1",
    )
    for name, customer in (("a", "acme"), ("b", "acme"), ("c", "bakkerij"))
}


class Fleet:
    def __init__(self, store: SampleStore) -> None:
        self.store = store
        self.states = dict.fromkeys(MEMBERS, Presence.ONLINE)
        self.series = PresenceSeries(store, self.known, "0.2.0")

    def known(self, device: str) -> Known:
        return Known(State(self.states[device], NOW, "", Policy.ALWAYS), "0.1.9", 2, 1)

    async def write(self, seconds: float, *changed: str, offline: frozenset[tuple[str, str]] = frozenset()) -> None:
        await self.series.write(MEMBERS, set(changed), offline, after(seconds=seconds), seconds)

    def values(self, at: datetime, metric: str) -> dict[tuple[str, ...], float]:
        """By the labels that tell the series apart."""
        t, lookback = to_milliseconds(at), 300_000
        selection = self.store.reader.select((), t - lookback, t)
        latest = self.store.reader.latest(selection, t, lookback)
        found = {}
        for place in range(len(selection)):
            labels = selection.labels.texts(self.store.reader.strings, place)
            if labels.pop("__name__") == metric and latest.present[place]:
                labels = {name: text for name, text in labels.items() if name not in ("kind", "site")}
                found[tuple(labels[name] for name in sorted(labels))] = float(latest.values[place])
        return found


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    store = await SampleStore.open(tmp_path, windows={}, clock=lambda: NOW)
    yield Fleet(store)
    await store.close()


async def test_every_state_of_every_device_is_there_from_the_first_turn(fleet: Fleet) -> None:
    await fleet.write(0)
    assert fleet.values(NOW, "quarkpulse_device_up") == {("acme", "a"): 1, ("acme", "b"): 1, ("bakkerij", "c"): 1}
    states = fleet.values(NOW, "quarkpulse_device_presence")
    assert len(states) == len(MEMBERS) * len(Presence)
    assert {key for key, value in states.items() if value} == {
        ("acme", "a", "online"),
        ("acme", "b", "online"),
        ("bakkerij", "c", "online"),
    }
    assert fleet.values(NOW, "quarkpulse_site_up") == {("acme",): 1, ("bakkerij",): 1}
    assert fleet.values(NOW, "quarkpulse_device_info")["0.1.9", "acme", "a", "a", "X1", "Debian 12"] == 1
    assert fleet.values(NOW, "quarkpulse_agent_outdated")["acme", "a"] == 1
    restarts = fleet.values(NOW, "quarkpulse_device_unexpected_restarts_total")
    assert (restarts["agent", "acme", "a"], restarts["machine", "acme", "a"]) == (2, 1)
    assert fleet.store.freshness("a") is None


async def test_a_change_is_written_at_once_and_the_rest_once_a_minute(fleet: Fleet) -> None:
    await fleet.write(0)
    before = fleet.store.stats().frames_appended
    fleet.states["b"] = Presence.GONE
    await fleet.write(0.1, "b")
    assert fleet.store.stats().frames_appended == before + 2
    assert fleet.values(after(seconds=1), "quarkpulse_device_up")["acme", "b"] == 0
    assert fleet.values(after(seconds=1), "quarkpulse_device_presence")["acme", "b", "gone"] == 1
    for second in range(2, int(ROUND_SECONDS) + 2, 2):
        await fleet.write(second)
    assert fleet.store.stats().frames_appended == before + 2 + 2 * len(MEMBERS) + 2
    await fleet.write(62, offline=frozenset({("acme", "hq")}))
    assert fleet.values(after(seconds=62), "quarkpulse_site_up") == {("acme",): 0, ("bakkerij",): 1}


async def test_the_devices_own_end_does_not_end_them_but_its_retirement_does(fleet: Fleet) -> None:
    await fleet.write(0)
    await fleet.store.end_device("a", to_milliseconds(after(seconds=1)))
    assert ("acme", "a") in fleet.values(after(seconds=2), "quarkpulse_device_up")
    members = {**MEMBERS, "c": replace(MEMBERS["c"], status=DeviceStatus.ENDED)}
    await fleet.series.write(members, set(), frozenset(), after(seconds=3), 3)
    now = after(seconds=4)
    assert set(fleet.values(now, "quarkpulse_device_up")) == {("acme", "a"), ("acme", "b")}
    assert set(fleet.values(now, "quarkpulse_site_up")) == {("acme",)}
    assert all(key[1] == "acme" for key in fleet.values(now, "quarkpulse_device_info"))


async def test_who_was_put_off_is_written_when_the_store_takes_it(fleet: Fleet) -> None:
    """A collector that stood still for long writes everybody once, not once for each round it missed."""
    await fleet.write(0)
    before = fleet.store.stats().frames_appended
    await fleet.write(timedelta(hours=1).total_seconds())
    assert fleet.store.stats().frames_appended == before + 2 * len(MEMBERS) + 2


@pytest.mark.parametrize(
    ("agent", "is_outdated"),
    [("0.1.9", True), ("0.2.0", False), ("0.10.0", False), ("0.2", True), ("", False), ("unknown", False)],
)
def test_versions_are_compared_by_their_numbers(agent: str, is_outdated: bool) -> None:
    assert is_older(agent, "0.2.0rc1") is is_outdated


def test_all_states_are_in_the_layout() -> None:
    assert len(DEVICE_SERIES) == 1 + len(Presence) + 1 + 2
