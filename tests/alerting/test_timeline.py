"""The state machine over arrays gives what it gives instant by instant."""

import itertools
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.alerting.rulefile import load_rules
from collector.alerting.ruleset import AlertRule
from collector.alerting.state import Alert, Change, Holding, Timing, fingerprint, step
from collector.alerting.timeline import Episode, Timeline
from collector.clock import to_milliseconds
from collector.promql import Matrix
from collector.series.labels import LabelFrame, ScratchStrings, Strings

START = datetime(2026, 3, 2, tzinfo=UTC)
INTERVAL = timedelta(seconds=15)
RULE = """\
groups:
  - name: group
    rules:
      - alert: Full
        expr: x > 0
        for: {hold}s
        keep_firing_for: {keep}s
        labels: {{severity: major}}
        annotations: {{summary: "is {{{{ $value }}}}"}}
"""


def rule_with(folder: Path, hold: int, keep: int) -> AlertRule:
    path = folder / "rule.yaml"
    path.write_text(RULE.format(hold=hold, keep=keep))
    return load_rules([path]).alert_rules[0]


def matrix_of(holds: list[list[bool]], first: int) -> Matrix:
    """A stretch that begins with instant `first`; a series for each row, whose value is the instant's number."""
    strings = Strings()
    count = len(holds[0]) if holds else 0
    labels = LabelFrame.of([{"device_id": f"pc-{row}"} for row in range(len(holds))], strings)
    numbers = np.arange(first, first + count)
    return Matrix(
        labels,
        to_milliseconds(START) + numbers * 15_000,
        np.tile(numbers.astype(np.float64), (len(holds), 1)),
        np.array(holds, dtype=np.bool_).reshape(len(holds), count),
        ScratchStrings(strings),
    )


def stepped(rule: AlertRule, holds: list[bool], device: str) -> list[tuple[object, ...]]:
    """Instant by instant: since when, fired at, ended at."""
    labels = {"device_id": device, "alertname": "Full", "severity": "major"}
    timing, alert = Timing(rule.hold_for, rule.keep_firing_for), None
    found: list[tuple[object, ...]] = []
    for number, is_held in enumerate(holds):
        now = START + number * INTERVAL
        before: Alert | None = alert
        moved = step(timing, before, labels, Holding(number, {}) if is_held else None, now)
        if before is not None and {Change.RESOLVED, Change.DROPPED} & {*moved.changes}:
            found.append((device, before.active_since, before.fired_at, now))
        alert = moved.alert
    if alert is not None:
        found.append((device, alert.active_since, alert.fired_at, None))
    return found


def told(episode: Episode) -> tuple[object, ...]:
    return (episode.labels["device_id"], episode.active_since, episode.fired_at, episode.ended_at)


@given(
    holds=st.lists(st.lists(st.booleans(), min_size=40, max_size=40), min_size=1, max_size=4),
    hold=st.sampled_from([0, 15, 20, 60]),
    keep=st.sampled_from([0, 15, 40, 60]),
    cuts=st.lists(st.integers(0, 40), max_size=4),
)
def test_arrays_and_instants_agree(holds: list[list[bool]], hold: int, keep: int, cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rule = rule_with(Path(folder), hold, keep)
    timeline = Timeline(rule, INTERVAL)
    bounds = [0, *sorted(cuts), 40]
    found: list[Episode] = []
    for first, last in itertools.pairwise(bounds):
        found += timeline.advance(matrix_of([row[first:last] for row in holds], first))
    found += timeline.open()
    expected = [one for row, each in enumerate(holds) for one in stepped(rule, each, f"pc-{row}")]
    assert sorted(map(told, found), key=str) == sorted(expected, key=str)


def test_an_episode_has_the_value_and_text_of_its_firing(tmp_path: Path) -> None:
    rule = rule_with(tmp_path, 30, 0)
    (episode,) = Timeline(rule, INTERVAL).advance(matrix_of([[False, True, True, True, True, False]], 0))
    assert (episode.value, episode.annotations) == (3.0, {"summary": "is 3"})
    assert episode.fingerprint == fingerprint(episode.labels)
    assert (episode.fired_at, episode.ended_at) == (START + 3 * INTERVAL, START + 5 * INTERVAL)
