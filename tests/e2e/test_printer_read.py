"""A simulated printer, read by a real agent: what it is, its order, and over when it has another cartridge."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from collector.alerting.yamlfile import shipped_folder
from tests.agent.printers.snmpsim import RECORDINGS, running_simulator
from tests.e2e.harness import Collector, agent_process, collector_in, enrol_agent, eventually

RECORDING = "jetdirect_m252dw"
BLACK_LEVEL = "1.3.6.1.2.1.43.11.1.1.9.1.1|2|"
TWO_TURNS_SECONDS = 200.0  # of foresight, with the agent's and the rules' in between, on a busy machine


def recorded(folder: Path, level: int) -> Path:
    """A folder with the recording, its black toner at a level."""
    folder.mkdir()
    text = (RECORDINGS / f"{RECORDING}.snmprec").read_text(encoding="utf-8")
    assert BLACK_LEVEL in text
    lowered = re.sub(rf"^{re.escape(BLACK_LEVEL)}\d+$", f"{BLACK_LEVEL}{level}", text, flags=re.MULTILINE)
    (folder / f"{RECORDING}.snmprec").write_text(lowered, encoding="utf-8")
    return folder


def printer_of(collector: Collector, printer: str) -> dict[str, Any]:
    (found,) = collector.rows("printers", "show", printer)
    return found


def tickets_of(collector: Collector, status: str) -> list[dict[str, Any]]:
    return [one for one in collector.rows("tickets", "list") if one["status"] == status]


@pytest.mark.slow
def test_a_cartridge_that_is_low_is_ordered_and_one_that_is_changed_is_not(tmp_path: Path) -> None:
    rules = (shipped_folder() / "printer.yaml").read_text(encoding="utf-8")
    at_once = re.sub(r"^        for: .*$", "        for: 0s", rules, flags=re.MULTILINE)
    state = tmp_path / "agent"
    with collector_in(tmp_path, at_once, start=False) as collector:
        shutil.copy(shipped_folder() / "thresholds.yaml", collector.rules)
        collector.start()
        collector.add_customers()
        enrol_agent(collector, "acme", state)
        with (
            running_simulator(tmp_path / "cache-1", recorded(tmp_path / "low", 4)) as low,
            agent_process(state, "--interval", "2s"),
        ):
            add = ("printers", "add", "127.0.0.1", "--customer", "acme", "--site", "hq", "--name", "reception")
            asked = ("--community", RECORDING, "--snmp-port", str(low), "--interval", "30")
            printer = collector.run(*add, *asked).strip()
            seen = eventually(
                lambda: printer_of(collector, printer)["model"] or None, "what it is", seconds=TWO_TURNS_SECONDS
            )
            assert "M252" in seen
            (ticket,) = eventually(lambda: tickets_of(collector, "new") or None, "the order", seconds=TWO_TURNS_SECONDS)
            assert (ticket["customer"], ticket["device"]) == ("acme", None)
            (shown,) = collector.rows("tickets", "show", str(ticket["number"]))
            assert (
                "- black toner for the printer reception (<private>), low, Black Cartridge HP CF400X"
                in shown["description"]
            )
            assert (
                "- zwarte toner voor de printer reception (<private>), bijna op, Black Cartridge HP CF400X"
                in shown["description"]
            )
            with running_simulator(tmp_path / "cache-2", recorded(tmp_path / "full", 100)) as full:
                collector.run("printers", "update", printer, "--snmp-port", str(full))
                eventually(
                    lambda: tickets_of(collector, "resolved") or None, "the end of it", seconds=TWO_TURNS_SECONDS
                )
            black = printer_of(collector, printer)["supplies"][0]
            assert (black["level_ratio"], black["changed_at"] is not None) == (1.0, True)
