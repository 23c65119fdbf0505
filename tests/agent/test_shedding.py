"""The agent over its caps: what it leaves out, in which order, and when it takes it up again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.enrolment import find_probes
from agent.settings import Settings, SettingsError
from agent.shedding import KEPT, ORDER, Caps, Shedder, Weight, Window, in_order

MIB = 1 << 20
LIGHT = Weight(20 * MIB, 0.0, 0)
HEAVY = Weight(200 * MIB, 0.0, 0)
CAPS = Caps(memory_mib=96, cpu_seconds_per_hour=120, sent_mib_per_day=100)


def run(shedder: Shedder, weight: Weight, start: int, minutes: int) -> None:
    for minute in range(start, start + minutes):
        shedder.review(weight, minute * 60.0)


def test_every_probe_of_ours_has_its_place() -> None:
    assert {*find_probes(), "inventory", "printers"} == {*ORDER, *KEPT}
    assert not set(ORDER) & set(KEPT)


def test_others_go_first_and_what_a_rule_needs_most_never_goes() -> None:
    assert list(in_order(["cpu", "smart", "their_own", "exporters", "filesystem"])) == [
        "their_own",
        "exporters",
        "smart",
    ]


def test_a_short_peak_sheds_nothing() -> None:
    shedder = Shedder(CAPS, ORDER)
    run(shedder, HEAVY, 0, 4)
    run(shedder, LIGHT, 4, 2)
    run(shedder, HEAVY, 6, 4)
    assert shedder.shed == []


def test_step_by_step_until_it_is_light_and_back_one_an_hour() -> None:
    told: list[tuple[str, bool]] = []
    shedder = Shedder(CAPS, ORDER, lambda probe, is_shed, _: told.append((probe, is_shed)))
    run(shedder, HEAVY, 0, 11)
    assert shedder.shed == list(ORDER[:2])
    run(shedder, LIGHT, 11, 60)
    assert shedder.shed == list(ORDER[:2])
    run(shedder, LIGHT, 71, 2)
    assert shedder.shed == list(ORDER[:1])
    run(shedder, LIGHT, 73, 61)
    assert shedder.shed == []
    assert told == [(ORDER[0], True), (ORDER[1], True), (ORDER[1], False), (ORDER[0], False)]


@pytest.mark.parametrize(
    ("spent", "shed"),
    [
        (Weight(0, 200.0, 0), 1),  # once, by what is gone: an hour and a day remember it, and it is judged once
        (Weight(0, 0.0, 101 * MIB), 1),
        (Weight(0, 0.0, 0), 0),
    ],
)
def test_what_was_spent_before_takes_no_second_probe(spent: Weight, shed: int) -> None:
    shedder = Shedder(CAPS, ORDER)
    shedder.review(Weight(0, 0.0, 0), 0.0)
    run(shedder, spent, 1, 58)
    assert len(shedder.shed) == shed


def test_what_is_still_spent_takes_the_next_one_and_all_come_back() -> None:
    shedder = Shedder(CAPS, ORDER)
    cpu_seconds = 0.0
    most = 0
    for minute in range(24 * 60):
        if len(shedder.shed) < 3 and minute < 120:
            cpu_seconds += 30.0  # by the third probe, which goes after two that are innocent
        shedder.review(Weight(0, cpu_seconds, 0), minute * 60.0)
        most = max(most, len(shedder.shed))
    assert most == 3
    assert shedder.shed == []


def test_bytes_come_back_when_the_day_has_passed() -> None:
    shedder = Shedder(CAPS, ORDER)
    shedder.review(LIGHT, 0.0)
    heavy = Weight(0, 0.0, 150 * MIB)
    run(shedder, heavy, 60, 24 * 60)
    assert len(shedder.shed) == 1
    run(shedder, heavy, 25 * 60, 3 * 60)
    assert shedder.shed == []


def test_memory_that_stays_is_for_a_new_process_and_time_and_bytes_are_not() -> None:
    probes = ["exporters", "smart", "cpu"]
    held, spends = Shedder(CAPS, probes), Shedder(CAPS, probes)
    run(held, HEAVY, 0, 15)
    assert (held.shed, held.is_at_end) == (["exporters", "smart"], False)
    run(held, HEAVY, 15, 2)
    assert held.is_at_end
    for minute in range(120):
        spends.review(Weight(0, 60.0 * minute, 10 * MIB * minute), minute * 60.0)
    assert (spends.shed, spends.is_at_end) == (["exporters", "smart"], False)


def test_it_never_sheds_what_it_does_not_have() -> None:
    shedder = Shedder(CAPS, ["cpu", "updates"])
    run(shedder, HEAVY, 0, 60)
    assert shedder.shed == ["updates"]


@pytest.mark.parametrize(
    ("per_minute", "over"),
    [
        (Weight(0, 1.9, 0), False),
        (Weight(0, 2.2, 0), True),
        (Weight(0, 0, 70_000), False),
        (Weight(0, 0, 80_000), True),
    ],
)
def test_sums_are_judged_by_their_growth(per_minute: Weight, over: bool) -> None:
    shedder = Shedder(CAPS, ORDER)
    for minute in range(26 * 60):
        shedder.review(Weight(0, per_minute.cpu_seconds * minute, per_minute.sent_bytes * minute), minute * 60.0)
    assert bool(shedder.shed) is over


@given(st.lists(st.tuples(st.floats(1, 600), st.floats(0, 50)), min_size=2, max_size=300))
def test_a_window_tells_what_was_added_within_it(steps: list[tuple[float, float]]) -> None:
    window, now, total = Window(3_600.0), 0.0, 0.0
    history = [(0.0, 0.0)]
    window.grown(0.0, 0.0)
    for seconds, more in steps:
        now, total = now + seconds, total + more
        history.append((now, total))
        told = window.grown(now, total)
        assert told <= total - max(amount for at, amount in history if at <= max(0.0, now - 3_600 - 2 * 600)) + 1e-6
        assert told >= total - min(amount for at, amount in history if at >= now - 3_600) - 1e-6
        assert len(window._points) < 200


@pytest.mark.parametrize("content", [{"memory_mib": 1}, {"cpu_seconds_per_hour": "much"}, {"ram": 100}, 7])
def test_wrong_caps_are_refused(content: object) -> None:
    with pytest.raises(SettingsError, match="caps"):
        Caps.of(Settings({"caps": content}))


def test_caps_are_read() -> None:
    assert Caps.of(Settings({"caps": {"memory_mib": 128}})) == Caps(memory_mib=128)
