"""What rules would have done, in tickets: the same as what they do. A replay has an SQLite database of its own;
test_changes.py has it begin from either kind."""

import asyncio
import json
import xml.etree.ElementTree as ET
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector.cli import main
from collector.config import Settings
from collector.series import snapshot
from tests.backtest.past import END, Device, make_past, server

DAYS = timedelta(days=2)
START = END - DAYS

NEW = """\
groups:
  - name: disks
    rules:
      - alert: ServerFilesystemFull
        expr: system_filesystem_utilization_ratio{kind="server"} > 0.8
        for: 10m
        labels: {severity: major, incident: filesystem_space}
        annotations: {summary: "{{ $labels.device_id }} is full"}
"""


def hours(at: datetime) -> float:
    """Since the beginning."""
    return (at - START) / timedelta(hours=1)


def full_from(first: float, last: float, level: float = 0.85) -> Device:
    return server("acme", f"srv-{first:g}", lambda at: level if first <= hours(at) < last else 0.5)


FLEET = [
    full_from(5, 9),  # a ticket of its own
    full_from(30, 100, level=0.99),  # a ticket under either rules, still open
    server("acme", "srv-short", lambda at: 0.85 if 3 <= hours(at) < 3.1 else 0.5),  # too short for `for`
    # Full when it is switched off, and healed when it is back: one ticket, resolved when it is seen again.
    server(
        "acme",
        "srv-off",
        lambda at: None if 12 <= hours(at) < 20 else 0.85 if hours(at) < 12 and hours(at) >= 10 else 0.5,
    ),
    # Full again within a day: reopened.
    server("acme", "srv-again", lambda at: 0.85 if 2 <= hours(at) < 4 or 7 <= hours(at) < 8 else 0.5),
    server("bakkerij", "kassa", lambda at: 0.85 if 5 <= hours(at) < 9 else 0.5),
    *(server("bakkerij", f"pc-{number}", lambda at: 0.85 if 40 <= hours(at) < 41 else 0.5) for number in range(10)),
]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("past")
    asyncio.run(make_past(folder, Settings(data=folder).database, FLEET, START))
    return folder


@pytest.fixture
def at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.cli.rules.system_clock", lambda: END)


@pytest.mark.usefixtures("at_the_end")
def test_a_changed_rule_is_told_in_tickets_beside_the_one_in_force(past: Path, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(NEW)
    picture = tmp_path / "new.svg"
    command = ["rules", "backtest", str(tmp_path / "new.yaml"), "--since", "2d", "--data", str(past)]
    result = CliRunner().invoke(main, [*command, "--json", "--picture", str(picture)])
    assert result.exit_code == 0, result.output
    rows = {row["customer"]: row for row in json.loads(result.stdout)}
    acme, bakkerij = rows["acme"], rows["bakkerij"]
    assert (acme["alerts"], acme["tickets"], acme["reopened"], acme["shadow_tickets"]) == (5, 4, 1, 0)
    assert (acme["alerts_before"], acme["tickets_before"]) == (1, 1)  # above the default threshold there is one
    assert (bakkerij["alerts"], bakkerij["tickets"], bakkerij["shadow_tickets"]) == (11, 0, 2)  # one of them a storm
    assert "rule 1 of 1: ServerFilesystemFull" in result.stderr
    drawn = ET.fromstring(picture.read_text())  # noqa: S314 - our own
    titles = [one.text or "" for one in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert sum("srv-" in title for title in titles) == 5
    assert any("10 incidents at once" in title for title in titles)
    assert list(past.glob("backtest-*")) == []


@pytest.mark.usefixtures("at_the_end")
def test_one_customer_and_a_file_to_compare_with(past: Path, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(NEW)
    (tmp_path / "old.yaml").write_text(NEW.replace("0.8", "0.98"))
    arguments = ["--since", "36h", "--customer", "acme", "--against", str(tmp_path / "old.yaml"), "--data", str(past)]
    result = CliRunner().invoke(main, ["rules", "backtest", str(tmp_path / "new.yaml"), "--json", *arguments])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert (row["customer"], row["tickets"], row["tickets_before"]) == ("acme", 2, 1)  # one was open at the beginning
    assert result.stderr.count("rule 1 of 1") == 2


@pytest.mark.usefixtures("at_the_end")
def test_a_rule_that_stands_in_both_sets_is_replayed_once(past: Path, tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / f"{name}.yaml").write_text(NEW)
    arguments = ["--since", "36h", "--customer", "acme", "--against", str(tmp_path / "old.yaml"), "--data", str(past)]
    result = CliRunner().invoke(main, ["rules", "backtest", str(tmp_path / "new.yaml"), "--json", *arguments])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert (row["tickets"], row["tickets_before"]) == (2, 2)
    assert result.stderr.count("rule 1 of 1") == 1


@pytest.mark.usefixtures("at_the_end")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--customer", "nobody"], "no customer 'nobody'"), (["--since", "soon"], "write a length of time")],
)
def test_what_is_wrong_is_told(past: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "new.yaml").write_text(NEW)
    command = ["rules", "backtest", str(tmp_path / "new.yaml"), "--data", str(past), *arguments]
    result = CliRunner().invoke(main, command)
    assert result.exit_code != 0
    assert said in result.stderr


def test_a_picture_of_the_samples_changes_nothing_of_them(past: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in past.rglob("*") if path.is_file()}
    snapshot.take(Settings(data=past).data, tmp_path / "picture")
    assert {path: path.stat().st_mtime_ns for path in past.rglob("*") if path.is_file()} == before
    blocks = [path.name for path in (past / "history").glob("*.parquet")]
    assert blocks
    assert all((tmp_path / "picture" / "history" / name).samefile(past / "history" / name) for name in blocks)
