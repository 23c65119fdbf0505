"""`quarkpulse-agent status`, of real agents: running, cut off, killed, never started."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent import VERSION
from agent.cli import cli
from agent.probes.base import Sample
from agent.probes.host import UptimeProbe
from agent.state import StateFolder
from agent.status_report import ago
from tests.agent.collector import DEVICE_ID, Collector, Reply
from tests.agent.conftest import StartAgent, listed


class BrokenProbe(UptimeProbe):
    name = "broken"

    def sample(self) -> list[Sample]:
        raise RuntimeError("out of order")


def ask(state: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["status", "--state", str(state), *options])


def read(state: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(state, "--json").stdout)
    return found


def stop(agent: "subprocess.Popen[str]") -> None:
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0


def until(state: Path, collector: Collector, holds: Any) -> dict[str, Any]:
    """The first status, one for each push, of which this holds."""
    found: list[dict[str, Any]] = []

    def look(_: Collector) -> bool:
        found.append(read(state))
        return bool(holds(found[-1]))

    collector.wait_for(look)
    return found[-1]


def test_of_an_agent_that_is_well(collector: Collector, state: Path, start_agent: StartAgent) -> None:
    agent = start_agent(state)
    status = until(state, collector, lambda it: it["is_well"] and it["acked_at"] == it["push_at"])
    assert (status["is_running"], status["pid"], status["version"]) == (True, agent.pid, VERSION)
    assert (status["device_id"], status["collector"]) == (DEVICE_ID, collector.url)
    assert status["push_answer"] == "acknowledged"
    assert status["probes"] >= 2
    assert (status["troubles"], status["dropped_records"]) == ([], 0)
    assert (status["config_etag"], status["ended"]) == ("first", "")
    shown = ask(state)
    assert shown.exit_code == 0
    assert re.search(rf"^running +yes, process {agent.pid}, started \d+ s ago$", shown.stdout, re.MULTILINE)
    assert re.search(r"^last push +\d+ s ago: acknowledged$", shown.stdout, re.MULTILINE)
    assert (state / "status.json").stat().st_mode & 0o777 == 0o600
    stop(agent)


def test_of_an_agent_whose_collector_is_away(collector: Collector, state: Path, start_agent: StartAgent) -> None:
    collector.script.extend([Reply(503)] * 100)
    agent = start_agent(state)
    status = until(state, collector, lambda it: it["spooled_records"] >= 2 and it["push_answer"])
    assert (status["is_running"], status["is_well"], status["acked_at"]) == (True, False, None)
    assert status["push_answer"] == "503 as the test wants"
    assert status["started_at"] <= status["oldest_spooled_at"] <= status["push_at"]
    shown = ask(state)
    assert shown.exit_code == 1
    assert re.search(r"^spool +\d+ records, \d+ KiB, the oldest from \d+ s ago$", shown.stdout, re.MULTILINE)
    assert re.search(r"^last acknowledged +never$", shown.stdout, re.MULTILINE)
    stop(agent)


def test_of_an_agent_that_was_killed(collector: Collector, state: Path, start_agent: StartAgent) -> None:
    agent = start_agent(state)
    until(state, collector, lambda it: it["is_well"])
    agent.kill()
    agent.wait(60)
    status = read(state)
    assert (status["is_running"], status["is_well"], status["pid"]) == (False, False, None)
    assert status["version"] == VERSION
    assert ask(state).exit_code == 1


def test_of_probes_that_fail(collector: Collector, state: Path, start_agent: StartAgent) -> None:
    StateFolder(state).save_probes(
        listed(broken="tests.agent.test_status:BrokenProbe", uptime="agent.probes.host:UptimeProbe")
    )
    agent = start_agent(state)
    status = until(state, collector, lambda it: it["troubles"])
    (trouble,) = status["troubles"]
    assert (trouble["probe"], trouble["reason"]) == ("broken", "RuntimeError: out of order")
    stop(agent)


def test_of_an_agent_that_leaves_probes_out(collector: Collector, state: Path, start_agent: StartAgent) -> None:
    agent = start_agent(state)
    until(state, collector, lambda it: it["is_well"] and it["shed"] == [])
    agent.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, agent.pid, os.WSTOPPED)  # it may be about to write
    said = json.loads((state / "status.json").read_text())
    (state / "status.json").write_text(json.dumps({**said, "shed": ["exporters", "checks", 7]}))
    assert read(state)["shed"] == ["exporters", "checks"]
    assert re.search(r"^left out +exporters, checks: the agent weighs too much", ask(state).stdout, re.MULTILINE)
    agent.send_signal(signal.SIGCONT)
    stop(agent)


def test_of_a_folder_that_is_not_enrolled(tmp_path: Path) -> None:
    asked = ask(tmp_path)
    assert asked.exit_code == 1
    assert "no agent is enrolled" in asked.output


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 50, b"[]", b'{"push": 3, "spool": [], "probes": {"a": 1}, "frame_at": "x", "pid": 1e9}']
)
def test_a_damaged_file_costs_what_it_says_and_no_more(state: Path, content: bytes) -> None:
    (state / "status.json").write_bytes(content)
    status = read(state)
    assert (status["is_running"], status["frame_at"], status["device_id"]) == (False, None, DEVICE_ID)
    assert ask(state).exit_code == 1


@pytest.mark.parametrize(
    ("at", "text"),
    [(None, "never"), (999.0, "1 s ago"), (2000.0, "0 s ago"), (400.0, "10 min ago"), (-9000.0, "3 h ago"),
     (-999000.0, "1969-12-20 10:30 UTC")],
)  # fmt: skip
def test_how_long_ago(at: float | None, text: str) -> None:
    assert ago(at, 1000.0) == text
