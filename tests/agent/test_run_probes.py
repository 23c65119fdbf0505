"""What a real `quarkpulse-agent run` reads, as its configuration and its collector say."""

import json
import signal
import subprocess
import time
from pathlib import Path

from agent.state import ProbeEntry, StateFolder
from protocol import models
from tests.agent.collector import Collector
from tests.agent.conftest import StartAgent, listed
from tests.agent.patience import PATIENT_AGENT
from tests.agent.running import stop, told
from tests.agent.test_children import is_running


def test_a_new_configuration_works_at_once(collector: Collector, state: Path) -> None:
    command = [*PATIENT_AGENT, "run", "--state", str(state)]  # a frame a minute
    agent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        collector.config["push_interval_seconds"] = 1.0
        collector.config_etag = "second"
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
        return {one.name for one in it.layouts[it.newest.layout].series} if it.frames else set()

    def refused(it: Collector) -> float | None:
        return it.values(it.newest)["agent_config_refused"] if it.frames else None

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
        found = zip(it.layouts[it.newest.layout].series, it.newest.v, strict=True)
        return {(one.name, *one.labels.values()): value for one, value in found if one.name.startswith("check_")}

    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 1)
    assert values(collector) == {}
    collector.config["custom_checks"] = [
        {"name": name, "command": [str(tmp_path / name)], "interval_seconds": 60.0, "timeout_seconds": 60.0}
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
    deadline = time.monotonic() + 60
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
    assert collector.values(collector.newest)["system_uptime_seconds"] is not None


def test_what_is_read_in_a_process_of_its_own_arrives_as_the_settings_say(
    collector: Collector, state: Path, start_agent: StartAgent, tmp_path: Path
) -> None:
    (tmp_path / "dumps").mkdir()
    (tmp_path / "dumps" / "db.dump").write_bytes(b"x" * 4321)
    (state / "agent.toml").write_text(f'[backups.db]\npath = "{tmp_path}/dumps"\n[bakcups.db]\npath = "/"\n')
    StateFolder(state).save_probes({"backups": ProbeEntry("agent.probes.backups:BackupProbe", 3600.0, 60.0)})
    agent = start_agent(state)

    def values_of_last(it: Collector) -> dict[str, float | None]:
        if not it.frames:
            return {}
        return {one.name: value for one, value in zip(it.layouts[it.newest.layout].series, it.newest.v, strict=True)}

    collector.wait_for(lambda it: "backup_size_bytes" in values_of_last(it))
    assert stop(agent) == 0
    values = values_of_last(collector)
    assert (values["backup_ok"], values["backup_size_bytes"]) == (1, 4321)
    # What is wrong is told, and costs nothing else.
    told = [event.model_extra or {} for event in collector.events if event.type == "probe_unavailable"]
    assert [(one["probe"], one["reason"]) for one in told] == [("agent.toml", "agent.toml: bakcups: no such section")]
