"""Late data beside an external ruler: the same replay, and alerts that came from elsewhere."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from collector.alerting.replay import DevicesReader
from collector.alerting.rulefile import load_rules
from collector.alerting.state import fingerprint
from collector.alerting.timeline import Episode
from collector.clock import to_milliseconds
from collector.db.database import Database
from collector.desk.states import TicketStatus
from collector.incidents.external import ExternalLive
from collector.incidents.late import LateJudge, PostedAlerts
from collector.incidents.late_data import LateData
from collector.series.stream import LateSpan
from tests.incidents.test_external import Ruler, external_alerts, known
from tests.incidents.world import ACME, BAKKERIJ, INTERVAL, START, World, world_with

RULES = """\
groups:
  - name: world
    rules:
      - alert: DiskFull
        expr: x > 0.9
        for: 1m
        labels: {severity: major, incident: disk}
"""
BAD, GOOD = 0.95, 0.5


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        await known(made)
        yield made


@pytest.fixture
def ruler(world: World) -> Ruler:
    return Ruler(world, external_alerts(world))


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


def live(world: World, ruler: Ruler) -> ExternalLive:
    return ExternalLive(load_rules([world.rules_folder]), ruler.alerts, INTERVAL, lambda: world.now)


async def replay(world: World, ruler: Ruler, *spans: tuple[datetime, datetime | None], seen: bool = True) -> None:
    """A replay found the condition on ACME over these spans."""
    rules = live(world, ruler)
    (group,) = rules.rules.groups
    (rule,) = group.alert_rules
    labels = dict(ruler.alert(ACME).labels)
    found = [
        Episode(rule, labels, fingerprint(labels), {}, BAD, begin, begin + rule.hold_for, end) for begin, end in spans
    ]
    identity = PostedAlerts()
    async with rules.amending(group) as active, world.database.begin() as connection:
        of_rule = active.get(identity.key(rule), {})
        judge = LateJudge(world.surroundings, connection, world.now, identity)
        changed = await judge.apply(rule, found, of_rule, interval=INTERVAL, was_seen=lambda _device, _at: seen)
        active[identity.key(rule)] = {**of_rule, **changed}


async def test_what_began_and_ended_within_the_gap_goes_to_the_history_alone(world: World, ruler: Ruler) -> None:
    world.now = minutes(60)
    await replay(world, ruler, (minutes(10), minutes(20)), (minutes(30), minutes(35)))
    await replay(world, ruler, (minutes(10), minutes(20)), (minutes(30), minutes(35)))  # again, as after a crash
    assert await world.tickets() == []
    over = [(one["active_since"], one["resolved_at"], one["outcome"]) for one in reversed(await world.alerts())]
    assert over == [(minutes(10), minutes(20), "none"), (minutes(30), minutes(35), "none")]


@pytest.mark.parametrize("added", [{}, {"cluster": "north", "job": "quarkpulse"}])
async def test_what_still_holds_has_held_for_longer_whatever_labels_the_ruler_adds(
    world: World, ruler: Ruler, added: dict[str, str]
) -> None:
    world.now = minutes(60)
    await ruler.fires(ruler.alert(ACME, since=world.now, **added))
    opened = world.now
    await replay(world, ruler, (minutes(40), None))
    (ticket,) = await world.tickets()
    assert (ticket.opened_at, ticket.began_at) == (opened, minutes(40))
    await ruler.minutes_pass(1, {ACME: BAD})
    (alert,) = await world.alerts()
    assert (alert["active_since"], alert["state"]) == (minutes(40), "firing")
    ruler.alerts = external_alerts(world)  # a restart keeps what was learnt
    await ruler.alerts.restore(world.evaluator.rules, takes_over=False)
    await ruler.minutes_pass(1, {ACME: BAD})
    assert [one["active_since"] for one in await world.alerts()] == [minutes(40)]


@pytest.mark.parametrize("added", [{}, {"cluster": "north"}])
async def test_what_the_ruler_has_yet_to_wait_for_opens_its_ticket_now(
    world: World, ruler: Ruler, added: dict[str, str]
) -> None:
    world.now = minutes(60)
    await world.push({ACME: BAD})
    await replay(world, ruler, (minutes(40), None))
    await ruler.judged()
    (ticket,) = await world.tickets()
    assert (ticket.began_at, ticket.opened_at) == (minutes(40), world.now)
    await ruler.minutes_pass(2, {ACME: BAD})
    await ruler.fires(ruler.alert(ACME, since=world.now, **added))  # its `for` is over
    await ruler.minutes_pass(20, {ACME: BAD})
    assert [(one.number, one.resolved_at) for one in await world.tickets()] == [(ticket.number, None)]
    await ruler.resolves(*ruler.firing.values())
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED]


async def test_what_the_ruler_never_tells_of_is_over(world: World, ruler: Ruler) -> None:
    world.now = minutes(60)
    await world.push({ACME: BAD})
    await replay(world, ruler, (minutes(40), None))
    await ruler.minutes_pass(12, {ACME: GOOD})  # its `for`, its lag, and the time to repeat it
    assert [one.status for one in await world.tickets()] == [TicketStatus.RESOLVED]


async def gone_and_unknown(world: World, ruler: Ruler) -> None:
    """The disk of ACME filled up and ACME fell silent, so that the ruler resolved the alert."""
    await ruler.minutes_pass(1, {ACME: BAD, BAKKERIJ: GOOD})
    full = ruler.alert(ACME)
    await ruler.fires(full)
    await world.goodbye(ACME)
    await ruler.minutes_pass(6, {BAKKERIJ: GOOD})
    await ruler.resolves(full)
    assert await world.states() == ["unknown"]


async def test_what_was_open_and_ended_within_the_gap_was_over_earlier(world: World, ruler: Ruler) -> None:
    await gone_and_unknown(world, ruler)
    world.now = minutes(60)
    await replay(world, ruler, (minutes(1), minutes(20)))
    (ticket,) = await world.tickets()
    assert (ticket.status, ticket.resolved_at) == (TicketStatus.RESOLVED, minutes(20))


async def test_a_resolution_is_corrected_if_live_data_came_first(world: World, ruler: Ruler) -> None:
    await gone_and_unknown(world, ruler)
    world.now = minutes(60)
    await ruler.minutes_pass(8, {ACME: GOOD})
    resolved_at = (await world.tickets())[0].resolved_at
    assert resolved_at is not None
    assert resolved_at > minutes(60)
    await replay(world, ruler, (minutes(1), minutes(20)))
    assert (await world.tickets())[0].resolved_at == minutes(20)


async def test_what_only_fell_silent_is_not_over(world: World, ruler: Ruler) -> None:
    await gone_and_unknown(world, ruler)
    world.now = minutes(60)
    await replay(world, ruler, (minutes(1), minutes(5)), seen=False)
    assert await world.states() == ["unknown"]


async def test_an_incident_that_went_on_all_the_while_is_the_same(world: World, ruler: Ruler) -> None:
    """The ruler said that it was over, since the samples were missing; they tell that it was not."""
    await gone_and_unknown(world, ruler)
    world.now = minutes(15)
    await world.push({ACME: BAD})
    await replay(world, ruler, (minutes(1), None))
    await ruler.judged()
    assert await world.states() == ["firing"]
    over = replace(ruler.alert(ACME, since=minutes(1)), ends_at=minutes(8))
    await ruler.alerts.take([over])  # repeated, as rulers do
    await ruler.judged()
    (ticket,) = await world.tickets()
    assert (await world.states(), ticket.status) == (["firing"], TicketStatus.NEW)


class LateSpans:
    def __init__(self) -> None:
        first, last = to_milliseconds(START), to_milliseconds(minutes(10))
        self.spans = {ACME.device_id: LateSpan(first, last, last)}

    def late_spans(self, received_before: int) -> dict[str, LateSpan]:
        return {device: span for device, span in self.spans.items() if span.received_ms < received_before}

    async def forget_late(self, spans: Mapping[str, LateSpan]) -> None:
        for device in spans:
            del self.spans[device]


async def test_late_frames_are_replayed_by_the_loaded_rules(world: World, ruler: Ruler) -> None:
    await world.store.set_windows({"x": timedelta(hours=2).total_seconds()})  # in memory, as history has it elsewhere
    for minute in range(1, 12):
        world.now = minutes(minute)
        await world.push({ACME: BAD if minute < 6 else GOOD})
    world.now = minutes(60)
    spans, rules = LateSpans(), live(world, ruler)
    late = LateData(
        spans,
        world.database,
        world.surroundings,
        lambda: rules,
        lambda devices: DevicesReader(world.store.reader, devices),
        lambda: world.now,
        timedelta(minutes=5),
        PostedAlerts(),
    )
    await late.settle()
    assert (spans.spans, late.counters.replays, late.counters.failures) == ({}, 1, 0)
    (alert,) = await world.alerts()
    assert (alert["active_since"], alert["resolved_at"], alert["outcome"]) == (minutes(1), minutes(6), "none")
