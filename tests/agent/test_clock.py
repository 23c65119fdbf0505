import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import BOOT_CLOCK, SLEW_RATE, AgentClock, find_boot_clock, read_boot_seconds
from agent.greeting import greet
from agent.printers.reader import Reader
from agent.probes.checks import CheckProbe
from agent.saved_clock import parse_correction
from agent.uplink import Answer


class Machine:
    """A machine's two clocks; `wall` may be set, `boot` only runs."""

    def __init__(self, wall: float = 1_000_000.0) -> None:
        self.boot_seconds = 500.0
        self.wall_seconds = wall

    def pass_time(self, seconds: float) -> None:
        self.boot_seconds += seconds
        self.wall_seconds += seconds

    def clock(self, correction: float = 0.0) -> tuple[AgentClock, list[float]]:
        steps: list[float] = []
        clock = AgentClock(
            boot=lambda: self.boot_seconds,
            wall=lambda: self.wall_seconds,
            wall_correction_seconds=correction,
            on_step=steps.append,
        )
        return clock, steps


@pytest.mark.parametrize(
    ("clocks", "expected"),
    [
        ({"CLOCK_REALTIME", "CLOCK_MONOTONIC", "CLOCK_MONOTONIC_RAW", "CLOCK_BOOTTIME"}, "CLOCK_BOOTTIME"),
        ({"CLOCK_REALTIME", "CLOCK_MONOTONIC", "CLOCK_MONOTONIC_RAW", "CLOCK_UPTIME_RAW"}, "CLOCK_MONOTONIC_RAW"),
        (set(), None),
    ],
    ids=["Linux", "macOS", "Windows"],
)
def test_the_clock_that_counts_sleep_is_taken(clocks: set[str], expected: str | None) -> None:
    assert find_boot_clock(clocks) == expected


def test_the_boot_clock_is_this_systems() -> None:
    assert BOOT_CLOCK == "CLOCK_BOOTTIME"
    assert read_boot_seconds() == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=1.0)


def test_the_ages_of_checks_and_printers_count_sleep() -> None:
    """Or what was read before the night would pass for new in the morning."""
    assert (CheckProbe.__init__.__kwdefaults__ or {})["boot"] is read_boot_seconds
    assert (Reader.__init__.__defaults__ or ())[-1] is read_boot_seconds


def test_before_any_answer_the_wall_clock_and_the_last_sessions_correction_serve() -> None:
    clock, _ = Machine(wall=1_000_000.0).clock(correction=3600.0)
    assert clock.now() == 1_003_600.0
    assert clock.correction_seconds() == 3600.0


def test_a_machine_an_hour_slow_is_right_from_the_first_stamp() -> None:
    clock, steps = Machine(wall=1_000_000.0).clock()
    clock.calibrate(1_003_600.5, error_seconds=1.5)
    assert clock.now() == 1_003_600.5
    assert steps == []  # nothing was stamped yet that could have run backwards


def test_an_answer_that_was_long_on_its_way_does_not_spoil_what_is_known_better() -> None:
    """Its date is that of a moment in between, which is not known."""
    machine = Machine(wall=1_000_000.0)
    clock, _ = machine.clock()

    class Slow:
        def set_patience(self, timeout_seconds: float = 0.0, deadline_seconds: float = 0.0) -> None:
            pass

        def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
            machine.pass_time(2.8)
            return Answer(304, None, round_trip_seconds=2.8, date_seconds=1_000_000.0, etag="one")

    greet(Slow(), clock, "one", lambda *_: None)
    assert clock.now() == machine.wall_seconds


def test_a_date_as_rough_as_a_second_does_not_spoil_what_is_known_better() -> None:
    clock, _ = Machine(wall=1_000_000.0).clock()
    clock.calibrate(1_000_001.2, error_seconds=1.5)
    assert clock.now() == 1_000_000.0


def test_a_small_difference_is_slewed_at_a_tenth_of_the_time_that_passes() -> None:
    machine = Machine()
    clock, steps = machine.clock()
    clock.observe(machine.wall_seconds - 6.0, round_trip_seconds=0.0)  # this machine is 6 s fast
    stamps = []
    for _ in range(10):
        stamps.append(clock.now())
        machine.pass_time(10.0)
    assert all(later > earlier for earlier, later in pairwise(stamps))
    assert stamps[1] - stamps[0] == pytest.approx(10.0 * (1 - SLEW_RATE))
    assert clock.now() == pytest.approx(machine.wall_seconds - 6.0)
    assert steps == []


def test_a_large_difference_is_stepped_at_once_and_told() -> None:
    machine = Machine()
    clock, steps = machine.clock()
    clock.observe(machine.wall_seconds - 3600.0, round_trip_seconds=0.2)
    assert clock.now() == pytest.approx(machine.wall_seconds - 3599.9)  # half of the way there is added
    assert steps == [pytest.approx(-3599.9)]


def test_a_difference_within_half_of_the_round_trip_is_no_difference() -> None:
    machine = Machine()
    clock, steps = machine.clock()
    clock.observe(machine.wall_seconds - 8.0, round_trip_seconds=9.0)
    machine.pass_time(100.0)
    assert clock.now() == machine.wall_seconds
    assert steps == []


def test_an_answer_whose_whole_delay_was_on_the_way_back_is_no_difference() -> None:
    """Though it tells whole milliseconds, of which the rest was cut off."""
    machine = Machine(wall=1_000_000.0009)
    clock, steps = machine.clock()
    told = int(machine.wall_seconds * 1000) / 1000
    machine.pass_time(24.0)
    clock.observe(told, round_trip_seconds=24.0)
    machine.pass_time(100.0)
    assert clock.now() == pytest.approx(machine.wall_seconds, abs=1e-6)
    assert steps == []


def test_setting_the_machines_clock_moves_no_stamp() -> None:
    machine = Machine()
    clock, _ = machine.clock()
    before = clock.now()
    machine.wall_seconds -= 7200.0
    machine.boot_seconds += 1.0
    assert clock.now() == before + 1.0
    assert clock.correction_seconds() == pytest.approx(7201.0)


def test_a_stamp_is_never_negative_even_where_a_clock_begins_in_1970() -> None:
    clock, _ = Machine(wall=60.0).clock(correction=-3600.0)
    assert clock.now_milliseconds() == 0


@pytest.mark.parametrize("found", [10**400, -1e300, float("nan"), float("inf"), "1", None])
def test_a_correction_that_can_be_none_is_left_out(found: object) -> None:
    assert parse_correction(found) == 0.0
    assert parse_correction(-3600) == -3600.0


@given(
    st.lists(
        st.tuples(st.floats(0.0, 600.0), st.floats(-9.9, 9.9), st.floats(0.0, 20.0)),
        max_size=30,
    )
)
def test_stamps_never_run_backwards_while_differences_are_small(story: list[tuple[float, float, float]]) -> None:
    machine = Machine()
    clock, steps = machine.clock()
    last = clock.now()
    for seconds, difference, round_trip in story:
        machine.pass_time(seconds)
        # What the collector says lies within 10 s of what this clock says, so nothing is stepped.
        clock.observe(clock.now() + max(-9.9, min(9.9, difference)) - round_trip / 2, round_trip)
        assert clock.now() >= last
        last = clock.now()
    assert steps == []
