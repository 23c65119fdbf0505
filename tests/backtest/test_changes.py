"""What changes while a backtest looks: plans, the fleet, and what was never recorded."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, update

from collector.alerting.pack import load_pack
from collector.app import incident_settings
from collector.backtest.replay import Bar
from collector.backtest.run import Question, run
from collector.cli import main
from collector.config import CONFIG_NAME, load_settings
from collector.db.database import Database
from collector.db.tables import contracts, devices
from tests.backtest.past import END, MINUTE, Device, make_past, server

START = END - timedelta(hours=9)
CHANGED = START + timedelta(hours=4, minutes=7)
ENDED = START + timedelta(hours=5, minutes=30)
RULES = """\
groups:
  - name: disks
    rules:
      - record: disk:used:ratio
        expr: system_filesystem_utilization_ratio{system_filesystem_state="used"}
      - alert: ServerFilesystemFull
        expr: system_filesystem_utilization_ratio{kind="server"} > 0.8
        for: 10m
        labels: {severity: major}
        annotations: {summary: "{{ $labels.device_id }} is full"}
      - alert: ReadsWhatIsNotRecorded
        expr: disk:used:ratio{kind="server"} > 0.8
        for: 10m
        labels: {severity: major}
        annotations: {summary: "{{ $labels.device_id }} is full"}
"""


def full_from(customer: str, name: str, first: datetime, last: datetime) -> Device:
    """Switched off at `last`."""
    return server(customer, name, lambda at: None if at >= last else 0.85 if at >= first else 0.5)


@pytest.fixture
def past(tmp_path: Path, database_url: str) -> Path:
    """The bakery's plan changed, acme's server was switched off and then ended: both while their disks were full."""
    full_at = START + timedelta(hours=2)
    fleet = [
        full_from("bakkerij", "kassa", full_at, END),
        full_from("acme", "srv-gone", full_at, START + timedelta(hours=5)),
    ]
    asyncio.run(make_past(tmp_path, database_url, fleet, START))
    asyncio.run(_change(database_url))
    (tmp_path / CONFIG_NAME).write_text(f'database_url = "{database_url}"\n')
    (tmp_path / "rules.yaml").write_text(RULES)
    return tmp_path


async def _change(url: str) -> None:
    of_bakery = contracts.c.customer == "bakkerij"
    async with await Database.open(url) as database, database.begin() as connection:
        await connection.execute(update(contracts).where(of_bakery).values(valid_to=CHANGED))
        row = {"customer": "bakkerij", "plan": "monthly", "valid_from": CHANGED}
        consent = {"monitoring_consent_by": "J. Jansen", "monitoring_consent_on": START.date().isoformat()}
        await connection.execute(insert(contracts).values(row | consent))
        await connection.execute(update(devices).where(devices.c.id == "srv-gone").values(ended_at=ENDED))


async def bars(past: Path) -> Mapping[tuple[str | None, bool], Bar]:
    """By device, and by whether it is a shadow."""
    settings = load_settings(past)
    question = Question(START, END, MINUTE, None, incident_settings(settings))
    async with await Database.open(settings.database) as database:
        (outcome,) = await run(settings, database, [load_pack([past / "rules.yaml"])], question, lambda _: None)
    return {(bar.device, bar.is_shadow): bar for bar in outcome.bars}


async def test_a_new_plan_makes_a_ticket_of_what_fires(past: Path) -> None:
    found = await bars(past)
    assert found["kassa", True].resolved_at == CHANGED
    assert (found["kassa", False].opened_at, found["kassa", False].resolved_at) == (CHANGED, None)


async def test_the_alerts_of_a_device_that_was_ended_are_over(past: Path) -> None:
    bar = (await bars(past))["srv-gone", False]
    assert bar.resolved_at is not None
    assert ENDED <= bar.resolved_at <= ENDED + timedelta(minutes=5)


def test_rules_over_what_was_never_recorded_are_told(past: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.cli.rules.system_clock", lambda: END)
    command = ["rules", "backtest", str(past / "rules.yaml"), "--since", "8h", "--data", str(past)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "ReadsWhatIsNotRecorded reads disk:used:ratio, of which nothing is stored" in result.stderr
    assert "ServerFilesystemFull reads" not in result.stderr
