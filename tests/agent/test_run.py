"""`quarkpulse-agent run` as a real process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent import VERSION
from agent.answers import parse_push_reply
from agent.enrolment import describe_probes
from agent.events import make_uuid
from agent.run_command import UsageError, parse_run_arguments
from agent.state import StateFolder
from protocol import models
from tests.agent.collector import DEVICE_ID, LOGIN_PAGE, Collector, Reply
from tests.agent.conftest import AGENT, StartAgent
from tests.agent.running import spooled, stop, times, told

GOLDEN = Path("protocol/examples")
CLOCK_MS = 50  # by which the collector's answers may move the agent's clock


# What would make the process that stays heavy: 4 MiB for click and importlib.metadata, 9 for pydantic, 14 for aiohttp,
# 1.3 for http.client with email, 0.4 for names in other scripts, 0.2 for random.
HEAVY = {
    "http",
    "email",
    "encodings.idna",
    "random",
    "click",
    "pydantic",
    "pydantic_core",
    "aiohttp",
    "asyncio",
    "importlib.metadata",
    "dataclasses",
    "argparse",
    "uuid",
}


def test_run_pushes_at_its_interval_and_says_goodbye(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 8)
    assert stop(agent) == 0
    assert [told(event) for event in collector.events] == [
        {"type": "agent_started", "version": VERSION, "last_run": "first"},
        {"type": "goodbye", "reason": "stop"},
    ]
    # The first frame comes at once, the others at the agent's own instants, or late: never more often.
    made = sorted(frame.t for frame in collector.frames)[1:]
    assert made[-1] - made[0] > 300 * (len(made) - 2) - CLOCK_MS, made
    assert len({frame.layout for frame in collector.frames}) == 1
    assert sum(len(push.layouts) for push in collector.pushes) == 1
    assert not spooled(state)
    values = collector.values(collector.newest)
    assert values["system_uptime_seconds"] is not None
    assert values["agent_memory_bytes"] is not None


def test_each_start_tells_how_the_run_before_ended(collector: Collector, state: Path, start_agent: StartAgent) -> None:
    def started() -> set[object]:
        """Not in order: what a killed agent had no answer for is sent again, after what is live."""
        return {told(event)["last_run"] for event in collector.events if event.type == "agent_started"}

    for expected in ("first", "clean", "crashed"):
        agent = start_agent(state)
        collector.wait_for(lambda _: expected in started())  # noqa: B023 - waited for here
        if expected == "first":
            assert stop(agent) == 0
        else:
            agent.kill()
            agent.wait(60)
    mark = json.loads((state / "run.json").read_text())
    (state / "run.json").write_text(json.dumps({**mark, "boot": "an earlier one"}))
    agent = start_agent(state)
    collector.wait_for(lambda _: "cut" in started())
    assert started() == {"first", "clean", "crashed", "cut"}
    stop(agent)


def test_a_machine_that_goes_to_sleep_says_goodbye_and_no_more(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 2)
    agent.send_signal(signal.SIGUSR1)
    collector.wait_for(lambda it: any(event.type == "goodbye" for event in it.events))
    assert stop(agent) == 0
    goodbyes = [event for event in collector.events if event.type == "goodbye"]
    assert [told(event)["reason"] for event in goodbyes] == ["sleep", "stop"]
    # What was made before may come later, since what is live goes first.
    assert all(frame.t <= goodbyes[0].t for frame in collector.frames)


THAT_SLEEPS = """
import sys, time
from pathlib import Path
from agent.clock import Times
from agent.runner import RunOptions, run
from tests.agent.patience import be_patient
be_patient()
state = Path(sys.argv[1])
times = Times(awake=lambda: time.monotonic() - (3600 if (state / "slept").exists() else 0))
sys.exit(run(RunOptions(state, 0.2), times=times))
"""


def test_a_machine_that_wakes_up_says_so_and_is_there_at_once(
    collector: Collector, state: Path, tmp_path: Path
) -> None:
    """The hush after the goodbye would last half a minute."""
    with (tmp_path / "agent.log").open("w") as log:
        agent = subprocess.Popen([sys.executable, "-c", THAT_SLEEPS, state], stderr=log, text=True)
    try:
        collector.wait_for(lambda it: len(it.frames) >= 2)
        agent.send_signal(signal.SIGUSR1)
        collector.wait_for(lambda it: any(event.type == "goodbye" for event in it.events))
        frames = len(collector.frames)
        (state / "slept").touch()
        collector.wait_for(lambda it: any(event.type == "resumed" for event in it.events))
        collector.wait_for(lambda it: len(it.frames) >= frames + 2)
        assert stop(agent) == 0
    finally:
        agent.kill()
        agent.wait(60)
    (resumed,) = [told(event) for event in collector.events if event.type == "resumed"]
    assert resumed["slept_seconds"] == pytest.approx(3600, abs=5)


def test_the_inventory_goes_beside_a_frame_once(collector: Collector, state: Path, start_agent: StartAgent) -> None:
    agent = start_agent(state)
    collector.wait_for(lambda it: any(push.inventory for push in it.pushes))
    frames = len(collector.frames)
    collector.wait_for(lambda it: len(it.frames) > frames + 2)
    (inventory,) = (push.inventory for push in collector.pushes if push.inventory is not None)
    software = inventory["software"]
    assert isinstance(software, dict) and software.keys() == {"count"}  # the list is not allowed
    assert stop(agent) == 0


def test_run_loads_nothing_heavy(collector: Collector, state: Path) -> None:
    """Looks at the modules of a real process with all probes, after its first push."""
    StateFolder(state).save_probes(describe_probes())
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", AGENT, "run", "--state", state, "--once"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [line for line in finished.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert "psutil" in loaded
    assert loaded & HEAVY == set()
    assert len(collector.frames) == 1


def test_once_pushes_one_frame(collector: Collector, state: Path) -> None:
    run = [AGENT, "run", "--state", str(state), "--once"]
    assert subprocess.run(run, check=False, capture_output=True).returncode == 0
    assert len(collector.frames) == 1
    collector.script.append(Reply(503))
    assert subprocess.run(run, check=False, capture_output=True).returncode == 1
    assert len(spooled(state)) == 1
    assert subprocess.run(run, check=False, capture_output=True).returncode == 0  # whatever else waits


@pytest.mark.slow
def test_killed_in_the_midst_several_times_nothing_is_lost_and_nothing_comes_twice(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    acknowledged = 0
    for _ in range(3):
        # Half of the pushes fail, so that there is always something in the spool when the agent dies.
        collector.script.extend([Reply(503), Reply(200, LOGIN_PAGE)])
        agent = start_agent(state)
        collector.wait_for(lambda it, before=acknowledged: len(it.frames) >= before + 2)  # type: ignore[misc]
        agent.send_signal(signal.SIGKILL)
        agent.wait(60)
        acknowledged = len(collector.frames)
    left = spooled(state)
    agent = start_agent(state)
    collector.wait_for(lambda _: not left & spooled(state))
    assert stop(agent) == 0
    assert {int(name[17:30]) for name in left} <= {t for push in collector.pushes for t in times(push)}
    assert not (state / "spool" / "aside").exists()
    # An answer may die with the agent: then the same frame comes again, the same in every bit.
    by_time = {frame.t: frame for frame in collector.frames}
    assert all(frame == by_time[frame.t] for frame in collector.frames)
    # Not in order: what a killed agent sent last may be taken after what the next one sends.
    seqs = [push.seq for push in collector.pushes]
    assert len(set(seqs)) == len(seqs)
    assert len({push.spool for push in collector.pushes}) == 1


def test_an_outage_is_filled_behind_what_is_live(collector: Collector, state: Path, start_agent: StartAgent) -> None:
    collector.script.extend([Reply(503)] * 2)
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 4)
    assert stop(agent) == 0
    assert len({frame.t for frame in collector.frames}) == len(collector.frames)
    assert not list((state / "spool").glob("*.json.gz"))


def test_a_stop_sends_what_is_still_there_with_the_goodbye(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    collector.script.append(Reply(503, None, {"Retry-After": "3600"}))
    agent = start_agent(state)
    deadline = time.monotonic() + 60
    while collector.script or len(spooled(state)) < 3:  # the first push may be late
        assert time.monotonic() < deadline
    assert stop(agent) == 0
    (push,) = collector.pushes
    assert [event.type for event in push.events] == ["agent_started", "goodbye"]
    assert len(push.frames) >= 3
    assert not spooled(state)


def test_an_ended_device_stops_for_good(collector: Collector, state: Path, start_agent: StartAgent) -> None:
    collector.script.append(
        Reply(410, {"error": "ended", "message": "this device is no longer looked after", "details": []})
    )
    assert start_agent(state).wait(60) == 0
    assert (state / "ended").read_text() == "410 this device is no longer looked after\n"
    asked = len(collector.requests)
    assert start_agent(state).wait(60) == 0
    assert len(collector.requests) == asked


def test_two_agents_on_one_folder_are_one_too_many(
    collector: Collector, state: Path, start_agent: StartAgent, tmp_path: Path
) -> None:
    first = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 1)
    assert start_agent(state).wait(60) == 1
    assert "another quarkpulse-agent already runs" in (tmp_path / "agent.log").read_text()
    assert stop(first) == 0


def test_a_goodbye_that_cannot_be_sent_is_kept_and_does_not_hold_up_the_stop(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 1)
    collector.script.extend([Reply(503)] * 50)
    assert stop(agent) == 0
    collector.script.clear()
    again = start_agent(state)
    collector.wait_for(lambda it: any(event.type == "goodbye" for event in it.events))
    assert stop(again) == 0


def test_a_damaged_spool_does_not_keep_it_from_starting(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    spool = state / "spool"
    spool.mkdir()
    (spool / "0000000000000001-1796000000000.json.gz").write_bytes(b"\x1f\x8bgarbage")
    (spool / "spool.json").write_bytes(b"\x00" * 60)
    agent = start_agent(state)
    # Both are found when what waits is sent, which comes after what is live.
    collector.wait_for(lambda it: bool(it.frames) and it.values(it.newest)["agent_spool_damaged_total"] == 2)
    assert stop(agent) == 0
    assert [file.name for file in (spool / "aside").iterdir()] == ["0000000000000001-1796000000000.json.gz"]
    assert [told(event) for event in collector.events if event.type == "spool_damaged"] == [
        {"type": "spool_damaged", "reason": "spool.json: JSONDecodeError"}
    ]


def test_a_folder_that_nobody_enrolled_is_refused_in_words(tmp_path: Path) -> None:
    finished = subprocess.run(
        [AGENT, "run", "--state", str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.returncode == 1
    assert "run `quarkpulse-agent enroll" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--state DIR is missing"),
        (["--state"], "needs a value"),
        (["--state", "x", "--speed"], "no such option"),
        (["--state", "x", "--interval", "fast"], "must look like"),
        (["--state", "x", "--interval", "1h"], "must look like"),
        (["--state", "x", "--interval", "3m"], "must be 0.1s to 2m"),
        (["--state", "x", "--interval", "nan"], "must be 0.1s to 2m"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_run_arguments(arguments)


def test_usage() -> None:
    assert parse_run_arguments(["--state=x", "--interval", "5s"]) == (Path("x"), 5.0, False)
    assert parse_run_arguments(["--once", "--state", "x", "--interval=2m"]) == (Path("x"), 120.0, True)
    assert subprocess.run([AGENT, "run", "--help"], capture_output=True, check=True).stdout.startswith(b"Usage:")
    assert subprocess.run([AGENT, "run"], capture_output=True, check=False).returncode == 2


def test_the_golden_answers_are_understood() -> None:
    for name in ("push", "push_need_layouts", "push_refused"):
        golden = json.loads((GOLDEN / f"{name}.response.json").read_bytes())
        model, reply = models.PushAnswer.model_validate(golden), parse_push_reply(golden)
        assert reply.need_layouts == set(model.need_layouts)
        assert reply.refused == {refusal.frame: refusal.reason for refusal in model.refused}
        assert reply.now_seconds * 1000 == model.now
        assert reply.config_etag == model.config_etag.strip('"')


def test_uuids_are_of_version_4() -> None:
    made = {make_uuid() for _ in range(50)}
    assert len(made) == 50
    assert all(one[14] == "4" and one[19] in "89ab" and len(one) == 36 for one in made)


def test_the_secret_is_in_no_log(collector: Collector, state: Path, start_agent: StartAgent, tmp_path: Path) -> None:
    collector.script.extend([Reply(401), Reply(403)])
    agent = start_agent(state)
    collector.wait_for(lambda it: not it.script or len(it.requests) >= 2)
    assert stop(agent) == 0
    log = (tmp_path / "agent.log").read_text()
    assert DEVICE_ID in log
    assert StateFolder(state).load_secret() not in log
    assert os.path.exists(state / "secret")  # noqa: PTH110
