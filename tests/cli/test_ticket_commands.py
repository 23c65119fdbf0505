"""A technician works on tickets from the command line."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from collector.cli import main
from collector.config import load_settings
from collector.db.database import Database
from tests.desk.desk_world import settle

pytestmark = pytest.mark.usefixtures("state")

CONTACT = "1"  # of acme
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20)


async def begin(data: Path) -> None:
    async with await Database.open(load_settings(data).database) as database:
        await settle(database)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    asyncio.run(begin(tmp_path / "state"))
    return tmp_path / "state"


def run(data: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, [*arguments, "--data", str(data)])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(data: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, [*arguments, "--data", str(data)])
    assert result.exit_code != 0, result.output
    return result.output


def shown(data: Path, number: str) -> Any:
    (ticket,) = json.loads(run(data, "tickets", "show", number, "--json"))
    return ticket


def opened(data: Path, *more: str) -> str:
    return run(data, "tickets", "add", "--customer", "acme", "--title", "Outlook is slow", *more).strip()


def test_from_the_report_to_its_solution(data: Path) -> None:
    number = opened(data, "--device", "acme-ws-1", "--impact", "high", "--by-customer", "--description", "since noon")
    ticket = shown(data, number)
    assert (ticket["priority"], ticket["source"], ticket["rule"], ticket["site"]) == ("P2", "customer", None, "hq")
    assert ticket["description"] == "since noon"
    run(data, "tickets", "set", number, "--category", "software", "--priority", "P1")
    run(data, "tickets", "take", number, "--as", "anna")
    assert "anna's" in refused(data, "tickets", "take", number, "--as", "bob")
    run(data, "tickets", "comment", number, "looking at it", "--public")
    run(data, "tickets", "devices", number, "--add", "acme-ws-2")
    run(data, "tickets", "watch", number, "piet@acme.example")
    assert "no cause and no solution yet" in refused(data, "tickets", "resolve", number)
    run(data, "tickets", "resolve", number, "--cause", "full mailbox", "--solution", "archived it", "--as", "anna")
    ticket = shown(data, number)
    assert (ticket["status"], ticket["cause"], ticket["solution"]) == ("resolved", "full mailbox", "archived it")
    assert (ticket["devices"], ticket["watchers"]) == (["acme-ws-2"], ["piet@acme.example"])
    told = run(data, "tickets", "show", number)
    for words in (
        "opened by the customer as incident, P2",
        "priority P2 → P1",
        "category none → software",
        "wrote, for the customer too: looking at it",
        "cause: full mailbox",
        "    solution: archived it",
        "assigned → resolved",
        "anna (",  # --as, and who typed it
    ):
        assert words in told, told


def test_a_ticket_is_opened_by_its_first_name_too(data: Path) -> None:
    assert run(data, "tickets", "open", "--customer", "acme", "--title", "It beeps").strip() == "1001"


def test_set_status_asks_for_cause_and_solution_afterwards(data: Path) -> None:
    number = opened(data)
    result = CliRunner().invoke(main, ["tickets", "set-status", number, "resolved", "--data", str(data)])
    assert result.exit_code == 0 and "--cause" in result.stderr


def test_merging_and_links(data: Path) -> None:
    first, second, third = opened(data), opened(data), opened(data)
    run(data, "tickets", "link", first, third, "--kind", "blocked_by")
    run(data, "tickets", "set-parent", third, first)
    run(data, "tickets", "merge", second, "--into", first)
    assert shown(data, second)["merged_into"] == int(first)
    assert shown(data, first)["links"] == [{"other": int(third), "kind": "blocked_by"}]
    assert shown(data, first)["children"] == [int(third)]
    assert "merged into" in refused(data, "tickets", "set", second, "--title", "x")
    told = CliRunner().invoke(main, ["tickets", "resolve", first, "--without", "--data", str(data)]).stderr
    assert f"note: parts of it are still open: {third}\nnote: what it was blocked by is still open: {third}\n" in told
    run(data, "tickets", "set-status", first, "new")
    run(data, "tickets", "unlink", third, first)
    run(data, "tickets", "set-parent", third, "--none")
    assert shown(data, third)["parent"] is None
    assert "itself" in refused(data, "tickets", "merge", first, "--into", first)


def test_files(data: Path, tmp_path: Path) -> None:
    number = opened(data)
    (tmp_path / "screen.png").write_bytes(PNG)
    (tmp_path / "evil.png").write_bytes(b"MZ" + bytes(60))
    run(data, "tickets", "attach", number, str(tmp_path / "screen.png"))
    assert "is no .png inside" in refused(data, "tickets", "attach", number, str(tmp_path / "evil.png"))
    (kept,) = json.loads(run(data, "tickets", "attachments", number, "--json"))
    assert (kept["name"], kept["media_type"], kept["size_bytes"]) == ("screen.png", "image/png", len(PNG))
    copy = tmp_path / "copy.png"
    run(data, "tickets", "fetch-attachment", number, str(kept["id"]), "--to", str(copy))
    assert copy.read_bytes() == PNG
    assert "is there already" in refused(
        data, "tickets", "fetch-attachment", number, str(kept["id"]), "--to", str(copy)
    )
    run(data, "tickets", "detach", number, str(kept["id"]))
    assert json.loads(run(data, "tickets", "attachments", number, "--json")) == []


def test_lists_are_filtered_and_sorted(data: Path) -> None:
    slow, urgent = opened(data), opened(data, "--priority", "P1", "--kind", "question", "--category", "mail")

    def numbers(*options: str) -> list[str]:
        return [str(row["number"]) for row in json.loads(run(data, "tickets", "list", "--json", *options))]

    assert numbers() == [urgent, slow]
    assert numbers("--sort", "priority") == [urgent, slow]
    assert numbers("--kind", "question") == numbers("--category", "mail") == numbers("--priority", "P1") == [urgent]
    assert numbers("--text", "OUTLOOK", "--limit", "1") == [urgent]
    assert numbers("--until", "2020-01-01") == []
    assert "leave the other filters out" in refused(data, "tickets", "list", "--shadow", "--kind", "question")


def test_what_a_customer_says_by_phone_is_taken_down(data: Path) -> None:
    number = opened(data)
    run(data, "tickets", "set-status", number, "waiting_customer")
    run(data, "tickets", "comment", number, "the lower tray", "--contact", CONTACT)
    assert shown(data, number)["status"] == "in_progress"
    assert "contact 1 of the customer says: the lower tray" in run(data, "tickets", "show", number)
    run(data, "tickets", "resolve", number, "--without")
    run(data, "tickets", "comment", number, "thanks", "--contact", CONTACT)
    assert shown(data, number)["status"] == "resolved"
    run(data, "tickets", "comment", number, "it beeps again", "--contact", CONTACT, "--still-wrong")
    assert shown(data, number)["status"] == "new"
    assert "has no contact 2" in refused(data, "tickets", "comment", number, "x", "--contact", "2")
    assert "--still-wrong is the customer's to say" in refused(data, "tickets", "comment", number, "x", "--still-wrong")
