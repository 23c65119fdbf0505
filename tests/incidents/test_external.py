"""Alerts of an external ruler come to the same tickets as those of rules that are evaluated here."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from collector.alerting.external import ExternalRule, Posted, external_key
from collector.alerting.locality import is_of_collector
from collector.alerting.rulefile import load_rules
from collector.contracts import Priority
from collector.db.database import Database
from collector.desk.states import TicketStatus
from collector.incidents import external
from collector.incidents.assigning import UNASSIGNED, assigned
from collector.incidents.external import ExternalAlerts, TooManyAlertsError
from collector.incidents.reasons import why
from collector.incidents.service import Incidents
from collector.incidents.silences import add_silence
from collector.incidents.windows import Scope, add_window
from collector.series.labels import Target
from tests.db.fixtures import counting_statements
from tests.incidents.world import ACME, ACME_2, BAKKERIJ, START, World, world_with

RULES = """\
groups:
  - name: world
    rules:
      - alert: DiskFull
        expr: x > 0.9
        for: 1m
        labels: {severity: major, incident: disk}
"""
RESEND = timedelta(minutes=1)
MINUTE = timedelta(minutes=1)


@dataclass
class Ruler:
    """A Prometheus that posts to a collector without HTTP."""

    world: World
    alerts: ExternalAlerts
    firing: dict[str, Posted] = field(default_factory=dict)

    async def fires(self, *posted: Posted) -> None:
        self.firing |= {str(sorted(one.labels.items())): one for one in posted}
        await self.sends()

    async def sends(self) -> None:
        """What it sends every minute, and the time until it is judged."""
        end = self.world.now + 4 * RESEND
        await self.alerts.take([replace(one, ends_at=end) for one in self.firing.values()])
        await self.judged()

    async def resolves(self, *posted: Posted) -> None:
        for one in posted:
            self.firing.pop(str(sorted(one.labels.items())), None)
        await self.alerts.take([replace(one, ends_at=self.world.now) for one in posted])
        await self.judged()

    async def judged(self) -> None:
        await self.alerts.turn()
        self.world.now += external.GATHER
        await self.alerts.turn()

    async def minutes_pass(self, count: int, values: Mapping[Target, float] | None = None) -> None:
        """Devices push, and the ruler repeats what fires."""
        for _ in range(count):
            self.world.now += RESEND
            await self.world.push(values or {})
            self.world.watch.sweep(self.world.members, self.world.now)
            await self.sends()

    def alert(self, target: Target, name: str = "DiskFull", since: datetime | None = None, **labels: str) -> Posted:
        own = {"device_id": target.device_id, "customer": target.customer, "site": target.site, "kind": target.kind}
        described = {"alertname": name, "severity": "major", "incident": "disk", **own, **labels}
        return Posted(described, {"summary": f"{name} at {target.device_id}"}, since or self.world.now, None)


def external_alerts(world: World) -> ExternalAlerts:
    incidents = Incidents(world.surroundings, lambda _name, _device, _at: None)
    made = ExternalAlerts(
        world.database, incidents, lambda posted: assigned(posted, world.directory), lambda: world.now
    )
    made.use_rules(load_rules([world.rules_folder]))
    return made


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        await known(made)
        yield made


async def known(world: World) -> None:
    """The devices of the world, as the directory would have them."""
    sites = frozenset((member.target.customer, member.target.site) for member in world.members.values())
    world.directory = replace(world.directory, members=world.members, sites=sites)


@pytest.fixture
def ruler(world: World) -> Ruler:
    return Ruler(world, external_alerts(world))


async def test_an_alert_opens_a_ticket_that_resolves_with_it(world: World, ruler: Ruler) -> None:
    await ruler.minutes_pass(1, {ACME: 1})
    full = ruler.alert(ACME, since=world.now)
    await ruler.fires(full)
    await ruler.minutes_pass(10, {ACME: 1})  # repeated again and again
    (ticket,) = await world.tickets()
    assert (ticket.customer, ticket.device, ticket.incident, ticket.rule) == ("acme", "ws-1", "disk", "DiskFull")
    assert (ticket.title, ticket.began_at) == ("DiskFull at ws-1", full.starts_at)
    await ruler.resolves(full)
    await ruler.resolves(full)
    (ticket,) = await world.tickets()
    assert ticket.status is TicketStatus.RESOLVED
    assert await world.states() == ["resolved"]


async def test_break_fix_keeps_a_shadow(world: World, ruler: Ruler) -> None:
    await ruler.fires(ruler.alert(BAKKERIJ))
    assert (len(await world.tickets()), len(await world.shadows())) == (0, 1)


async def test_what_is_not_repeated_is_over_at_its_end_and_the_record_says_so(world: World, ruler: Ruler) -> None:
    await ruler.minutes_pass(1, {ACME: 1})
    await ruler.fires(ruler.alert(ACME))
    ruler.firing.clear()  # the ruler is gone
    await ruler.minutes_pass(3, {ACME: 1})
    assert await world.states() == ["firing"]
    await ruler.minutes_pass(2, {ACME: 1})
    (alert,) = await world.alerts()
    assert (alert["state"], external.TIMED_OUT in str(alert["reason"])) == ("resolved", True)


async def test_a_ruler_that_comes_back_goes_on_with_the_ticket(world: World, ruler: Ruler) -> None:
    await ruler.minutes_pass(1, {ACME: 1})
    full = ruler.alert(ACME)
    await ruler.fires(full)
    ruler.firing.clear()
    await ruler.minutes_pass(6, {ACME: 1})
    await ruler.fires(full)
    (ticket,) = await world.tickets()
    assert (ticket.status, await world.states()) == (TicketStatus.NEW, ["resolved", "firing"])


async def test_a_restart_takes_up_what_fires(world: World, ruler: Ruler) -> None:
    await ruler.minutes_pass(1, {ACME: 1})
    full = ruler.alert(ACME)
    await ruler.fires(full)
    ruler.alerts = external_alerts(world)
    await world.evaluator.restore()  # it leaves the ruler's alerts alone
    await ruler.alerts.restore(world.evaluator.rules, takes_over=False)
    await ruler.minutes_pass(10, {ACME: 1})
    assert (await world.states(), len(await world.tickets())) == (["firing"], 1)
    ruler.alerts = external_alerts(world)
    await ruler.alerts.restore(world.evaluator.rules, takes_over=False)
    await ruler.resolves(full)
    assert await world.states() == ["resolved"]


async def test_a_ruler_takes_over_what_the_collector_evaluated(world: World, ruler: Ruler) -> None:
    for _ in range(6):
        await world.tick({ACME: 1})
    assert await world.states() == ["firing"]
    own = world.evaluator.rules.only(is_of_collector)
    await ruler.alerts.restore(own, takes_over=True)
    labels = {"device_id": "ws-1", "customer": "acme", "site": "hq", "kind": "server"}
    same = Posted({"alertname": "DiskFull", "severity": "major", "incident": "disk", **labels}, {}, world.now, None)
    await ruler.fires(same)
    await ruler.minutes_pass(10, {ACME: 1})
    (alert,) = await world.alerts()
    assert (alert["state"], len(await world.tickets())) == ("firing", 1)
    await ruler.resolves(same)
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED]


async def test_silences_and_windows_hold_tickets_back_until_they_end(world: World, ruler: Ruler) -> None:
    async with world.database.begin() as connection:
        await add_silence(
            connection,
            matchers=["device_id=ws-1"],
            starts_at=START,
            ends_at=START + 5 * MINUTE,
            author="anna",
            comment="known",
            now=START,
        )
        await add_window(
            connection,
            scope=Scope("acme"),
            starts_local=datetime(2026, 3, 2, 10, 0),  # noqa: DTZ001 - the clock on the wall, 9:00 UTC
            length=10 * MINUTE,
            recurrence=None,
            time_zone="Europe/Amsterdam",
            author="anna",
            reason="work",
            now=START,
        )
    await ruler.minutes_pass(1, {ACME: 1, ACME_2: 1})
    await ruler.fires(ruler.alert(ACME), ruler.alert(ACME_2))
    assert {str(one["reason"]).split()[2] for one in await world.alerts()} == {"silence", "maintenance"}
    await ruler.minutes_pass(5, {ACME: 1, ACME_2: 1})
    assert await world.tickets() == []
    await ruler.minutes_pass(5, {ACME: 1, ACME_2: 1})
    assert len(await world.tickets()) == 2


async def test_a_site_that_is_offline_explains_its_devices_in_whatever_order_the_alerts_come(
    world: World, ruler: Ruler
) -> None:
    gone = ruler.alert(ACME, "DeviceGone", incident="device_offline")
    site = Posted(
        {"alertname": "SiteOffline", "customer": "acme", "site": "hq", "scope": "site", "incident": "site_offline"},
        {},
        world.now,
        None,
    )
    await ruler.alerts.take([gone])
    await ruler.alerts.turn()
    await ruler.alerts.take([site])
    await ruler.judged()
    assert [(one.rule, one.device) for one in await world.tickets()] == [("SiteOffline", None)]


async def test_many_at_once_are_one_storm(world: World, ruler: Ruler) -> None:
    targets = [Target(f"pc-{number}", "acme", "hq", "desktop") for number in range(40)]
    world.enrol(*targets)
    await known(world)
    for start in range(0, 40, 8):  # a ruler sends them in pieces
        await ruler.alerts.take([ruler.alert(target) for target in targets[start : start + 8]])
        await ruler.alerts.turn()
    await ruler.judged()
    assert [one.incident for one in await world.tickets()] == ["storm"]


async def test_what_is_not_seen_is_not_over(world: World, ruler: Ruler) -> None:
    await ruler.minutes_pass(1, {ACME: 1, BAKKERIJ: 1})
    full = ruler.alert(ACME)
    await ruler.fires(full)
    await world.goodbye(ACME)
    await ruler.minutes_pass(6, {BAKKERIJ: 1})
    await ruler.resolves(full)  # its series ended
    assert await world.states() == ["unknown"]
    assert [one.status for one in await world.tickets()] == [TicketStatus.NEW]
    await ruler.minutes_pass(5, {ACME: 0, BAKKERIJ: 1})
    assert await world.states() == ["unknown"]  # a rule with `for: 1m` might fire again by then
    await ruler.minutes_pass(2, {ACME: 0, BAKKERIJ: 1})
    assert await world.states() == ["resolved"]
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED]


async def test_what_is_seen_again_with_the_fault_goes_on(world: World, ruler: Ruler) -> None:
    await ruler.minutes_pass(1, {ACME: 1, BAKKERIJ: 1})
    full = ruler.alert(ACME)
    await ruler.fires(full)
    await world.goodbye(ACME)
    await ruler.minutes_pass(6, {BAKKERIJ: 1})
    await ruler.resolves(full)
    await ruler.minutes_pass(2, {ACME: 1, BAKKERIJ: 1})
    await ruler.fires(replace(full, starts_at=world.now))
    assert (await world.states(), len(await world.tickets())) == (["firing"], 1)


@pytest.mark.parametrize(
    "labels",
    [
        {"customer": "acme", "site": "hq", "device_id": "nobody"},
        {"customer": "bakkerij", "site": "hq", "device_id": "ws-1"},
        {"customer": "acme", "site": "elsewhere"},
        {"customer": "nobody"},
        {"device_id": "ws-1"},
        {},
    ],
)
async def test_what_names_nothing_that_exists_is_kept_for_the_provider_and_loud(
    world: World, ruler: Ruler, labels: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    await ruler.fires(Posted({"alertname": "Odd", "severity": "critical", **labels}, {}, world.now, None))
    assert ruler.alerts.counters.unassigned == 1
    assert "names nothing that exists" in caplog.text
    (alert,) = await world.alerts()
    assert (alert["customer"], alert["device"]) == ("provider", None)
    assert {f"exported_{name}": text for name, text in labels.items()}.items() <= dict(alert["labels"]).items()  # type: ignore[call-overload]
    place, found = assigned(Posted({"alertname": "Odd", **labels}, {}, world.now, None), world.directory)
    assert (place.labels["incident"], found) == (UNASSIGNED, False)


@pytest.mark.parametrize("labels", [{"customer": "acme"}, {"customer": "acme", "site": "hq"}])
def test_an_alert_of_a_site_or_a_customer_needs_no_device(world: World, labels: dict[str, str]) -> None:
    posted = Posted({"alertname": "Odd", **labels}, {}, START, None)
    assert assigned(posted, world.directory) == (posted, True)


def test_a_watchdog_is_of_nobody(world: World) -> None:
    posted = Posted({"alertname": "Watchdog", "ticket": "never"}, {}, START, None)
    assert assigned(posted, world.directory) == (posted, True)


async def test_the_loaded_rule_tells_the_version_of_what_was_posted(world: World, ruler: Ruler) -> None:
    (rule,) = load_rules([world.rules_folder]).alert_rules
    await ruler.fires(ruler.alert(ACME, cluster="north"), ruler.alert(ACME_2, "Other"))
    versions = {str(one["rule"]): one["rule_version"] for one in await world.alerts()}
    assert versions == {"DiskFull": rule.version, "Other": ExternalRule("", "").version}
    async with world.database.connect() as connection:
        told = await why(connection, int(str((await world.alerts())[-1]["id"])))
    assert f"rule version {rule.version}" in "\n".join(told.told())


async def test_a_worse_alert_of_the_same_raises_the_priority(world: World, ruler: Ruler) -> None:
    await ruler.fires(ruler.alert(ACME))
    await ruler.fires(ruler.alert(ACME, "DiskFuller", severity="critical"))
    (ticket,) = await world.tickets()
    assert ticket.priority is Priority.P1


async def test_beyond_the_bound_nothing_new_is_taken_and_what_is_known_goes_on(
    world: World, ruler: Ruler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "MAX_ALERTS", 1)
    full = ruler.alert(ACME)
    await ruler.fires(full)
    with pytest.raises(TooManyAlertsError, match="1 alerts are not taken"):
        await ruler.alerts.take([ruler.alert(ACME_2), full])
    assert ruler.alerts.counters.refused == 1
    await ruler.resolves(full)
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED] or await world.states() == [
        "unknown"
    ]


async def test_repetitions_cost_no_statement(ruler: Ruler, database: Database) -> None:
    await ruler.minutes_pass(1, {ACME: 1})
    full = ruler.alert(ACME)
    await ruler.fires(full)
    async with counting_statements(database) as statements:
        await ruler.alerts.take([full] * 100)
        await ruler.alerts.turn()
    assert statements == []


def keys(names: Sequence[str]) -> set[str]:
    return {external_key(name) for name in names}


def test_alerts_of_one_name_are_of_one_rule() -> None:
    assert len(keys(["A", "A", "B"])) == 2
