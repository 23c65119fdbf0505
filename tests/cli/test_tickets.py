"""The listings of what an evaluation left behind."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector.cli import main
from collector.clock import system_clock
from collector.config import load_settings
from collector.contracts import Priority, load_service_models
from collector.db.database import Database
from collector.desk import shadows, tickets
from collector.desk.opening import NewTicket
from collector.fleet.customers import add_customer
from collector.fleet.devices import save_last_seen, save_presence
from collector.fleet.enrollment import Enrollment
from collector.fleet.policy import Policy
from collector.fleet.presence import Presence, State
from collector.fleet.tokens import create_enrollment_token
from protocol.models import EnrollRequest
from protocol.wire import Kind

pytestmark = pytest.mark.usefixtures("state")

ENROLL = {"hostname": "ws", "kind": "desktop", "machine_id": "m", "instance": "i", "os": "o", "arch": "a"}


async def leave_behind(data: Path) -> None:
    """A ticket, a shadow ticket, and a device that was heard a moment ago."""
    models, now = load_service_models(), system_clock()
    async with await Database.open(load_settings(data).database) as database, database.begin() as connection:
        await add_customer(
            connection, models, customer="acme", name="Acme", plan="monthly", consent=None, actor="x", now=now
        )
        wanted = NewTicket(
            key="k",
            customer="acme",
            site="hq",
            device="ws-0001",
            incident="full",
            rule="Full",
            title="It is full",
            priority=Priority.P2,
            began_at=now - timedelta(hours=1),
        )
        number = await tickets.join_or_open(connection, wanted, now - timedelta(days=8))
        await tickets.resolve(connection, number, now - timedelta(days=8))
        await tickets.join_or_open(connection, wanted, now)
        await shadows.join_or_open(connection, wanted, now)
        token = await create_enrollment_token(
            connection, models, customer="acme", site="hq", kind=Kind.SERVER, uses=1, actor="x", now=now
        )
        enrollment = Enrollment(models, lambda _: None, 10, lambda: "0001")
        told = EnrollRequest.model_validate({**ENROLL, "token": token, "agent_version": "1"})
        device = await enrollment.enroll(connection, told, now)
        await save_last_seen(connection, {device.device_id: now})
        online = State(Presence.ONLINE, now, "reports", Policy.ALWAYS)
        await save_presence(connection, {device.device_id: online})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    asyncio.run(leave_behind(tmp_path))
    return tmp_path


def run(data: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, [*arguments, "--data", str(data)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_tickets_and_shadows(data: Path) -> None:
    (ticket,) = json.loads(run(data, "tickets", "list", "--json"))
    assert {key: ticket[key] for key in ("number", "customer", "device", "rule", "status", "priority")} == {
        "number": 1002,
        "customer": "acme",
        "device": "ws-0001",
        "rule": "Full",
        "status": "new",
        "priority": "P2",
    }
    assert ticket["began_at"] < ticket["opened_at"] and ticket["resolved_at"] is None and ticket["follows"] == 1001
    assert [row["number"] for row in json.loads(run(data, "tickets", "list", "--all", "--json"))] == [1002, 1001]
    (shadow,) = json.loads(run(data, "tickets", "list", "--shadow", "--json"))
    assert shadow.keys() == ticket.keys() and shadow["shadow"]


def test_a_technician_works_on_one(data: Path) -> None:
    run(data, "tickets", "comment", "1002", "on my way")
    run(data, "tickets", "set-status", "1002", "in_progress")
    (shown,) = json.loads(run(data, "tickets", "show", "1002", "--json"))
    assert [event["type"] for event in shown["history"]] == ["opened", "comment", "status"]
    assert "on my way" in run(data, "tickets", "show", "1002")
    (listed,) = json.loads(run(data, "tickets", "list", "--status", "in_progress", "--json"))
    assert listed["number"] == 1002
    assert "1002" in run(data, "tickets", "list").splitlines()[1]


def test_devices(data: Path) -> None:
    (device,) = json.loads(run(data, "devices", "list", "--json"))
    assert {key: device[key] for key in ("id", "customer", "site", "kind", "hostname", "presence", "status")} == {
        "id": "ws-0001",
        "customer": "acme",
        "site": "hq",
        "kind": "server",
        "hostname": "ws",
        "presence": "online",
        "status": "active",
    }
    assert device["last_seen"].endswith("Z")
    run(data, "devices", "revoke", "ws-0001")
    run(data, "devices", "end", "ws-0001")
    assert "ended" in run(data, "devices", "show", "ws-0001")


def test_minutes_and_parts(data: Path) -> None:
    started = run(data, "tickets", "work", "start", "1002", "--as", "anna", "--note", "look").strip()
    run(data, "tickets", "work", "stop", "--as", "anna")
    by_hand = run(data, "tickets", "work", "add", "1002", "--minutes", "40", "--travel", "--not-billable").strip()
    run(data, "tickets", "work", "correct", by_hand, "--minutes", "35", "--billable")
    run(data, "tickets", "work", "void", started, "--reason", "wrong ticket")
    first, second = json.loads(run(data, "tickets", "work", "list", "1002", "--json"))
    assert (first["author"], first["minutes"], first["is_voided"]) == ("anna", 1, True)
    assert (second["kind"], second["minutes"], second["is_billable"]) == ("travel", 35, True)
    part = run(data, "tickets", "parts", "add", "1002", "fuser unit", "--price", "189.10", "--quantity", "1.5").strip()
    (shown,) = json.loads(run(data, "tickets", "parts", "list", "1002", "--json"))
    assert (shown["quantity"], shown["unit_price"], shown["is_voided"]) == ("1.5", "189.10", False)
    run(data, "tickets", "parts", "void", part, "--reason", "was not needed")
    assert "fuser unit" in run(data, "tickets", "parts", "list", "1002")
    twice = CliRunner().invoke(main, ["tickets", "work", "add", "1002", "--minutes", "20", "--data", str(data)])
    assert f"note: entry {by_hand} of " in twice.stderr and "is of the same time" in twice.stderr
