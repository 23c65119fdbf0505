"""Contracts, contacts, users and the end of a customer on the command line."""

import json
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from collector.cli import main

pytestmark = pytest.mark.usefixtures("state")

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command on a data folder that has the customer acme."""

    def invoke(*arguments: str, code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path)], input=stdin)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    invoke("customers", "add", "acme", "--name", "Acme BV", "--plan", "monthly")
    return invoke


def rows(run: Run, *arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def test_an_end_that_does_not_come_about_is_refused(run: Run) -> None:
    assert "ends 2099-01-01" in run("contracts", "end", "1", "--on", "2099-01-01").stderr
    assert "ends 2099-01-01" in run("contracts", "end", "1", "--on", "2099-01-01").stderr
    later = run("contracts", "end", "1", "--on", "2099-06-30", code=1).stderr
    assert "before that day: have it end later with: contracts change 1 --until 2099-06-30" in later
    run("contracts", "add", "acme", "--plan", "monthly", "--from", "2099-01-01")
    assert "contracts end 2 --on 2099-06-30" in run("contracts", "end", "1", "--on", "2099-06-30", code=1).stderr


def test_a_customer_of_a_later_day_has_no_contract_until_then(run: Run) -> None:
    added = run("customers", "add", "beta", "--name", "Beta BV", "--plan", "monthly", "--from", "2099-01-01").stderr
    assert "begins 2099-01-01" in added and "no contract until then" in added
    assert "until then" not in run("customers", "add", "delta", "--name", "Delta BV", "--plan", "monthly").stderr


def test_a_contract_is_changed_from_a_day_on(run: Run) -> None:
    run("sites", "add", "hq", "--customer", "acme")
    agreed = (
        "--number",
        "2099-1",
        "--signed-on",
        "2026-02-27",
        "--term-months",
        "36",
        "--fee",
        "250",
        "--sla",
        "critical",
    )
    (changed,) = rows(
        run, "contracts", "change", "1", "--from", "2099-01-01", *agreed, "--site", "hq", "--kind", "server"
    )
    assert (changed["id"], changed["fee"], changed["signed_on"]) == (2, "250", "2026-02-27")
    assert changed["scope"] == {"sites": ["hq"], "kinds": ["server"]}
    (wider,) = rows(run, "contracts", "change", "2", "--unset", "scope", "--unset", "sla", "--hourly-rate", "80.50")
    assert (wider["id"], wider["scope"], wider["sla"], wider["hourly_rate"]) == (2, None, None, "80.50")
    run("contracts", "end", "2", "--on", "2099-06-30")
    (later,) = rows(
        run, "contracts", "add", "acme", "--plan", "break_fix", "--from", "2099-07-01", "--until", "2100-01-01"
    )
    listed = rows(run, "contracts", "list", "--customer", "acme")
    assert [(one["id"], one["plan"]) for one in listed] == [(1, "monthly"), (2, "monthly"), (3, "break_fix")]
    assert rows(run, "contracts", "show", "3") == [later]
    told = run("contracts", "add", "acme", "--plan", "monthly", "--site", "paris", "--currency", "EURO", code=1).stderr
    assert "paris" in told and "'EURO'" in told and "one at a time" in told
    assert "two decimals" in run("contracts", "change", "1", "--fee", "1.005", code=2).stderr
    run("contracts", "change", "1", code=2)


def test_what_holds_under_a_contract_is_told_in_words(run: Run) -> None:
    def shown(contract: str) -> tuple[dict[str, str], str]:
        result = run("contracts", "show", contract)
        return dict(line.split(None, 1) for line in result.stdout.splitlines()), result.stderr

    told, notes = shown("1")
    assert (told["monthly_fee"], told["sla"], told["covers"]) == (
        "75.00 EUR (model monthly)",
        "standard (model)",
        "all that acme has",
    )
    assert "server 65.00" in told["per_device"] and told["prices"] == "as agreed" and notes == ""
    run("contracts", "change", "1", "--fee", "80", "--currency", "USD", "--sla", "critical", "--kind", "server")
    told, notes = shown("2")
    assert (told["monthly_fee"], told["sla"], told["covers"]) == (
        "80.00 USD (contract 2)",
        "critical",
        "kinds: server",
    )
    assert told["per_device"] == "-" and "note: contract 2 is in USD, and its fee for a server" in notes
    run("customers", "set-plan", "acme", "break_fix")
    told, _ = shown("3")
    assert told["hours"].startswith("by ticket, rounded up to 15 min, 30 min at least")
    assert (told["hourly_rate"], told["travel"]) == ("95.00 EUR (model break_fix)", "45.00 EUR a day of a ticket")


def test_what_ends_soon_is_listed(run: Run) -> None:
    def ending(days: int) -> list[str]:
        return [one["customer"] for one in rows(run, "contracts", "list", "--ending-within", str(days))]

    run("customers", "add", "bakkerij", "--name", "Bakkerij", "--plan", "managed")
    assert ending(36_500) == []  # until further notice
    run("contracts", "change", "1", "--term-months", "2")
    (contract,) = [one for one in rows(run, "contracts", "list", "--customer", "acme") if one["valid_to"] is None]
    assert contract["notice"] == "goes on for 2 months unless it is ended"
    assert "goes on for 2 months" in run("contracts", "show", str(contract["id"])).stdout
    assert (ending(20), ending(70)) == ([], ["acme"])
    tomorrow = f"{datetime.now().astimezone() + timedelta(days=2):%Y-%m-%d}"
    run("contracts", "end", "2", "--on", tomorrow)
    assert ending(20) == ["bakkerij"]
    later = f"{datetime.now().astimezone() + timedelta(days=1):%Y-%m-%d}"
    (dearer,) = rows(run, "contracts", "change", str(contract["id"]), "--from", later, "--fee", "99")
    (before,) = rows(run, "contracts", "show", str(contract["id"]))
    assert before["notice"] == f"contract {dearer['id']} follows"
    assert dearer["term_ends_at"] == contract["term_ends_at"]  # the same term goes on
    assert (ending(20), ending(70)) == (["bakkerij"], ["acme", "bakkerij"])
    (ended,) = rows(run, "contracts", "list", "--ending-within", "20")
    assert (ended["term_ends_at"], ended["notice"]) == (ended["valid_to"], "is over then")


def test_prices_are_those_that_were_agreed(run: Run, tmp_path: Path) -> None:
    (before,) = rows(run, "contracts", "show", "1")
    assert before["charge"]["monthly_fee"] == "75.00"
    (tmp_path / "service_models.yaml").write_text(
        "monthly: {title: Monthly, on_alert: ticket, charge: {monthly_fee: '99.00'}}\n"
    )
    (same,) = rows(run, "contracts", "change", "1", "--from", "2099-01-01", "--fee", "80")
    assert same["charge"] == before["charge"]
    (newer,) = rows(run, "contracts", "change", str(same["id"]), "--from", "2099-02-01", "--current-prices")
    assert (newer["charge"]["monthly_fee"], newer["fee"]) == ("99.00", "80")


def test_contacts(run: Run) -> None:
    jansen = ("--name", "J. Jansen", "--email", "j.jansen@acme.example", "--main")
    (made,) = rows(run, "contacts", "add", "acme", *jansen)
    assert (made["language"], made["is_main"]) == ("nl", True)
    (changed,) = rows(run, "contacts", "change", "1", "--language", "en", "--email", "", "--not-main")
    assert (changed["language"], changed["email"], changed["is_main"]) == ("en", None, False)
    assert rows(run, "contacts", "show", "1") == rows(run, "contacts", "list", "--customer", "acme")
    run("contacts", "end", "1")
    assert rows(run, "contacts", "list") == []
    assert "mail address" in run("contacts", "add", "acme", "--name", "X", "--email", "x", code=1).stderr


def test_which_contact_a_user_is_may_change(run: Run) -> None:
    for name in ("J. Jansen", "P. Pieters"):
        run("contacts", "add", "acme", "--name", name)
    run("users", "add", "jan", "--name", "J. Jansen", "--role", "contact", "--customer", "acme", "--contact", "1")
    assert rows(run, "users", "change", "jan", "--contact", "2")[0]["contact"] == 2
    assert rows(run, "users", "change", "jan", "--contact", "")[0]["contact"] is None
    assert (
        "none of that customer's; see: contacts list" in run("users", "change", "jan", "--contact", "9", code=1).stderr
    )
    assert "see: contacts list" in run("users", "change", "jan", "--contact", "Jan", code=2).stderr


def test_users_and_a_password_that_is_no_argument(run: Run) -> None:
    run("users", "add", "anna", "--name", "Anna de Vries", "--role", "technician")
    run("users", "set-password", "anna", stdin="correct horse battery\n")
    assert "12 to 1024 characters" in run("users", "set-password", "anna", stdin="short\n", code=1).stderr
    run("users", "set-password", "nobody", stdin="correct horse battery\n", code=1)
    (anna,) = rows(run, "users", "list")
    assert (anna["role"], anna["has_password"]) == ("technician", True)
    assert "reach further" in run("tokens", "create", "--role", "admin", "--user", "anna", code=1).stderr
    run("tokens", "create", "--role", "technician", "--user", "anna")
    run("users", "disable", "anna")
    (token,) = rows(run, "tokens", "list")
    assert (token["user"], token["usable"]) == ("anna", False)
    run("users", "enable", "anna")
    assert rows(run, "users", "change", "anna", "--role", "viewer")[0]["role"] == "viewer"
    assert rows(run, "users", "show", "anna")[0]["disabled_at"] is None
    (token,) = rows(run, "tokens", "list")
    assert token["revoked_at"] is not None
    assert "correct" not in run("audit", "list", "--json").stdout


def test_a_customer_is_ended_only_by_somebody_who_is_sure(run: Run, tmp_path: Path) -> None:
    run("contacts", "add", "acme", "--name", "J. Jansen")
    file = str(tmp_path / "acme.zip")
    lacking = run("customers", "end", "acme", code=2).stderr
    assert "name --export FILE.zip" in lacking and "--yes" in lacking  # all at once
    assert "--export" not in run("customers", "end", "acme", "--export", file, code=2).stderr.partition("Error")[2]
    assert "cannot be written" in run("customers", "end", "acme", "--export", f"{file}/x", "--yes", code=1).stderr
    assert rows(run, "customers", "show", "acme")[0]["ended_at"] is None
    run("customers", "end", "acme", "--on", "2099-01-01")
    assert rows(run, "contracts", "show", "1")[0]["valid_to"] is not None
    told = run("customers", "end", "acme", "--export", file, "--yes").stderr
    assert "exported contacts: 1" in told and "erased: what named people" in told
    assert "nothing to do" in run("customers", "end", "acme", "--export", file, "--yes").stderr
    assert "no longer looked after" in run("tokens", "create", "--role", "viewer", "--customer", "acme", code=1).stderr
    again = run("customers", "add", "acme", "--name", "Acme BV", "--plan", "monthly", code=1).stderr
    assert "its history stays under that name: take another, such as acme-2" in again
    with zipfile.ZipFile(file) as archive:
        assert json.loads(archive.read("contacts.json"))[0]["name"] == "J. Jansen"
