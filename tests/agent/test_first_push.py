"""When an agent pushes first: a fleet that boots together does not come together."""

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from agent.grid import first_wait_seconds, next_tick, phase_of
from tests.agent.collector import DEVICE_ID, Collector
from tests.agent.running import stop


def test_a_fleet_spreads_over_the_interval_and_keeps_to_its_grid() -> None:
    phases = [number / 10 for number in range(10)]
    ticks = [next_tick(1000.0, 60.0, phase) for phase in phases]
    assert len({round(tick % 60, 6) for tick in ticks}) == 10
    assert all(1000.0 < tick <= 1060.0 for tick in ticks)
    for phase in phases:
        tick = next_tick(1000.0, 60.0, phase)
        assert next_tick(tick, 60.0, phase) == pytest.approx(tick + 60.0)


@pytest.mark.parametrize(("interval_seconds", "spread_seconds"), [(60.0, 30.0), (120.0, 30.0), (5.0, 2.5)])
def test_machines_that_boot_together_go_to_the_collector_one_after_the_other(
    interval_seconds: float, spread_seconds: float
) -> None:
    waits = [first_wait_seconds(20.0, interval_seconds, number / 100) for number in range(100)]
    assert [min(waits), max(waits)] == pytest.approx([0.0, 0.99 * spread_seconds])
    gaps = [later - earlier for earlier, later in pairwise(waits)]
    assert gaps == pytest.approx([spread_seconds / 100] * 99)
    assert first_wait_seconds(600.0, interval_seconds, 0.5) == 0.0


JUST_BOOTED = """
import sys, time
from pathlib import Path
from agent.clock import Times
from agent.runner import RunOptions, run
from tests.agent.patience import be_patient
began = time.monotonic()
times = Times(boot=lambda: 20.0 + time.monotonic() - began)
be_patient()
sys.exit(run(RunOptions(Path(sys.argv[1]), float(sys.argv[2])), times=times))
"""


def test_an_agent_of_a_machine_that_has_just_booted_waits_for_its_place(
    collector: Collector, state: Path, tmp_path: Path
) -> None:
    began = time.monotonic()
    with (tmp_path / "log").open("w") as log:
        agent = subprocess.Popen([sys.executable, "-c", JUST_BOOTED, state, "1.0"], stderr=log, text=True)
        collector.wait_for(lambda it: "agent_started" in {event.type for event in it.events})
        assert stop(agent) == 0
    phase = phase_of(DEVICE_ID)
    assert time.monotonic() - began >= phase * 0.5
    assert f"the first push waits: seconds={phase * 0.5:.1f}" in (tmp_path / "log").read_text()


def test_a_stop_while_it_waits_for_its_place_loses_nothing(collector: Collector, state: Path, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        agent = subprocess.Popen([sys.executable, "-c", JUST_BOOTED, state, "1.0"], stderr=log, text=True)
        deadline = time.monotonic() + 60
        while "the first push waits" not in (tmp_path / "log").read_text():
            assert time.monotonic() < deadline
        assert stop(agent) == 0
    assert [event.type for event in collector.events] == ["agent_started", "goodbye"]
