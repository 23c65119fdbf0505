"""Long lists on the command line: page by page, and as they would be printed at once."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from collector.cli import alerts, main, ticket_list
from collector.cli.common import print_rows
from collector.cli.pages import MAX_SHOWN, print_pages
from collector.config import load_settings
from collector.db.database import Database
from tests.desk.desk_world import reported, settle

pytestmark = pytest.mark.usefixtures("state")

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


async def pages_of(rows: Sequence[Any], size: int, read: list[int]) -> AsyncGenerator[Sequence[Any], None]:
    for start in range(0, len(rows), size):
        read.append(start)
        yield rows[start : start + size]


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_json_is_the_same_as_if_printed_at_once(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": number, "at": AT, "what": {"said": 'a\n  b, ["c"]'}, "who": None} for number in range(count)]
    asyncio.run(print_pages(pages_of(rows, 2, []), as_json=True))
    streamed = capsys.readouterr().out
    print_rows(rows, as_json=True)
    assert streamed == capsys.readouterr().out
    assert len(json.loads(streamed)) == count


def test_people_get_the_first_and_are_told_of_more(capsys: pytest.CaptureFixture[str]) -> None:
    read: list[int] = []
    rows = [{"id": number} for number in range(10 * MAX_SHOWN)]
    asyncio.run(print_pages(pages_of(rows, 500, read), as_json=False))
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == MAX_SHOWN + 1  # with the head
    assert "more than these 2000" in told.err
    assert read[-1] <= MAX_SHOWN  # the rest is never read


async def several(data: Path) -> list[int]:
    async with await Database.open(load_settings(data).database) as database:
        await settle(database)
        return [await reported(database, f"title {number}") for number in range(5)]


def test_lists_of_many_pages_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticket_list, "PAGE", 2)
    monkeypatch.setattr(alerts, "PAGE", 2)
    numbers = asyncio.run(several(tmp_path))

    def listed(*arguments: str) -> list[Any]:
        result = CliRunner().invoke(main, [*arguments, "--json", "--data", str(tmp_path)])
        assert result.exit_code == 0, result.output
        found: list[Any] = json.loads(result.stdout)
        return found

    assert [one["number"] for one in listed("tickets", "list")] == numbers[::-1]
    assert [one["number"] for one in listed("tickets", "list", "--limit", "3")] == numbers[:1:-1]
    assert [one["number"] for one in listed("tickets", "list", "--sort", "due", "--all")] == numbers[::-1]
    assert listed("tickets", "list", "--shadow") == listed("alerts", "list", "--all") == []
