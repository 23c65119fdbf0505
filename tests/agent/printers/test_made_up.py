"""Printers that break the rules as makers do, served by snmpsim and read by the real command: every field questioned
against RFC 3805, 2790 and 1759."""

from typing import Any

import pytest
from click.testing import CliRunner

from agent.cli import cli
from tests.agent.printers.reading_by_command import read_by_command

SUPPLY = ("description", "type", "color", "level", "max_capacity", "unit", "ratio", "state")
TRAY = ("index", "name", "description", "media", "level", "max_capacity", "unit", "ratio", "state")
ALERT = ("severity", "group", "group_index", "code", "description")
TONER, INK = "tonerCartridge", "inkCartridge"
NO_PAGES: dict[str, Any] = {"pages": None, "alerts": [], "trays": []}

EXPECTED: dict[str, dict[str, Any]] = {
    "brother": {
        "model": "Brother MFC-L8690CDW series",
        "serial": "E78096A8N123456",
        "pages": 12345,
        "status": "idle",
        "error_states": ["lowToner"],
        "supplies": [
            ("Black Toner Cartridge", TONER, "black", None, None, "impressions", None, "low"),  # as an alert says
            ("Cyan Toner Cartridge", TONER, "cyan", None, None, "impressions", None, "some_left"),
            ("Magenta Toner Cartridge", TONER, "magenta", None, None, "impressions", None, "some_left"),
            ("Yellow Toner Cartridge", TONER, "yellow", None, None, "impressions", None, "some_left"),
            ("Waste Toner Box", "wasteToner", None, None, None, "impressions", None, "empty"),  # of room, by an alert
            ("Drum Unit", "opc", None, 0, 30000, "impressions", 0.0, "empty"),
            ("Belt Unit", "transferUnit", None, 49000, 50000, "impressions", 0.98, "ok"),
        ],
        "trays": [
            ("1", "MP TRAY", None, "A4", 0, 50, "sheets", 0.0, "empty"),
            ("2", "TRAY1", None, None, None, 250, "sheets", None, "some_left"),
        ],
        "alerts": [
            ("warningBinaryChangeEvent", "markerSupplies", 1, "markerTonerAlmostEmpty", "Toner Low: Black"),
            ("critical", "markerSupplies", 5, "markerWasteTonerReceptacleFull", "WT Box Full"),
            ("unknown", "unknown", 0, "other", "hole"),
        ],
    },
    "kyocera": {
        "model": "TASKalfa 2552ci",
        "serial": "R1X2Y3Z4",
        "pages": 81000,
        "status": "other",
        "error_states": ["jammed", "inputTrayEmpty"],
        "supplies": [
            ("Toner schwarz für Größe", "toner", "black", 45, None, "percent", None, "ok"),
            ("TK-8345C", "toner", None, 105, 100, "percent", 1.0, "ok"),
            ("Gelb Körper", "toner", "yellow", 100, 1000, "tenthsOfMilliliters", 0.1, "low"),
            ("Waste Toner Box", "wasteToner", None, 0, 100, "percent", 0.0, "unknown"),
        ],
        "trays": [
            ("1", "Cassette 1", None, None, None, 500, "sheets", None, "unknown"),
            ("2", "C2", None, None, None, None, "sheets", None, "unrestricted"),
            ("5", None, "side deck", None, 50, 100, "percent", 0.5, "ok"),
        ],
        "alerts": [],
    },
    "lexmark": {
        "model": "Lexmark MS826 version MSTGM.061.018 kernel 4.17",
        "serial": None,
        "status": None,
        "error_states": [],
        "supplies": [
            ("Black Cartridge", "toner", "black", None, None, None, None, "unknown"),
            ("Black Cartridge 2", "toner", "black", 0, 0, "impressions", None, "unknown"),
            ("Maintenance Kit", "other", None, None, 200000, "impressions", None, "unrestricted"),
            ("Waste Toner Bottle", "other", None, 3, 100, "percent", 0.03, "unknown"),
            ("Staple Cartridge", "staples", None, 500, 5000, "items", 0.1, "low"),
        ],
        **NO_PAGES,
    },
    "epson": {
        "model": "EPSON WF-C5790 Series",
        "serial": None,
        "status": "idle",
        "error_states": [],
        "supplies": [
            ("Black Ink", INK, "black", 0, 3500, "tenthsOfMilliliters", 0.0, "empty"),
            ("Light Cyan Ink", INK, "light cyan", 0, None, "tenthsOfMilliliters", None, "empty"),
            ("Photo Black", INK, "photo black", 0, 0, "tenthsOfMilliliters", None, "unknown"),
            ("Matte Black Ink", INK, "matte black", 0, None, "tenthsOfMilliliters", None, "empty"),
            ("Vivid Light Magenta", INK, "light magenta", None, 3000, "tenthsOfMilliliters", None, "some_left"),
            ("Maintenance Box", "other", None, 1, 100, "percent", 0.01, "unknown"),
        ],
        **NO_PAGES,
    },
    "canon": {
        "model": "Canon iR-ADV C5535",
        "serial": None,
        "status": "printing",
        "error_states": ["lowPaper"],
        "supplies": [
            ("Canon GPR-55 Black Toner", "toner", "black", 10000, 10000, "tenthsOfGrams", 1.0, "ok"),
            ("Canon GPR-55 Cyan Toner", "toner", "cyan", 1000, 10000, "tenthsOfGrams", 0.1, "low"),
            ("Cyan/Magenta Toner", "toner", None, 1001, 10000, "tenthsOfGrams", 0.1001, "ok"),
            ("Toner [K]", "toner", "black", 1, 10000, "tenthsOfGrams", 0.0001, "low"),
        ],
        **NO_PAGES,
        "pages": 123456,
    },
    "zebra": {
        "model": "Zebra Technologies ZTC ZT230-200dpi ZPL",
        "serial": None,
        "status": "idle",
        "error_states": ["noPaper"],
        "supplies": [("Ribbon", "inkRibbon", None, 20, 300, "meters", 0.066667, "low")],
        **NO_PAGES,
        "trays": [("1", "Label roll", None, None, None, None, "meters", None, "some_left")],
    },
}


@pytest.mark.parametrize(
    ("name", "version"), [*((name, "2c") for name in EXPECTED), ("brother", "1"), ("lexmark", "1")]
)
def test_a_printer_with_habits(recordings_port: int, name: str, version: str) -> None:
    found = read_by_command(recordings_port, f"made_up_{name}", "--version", version)
    named = (("supplies", SUPPLY), ("trays", TRAY), ("alerts", ALERT))
    rows = {table: [dict(zip(keys, row, strict=True)) for row in EXPECTED[name][table]] for table, keys in named}
    assert found == EXPECTED[name] | rows


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("brother", ["supply 1       Black Toner Cartridge: low", "supply 5       Waste Toner Box: full"]),
        (
            "kyocera",
            ["supply 1       Toner schwarz für Größe: 45% (ok)", "supply 9       Waste Toner Box: 0% free (unknown)"],
        ),
        ("zebra", ["counter        54321 feet"]),
    ],
)
def test_people_are_told_in_their_words(recordings_port: int, name: str, lines: list[str]) -> None:
    where = ["127.0.0.1", "--port", str(recordings_port), "--community", f"made_up_{name}"]
    done = CliRunner().invoke(cli, ["printers", "read", *where])
    assert set(lines) <= set(done.stdout.splitlines())
