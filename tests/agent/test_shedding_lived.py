"""Real agents over their caps, on a clock that leaps: what they leave out, and when it comes back."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest

from agent.acceptance import MAX_SERIES_PER_PROBE
from agent.probes.base import Sample
from agent.probes.host import UptimeProbe
from agent.state import StateFolder
from protocol import models
from tests.agent.collector import Collector
from tests.agent.conftest import listed

PUSH_INTERVAL_SECONDS = 120
FRAMES_PER_HOUR = 3600 // PUSH_INTERVAL_SECONDS
MAX_LOOKS = 10  # each 60 frames after the one before


# Its wait for the last answer is a real one.
PATIENT_DAY_AGENT = """
import sys
from pathlib import Path
from bench._day_agent import main
from tests.agent.patience import be_patient
be_patient()
sys.exit(main(Path(sys.argv[1])))
"""


class Burner(UptimeProbe):
    name = "burner"

    def sample(self) -> list[Sample]:
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass
        return [Sample("burner_works", 1)]


class Hoarder(UptimeProbe):
    name = "hoarder"
    held = b""

    def sample(self) -> list[Sample]:
        Hoarder.held = Hoarder.held or b"x" * (64 << 20)
        return [Sample("hoarder_held_bytes", len(Hoarder.held))]


class Talker(UptimeProbe):
    name = "talker"

    def sample(self) -> list[Sample]:
        chance = random.Random(time.monotonic_ns())  # noqa: S311 - what no compressor makes smaller, and is no secret
        words = [f"{chance.getrandbits(512):x}" for _ in range(MAX_SERIES_PER_PROBE)]
        return [Sample("talker_says", 1, {"word": word}) for word in words]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """One whose clock goes with the agent's."""
    with Collector() as running:
        running.config = {"push_interval_seconds": PUSH_INTERVAL_SECONDS}

        def agree(push: models.Push) -> None:
            running.ahead_seconds = push.sent / 1000 - time.time()

        running.reject = agree
        yield running


@contextmanager
def living(state: Path, caps: str, probe: type[UptimeProbe]) -> Iterator["subprocess.Popen[bytes]"]:
    """An agent with this probe, which is nobody's, beside two of ours."""
    StateFolder(state).save_probes(
        listed(
            uptime="agent.probes.host:UptimeProbe",
            pressure="agent.probes.pressure:PressureProbe",
            **{probe.name: f"tests.agent.test_shedding_lived:{probe.__name__}"},
        )
    )
    (state / "agent.toml").write_text(f'probes.off = ["inventory"]\n[caps]\n{caps}\n')
    (state / "go-on").write_text("go on\n" * MAX_LOOKS)
    with (state / "go-on").open() as answers, (state.parent / "agent.log").open("w") as log:
        agent = subprocess.Popen(
            [sys.executable, "-P", "-c", PATIENT_DAY_AGENT, state],
            stdin=answers, stdout=subprocess.DEVNULL, stderr=log,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )  # fmt: skip
        try:
            yield agent
        finally:
            agent.kill()
            agent.wait(60)


def steps(collector: Collector) -> list[tuple[str, bool]]:
    told = [event.model_extra or {} for event in collector.events if event.type == "probe_shed"]
    return [(one["probe"], one["is_shed"]) for one in told]


def shed_by_frame(collector: Collector) -> list[float | None]:
    return [collector.values(frame)["agent_probes_shed"] for frame in sorted(collector.frames, key=lambda one: one.t)]


@pytest.mark.slow
def test_a_probe_that_burns_the_processor_is_left_out_alone_and_comes_back(collector: Collector, state: Path) -> None:
    with living(state, "cpu_seconds_per_hour = 1.5", Burner):
        collector.wait_for(lambda it: ("burner", False) in steps(it), 60)
    # Nobody's probe goes first; once it is gone nothing more is spent, though the hour remembers.
    assert steps(collector)[:2] == [("burner", True), ("burner", False)]
    lived = [(shed, len(list(frames))) for shed, frames in groupby(shed_by_frame(collector))]
    assert [shed for shed, _ in lived][:3] == [0, 1, 0]  # it lives on while this process stands still, and burns again
    # Taken up again an hour after the hour in which it burnt.
    assert 1.3 * FRAMES_PER_HOUR < lived[1][1] < 2.1 * FRAMES_PER_HOUR


def test_a_probe_that_says_too_much_is_left_out_alone(collector: Collector, state: Path) -> None:
    with living(state, "sent_mib_per_day = 1", Talker):
        collector.wait_for(lambda it: shed_by_frame(it)[-10:] == [1] * 10, 60)
    assert steps(collector) == [("talker", True)]
    assert "MiB sent in a day, at most 1 are allowed" in (state.parent / "agent.log").read_text()


def test_memory_that_does_not_come_back_takes_a_new_process(collector: Collector, state: Path) -> None:
    with living(state, "memory_mib = 48", Hoarder) as agent:
        assert agent.wait(60) == 1
    left_out = [probe for probe, is_shed in steps(collector) if is_shed]
    assert left_out == ["hoarder", "printers", "pressure"]
    assert len(collector.frames) < FRAMES_PER_HOUR  # some minutes for each, and as long for nothing
    assert [event.type for event in collector.events][-1] == "goodbye"
    assert "to be started anew" in (state.parent / "agent.log").read_text()
    assert json.loads((state / "status.json").read_text())["shed"] == left_out
