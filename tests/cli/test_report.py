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
    shown = run("report", "billing", "--month", month, "--customer", "acme").stdout
    assert "Acme BV (acme)" in shown and "VAT 21 %" in shown and "model monthly" in shown
    assert "nothing to bill" in run("report", "billing", "--month", "2020-01").stderr
    assert json.loads(run("report", "billing", "--month", "2020-01", "--json").stdout) == []


def test_wrong_questions(run: Run) -> None:
    assert "write a month like 2026-03" in run("report", "billing", "--month", "march", code=1).stderr
    assert (
        "no customer 'nosuch'" in run("report", "billing", "--month", "2026-03", "--customer", "nosuch", code=1).stderr
    )
    assert "choose one" in run("report", "billing", "--month", "2026-03", "--csv", "--json", code=2).stderr
