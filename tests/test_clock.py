from datetime import UTC, datetime, timedelta
from itertools import pairwise

from collector.clock import SteadyClock

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Machine:
    """A machine whose wall clock somebody sets."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.off_by = timedelta(0)

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.seconds) + self.off_by

    def monotonic(self) -> float:
        return self.seconds


def test_goes_with_the_wall_clock_as_long_as_that_goes_forward() -> None:
    machine = Machine()
    clock = SteadyClock(machine.wall, machine.monotonic)
    for machine.seconds in (0, 15, 30):
        assert clock() == machine.wall()
    machine.off_by = timedelta(hours=1)
    assert clock() == START + timedelta(hours=1, seconds=30)


def test_set_back_by_an_hour_it_goes_on_a_tenth_slower_until_both_agree() -> None:
    machine = Machine()
    clock = SteadyClock(machine.wall, machine.monotonic)
    machine.seconds, machine.off_by = 60, timedelta(hours=-1)
    told = [clock()]
    for machine.seconds in range(120, 12 * 3600, 60):
        told.append(clock())
    assert told[:2] == [START + timedelta(seconds=54), START + timedelta(seconds=108)]
    assert all(later > earlier for earlier, later in pairwise(told))
    assert told[-1] == machine.wall()


def test_a_start_after_it_was_set_back_goes_on_where_the_last_process_was() -> None:
    machine = Machine()
    reached = START + timedelta(hours=1)
    unsure = timedelta(seconds=15)
    assert SteadyClock(machine.wall, machine.monotonic, reached=reached, unsure=unsure)() == reached + unsure
    for usual in (START - timedelta(seconds=5), START + timedelta(days=1)):
        assert SteadyClock(machine.wall, machine.monotonic, reached=usual, unsure=unsure)() == START
