"""The alert state machine, against Prometheus's semantics."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from collector.alerting.state import Alert, Change, Holding, Phase, Timing, fingerprint, step

START = datetime(2026, 1, 5, tzinfo=UTC)
TICK = timedelta(seconds=15)
LABELS = {"alertname": "DiskFull", "device_id": "ws-1-7k3p"}


def replay(timing: Timing, holds: list[bool]) -> list[tuple[Alert | None, tuple[Change, ...]]]:
    alert = None
    story = []
    for tick, holding in enumerate(holds):
        moved = step(timing, alert, LABELS, Holding(0.95, {}) if holding else None, START + tick * TICK)
        alert = moved.alert
        story.append((alert, moved.changes))
    return story


def phases(timing: Timing, holds: list[bool]) -> list[Phase | None]:
    return [None if alert is None else alert.phase for alert, _ in replay(timing, holds)]


def test_a_rule_without_for_fires_at_once() -> None:
    ((alert, changes),) = replay(Timing(), [True])
    assert alert is not None
    assert alert.phase is Phase.FIRING
    assert alert.fired_at == alert.active_since == START
    assert changes == (Change.STARTED, Change.FIRED)


def test_for_is_over_when_it_has_passed_to_the_second() -> None:
    timing = Timing(hold_for=2 * TICK)
    assert phases(timing, [True] * 3) == [Phase.PENDING, Phase.PENDING, Phase.FIRING]


def test_one_gap_starts_for_anew() -> None:
    timing = Timing(hold_for=2 * TICK)
    story = replay(timing, [True, True, False, True, True, True])
    assert [changes for _, changes in story] == [
        (Change.STARTED,), (), (Change.DROPPED,), (Change.STARTED,), (), (Change.FIRED,),
    ]  # fmt: skip


def test_keep_firing_for_counts_from_the_first_clear_evaluation_and_a_new_hit_resets_it() -> None:
    timing = Timing(keep_firing_for=2 * TICK)
    story = replay(timing, [True, False, False, True, False, False, False])
    assert [alert is not None for alert, _ in story] == [True] * 6 + [False]
    assert story[-1][1] == (Change.RESOLVED,)


@given(st.lists(st.booleans()), st.integers(1, 4), st.integers(0, 4))
def test_what_holds_for_every_timeline(holds: list[bool], hold_ticks: int, keep_ticks: int) -> None:
    timing = Timing(hold_ticks * TICK, keep_ticks * TICK)
    seen = [None, *phases(timing, holds)]
    assert (None, Phase.FIRING) not in pairwise(seen)
    assert (Phase.FIRING, Phase.PENDING) not in pairwise(seen)
    changes = [change for _, made in replay(timing, holds) for change in made]
    assert changes.count(Change.FIRED) - changes.count(Change.RESOLVED) in (0, 1)
    assert changes.count(Change.STARTED) >= changes.count(Change.FIRED)


def test_a_fingerprint_knows_names_from_values() -> None:
    assert fingerprint({"a": "b", "c": "d"}) == fingerprint({"c": "d", "a": "b"})
    assert fingerprint({"a": "bc"}) != fingerprint({"ab": "c"})


def test_a_longer_for_sends_what_fires_back_to_pending() -> None:
    fires = step(Timing(), None, LABELS, Holding(0.95, {}), START).alert
    longer = Timing(hold_for=2 * TICK, keep_firing_for=4 * TICK)
    for holding in (Holding(0.95, {}), None):  # also while it is kept firing
        moved = step(longer, fires, LABELS, holding, START + TICK)
        assert moved.changes == ()
        assert moved.alert is not None
        assert (moved.alert.phase, moved.alert.active_since, moved.alert.fired_at) == (Phase.PENDING, START, None)
    again = step(longer, moved.alert, LABELS, Holding(0.95, {}), START + 2 * TICK)
    assert again.changes == (Change.FIRED,)
    assert step(longer, moved.alert, LABELS, None, START + 2 * TICK).changes == (Change.DROPPED,)
