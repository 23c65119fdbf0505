"""Windows, silences and alerts on the command line."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from collector.alerting.records import insert_alerts
from collector.cli import main
from collector.config import load_settings
from collector.db.database import Database

pytestmark = pytest.mark.usefixtures("state")

Run = Callable[..., Result]
FOR_A_DISK = ("--for", "2h", "--comment", "new disk on its way")
IN_MARCH = ("--from", "2099-03-07 02:00", "--lasts", "4h", "--reason", "new switch")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command on a data folder that has the customer acme."""

    def invoke(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path)])
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    invoke("customers", "add", "acme", "--name", "Acme BV", "--plan", "monthly")
    return invoke


def starts(run: Run) -> list[str]:
    return [window["starts"] for window in json.loads(run("windows", "list", "--all", "--json").stdout)]


def test_a_window_starts_by_the_clock_of_the_customers_sites(run: Run) -> None:
    run("windows", "add", "--customer", "acme", *IN_MARCH)
    run("sites", "add", "porto", "--customer", "acme", "--time-zone", "Europe/Lisbon")
    run("sites", "add", "lisboa", "--customer", "acme", "--time-zone", "Europe/Lisbon")
    run("windows", "add", "--customer", "acme", *IN_MARCH)
    assert starts(run) == ["2099-03-07 02:00 Europe/Amsterdam", "2099-03-07 02:00 Europe/Lisbon"]


def test_where_sites_are_in_several_zones_one_must_be_named(run: Run) -> None:
    run("sites", "add", "porto", "--customer", "acme", "--time-zone", "Europe/Lisbon")
    run("sites", "add", "delft", "--customer", "acme", "--time-zone", "Europe/Amsterdam")
    said = run("windows", "add", "--customer", "acme", *IN_MARCH, code=1).stderr
    assert "in several time zones, Europe/Amsterdam, Europe/Lisbon: name one with --time-zone" in said
    run("windows", "add", "--customer", "acme", "--site", "porto", *IN_MARCH)
    run("windows", "add", "--customer", "acme", "--time-zone", "Europe/Amsterdam", *IN_MARCH)
    assert starts(run) == ["2099-03-07 02:00 Europe/Lisbon", "2099-03-07 02:00 Europe/Amsterdam"]


def add_alerts(folder: Path) -> None:
    """One that fires at acme, and one that is pending at another customer."""

    def alert(customer: str, state: str) -> dict[str, object]:
        return {
            "rule_key": "k",
            "fingerprint": customer,
            "rule": "DiskFull",
            "rule_version": "v",
            "labels": {"alertname": "DiskFull", "customer": customer},
            "annotations": {},
            "state": state,
            "active_since": datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
            "customer": customer,
            "outcome": "none",
            "reason": "",
        }

    async def insert() -> None:
        async with (
            await Database.open(load_settings(folder).database) as database,
            database.begin() as connection,
        ):
            await insert_alerts(connection, [alert("acme", "firing"), alert("bakkerij", "pending")])

    asyncio.run(insert())


def test_alerts_are_listed_by_customer_and_state(run: Run, tmp_path: Path) -> None:
    run("customers", "add", "bakkerij", "--name", "Bakkerij", "--plan", "break_fix")
    add_alerts(tmp_path)

    def customers(*arguments: str) -> list[str]:
        return [alert["customer"] for alert in json.loads(run("alerts", "list", *arguments, "--json").stdout)]

    assert customers() == ["bakkerij", "acme"]
    assert customers("--customer", "acme") == ["acme"]
    assert customers("--state", "pending") == ["bakkerij"]
    assert customers("--customer", "acme", "--state", "pending") == []
    assert "no customer 'nosuch'" in run("alerts", "list", "--customer", "nosuch", code=1).stderr
    assert "nosuch" in run("alerts", "list", "--device", "nosuch", code=1).stderr


def test_a_silence_tells_what_it_matches(run: Run, tmp_path: Path) -> None:
    add_alerts(tmp_path)
    matching = run("silences", "add", "--match", "customer=acme", "--match", "alertname=~Disk.*", *FOR_A_DISK)
    assert (matching.stdout, matching.stderr) == ("1\n", "it matches 1 alert that is open now\n")
    idle = run("silences", "add", "--match", "customer=nosuch", *FOR_A_DISK)
    assert idle.stdout == "2\n" and "it matches no alert that is open now" in idle.stderr
    assert 'customer="acme", alertname=~"Disk.*"  ' in run("silences", "list").stdout
    first, _ = json.loads(run("silences", "list", "--json").stdout)
    assert first["matchers"] == ['customer="acme"', 'alertname=~"Disk.*"']
