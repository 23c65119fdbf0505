"""What a rule is told to have done is what its evaluations did, match groups with duplicates included."""

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.alerting.evaluation import Pass, advance_alerts
from collector.alerting.replay import episodes
from collector.alerting.rulefile import load_rules
from collector.alerting.ruleset import AlertRule, Group
from collector.alerting.state import Alert, Change
from collector.clock import to_milliseconds
from collector.promql import Engine
from collector.series.in_memory import InMemoryReader

START = datetime(2026, 3, 2, 23, 56, tzinfo=UTC)  # history is replayed a day at a time: the instants go over midnight
INTERVAL = timedelta(seconds=15)
STEPS = 32
ABOVE = 'x > on (device_id) group_left () {__name__=~"y|z"}'
WITHIN = f"max_over_time(({ABOVE})[45s:15s]) > 0"
ANYWHERE = f"sum by (customer) ({ABOVE}) > 0"
RULE = """\
groups:
  - name: group
    query_offset: {offset}s
    rules:
      - alert: Full
        expr: {expr}
        for: {hold}s
        keep_firing_for: {keep}s
        labels: {{severity: major}}
"""

Told = tuple[object, ...]
# By device, at each instant: x (None: none came), and whether y and z are there, the limits of which one may stand.
Course = Mapping[str, Sequence[tuple[float | None, bool, bool]]]


def rule_with(folder: Path, expr: str, hold: int, keep: int, offset: int) -> tuple[Group, AlertRule]:
    path = folder / "rule.yaml"
    path.write_text(RULE.format(expr=expr, hold=hold, keep=keep, offset=offset))
    [group] = load_rules([path]).groups
    return group, group.alert_rules[0]


def engine_of(course: Course) -> Engine:
    series: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for device, steps in course.items():
        for number, (x, has_y, has_z) in enumerate(steps):
            at = to_milliseconds(START + number * INTERVAL)
            for name, value in (("x", x), ("y", 0.8 if has_y else None), ("z", 0.7 if has_z else None)):
                if value is not None:
                    series.setdefault((name, device), []).append((at, value))
    return Engine(
        InMemoryReader(
            ({"__name__": name, "customer": "acme", "device_id": device}, points)
            for (name, device), points in series.items()
        ),
        lookback=INTERVAL,
    )


def evaluated(group: Group, rule: AlertRule, engine: Engine, steps: int) -> list[Told]:
    """Evaluation by evaluation."""
    before: Mapping[str, Alert] = {}
    found: list[Told] = []
    for number in range(steps):
        done = Pass.of(group, START + number * INTERVAL)
        advance_alerts(rule, before, engine, done)
        assert not done.errors
        for one in done.transitions:
            if {Change.RESOLVED, Change.DROPPED} & {*one.changes}:
                device = one.alert.labels.get("device_id")
                found.append((device, one.alert.active_since, one.alert.fired_at, done.at))
        before = done.active[rule.key]
    return found + [(one.labels.get("device_id"), one.active_since, one.fired_at, None) for one in before.values()]


def replayed(group: Group, rule: AlertRule, engine: Engine, steps: int) -> list[Told]:
    end = START + (steps - 1) * INTERVAL
    found = episodes(rule, group, engine, interval=INTERVAL, start=START, end=end)
    return [(one.labels.get("device_id"), one.active_since, one.fired_at, one.ended_at) for one in found]


STEP = st.tuples(st.sampled_from([0.9, 0.9, 0.5, None]), st.sampled_from([True, True, False]), st.booleans())


@settings(max_examples=40)
@given(
    steps=st.lists(st.lists(STEP, min_size=STEPS, max_size=STEPS), min_size=1, max_size=2),
    expr=st.sampled_from([ABOVE, WITHIN, ANYWHERE]),
    hold=st.sampled_from([0, 20, 45]),
    keep=st.sampled_from([0, 40, 60]),
    offset=st.sampled_from([0, 30]),
)
def test_a_replay_and_its_evaluations_agree(
    steps: list[list[tuple[float | None, bool, bool]]], expr: str, hold: int, keep: int, offset: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        group, rule = rule_with(Path(folder), expr, hold, keep, offset)
    engine = engine_of({f"pc-{number}": each for number, each in enumerate(steps)})
    expected = evaluated(group, rule, engine, STEPS)
    assert sorted(replayed(group, rule, engine, STEPS), key=str) == sorted(expected, key=str)


@pytest.mark.parametrize("keep", [0, 60])
def test_an_alert_goes_on_while_its_match_group_holds_duplicates(tmp_path: Path, keep: int) -> None:
    group, rule = rule_with(tmp_path, ABOVE, 0, keep, 0)
    above, twice, below = (0.9, True, False), (0.9, True, True), (0.5, True, False)
    course = {"pc-1": [above] * 2 + [twice] * 20 + [below] * 8, "pc-2": [above] * 2 + [below] * 28}
    ends = {22: START + 22 * INTERVAL + timedelta(seconds=keep), 2: START + 2 * INTERVAL + timedelta(seconds=keep)}
    found = replayed(group, rule, engine_of(course), 30)
    assert set(found) == {("pc-1", START, START, ends[22]), ("pc-2", START, START, ends[2])}
