"""`quarkpulse-agent run` as a real process."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from agent import VERSION
from agent.answers import parse_push_reply
from agent.enrolment import describe_probes
from agent.events import make_uuid
from agent.grid import first_wait_seconds, next_tick, phase_of
from agent.run_command import UsageError, parse_run_arguments
from agent.state import ProbeEntry, StateFolder
from protocol import models
from tests.agent.collector import DEVICE_ID, LOGIN_PAGE, Collector, Reply
from tests.agent.conftest import AGENT, StartAgent, listed
from tests.agent.test_children import is_running

GOLDEN = Path("protocol/examples")
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


def told(event: models.Event) -> dict[str, object]:
    return {"type": event.type, **(event.model_extra or {})}


def stop(agent: "subprocess.Popen[str]") -> int:
    agent.send_signal(signal.SIGTERM)
    return agent.wait(60)


def times(push: models.Push) -> set[int]:
    return {frame.t for frame in push.frames} | {event.t for event in push.events}


def spooled(state: Path) -> set[str]:
    return {path.name for path in (state / "spool").glob("*.json.gz")}


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
    # The first frame comes at once, the others at the agent's own instants.
    gaps = [later.t - earlier.t for earlier, later in pairwise(collector.frames[1:])]
    assert 200 < statistics.median(gaps) < 500, gaps  # a busy machine may be late with some
    assert len({frame.layout for frame in collector.frames}) == 1
    assert sum(len(push.layouts) for push in collector.pushes) == 1
    assert not spooled(state)
    values = collector.values(collector.frames[-1])
    assert values["system_uptime_seconds"] is not None
    assert values["agent_memory_bytes"] is not None


def test_each_start_tells_how_the_run_before_ended(collector: Collector, state: Path, start_agent: StartAgent) -> None:
    def started() -> list[object]:
        return [told(event)["last_run"] for event in collector.events if event.type == "agent_started"]

    for expected in ("first", "clean", "crashed"):
        agent = start_agent(state)
        collector.wait_for(lambda _: len(started()) > 0 and started()[-1] == expected)  # noqa: B023 - waited for here
        if expected == "first":
            assert stop(agent) == 0
        else:
            agent.kill()
            agent.wait(60)
    mark = json.loads((state / "run.json").read_text())
    (state / "run.json").write_text(json.dumps({**mark, "boot": "an earlier one"}))
    agent = start_agent(state)
    collector.wait_for(lambda _: started()[-1] == "cut")
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
        timeout=30,
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
    seqs = [push.seq for push in collector.pushes]
    assert seqs == sorted(set(seqs))
    assert len({push.spool for push in collector.pushes}) == 1


def test_an_outage_is_filled_behind_what_is_live(collector: Collector, state: Path, start_agent: StartAgent) -> None:
    collector.script.extend([Reply(503)] * 2)
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 4)
    assert stop(agent) == 0
    assert len({frame.t for frame in collector.frames}) == len(collector.frames)
    assert not list((state / "spool").glob("*.json.gz"))


def test_a_machine_whose_clock_is_an_hour_off_stamps_rightly_from_the_first_frame(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    collector.ahead_seconds = 3600.0
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 2)
    assert stop(agent) == 0
    now = collector.now_seconds()
    assert all(abs(now - frame.t / 1000) < 30 for frame in collector.frames)
    assert [event.type for event in collector.events] == ["agent_started", "goodbye"]
    offset = collector.values(collector.frames[-1])["agent_clock_offset_seconds"]
    assert offset == pytest.approx(3600.0, abs=3.0)
    # And what it learnt outlives it.
    saved = json.loads((state / "clock.json").read_bytes())
    assert saved["correction_seconds"] == pytest.approx(3600.0, abs=3.0)


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
    subprocess.run([AGENT, "run", "--state", str(state), "--once"], check=False, capture_output=True)
    (name,) = spooled(state)
    assert int(name[17:30]) / 1000 == pytest.approx(collector.now_seconds() - 3600.0, abs=30.0)


def test_a_stop_sends_what_is_still_there_with_the_goodbye(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    collector.script.append(Reply(503, None, {"Retry-After": "3600"}))
    agent = start_agent(state)
    deadline = time.monotonic() + 10
    while len(spooled(state)) < 3:
        assert time.monotonic() < deadline
    collector.script.clear()
    assert stop(agent) == 0
    (push,) = collector.pushes
    assert [event.type for event in push.events] == ["agent_started", "goodbye"]
    assert len(push.frames) >= 3
    assert not spooled(state)


def test_a_collector_that_sets_its_clock_makes_a_step_that_is_told(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 1)
    collector.ahead_seconds = -600.0
    collector.wait_for(lambda it: any(event.type == "clock_step" for event in it.events))
    assert stop(agent) == 0
    step = next(event for event in collector.events if event.type == "clock_step")
    assert (step.model_extra or {})["seconds"] == pytest.approx(-600.0, abs=3.0)


def test_an_ended_device_stops_for_good(collector: Collector, state: Path, start_agent: StartAgent) -> None:
    collector.script.append(
        Reply(410, {"error": "ended", "message": "this device is no longer looked after", "details": []})
    )
    assert start_agent(state).wait(20) == 0
    assert (state / "ended").read_text() == "410 this device is no longer looked after\n"
    asked = len(collector.requests)
    assert start_agent(state).wait(20) == 0
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


def test_a_new_configuration_works_at_once(collector: Collector, state: Path) -> None:
    command = [AGENT, "run", "--state", str(state)]  # a frame a minute
    agent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        collector.config_etag = "second"
        collector.config["push_interval_seconds"] = 1.0
        collector.wait_for(lambda it: len(it.frames) >= 3)
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(60) == 0
    saved = json.loads((state / "config.json").read_bytes())
    assert (saved["etag"], saved["config"]["push_interval_seconds"]) == ("second", 1.0)


def test_probes_are_turned_off_and_on_without_a_restart_and_a_bad_configuration_changes_nothing(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    def names(it: Collector) -> set[str]:
        return {one.name for one in it.layouts[it.frames[-1].layout].series} if it.frames else set()

    def refused(it: Collector) -> float | None:
        return it.values(it.frames[-1])["agent_config_refused"] if it.frames else None

    agent = start_agent(state)
    collector.wait_for(lambda it: "system_uptime_seconds" in names(it))
    collector.config["probes_off"] = ["uptime"]
    collector.config_etag = "second"
    collector.wait_for(lambda it: "system_uptime_seconds" not in names(it))
    collector.config["push_interval_seconds"] = 0
    collector.config_etag = "third"
    collector.wait_for(lambda it: refused(it) == 1)
    assert "system_uptime_seconds" not in names(collector)
    (event,) = (event for event in collector.events if event.type == "config_refused")
    assert told(event) | {"type": ""} == {
        "type": "",
        "etag": "third",
        "reason": "push_interval_seconds must be 1 to 120, got 0",
    }
    collector.config = models.Config().model_dump(mode="json")
    collector.config_etag = "fourth"
    collector.wait_for(lambda it: refused(it) == 0 and "system_uptime_seconds" in names(it))
    assert stop(agent) == 0
    assert json.loads((state / "config.json").read_bytes())["etag"] == "fourth"


def test_the_collector_asks_for_a_check_and_the_machine_decides(
    collector: Collector, state: Path, start_agent: StartAgent, tmp_path: Path
) -> None:
    for name in ("allowed", "other"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'WARNING|size=3KB'; exit 1\n")
        (tmp_path / name).chmod(0o755)
    StateFolder(state).save_probes(listed(checks="agent.probes.checks:CheckProbe"))
    (state / "agent.toml").write_text(f'[checks]\nallow = ["{tmp_path}/allowed"]\n')

    def values(it: Collector) -> dict[tuple[str, ...], float | None]:
        series = it.layouts[it.frames[-1].layout].series if it.frames else []
        found = zip(series, it.frames[-1].v if it.frames else [], strict=True)
        return {(one.name, *one.labels.values()): value for one, value in found if one.name.startswith("check_")}

    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 1)
    assert values(collector) == {}
    collector.config["custom_checks"] = [
        {"name": name, "command": [str(tmp_path / name)], "interval_seconds": 60.0, "timeout_seconds": 5.0}
        for name in ("allowed", "other")
    ]
    collector.config_etag = "second"
    collector.wait_for(lambda it: "check_changed" in {event.type for event in it.events})
    collector.config["custom_checks"] = []
    assert values(collector) == {("check_status", "allowed"): 1, ("check_value", "allowed", "size", "bytes"): 3072}
    collector.config_etag = "third"
    collector.wait_for(lambda it: values(it) == {})
    assert stop(agent) == 0
    said = {(told(one)["probe"], told(one)["reason"]) for one in collector.events if one.type == "probe_unavailable"}
    assert ("checks.other", f"agent.toml does not allow {tmp_path}/other: [checks] allow = [...]") in said


def test_what_a_check_leaves_in_a_session_of_its_own_is_ended(
    state: Path, start_agent: StartAgent, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    check = f'["/bin/sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $! > {note}"]'
    StateFolder(state).save_probes(listed(checks="agent.probes.checks:CheckProbe"))
    (state / "agent.toml").write_text(f"[checks.leaves]\ncommand = {check}\n")
    agent = start_agent(state)
    deadline = time.monotonic() + 20
    while not note.exists() or not note.read_text() or is_running(int(note.read_text())):
        assert time.monotonic() < deadline
    assert agent.poll() is None
    assert stop(agent) == 0
    assert "processes were left behind, ended: names=" in (tmp_path / "agent.log").read_text()


def test_what_is_missing_is_said_once_and_the_rest_goes_on(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    StateFolder(state).save_probes(listed(gone="agent.probes.gone:GoneProbe", uptime="agent.probes.host:UptimeProbe"))
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 2)
    assert stop(agent) == 0
    unavailable = [event for event in collector.events if event.type == "probe_unavailable"]
    assert [(event.model_extra or {})["probe"] for event in unavailable] == ["gone"]
    assert collector.values(collector.frames[-1])["system_uptime_seconds"] is not None


def test_what_is_read_in_a_process_of_its_own_arrives_as_the_settings_say(
    collector: Collector, state: Path, start_agent: StartAgent, tmp_path: Path
) -> None:
    (tmp_path / "dumps").mkdir()
    (tmp_path / "dumps" / "db.dump").write_bytes(b"x" * 4321)
    (state / "agent.toml").write_text(f'[backups.db]\npath = "{tmp_path}/dumps"\n[bakcups.db]\npath = "/"\n')
    StateFolder(state).save_probes({"backups": ProbeEntry("agent.probes.backups:BackupProbe", 3600.0, 60.0)})
    agent = start_agent(state)

    def values_of_last(it: Collector) -> dict[str, float | None]:
        series = it.layouts[it.frames[-1].layout].series if it.frames else []
        return {one.name: value for one, value in zip(series, it.frames[-1].v if it.frames else [], strict=True)}

    collector.wait_for(lambda it: "backup_size_bytes" in values_of_last(it))
    assert stop(agent) == 0
    values = values_of_last(collector)
    assert (values["backup_ok"], values["backup_size_bytes"]) == (1, 4321)
    # What is wrong is told, and costs nothing else.
    told = [event.model_extra or {} for event in collector.events if event.type == "probe_unavailable"]
    assert [(one["probe"], one["reason"]) for one in told] == [("agent.toml", "agent.toml: bakcups: no such section")]


def test_a_damaged_spool_does_not_keep_it_from_starting(
    collector: Collector, state: Path, start_agent: StartAgent
) -> None:
    spool = state / "spool"
    spool.mkdir()
    (spool / "0000000000000001-1796000000000.json.gz").write_bytes(b"\x1f\x8bgarbage")
    (spool / "spool.json").write_bytes(b"\x00" * 60)
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 2)
    assert stop(agent) == 0
    assert [file.name for file in (spool / "aside").iterdir()] == ["0000000000000001-1796000000000.json.gz"]
    assert [told(event) for event in collector.events if event.type == "spool_damaged"] == [
        {"type": "spool_damaged", "reason": "spool.json: JSONDecodeError"}
    ]
    assert collector.values(collector.frames[-1])["agent_spool_damaged_total"] == 2


def test_a_folder_that_nobody_enrolled_is_refused_in_words(tmp_path: Path) -> None:
    finished = subprocess.run(
        [AGENT, "run", "--state", str(tmp_path)], capture_output=True, text=True, check=False, timeout=30
    )
    assert finished.returncode == 1
    assert "run `quarkpulse-agent enroll" in finished.stderr


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
began = time.monotonic()
times = Times(boot=lambda: 20.0 + time.monotonic() - began)
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
        deadline = time.monotonic() + 10
        while "the first push waits" not in (tmp_path / "log").read_text():
            assert time.monotonic() < deadline
        assert stop(agent) == 0
    assert [event.type for event in collector.events] == ["agent_started", "goodbye"]


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
