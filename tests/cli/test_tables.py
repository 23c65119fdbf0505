"""Rows as people read them on a terminal: a table if it fits, and never half a value."""

import re
from datetime import UTC, datetime

import pytest

from collector.cli.common import Row, print_fields, print_rows

ROWS: list[Row] = [
    {
        "number": 1001 + row,
        "customer": "bakkerij-de-korenaar",
        "device": "ws-reception-7k3p",
        "assignee": None,
        "skills": ["network", "printers"],
        "due_at": datetime(2026, 11, 26, 18, 22, 59, tzinfo=UTC),
        "title": "[red]The till does not print any more",
    }
    for row in range(2)
]


def shown(columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    print_rows(ROWS, as_json=False)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= columns
    return [line.rstrip() for line in lines]


def test_what_has_room_is_a_table_with_all_its_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    header, _, first, _ = shown(160, monkeypatch, capsys)
    assert header.split() == list(ROWS[0])
    assert "ws-reception-7k3p  -         network, printers  2026-11-26 18:22 UTC  [red]The till" in first


def test_a_narrower_one_loses_empty_columns_and_breaks_cells_between_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(110, monkeypatch, capsys)
    assert "assignee" not in lines[0]
    words = " ".join(lines).split()
    assert {"bakkerij-de-korenaar", "ws-reception-7k3p", "2026-11-26", "printers", "[red]The"} <= set(words)
    assert len(lines) > 4


def test_where_no_table_fits_each_row_is_a_block_of_what_it_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(50, monkeypatch, capsys)[:7] == [
        "number    1001",
        "customer  bakkerij-de-korenaar",
        "device    ws-reception-7k3p",
        "skills    network, printers",
        "due_at    2026-11-26 18:22 UTC",
        "title     [red]The till does not print any more",
        "",
    ]


def test_one_thing_tells_its_lists_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    shift: Row = {"id": 3, "from": datetime(2026, 11, 23, 8, tzinfo=UTC)}
    print_fields({"on_call": [shift, shift], "tags": ["a", 2], "gone": {}, "charge": {"fee": "1"}}, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "on_call  id 3, from 2026-11-23 08:00:00 UTC",
        "         id 3, from 2026-11-23 08:00:00 UTC",
        "tags     a, 2",
        "gone     -",
        'charge   {"fee": "1"}',
    ]
