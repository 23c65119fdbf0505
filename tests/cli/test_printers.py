"""Printers on the command line."""

import asyncio
import csv
import io
import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import insert

from collector.cli import main
from collector.cli.printer_usage import told
from collector.clock import to_milliseconds
from collector.config import load_settings
from collector.db.database import Database
from collector.db.tables import devices
from collector.fleet.printers.forecast import Point
from collector.fleet.printers.found import take_found
from collector.fleet.printers.pages import Counter
from collector.fleet.printers.supplies import PrinterDay, Supply, save_days, save_supplies
from collector.fleet.printers.usage import SupplyUse
from collector.series.labels import Target
from protocol.models import Event

pytestmark = pytest.mark.usefixtures("state")

Env = Mapping[str, str] | None
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


async def prepare(data: Path) -> None:
    agent = dict.fromkeys(("machine_id", "instance", "os", "arch", "agent_version"), "x")
    agent |= {"id": "srv-1", "customer": "acme", "site": "hq", "kind": "server", "hostname": "srv-1"}
    async with await Database.open(load_settings(data).database) as database, database.begin() as connection:
        await connection.execute(insert(devices).values(**agent, secret_hash="x", enrolled_at=NOW))
        told = {"id": "e1", "t": to_milliseconds(NOW), "type": "printer_found", "address": "192.0.2.40", "ipp": True}
        found = [Event.model_validate(told), Event.model_validate(told | {"id": "e2", "address": "192.0.2.41"})]
        await take_found(connection, Target("srv-1", "acme", "hq", "server"), found, lambda _: False, NOW)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    run(tmp_path, "customers", "add", "acme", "--name", "Acme", "--plan", "monthly")
    run(tmp_path, "sites", "add", "--customer", "acme", "hq")
    asyncio.run(prepare(tmp_path))
    return tmp_path


def run(data: Path, *arguments: str, fails: bool = False, stdin: str = "", env: Env = None) -> str:
    result = CliRunner().invoke(main, [*arguments, "--data", str(data)], input=stdin, env=env)
    assert (result.exit_code != 0) == fails, result.output
    return result.stderr if fails else result.stdout


def add(data: Path, *arguments: str, stdin: str = "", env: Env = None) -> str:
    return run(
        data, "printers", "add", "192.0.2.31", "--customer", "acme", "--site", "hq", *arguments, stdin=stdin, env=env
    ).strip()


def shown(data: Path, printer: str) -> dict[str, object]:
    (found,) = json.loads(run(data, "printers", "show", printer, "--json"))
    return dict(found)


def test_add_show_update_and_end(data: Path) -> None:
    printer = add(data, "--name", "Reception", env={"SNMP_COMMUNITY": "s3cret"})
    assert printer.startswith("prn-reception-")
    found = shown(data, printer)
    assert (found["name"], found["reader"], found["ipp"]) == ("Reception", "srv-1", None)
    assert found["snmp"] == {"version": "2c", "port": 161, "community": "set"}
    run(
        data,
        "printers",
        "update",
        printer,
        "--ipp",
        "--ipp-tls",
        "--interval",
        "60",
        "--address",
        "printer.acme.example",
    )
    found = shown(data, printer)
    assert (found["ipp"], found["interval_seconds"]) == ({"port": 631, "path": "/ipp/print", "tls": True}, 60)
    assert found["address"] == "printer.acme.example"
    run(data, "printers", "update", printer, "--no-snmp", "--reader", "srv-1")
    assert (shown(data, printer)["snmp"], shown(data, printer)["preferred_reader"]) == (None, "srv-1")
    run(data, "printers", "update", printer, "--any-reader")
    assert shown(data, printer)["preferred_reader"] is None
    assert "leave one of them on" in run(data, "printers", "update", printer, "--no-ipp", fails=True)
    assert "choose" not in run(data, "printers", "list")
    run(data, "printers", "end", printer)
    assert json.loads(run(data, "printers", "list", "--json")) == []
    assert len(json.loads(run(data, "printers", "list", "--all", "--json"))) == 1


