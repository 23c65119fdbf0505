"""What can be sold and promised, on the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector.cli import main
from collector.contracts.promises import OWN_NAME


def run(data: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["contracts", *arguments, "--data", str(data)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_models(tmp_path: Path) -> None:
    told = json.loads(run(tmp_path, "models", "--json"))
    assert [model["name"] for model in told] == ["monthly", "break_fix", "managed", "hybrid"]
    (hybrid,) = json.loads(run(tmp_path, "models", "hybrid", "--json"))
    assert hybrid["slas"] == ["response_only", "standard"]
    assert hybrid["charge"]["hours"]["included_minutes"] == 300
    assert hybrid["onboarding"][0] == {"nl": "Consult", "en": "Consultation", "seen": None}
    text = run(tmp_path, "models", "break_fix")
    assert "Oorzaak".lower() in text and "Report on cause and solution" in text


def test_slas_and_support_levels(tmp_path: Path) -> None:
    (tmp_path / OWN_NAME).write_text("slas: {gold: {title: G, targets: {P1: {response: 10m}}}}\n")
    (gold,) = json.loads(run(tmp_path, "slas", "gold", "--json"))
    assert (gold["priority"], gold["response"], gold["resolution"]) == ("P1", "0:10", None)
    assert gold["escalates_to_nobody"] is None  # there is no database to ask
    assert "16:00" in run(tmp_path, "slas")
    (level,) = json.loads(run(tmp_path, "support-levels", "lunch_break", "--year", "2027", "--json"))
    assert level["closed"][0] == {"date": "2027-01-01", "weekday": "Fri", "name": "New Year's Day"}
    assert {"date": "2027-12-24", "weekday": "Fri", "name": "Christmas Eve"} in level["closed"]
    assert "Good Friday" not in {day["name"] for day in level["closed"]}
    assert "King's Day" in run(tmp_path, "support-levels", "8x5", "--year", "2027")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("models", "gold"), "no plan 'gold'"),
        (("slas", "gold"), "no SLA 'gold'; there are standard"),
        (("support-levels", "9x9"), "no support level '9x9'"),
    ],
)
def test_what_there_is_not(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(main, ["contracts", *arguments, "--data", str(tmp_path)])
    assert result.exit_code == 1 and said in result.output
