"""Recorded printers of ten makers, served by snmpsim and read by the real command: all that is known of them."""

import json
import subprocess
from typing import Any

import pytest

from tests.agent.conftest import AGENT
from tests.agent.printers.reading_by_command import read_by_command
from tests.agent.printers.snmpsim import RECORDINGS

EXPECTED: dict[str, dict[str, Any]] = {
    name: content
    for name, content in json.loads((RECORDINGS / "expected.json").read_text()).items()
    if not name.startswith("_")
}
DEVICE_STATUS = {1: "unknown", 2: "running", 3: "warning", 4: "testing", 5: "down", None: None}
SPECIAL = {-1: "unrestricted", -2: "unknown", -3: "some_left"}
COLORS = {
    "brother_hl5370dw": ["black", "black", None],
    "canonprinter_tm": ["matte black", "black", "yellow", "magenta", "cyan", None],
    "fujifilmprinter_c7580": [
        "yellow",
        "magenta",
        "cyan",
        None,
        "black",
        "yellow",
        "magenta",
        "cyan",
        "black",
        "black",
    ],
    "jetdirect_m252dw": ["black", "cyan", "magenta", "yellow"],
    "konica_c250i": ["cyan", "magenta", "yellow", "black", None],
    "utax": [None, None],  # it says nothing but its part's number
}


CASES = [(name, "2c") for name in EXPECTED] + [(name, "1") for name in ("brother_hl5370dw", "jetdirect_m252dw", "utax")]


@pytest.mark.parametrize(("name", "version"), CASES)
def test_a_recorded_printer(recordings_port: int, name: str, version: str) -> None:
    expected = EXPECTED[name]
    found = read_by_command(recordings_port, name, "--version", version)
    assert set(found) == {"model", "serial", "pages", "status", "error_states", "supplies", "trays", "alerts"}
    assert found["model"] == (expected["hrDeviceDescr"] or expected["sysDescr"])
    assert found["serial"] == (expected["serial"] or (expected["serial_elsewhere"] or {}).get("value"))
    assert found["pages"] == expected["pages"]
    assert found["status"] == DEVICE_STATUS[expected["hrDeviceStatus"]]
    assert found["error_states"] == (expected["error_bits"] or [])
    assert found["alerts"] == []
    assert [plain(one, "description") for one in found["supplies"]] == [
        known(one, "description") for one in expected["supplies"]
    ]
    assert [one["type"] for one in found["supplies"]] == [one["type"] for one in expected["supplies"]]
    assert [one["unit"] for one in found["supplies"]] == [one["unit"] for one in expected["supplies"]]
    assert [plain(one, "name") for one in found["trays"]] == [known(one, "name") for one in expected["inputs"]]
    assert [one["index"] for one in found["trays"]] == [one["index"].partition(".")[2] for one in expected["inputs"]]
    if name in COLORS:
        assert [one["color"] for one in found["supplies"]] == COLORS[name]


def plain(found: dict[str, Any], name: str) -> dict[str, Any]:
    return {
        "name": found[name],
        "level": found["level"],
        "max": found["max_capacity"],
        "ratio": None if found["ratio"] is None else round(found["ratio"], 6),
        "state": found["state"],
    }


def known(expected: dict[str, Any], name: str) -> dict[str, Any]:
    """What is expected, in the words of the command: special values are no numbers."""
    level, capacity, ratio = expected["level"], expected["max"], expected["ratio"]
    state = SPECIAL.get(level) or ("empty" if level == 0 else "low" if ratio is not None and ratio <= 0.1 else "ok")
    return {
        "name": expected[name],
        "level": level if level >= 0 else None,
        "max": capacity if capacity >= 0 else None,
        "ratio": ratio,
        "state": state,
    }


def test_the_program_prints_the_promised_keys_and_nothing_else(recordings_port: int) -> None:
    community = ("--community", "jetdirect_m252dw")
    command = [AGENT, "printers", "read", "127.0.0.1", "--port", str(recordings_port), *community, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found == read_by_command(recordings_port, "jetdirect_m252dw")
    keys = ["description", "type", "color", "level", "max_capacity", "unit", "ratio", "state"]
    assert [list(one) for one in found["supplies"]] == [keys] * 4
