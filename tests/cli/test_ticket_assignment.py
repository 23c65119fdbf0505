"""Who works on a ticket, by the command line."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector.cli import main
from collector.clock import system_clock
from collector.config import load_settings
from collector.contracts import Priority
from collector.db.database import Database
from collector.desk.opening import NewTicket
from collector.desk.tickets import join_or_open
from tests.cli.test_technicians import run

pytestmark = pytest.mark.usefixtures("state")

ALL_HOURS = ("--hours", "Mon-Sun 00:00-24:00", "--holidays", "none")


async def open_ticket(data: Path) -> int:
    now = system_clock()
    wanted = NewTicket("k", "acme", "hq", "ws-1", "full", "Full", "It is full", Priority.P2, now)
    async with await Database.open(load_settings(data).database) as database, database.begin() as connection:
        return await join_or_open(connection, wanted, now)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    run(tmp_path, "customers", "add", "acme", "--name", "Acme", "--plan", "monthly")
    run(tmp_path, "technicians", "add", "anna", "--name", "Anna", *ALL_HOURS)
    run(tmp_path, "technicians", "add", "bob", "--name", "Bob", "--serves", "acme/hq", fails=True)  # no such site yet
    run(tmp_path, "sites", "add", "ny", "--customer", "acme")
    run(tmp_path, "technicians", "add", "bob", "--name", "Bob", "--serves", "acme/ny", *ALL_HOURS)
    assert asyncio.run(open_ticket(tmp_path)) == 1001
    return tmp_path


def test_a_ticket_is_explained_taken_and_handed_over(data: Path) -> None:
    (told,) = json.loads(run(data, "tickets", "assign", "1001", "--explain", "--json"))
    assert (told["verdict"], told["assignee"], told["why_not"]) == ("assign", "anna", {"bob": "does not serve acme/hq"})
    assert "does not serve acme/hq" in run(data, "tickets", "assign", "1001", "--explain")
    run(data, "tickets", "take", "1001", "--as", "anna")
    assert "is anna's" in run(data, "tickets", "take", "1001", "--as", "bob", fails=True)
    run(data, "tickets", "hand-over", "1001", "--to", "bob", "--note", "on site tomorrow")
    run(data, "tickets", "assign", "1001", "anna")
    (shown,) = json.loads(run(data, "tickets", "show", "1001", "--json"))
    assigned = [event["data"] for event in shown["history"] if event["type"] == "assigned"]
    assert [event["to"] for event in assigned] == ["anna", "bob", "anna"]
    assert [event["reason"] for event in assigned] == ["taken", "handed over", "assigned by hand"]


def test_a_ticket_is_given_back_to_the_queue(data: Path) -> None:
    run(data, "tickets", "take", "1001", "--as", "anna")
    run(data, "tickets", "set-status", "1001", "in_progress")
    refused = run(data, "tickets", "set-status", "1001", "new", fails=True)
    assert "cannot be reopened; possible now: tickets assign, hand-over, assign --nobody, set-status waiting" in refused
    for _ in range(2):  # twice is once
        run(data, "tickets", "assign", "1001", "--nobody")
    (shown,) = json.loads(run(data, "tickets", "show", "1001", "--json"))
    assert (shown["status"], shown["assignee"]) == ("new", None)
    assert "no longer anna's: given back by hand" in run(data, "tickets", "show", "1001")
    assert [event["data"].get("to") for event in shown["history"]][-2:] == [None, "new"]
    run(data, "tickets", "set-status", "1001", "waiting_customer")
    run(data, "tickets", "assign", "1001", "anna")
    run(data, "tickets", "assign", "1001", "--nobody")
    (shown,) = json.loads(run(data, "tickets", "show", "1001", "--json"))
    assert (shown["status"], shown["assignee"]) == ("waiting_customer", None)
    run(data, "tickets", "take", "1001", "--as", "bob")


def test_what_makes_no_sense_is_refused(data: Path) -> None:
    assert "name a technician" in run(data, "tickets", "assign", "1001", fails=True)
    assert "name a technician" in run(data, "tickets", "assign", "1001", "anna", "--explain", fails=True)
    assert "name a technician" in run(data, "tickets", "assign", "1001", "anna", "--nobody", fails=True)
    assert "no technician" in run(data, "tickets", "assign", "1001", "carl", fails=True)
    assert "no open ticket" in run(data, "tickets", "assign", "999", "--explain", fails=True)
    assert "--note" in run(data, "tickets", "hand-over", "1001", "--to", "bob", fails=True)


def test_a_target_that_names_nobody_is_marked(data: Path) -> None:
    def marked() -> set[bool]:
        return {one["escalates_to_nobody"] for one in json.loads(run(data, "contracts", "slas", "standard", "--json"))}

    assert marked() == {True} and "second-line (nobody)" in run(data, "contracts", "slas")
    run(data, "technicians", "change", "anna", "--groups", "second-line")
    assert marked() == {False} and "(nobody)" not in run(data, "contracts", "slas", "standard")
    result = CliRunner().invoke(main, ["technicians", "leave", "anna", "--json", "--data", str(data)])
    assert json.loads(result.stdout)[0]["emptied_groups"] == ["second-line"]
    assert "note: nobody is in group second-line any more, to whom SLA " in result.stderr
    assert marked() == {True}


def test_who_leaves_leaves_no_ticket_behind(data: Path) -> None:
    run(data, "tickets", "take", "1001", "--as", "anna")
    run(data, "technicians", "on-call", "rota", "anna", "bob", "--from", "2099-03-02")
    (data / "sla.yaml").write_text(
        "slas:\n  own: {title: Own, targets: {P1: {response: 1h}}, escalate_to: anna}\n", encoding="utf-8"
    )
    (told,) = json.loads(run(data, "technicians", "leave", "anna", "--json"))
    assert told["tickets"] == [1001] and told["shifts"] == 1 and told["slas"] == ["own"]
    assert [gap["starts_at"] for gap in told["gaps"]] == ["2099-03-02T08:00:00.000Z"]
    assert [one["id"] for one in json.loads(run(data, "technicians", "list", "--json"))] == ["bob"]
    run(data, "technicians", "leave", "anna", fails=True)
