"""Late data change what is known of the past: what is over opens nothing, what holds has held for longer."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from collector.alerting.locality import is_per_device
from collector.alerting.loop import Evaluator
from collector.alerting.replay import DevicesReader
from collector.alerting.rulefile import load_rules
from collector.alerting.ruleset import AlertRule
from collector.alerting.state import fingerprint
from collector.alerting.timeline import Episode
from collector.clock import to_milliseconds
from collector.db.database import Database
from collector.desk.states import TicketStatus
from collector.incidents.late import LateJudge
from collector.incidents.late_data import LateData
from collector.series.stream import LateSpan
from tests.incidents.world import ACME, BAKKERIJ, INTERVAL, START, World, world_with

RULES = """\
groups:
  - name: world
    rules:
      - alert: Full
        expr: x > 0.9
        labels: {severity: major, incident: disk}
      - alert: FullForLong
        expr: x > 0.97
        for: 10m
        labels: {severity: major, incident: disk_for_long}
"""

BAD, WORSE, GOOD = 0.95, 0.99, 0.5
LABELS = {"device_id": "ws-1", "customer": "acme", "site": "hq", "kind": "server", "severity": "major"}


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        yield made


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


async def replay(world: World, index: int, *spans: tuple[datetime, datetime | None], seen: bool = True) -> None:
    """A replay of rule `index` found the condition on ACME over these spans."""
    rule = world.evaluator.rules.alert_rules[index]
    (group,) = world.evaluator.rules.groups
    async with world.evaluator.amending(group) as active, world.database.begin() as connection:
        live = active.get(rule.key, {})
        mark = fingerprint(labels_of(rule))
        found = [
            Episode(
                rule,
                labels_of(rule),
                mark,
                {},
                BAD,
                begin,
                begin + rule.hold_for if end is None or end - begin > rule.hold_for else None,
                end,
            )
            for begin, end in spans
        ]
        judge = LateJudge(world.surroundings, connection, world.now)
        backdated = await judge.apply(rule, found, live, interval=INTERVAL, was_seen=lambda _device, _at: seen)
        active[rule.key] = {**live, **backdated}


def labels_of(rule: AlertRule) -> dict[str, str]:
    return {**LABELS, "alertname": rule.alert, "incident": rule.incident}


async def test_what_began_and_ended_within_the_gap_goes_to_the_history_alone(world: World) -> None:
    world.now = minutes(60)
    await replay(world, 0, (minutes(10), minutes(20)), (minutes(30), minutes(31)))
    await replay(world, 0, (minutes(10), minutes(20)), (minutes(30), minutes(31)))  # again, as after a crash
    assert await world.tickets() == []
    over = [
        (alert["active_since"], alert["resolved_at"], alert["outcome"], alert["reason"])
        for alert in reversed(await world.alerts())
    ]
    reason = "no ticket: over before it was known, as late data tell"
    assert over == [
        (minutes(10), minutes(20), "none", reason),
        (minutes(30), minutes(31), "none", reason),
    ]


async def test_what_never_fired_leaves_no_trace(world: World) -> None:
    world.now = minutes(60)
    await replay(world, 1, (minutes(10), minutes(15)))
    assert await world.alerts() == []


async def test_what_still_holds_has_held_for_longer(world: World) -> None:
    world.now = minutes(60)
    await world.tick({ACME: WORSE})
    assert await world.states() == ["firing", "pending"]
    await replay(world, 0, (minutes(40), None))
    await replay(world, 1, (minutes(45), None))
    (ticket,) = await world.tickets()
    assert (ticket.opened_at, ticket.began_at) == (minutes(60) + INTERVAL, minutes(40))
    await world.tick({ACME: WORSE})  # by now it has held for its ten minutes
    assert await world.states() == ["firing", "firing"]
    newest, _ = await world.tickets()
    assert (newest.incident, newest.opened_at, newest.began_at) == ("disk_for_long", world.now, minutes(45))


async def test_what_was_open_and_ended_within_the_gap_was_over_earlier(world: World) -> None:
    await world.tick({ACME: BAD, BAKKERIJ: BAD})
    await world.goodbye(ACME)
    await world.tick({BAKKERIJ: BAD})
    assert "unknown" in await world.states()
    world.now = minutes(60)
    await replay(world, 0, (START + INTERVAL, minutes(20)))
    (ticket,) = await world.tickets()
    assert (ticket.status, ticket.resolved_at) == (TicketStatus.RESOLVED, minutes(20))


async def test_a_resolution_is_corrected_if_live_data_came_first(world: World) -> None:
    await world.tick({ACME: BAD})
    await world.goodbye(ACME)
    await world.tick()
    world.now = minutes(60)
    await world.tick({ACME: GOOD})
    assert (await world.tickets())[0].resolved_at == minutes(60) + INTERVAL
    await replay(world, 0, (START + INTERVAL, minutes(20)))
    (ticket,) = await world.tickets()
    assert (ticket.status, ticket.resolved_at) == (TicketStatus.RESOLVED, minutes(20))


async def test_what_only_fell_silent_is_not_over(world: World) -> None:
    await world.tick({ACME: BAD})
    await world.goodbye(ACME)
    await world.tick()
    world.now = minutes(60)
    await replay(world, 0, (START + INTERVAL, minutes(5)), seen=False)
    assert await world.states() == ["unknown"]
    assert (await world.tickets())[0].resolved_at is None


async def test_an_incident_that_ended_and_began_again_is_the_same(world: World) -> None:
    await world.tick({ACME: BAD})
    await world.goodbye(ACME)
    await world.tick()
    world.now = minutes(60)
    await world.tick({ACME: BAD})
    await replay(world, 0, (START + INTERVAL, minutes(5)), (minutes(30), None))
    assert await world.states() == ["firing"]
    (ticket,) = await world.tickets()
    assert (ticket.status, ticket.began_at) == (TicketStatus.NEW, START + INTERVAL)


class LateSpans:
    """Late frames of ACME over its first ten minutes."""

    def __init__(self) -> None:
        first, last = to_milliseconds(START), to_milliseconds(minutes(10))
        self.spans = {ACME.device_id: LateSpan(first, last, last)}

    def late_spans(self, received_before: int) -> dict[str, LateSpan]:
        return {device: span for device, span in self.spans.items() if span.received_ms < received_before}

    async def forget_late(self, spans: Mapping[str, LateSpan]) -> None:
        for device in spans:
            del self.spans[device]


def late_data(world: World, spans: LateSpans, evaluator: Callable[[], Evaluator]) -> LateData:
    return LateData(
        spans,
        world.database,
        world.surroundings,
        evaluator,
        lambda devices: DevicesReader(world.store.reader, devices),
        lambda: world.now,
        timedelta(minutes=5),
    )


async def test_rules_whose_alerts_are_no_devices_do_not_stop_the_replay(world: World) -> None:
    rules = yaml.safe_load(RULES)
    relabelled = 'label_replace(x > 0, "device_id", "", "device_id", ".*")'
    rules["groups"][0]["rules"][:0] = [
        {"alert": "Watchdog", "expr": "vector(1)", "labels": {"ticket": "never"}},
        {"alert": "Relabelled", "expr": relabelled, "labels": {"scope": "fleet", "ticket": "never"}},
    ]
    (world.rules_folder / "world.yaml").write_text(yaml.safe_dump(rules))
    await world.restart()
    await world.tick({ACME: BAD})
    world.now = minutes(60)
    await world.tick({ACME: BAD})
    spans = LateSpans()
    late = late_data(world, spans, lambda: world.evaluator)
    await late.settle()
    assert (spans.spans, late.counters.replays, late.counters.failures) == ({}, 1, 0)


async def test_each_group_has_its_turn_as_soon_as_it_was_evaluated(world: World) -> None:
    """One that is evaluated by the hour holds up no other, and what was replayed is not replayed again."""
    slow = "  - name: slow\n    interval: 1h\n    rules: [{alert: FullByTheHour, expr: x > 0.9}]\n"
    (world.rules_folder / "world.yaml").write_text(RULES + slow)
    await world.restart()
    world.now = minutes(5)
    await world.push({ACME: BAD})  # while nobody looked
    world.now = minutes(6)
    await world.push({ACME: GOOD})
    world.now = minutes(60)
    fast, by_the_hour = world.evaluator.rules.groups
    await world.evaluator.evaluate_group(fast, world.now)
    spans = LateSpans()
    late = late_data(world, spans, lambda: world.evaluator)
    await late.settle()
    assert [(alert["rule"], alert["state"]) for alert in await world.alerts()] == [("Full", "resolved")]
    assert (list(spans.spans), late.counters.replays) == ([ACME.device_id], 0)
    await late.settle()
    await world.evaluator.evaluate_group(by_the_hour, world.now)
    await late.settle()
    assert (spans.spans, late.counters.replays, len(await world.alerts())) == ({}, 1, 1)


async def test_what_held_long_before_the_stretch_counts_for_a_long_for(world: World) -> None:
    """A `for` of five hours, of which only the last ten minutes came late."""
    rules = "groups: [{name: world, rules: [{alert: FullAllDay, expr: x > 0.9, for: 5h}]}]\n"
    (world.rules_folder / "world.yaml").write_text(rules)
    await world.restart()
    await world.store.set_windows({"x": timedelta(hours=8).total_seconds()})  # in memory, as history has it elsewhere
    for minute in range(-292, 11, 4):
        world.now = minutes(minute)
        await world.push({ACME: BAD})
    world.now = minutes(12)
    await world.push({ACME: GOOD})
    world.now = minutes(60)
    await world.evaluate()
    late = late_data(world, LateSpans(), lambda: world.evaluator)
    await late.settle()
    ((began, fired),) = [(alert["active_since"], alert["fired_at"]) for alert in await world.alerts()]
    assert (began, fired) == (minutes(-292), minutes(8))


async def test_a_reload_of_the_rules_puts_a_replay_off(world: World) -> None:
    await world.tick({ACME: BAD})
    world.now = minutes(60)
    await world.tick({ACME: BAD})
    before, after, spans = world.evaluator, world.new_evaluator(), LateSpans()
    seen = iter([before, after])  # reloaded while the samples were read
    late = late_data(world, spans, lambda: next(seen, after))
    await late.settle()
    assert (list(spans.spans), late.counters.replays) == ([ACME.device_id], 0)
    await late.settle()
    assert (spans.spans, late.counters.replays) == ({}, 1)


@pytest.mark.parametrize(
    ("expr", "local"),
    [
        ("x > 1", True),
        ('x > on (device_id) group_left () quarkpulse_threshold{name="filesystem_full"}', True),
        ('x > on (customer, site) group_left () quarkpulse_threshold{name="filesystem_full"}', True),
        ("sum by (device_id, customer) (rate(x[5m])) > 1", True),
        ("sum without (cpu) (x) > 1", True),
        ("max_over_time(rate(x[5m])[1h:5m]) > 1 and on (device_id) y == 1", True),
        ("sum by (customer) (x) > 1", False),
        ("sum without (device_id) (x{customer='a'}) > 1", False),
        ("x > on (customer) group_left () max by (customer) (y)", False),
        ("x > ignoring (device_id, customer) y{customer='a'}", False),
        ("absent(x{customer='a'})", False),
        ("quarkpulse_device_up == 0", False),
        ("recorded > 1", False),
        ("ALERTS{customer='a'} > 0", False),
        ("vector(1)", False),
        ("x > 1 or vector(1)", False),
        ("vector(time()) > 0", False),
    ],
)
def test_which_rules_look_at_one_device_at_a_time(tmp_path: Path, expr: str, local: bool) -> None:
    path = tmp_path / "rule.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [{"alert": "A", "expr": expr}]}]}))
    (rule,) = load_rules([path], single_tenant=True).alert_rules
    assert is_per_device(rule, {"recorded"}) is local
