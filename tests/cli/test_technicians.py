"""Technicians on the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector.cli import main

pytestmark = pytest.mark.usefixtures("state")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    run(tmp_path, "customers", "add", "acme", "--name", "Acme", "--plan", "monthly")
    run(tmp_path, "technicians", "add", "anna", "--name", "Anna", "--skills", "network, printers", "--serves", "acme")
    return tmp_path


def test_time_of_who_is_no_technician_is_told(data: Path) -> None:
    number = run(data, "tickets", "add", "--customer", "acme", "--title", "till").strip()
    for who, told in (("ana", "note: ana is no technician; --as says whose time it is: anna"), ("anna", "")):
        add = ["tickets", "work", "add", number, "--minutes", "5", "--as", who, "--data", str(data)]
        result = CliRunner().invoke(main, add)
        assert result.exit_code == 0 and result.stderr.strip() == told


def test_who_is_on_call_and_absent_is_told(data: Path) -> None:
    def told(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["technicians", *arguments, "--data", str(data)])
        assert result.exit_code == 0, result.output
        return result.stderr

    assert "absent from" not in told("on-call", "rota", "anna", "--from", "2099-03-02", "--turns", "2")
    away = ("absent", "anna", "--from", "2099-03-08", "--until", "2099-03-08", "--reason", "a wedding")
    note = "note: anna is on call (shift 1) and absent from 2099-03-0"
    assert note in told(*away) and ", 24 h" in told("on-call", "list")
    assert note in told("on-call", "add", "anna", "--from", "2099-05-01", "--until", "2099-05-01")
    assert ", 2,241 h" in told("on-call", "rota", "anna", "--from", "2099-08-03")
    told("on-call", "remove", "1")
    assert "absent" not in told("on-call", "list")


def run(data: Path, *arguments: str, fails: bool = False) -> str:
    result = CliRunner().invoke(main, [*arguments, "--data", str(data)])
    assert (result.exit_code != 0) == fails, result.output
    return result.stderr if fails else result.stdout


def test_add_change_and_show(data: Path) -> None:
    run(data, "technicians", "change", "anna", "--serves", "", "--hours", "Mon-Sun 00:00-24:00", "--holidays", "none")
    (anna,) = json.loads(run(data, "technicians", "list", "--json"))
    assert (anna["skills"], anna["serves"], anna["at_work"]) == (["network", "printers"], [], True)
    run(data, "technicians", "absent", "anna", "--until", "2099-01-01", "--reason", "a long journey")
    (shown,) = json.loads(run(data, "technicians", "show", "anna", "--json"))
    assert (shown["at_work"], shown["away_until"]) == (False, "2099-01-01T23:00:00.000Z")  # the whole day
    assert shown["absences"][0]["reason"] == "a long journey"
    run(data, "technicians", "back", "anna")
    assert json.loads(run(data, "technicians", "list", "--json"))[0]["at_work"]


def test_what_is_wrong_is_told(data: Path) -> None:
    assert "there is no customer nobody" in run(data, "technicians", "change", "anna", "--serves", "nobody", fails=True)
    assert "name what to change" in run(data, "technicians", "change", "anna", fails=True)
    assert "write a day like" in run(data, "technicians", "absent", "anna", "--until", "soon", fails=True)
    assert "no technician 'bob'" in run(
        data, "technicians", "on-call", "rota", "bob", "--from", "2099-01-01", fails=True
    )


def test_a_rota_and_its_gaps(data: Path) -> None:
    run(data, "technicians", "add", "bob", "--name", "Bob")
    run(data, "technicians", "on-call", "rota", "anna", "bob", "--from", "2099-03-02", "--turns", "3")
    added = run(
        data, "technicians", "on-call", "add", "bob", "--from", "2099-04-01 18:00", "--until", "2099-04-02 08:00"
    )
    rows = json.loads(run(data, "technicians", "on-call", "list", "--json"))
    assert [row["technician"] for row in rows] == ["anna", "bob", "anna", None, "bob"]
    assert (rows[0]["starts_at"], rows[3]["starts_at"]) == ("2099-03-02T08:00:00.000Z", "2099-03-23T08:00:00.000Z")
    run(data, "technicians", "on-call", "remove", added.strip())
    assert len(json.loads(run(data, "technicians", "on-call", "list", "--json"))) == 3


def test_help_names_defaults_only_for_who_is_new() -> None:
    told = [CliRunner().invoke(main, ["technicians", one, "--help"]).stdout.split() for one in ("add", "change")]
    assert ["all]" in words and "20]" in words for words in told] == [True, False]
