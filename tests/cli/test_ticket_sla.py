"""`tickets sla`, also while nobody serves and no sweep has come to the ticket."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from collector.cli import main, ticket_sla
from collector.config import load_settings
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.desk import tickets
from collector.desk.states import TicketStatus
from collector.fleet.customers import add_customer
from tests.desk.test_tickets import DISK_FULL

pytestmark = pytest.mark.usefixtures("state")


def at(text: str) -> datetime:
    """By the clock on a wall in Amsterdam."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Amsterdam")).astimezone(UTC)


async def leave_behind(data: Path) -> None:
    """A ticket of a monthly customer from Friday to Tuesday over Easter, one of a break/fix customer."""
    models = load_service_models()
    async with await Database.open(load_settings(data).database) as database, database.begin() as connection:
        for name, plan in (("acme", "monthly"), ("bakkerij", "break_fix")):
            await add_customer(
                connection,
                models,
                customer=name,
                name=name,
                plan=plan,
                consent=None,
                actor="x",
                now=at("2026-01-05T09:00"),
            )
        number = await tickets.join_or_open(connection, DISK_FULL, at("2026-04-02T16:30"))
        waiting, working = TicketStatus.WAITING_CUSTOMER, TicketStatus.IN_PROGRESS
        await tickets.comment(
            connection, number, text="on my way", actor="anna", now=at("2026-04-02T16:45"), is_public=True
        )
        await tickets.set_status(connection, number, status=waiting, actor="anna", now=at("2026-04-07T10:00"))
        await tickets.set_status(connection, number, status=working, actor="anna", now=at("2026-04-07T10:30"))
        other = replace(DISK_FULL, key="other", customer="bakkerij")
        await tickets.join_or_open(connection, other, at("2026-04-02T16:30"))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    asyncio.run(leave_behind(tmp_path))
    monkeypatch.setattr(ticket_sla, "system_clock", lambda: at("2026-04-07T11:00"))
    return tmp_path


def run(data: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["tickets", "sla", *arguments, "--data", str(data)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_stretch_by_the_clock_on_the_wall(data: Path) -> None:
    text = run(data, "1001", "--explain")
    assert "plan monthly, SLA standard, support 8x5 (Mon-Fri 09:00-17:00, Europe/Amsterdam)" in text
    lines = [line.strip() for line in text.split("resolution:\n")[1].splitlines()]
    assert lines[0] == "P3, target 40:00:00 (standard, 8x5)"
    assert lines[1].startswith(
        "Thu 2026-04-02 16:30:00 CEST - Thu 2026-04-02 17:00:00 CEST     0:30:00    0:30:00  counts"
    )
    whys = [" ".join(line.split()[11:]) for line in lines[1:]]
    assert whys == [
        "counts",
        "outside support hours",
        "Good Friday",
        "outside support hours",
        "Easter Monday",
        "outside support hours",
        "counts",
        "waiting for the customer",
        "counts",
    ]
    assert [line.split()[10] for line in lines[1:]][-1] == "2:00:00"


def test_both_clocks_as_json(data: Path) -> None:
    (told,) = json.loads(run(data, "1001", "--json"))
    response, resolution = told["clocks"]
    assert (told["sla"], told["as_of"]) == ("standard", "2026-04-07T09:00:00.000Z")
    assert (response["state"], response["used_seconds"], response["met_at"]) == (
        "met",
        900,
        "2026-04-02T14:45:00.000Z",
    )
    assert (resolution["state"], resolution["used_seconds"]) == ("running", 2 * 3600)
    assert resolution["due_at"] == "2026-04-13T15:00:00.000Z"
    assert "lines" not in resolution
    (explained,) = json.loads(run(data, "1001", "--explain", "--json"))
    assert explained["clocks"][1]["lines"][2]["why_not"] == "Good Friday"


def test_where_nothing_is_promised(data: Path) -> None:
    text = run(data, "1002", "--explain")
    assert "plan break_fix, which promises nothing" in text
    (told,) = json.loads(run(data, "1002", "--json"))
    assert [clock["state"] for clock in told["clocks"]] == ["none", "none"]


def test_a_ticket_that_there_is_not(data: Path) -> None:
    result = CliRunner().invoke(main, ["tickets", "sla", "9", "--data", str(data)])
    assert result.exit_code == 1 and "there is no ticket 9" in result.output
