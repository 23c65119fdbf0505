import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from collector.cli import main
from collector.clock import system_clock, to_milliseconds
from collector.config import load_settings
from collector.db.database import Database
from collector.fleet.events import record_events
from protocol.models import Event
from tests.fleet.world import NOW, World, make_token, request

pytestmark = pytest.mark.usefixtures("state")

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def invoke(*arguments: str, code: int = 0) -> Result:
        # Options stand before the two dashes.
        at = arguments.index("--") if "--" in arguments else len(arguments)
        result = CliRunner().invoke(main, [*arguments[:at], "--data", str(tmp_path / "data"), *arguments[at:]])
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    invoke("customers", "add", "acme", "--name", "Acme BV", "--plan", "monthly")
    invoke("sites", "add", "hq", "--customer", "acme")
    return invoke


def listed(run: Run, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(*arguments, "--json").stdout)
    return found


def test_what_agents_are_told_is_set_listed_and_unset(run: Run) -> None:
    assert run("agents", "set", "interval.smart", "6h", "--customer", "acme").stderr == (
        "interval.smart is 21600s for customer acme\n"
    )
    run("agents", "set", "probe.temperature", "off", "--site", "hq", "--customer", "acme")
    run("agents", "set", "service.nginx", "on", "--customer", "acme")
    run("agents", "set", "check.root", "--customer", "acme", "--every", "5m", "--", "/opt/check_disk", "-w", "10%")
    assert [(one["key"], one["value"], one["layer"], one["subject"]) for one in listed(run, "agents", "list")] == [
        (
            "check.root",
            {"command": ["/opt/check_disk", "-w", "10%"], "interval_seconds": 300.0, "timeout_seconds": 30.0},
            "customer",
            "acme",
        ),
        ("interval.smart", 21_600.0, "customer", "acme"),
        ("service.nginx", True, "customer", "acme"),
        ("probe.temperature", False, "site", "acme/hq"),
    ]
    shown = run("agents", "list").stdout
    assert "/opt/check_disk -w 10% (every 300s)" in shown
    run("agents", "unset", "interval.smart", "--customer", "acme")
    assert "see: agents list" in run("agents", "unset", "interval.smart", "--customer", "acme", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (
            ("interval.smrt", "6h", "--customer", "acme"),
            1,
            "there is no probe 'smrt' at customer acme; there are",
        ),
        (("interval.smart", "often", "--customer", "acme"), 2, "write a length of time like 12h"),
        (("interval.smart", "on", "--customer", "acme"), 1, "interval.smart is 60 to 86400 seconds"),
        (("probe.smart", "6h", "--customer", "acme"), 2, "probe.smart is on or off, not '6h'"),
        (("probe.smart", "off", "on", "--customer", "acme"), 2, "probe.smart takes one value, got 2"),
        (("probe.smart", "off"), 2, "say what it is for by one of --customer, --site CUSTOMER/SITE or --device"),
        (("check.x", "check_disk", "--customer", "acme"), 1, "begins with the absolute path of a program"),
    ],
)
def test_mistakes_are_explained(run: Run, arguments: tuple[str, ...], code: int, complaint: str) -> None:
    assert complaint in run("agents", "set", *arguments, code=code).stderr


def test_probes_are_listed_with_their_intervals(run: Run) -> None:
    found = {one["probe"]: one for one in listed(run, "agents", "probes")}
    assert found["smart"] == {"probe": "smart", "interval_seconds": 86_400.0, "own_process": True, "devices": None}


def test_a_customer_allows_what_inventories_hold(run: Run) -> None:
    assert run("customers", "set-privacy", "acme", "--software").stderr == "acme: user_names: no, software: yes\n"
    assert run("customers", "set-privacy", "acme", "--user-names", "--no-software").stderr == (
        "acme: user_names: yes, software: no\n"
    )
    audited = [one["action"] for one in listed(run, "audit", "list")]
    assert audited.count("customers.set-privacy") == 2


def test_where_each_value_comes_from(run: Run) -> None:
    run("agents", "set", "push_interval", "30s", "--customer", "provider", code=1)
    assert "there is no device 'srv-x'" in run("agents", "explain", "srv-x", code=1).stderr


def test_events_of_a_device_are_listed(run: Run, tmp_path: Path) -> None:
    async def tell() -> str:
        async with (
            await Database.open(load_settings(tmp_path / "data").database) as state,
            state.begin() as connection,
        ):
            now = system_clock()
            token = await make_token(connection, now=now)
            device = (await World().enrollment.enroll(connection, request(token), now)).device_id
            told = {"id": "1", "t": to_milliseconds(NOW), "type": "check_changed", "check": "root", "status": 2}
            await record_events(connection, device, [Event.model_validate(told)], None, NOW)
            return device

    device = asyncio.run(tell())
    (event,) = listed(run, "devices", "events", device, "--type", "check_changed")
    assert event == {
        "at": "2026-03-02T09:00:00.000Z",
        "type": "check_changed",
        "data": {"check": "root", "status": 2},
        "received_at": "2026-03-02T09:00:00.000Z",
    }
    assert "there is no device 'srv-x'" in run("devices", "events", "srv-x", code=1).stderr
    counts = {one["key"]: (one["layer"], one["counts"]) for one in listed(run, "agents", "explain", device)}
    assert counts == {
        "push_interval": ("default", True),
        "privacy.user_names": ("customer", True),
        "privacy.software": ("customer", True),
    }
