"""The agent as a real process, its reader of printers, and snmpsim with recorded printers."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from protocol import models
from tests.agent.collector import Collector
from tests.agent.conftest import AGENT, StartAgent

SECRET = "not-to-be-seen-anywhere"


def printer(device_id: str, port: int, community: str) -> dict[str, Any]:
    snmp = {"version": "2c", "port": port, "community": community}
    return {"device_id": device_id, "host": "127.0.0.1", "snmp": snmp, "interval_seconds": 30.0}


def configure(collector: Collector, etag: str, *printers: dict[str, Any]) -> None:
    config = models.Config.model_validate({"printers": list(printers)}, strict=False)
    collector.config, collector.config_etag = config.model_dump(mode="json"), etag


def frames_of(collector: Collector, device: str) -> list[models.Frame]:
    return [frame for frame in collector.frames if frame.device == device]


def series_of(collector: Collector, frame: models.Frame) -> dict[tuple[str, ...], float | None]:
    """By name and the labels' values, in the order of their names."""
    layout = collector.layouts[frame.layout].series
    return {(one.name, *dict(sorted(one.labels.items())).values()): v for one, v in zip(layout, frame.v, strict=True)}


def readers_of(agent: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Probes have children, too."""
    found = []
    for child in psutil.Process(agent.pid).children():
        with contextlib.suppress(psutil.Error):
            found += [child] if "agent.printers.reader" in child.cmdline() else []
    return found


def reader_of(agent: "subprocess.Popen[str]") -> psutil.Process:
    (reader,) = readers_of(agent)
    return reader


def test_printers_have_frames_of_their_own_and_are_told_what_they_are(
    collector: Collector, state: Path, start_agent: StartAgent, recordings_port: int
) -> None:
    configure(
        collector,
        "two",
        printer("prn-hp", recordings_port, "jetdirect_m252dw"),
        printer("prn-silent", recordings_port, "no-such-recording"),
    )
    agent = start_agent(state)
    black = ("black", "Black Cartridge HP CF400X", "1", "toner")
    collector.wait_for(lambda it: bool(frames_of(it, "prn-hp") and frames_of(it, "prn-silent")))
    # The recordings' server may be late, and then the printer is asked again half a minute later.
    collector.wait_for(lambda it: ("printer_supply_level_ratio", *black) in series_of(it, frames_of(it, "prn-hp")[-1]))
    found = series_of(collector, frames_of(collector, "prn-hp")[-1])
    assert found["printer_reachable",] == 1
    assert found["printer_error", "jammed"] == 0
    assert found["printer_supply_level_ratio", *black] == 0.63
    assert found["printer_supply_empty", *black] == 0
    assert series_of(collector, frames_of(collector, "prn-silent")[0]) == {("printer_reachable",): 0}
    collector.wait_for(lambda it: any(event.type == "printer_seen" for event in it.events))
    (seen,) = [event.model_extra or {} for event in collector.events if event.type == "printer_seen"]
    assert (seen["device_id"], seen["serial"]) == ("prn-hp", "VNB3J99999")
    assert seen["supplies"][3]["description"] == "Yellow Cartridge HP CF402X"
    assert not any(one.name.startswith("printer_") for one in collector.layouts[collector.newest.layout].series)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0


def test_the_reader_is_there_while_printers_are_and_comes_again_when_it_dies(
    collector: Collector, state: Path, start_agent: StartAgent, recordings_port: int
) -> None:
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 2)
    assert readers_of(agent) == []
    configure(collector, "one", printer("prn-utax", recordings_port, "utax"))
    collector.wait_for(lambda it: len(frames_of(it, "prn-utax")) >= 1)
    first = reader_of(agent)
    first.kill()
    collector.wait_for(lambda _: [one.pid for one in readers_of(agent)] not in ([], [first.pid]))
    second = reader_of(agent)
    told = len(frames_of(collector, "prn-utax"))
    collector.wait_for(lambda it: len(frames_of(it, "prn-utax")) > told)
    configure(collector, "none")
    psutil.wait_procs([second], timeout=60)
    assert readers_of(agent) == []
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0


def test_what_agent_toml_turns_off_the_collector_does_not_turn_on(
    collector: Collector, state: Path, start_agent: StartAgent, tmp_path: Path
) -> None:
    (state / "agent.toml").write_text('[probes]\noff = ["inventory", "printers"]\n')
    configure(collector, "one", printer("prn-utax", 9, "utax"))
    agent = start_agent(state)
    collector.wait_for(lambda it: len(it.frames) >= 5)
    ages = {dict(one.labels).get("probe") for layout in collector.layouts.values() for one in layout.series}
    assert "uptime" in ages
    assert "inventory" not in ages
    assert readers_of(agent) == []
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0
    assert not any(push.inventory for push in collector.pushes)
    assert "no such probe" not in (tmp_path / "agent.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_agent_takes_its_reader_with_it(
    collector: Collector, state: Path, start_agent: StartAgent, recordings_port: int, number: int
) -> None:
    configure(collector, "one", printer("prn-utax", recordings_port, "utax"))
    agent = start_agent(state)
    collector.wait_for(lambda _: bool(readers_of(agent)))
    reader = reader_of(agent)
    agent.send_signal(number)
    agent.wait(60)
    _, alive = psutil.wait_procs([reader], timeout=60)
    assert alive == []


def test_secrets_are_in_no_command_line_no_log_and_no_file_of_others(
    collector: Collector, state: Path, start_agent: StartAgent, recordings_port: int, tmp_path: Path
) -> None:
    snmp = {"version": "3", "port": recordings_port, "user": "reader", "auth": "sha256", "auth_password": SECRET}
    refused = {"device_id": "prn-v3", "host": "127.0.0.1", "snmp": snmp, "interval_seconds": 30.0}
    configure(collector, "two", printer("prn-open", recordings_port, SECRET), refused)
    agent = start_agent(state)
    collector.wait_for(lambda it: bool(frames_of(it, "prn-open") and frames_of(it, "prn-v3")))
    for pid in (agent.pid, reader_of(agent).pid):
        assert SECRET.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert SECRET.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    agent.send_signal(signal.SIGTERM)
    agent.wait(60)
    assert SECRET not in (tmp_path / "agent.log").read_text()
    assert "prn-open" in (tmp_path / "agent.log").read_text()
    holding = [path for path in state.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert [path.name for path in holding] == ["config.json"]
    assert oct(holding[0].stat().st_mode & 0o777) == "0o600"


def test_run_itself_loads_nothing_of_snmp_or_ipp(
    collector: Collector, state: Path, tmp_path: Path, recordings_port: int
) -> None:
    """Looks at the modules of a real process that has sent frames of a printer."""
    configure(collector, "one", printer("prn-utax", recordings_port, "utax"))
    with (tmp_path / "imports.log").open("w") as log:
        command = [sys.executable, "-X", "importtime", AGENT, "run", "--state", str(state), "--interval", "0.3s"]
        agent = subprocess.Popen(command, stderr=log)
    try:
        collector.wait_for(lambda it: bool(frames_of(it, "prn-utax")))
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(60)
    lines = (tmp_path / "imports.log").read_text().splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "agent.printers.supervision" in loaded
    assert {one for one in loaded if one.split(".")[0] in ("gufo", "zeroconf", "asyncio", "dataclasses")} == set()
    assert {one for one in loaded if one.startswith("agent.printers.")} == {
        "agent.printers.exchange",
        "agent.printers.supervision",
    }
