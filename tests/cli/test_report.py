"""`report`, on what commands entered."""

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from collector.cli import main
from collector.clock import system_clock

pytestmark = pytest.mark.usefixtures("state")

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path)])
        assert result.exit_code == code, result.output
        return result

    call("customers", "add", "acme", "--name", "Acme BV", "--plan", "monthly")
    return call


def test_billing_in_three_forms(run: Run) -> None:
    now = system_clock()
    month = f"{now + timedelta(days=1):%Y-%m}"  # a day counts when it has ended
    (bill,) = json.loads(run("report", "billing", "--month", month, "--json").stdout)
    assert bill["contracts"][0]["model"] == "monthly" and bill["notices"][0].startswith(f"{month} is not over")
    assert all(isinstance(line["amount"], str) for line in bill["contracts"][0]["lines"])
    rows = list(csv.DictReader(io.StringIO(run("report", "billing", "--month", month, "--csv").stdout)))
    assert [row["kind"] for row in rows] == ["fee", "vat"]
    shown = run("report", "billing", "--month", month, "--customer", "acme", "--language", "en")
    assert "Acme BV (acme)" in shown.stdout and "VAT 21 %" in shown.stdout and "model monthly" in shown.stdout
    assert f"note: acme: {month} is not over" in shown.stderr and "is not over" not in shown.stdout
    dutch = run("report", "billing", "--month", month).stdout
    assert "maandbedrag" in dutch and "btw 21% over" in dutch and "BEDRAG" in dutch
    assert "nothing to bill" in run("report", "billing", "--month", "2020-01").stderr
    assert json.loads(run("report", "billing", "--month", "2020-01", "--json").stdout) == []


def test_a_report_is_made_unasked_of_those_whose_plan_has_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "service_models.yaml").write_text(
        "in_house: {title: In house, on_alert: ticket, maintained: [restore_test], reported: []}\n"
    )
    run("customers", "add", "own", "--name", "Ourselves", "--plan", "in_house")
    now = system_clock() + timedelta(days=1)
    plan = ("--task", "restore_test", "--repeat", "FREQ=DAILY;COUNT=2", "--from", f"{now:%Y-%m-%d %H:%M}")
    for customer in ("acme", "own"):
        run("maintenance", "add", "--customer", customer, *plan)
    month = f"{now:%Y-%m}"
    for report in ("billing", "maintenance"):
        told = run("report", report, "--month", month, "--json")
        assert [one["customer"] for one in json.loads(told.stdout)] == ["acme"]
        assert f"left out own: no plan of theirs in that month has {report}" in told.stderr
        told = run("report", report, "--month", month, "--customer", "own", "--json")
        assert [one["customer"] for one in json.loads(told.stdout)] == ["own"]
        assert "since you named own" in told.stderr
    run("customers", "set-plan", "own", "monthly")  # one plan that has it is enough
    assert len(json.loads(run("report", "billing", "--month", month, "--json").stdout)) == 2


def test_wrong_questions(run: Run) -> None:
    assert "write a month like 2026-03" in run("report", "billing", "--month", "march", code=1).stderr
    assert (
        "no customer 'nosuch'" in run("report", "billing", "--month", "2026-03", "--customer", "nosuch", code=1).stderr
    )
    assert "choose one" in run("report", "billing", "--month", "2026-03", "--csv", "--json", code=2).stderr


def test_maintenance_from_plan_to_report(run: Run) -> None:
    now = system_clock()
    tomorrow = now + timedelta(days=1)
    assert "patch_round" in run("maintenance", "tasks").stdout
    arguments = ("--customer", "acme", "--task", "restore_test", "--repeat", "FREQ=DAILY;COUNT=2")
    plan = run("maintenance", "add", *arguments, "--from", f"{tomorrow:%Y-%m-%d %H:%M}").stdout.strip()
    (listed,) = json.loads(run("maintenance", "list", "--json").stdout)
    assert (listed["task"], listed["repeat"], listed["window"]) == ("restore_test", "FREQ=DAILY;COUNT=2", None)
    assert len(json.loads(run("maintenance", "due", "--within", "7d", "--json").stdout)) == 2
    (shown,) = json.loads(run("maintenance", "show", plan, "--language", "nl", "--json").stdout)
    assert shown["checklist"][0] == "Back-up van een server gekozen" and shown["rounds"] == []
    month = f"{tomorrow:%Y-%m}"
    (report,) = json.loads(run("report", "maintenance", "--month", month, "--json").stdout)
    assert report["planned"] >= 1 and report["rounds"][0]["state"] == "coming"
    assert " gepland" in run("report", "maintenance", "--month", month).stdout  # nobody is known who reads English
    assert " planned" in run("report", "maintenance", "--month", month, "--language", "en").stdout
    assert "is no round of maintenance" in run("maintenance", "checklist", "1001", code=1).stderr
    run("maintenance", "end", plan)
    assert "has ended before" in run("maintenance", "end", plan, code=1).stderr
    assert "no maintenance" in run("report", "maintenance", "--month", "2020-01").stderr
