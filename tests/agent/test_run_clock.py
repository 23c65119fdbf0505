"""The clock of a real `quarkpulse-agent run`, which is its collector's."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.agent.collector import LOGIN_PAGE, Collector, Reply
from tests.agent.conftest import StartAgent
from tests.agent.patience import PATIENT_AGENT
from tests.agent.running import spooled, stop, told

ROUGHLY_SECONDS = 60.0  # an answer that comes late says so much less of the collector's clock


def steps(collector: Collector) -> list[float]:
    found = [told(event)["seconds"] for event in collector.events if event.type == "clock_step"]
    return [step for step in found if isinstance(step, float)]


def test_a_machine_whose_clock_is_an_hour_off_stamps_rightly_from_the_first_frame(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    collector.ahead_seconds = 3600.0
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 2)
    assert stop(agent) == 0
    now = collector.now_seconds()
    assert all(abs(now - frame.t / 1000) < 1800 for frame in collector.frames)
    assert [event.type for event in collector.events if event.type != "clock_step"] == ["agent_started", "goodbye"]
    assert all(abs(step) < ROUGHLY_SECONDS for step in steps(collector))
    offset = collector.values(collector.newest)["agent_clock_offset_seconds"]
    assert offset == pytest.approx(3600.0, abs=ROUGHLY_SECONDS)
    # And what it learnt outlives it.
    saved = json.loads((state / "clock.json").read_bytes())
    assert saved["correction_seconds"] == pytest.approx(3600.0, abs=ROUGHLY_SECONDS)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, LOGIN_PAGE),
        Reply(200, {"login": "please"}),
        Reply(304, b""),
        Reply(403, {"error": "Forbidden", "message": "log in first"}),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:12]!r}",
)
def test_the_clock_of_who_answers_in_the_collectors_place_is_nobodys(
    collector: Collector, state: Path, reply: Reply
) -> None:
    collector.ahead_seconds = 3600.0
    collector.config_reply = reply
    collector.script.append(Reply(503, LOGIN_PAGE))
    subprocess.run([*PATIENT_AGENT, "run", "--state", str(state), "--once"], check=False, capture_output=True)
    (name,) = spooled(state)
    assert int(name[17:30]) / 1000 == pytest.approx(collector.now_seconds() - 3600.0, abs=1800.0)


def test_a_collector_that_sets_its_clock_makes_a_step_that_is_told(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 1)
    collector.ahead_seconds = -600.0
    collector.wait_for(lambda it: bool(steps(it)))
    assert stop(agent) == 0
    assert steps(collector)[0] == pytest.approx(-600.0, abs=ROUGHLY_SECONDS)
