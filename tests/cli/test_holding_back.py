"""Windows, silences and alerts on the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from collector.cli import main

Run = Callable[..., Result]
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