def test_passwords_are_shown_nowhere(data: Path) -> None:
    printer = add(
        data,
        "--snmp-version",
        "3",
        "--user",
        "quark",
        "--auth",
        "sha256",
        "--privacy",
        "aes128",
        stdin="auth-pass-1\nprivacy-pass-1\n",
    )
    told = shown(data, printer)["snmp"]
    assert isinstance(told, dict)
    assert (told["auth_password"], told["privacy_password"]) == ("set", "set")
    everything = [run(data, *command) for command in (("audit", "list", "--json"), ("printers", "list", "--json"))]
    assert "-pass-1" not in "".join(everything)
    run(data, "printers", "update", printer, "--auth", "sha512", env={"SNMP_AUTH_PASSWORD": "another-pass-1"})
    told = shown(data, printer)["snmp"]
    assert isinstance(told, dict)
    assert (told["auth"], told["user"], told["privacy"]) == ("sha512", "quark", "aes128")
    assert "needs a user" in run(
        data, "printers", "add", "192.0.2.32", "--customer", "acme", "--site", "hq", "--snmp-version", "3", fails=True
    )


def test_what_was_found_is_accepted_or_dismissed(data: Path) -> None:
    one, two = json.loads(run(data, "printers", "found", "--json"))
    assert (one["address"], one["ways"], two["address"]) == ("192.0.2.40", ["ipp"], "192.0.2.41")
    printer = run(data, "printers", "accept", str(one["number"]), "--name", "hall").strip()
    found = shown(data, printer)
    assert (found["snmp"], found["ipp"]) == (None, {"port": 631, "path": "/ipp/print", "tls": False})
    run(data, "printers", "dismiss", str(two["number"]))
    assert json.loads(run(data, "printers", "found", "--json")) == []
    assert [each["device"] for each in json.loads(run(data, "printers", "found", "--all", "--json"))] == [printer, None]
    assert "nobody found a printer 99" in run(data, "printers", "accept", "99", fails=True)


async def use(data: Path, printer: str) -> None:
    toner = Supply(printer, "1", "toner", "black", "=TK-1170", 0.4, points=(Point(1.0, 0.4),), days_left=6.04)
    waste = Supply(printer, "2", "wasteToner", "", "Waste box", 0.5)
    days = [
        PrinterDay(printer, date(2026, 3, day), Counter(100.0 * day, 100.0 * day, 1e9), 100, {"1": (0.02, day == 9)})
        for day in range(1, 31)
    ]
    async with await Database.open(load_settings(data).database) as database, database.begin() as connection:
        await save_supplies(connection, [toner, waste])
        await save_days(connection, [*days, PrinterDay(printer, date(2026, 4, 1), None, 7)])


@pytest.mark.parametrize(
    ("supply", "words"),
    [
        ({"days_left": 0.0, "is_empty": True}, "TK 0.50 used, empty"),
        ({"days_left": 0.3}, "TK 0.50 used, lasts less than a day"),
        ({"days_left": 1.2}, "TK 0.50 used, lasts 1 day"),
        ({}, "TK 0.50 used"),
    ],
)
def test_what_is_left_in_words(supply: dict[str, Any], words: str) -> None:
    assert told(SupplyUse(Supply("prn", "1", "toner", "black", "TK", **supply), 0.5, 0)) == words


def test_a_months_use(data: Path) -> None:
    printer = add(data, "--name", "hall")
    asyncio.run(use(data, printer))
    (march,) = json.loads(run(data, "printers", "usage", "--month", "2026-03", "--customer", "acme", "--json"))
    assert (march["pages"], march["counter"], march["days"]) == (3000, 3000.0, 30)
    (toner,) = march["supplies"]
    assert (toner["used"], toner["changes"], toner["days_left"]) == (0.6, 1, 6.0)
    (row,) = csv.DictReader(io.StringIO(run(data, "printers", "usage", "--month", "2026-03", "--csv")))
    assert (row["pages"], row["used"], row["description"]) == ("3000", "0.6", "'=TK-1170")
    assert "TK-1170 0.60 used, lasts 6 days" in run(data, "printers", "usage", "--month", "2026-03")
    show = run(data, "printers", "show", printer)
    assert re.search(r"\n\nsupplies:\nINDEX +TYPE .*\n1 +toner +black +=TK-1170 +0\.4 ", show)
    (april,) = json.loads(run(data, "printers", "usage", "--month", "2026-04", "--json"))
    assert april["pages"] is None
    assert "write a month like" in run(data, "printers", "usage", "--month", "March", fails=True)
    assert "no customer" in run(data, "printers", "usage", "--month", "2026-03", "--customer", "x", fails=True)
