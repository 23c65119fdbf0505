import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from collector.cli import NOUNS, common, main
from collector.cli.common import Duration, Row, print_rows
from collector.cli.local_time import CLOCK, DAY, DAY_OR_TIME, MOMENT, in_own_zone
from collector.cli.tables import iso
from collector.config import load_settings
from collector.db.database import Database
from collector.pidfile import only_server
from tests.fleet.world import World, make_token, request

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command on a data folder of its own."""

    def invoke(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path / "data")])
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    return invoke


@pytest.fixture
def listed(run: Run) -> Callable[..., list[dict[str, object]]]:
    def rows(*arguments: str) -> list[dict[str, object]]:
        found = json.loads(run(*arguments, "--json").stdout)
        assert isinstance(found, list)
        return found

    return rows


Listed = Callable[..., list[dict[str, object]]]


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for part in command.list_commands(context):
            found = command.get_command(context, part)
            assert found is not None
            yield from commands(found, f"{name} {part}")


@pytest.mark.parametrize(("name", "command"), list(commands(main, "main")), ids=lambda value: str(value)[:40])
def test_every_command_has_help_with_an_example(name: str, command: click.Command) -> None:
    assert command.help is not None
    assert re.search(r"[Ee]\.g\. `|Example: ", command.help), name
    assert all(param.help for param in command.params if isinstance(param, click.Option)), name


MADE = ["customers", "sites", "contracts", "contacts", "users", "printers", "tickets", "silences", "windows"]


@pytest.mark.parametrize("noun", [*MADE, "technicians", "maintenance"])
def test_what_people_make_is_added_and_listed(noun: str) -> None:
    group = main.get_command(click.Context(main), noun)
    assert isinstance(group, click.Group)
    assert {"add", "list"} <= set(group.commands)


def test_every_noun_is_there_and_the_help_says_of_it_what_it_says_itself() -> None:
    context = click.Context(main)
    assert main.list_commands(context) == list(NOUNS)
    for noun, line in NOUNS.items():
        command = main.get_command(context, noun)
        assert command is not None and command.get_short_help_str(500) == line


def test_the_help_loads_no_noun() -> None:
    code = "import sys; from collector.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told, _, modules = done.stdout.rstrip().rpartition("\n")
    assert set(re.findall(r"^  (\w+)  ", told, re.MULTILINE)) == set(NOUNS)
    assert [name for name in modules.split() if name.startswith("collector.")] == ["collector.cli"]


@pytest.mark.parametrize(
    "arguments", [("customers", "list"), ("tokens", "create", "--role", "viewer"), ("db", "check")]
)
def test_a_folder_without_state_stays_without(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, code=1)
    assert f"there is no collector state in {tmp_path}/data: check --data" in result.stderr
    assert not (tmp_path / "data").exists()


def test_an_unknown_noun_is_wrong_usage(run: Run) -> None:
    assert "No such command" in run("tockens", code=2).stderr


@pytest.mark.usefixtures("state")
def test_a_customer_from_first_to_last(run: Run, listed: Listed) -> None:
    run("customers", "add", "acme", "--name", "Acme BV", "--plan", "monthly")
    token = run("tokens", "create", "--customer", "acme", "--site", "hq", "--kind", "server", "--uses", "1").stdout
    assert re.fullmatch(r"[\w-]{43}\n", token)
    viewer = run("tokens", "create", "--role", "viewer", "--expires", "30d").stdout
    assert re.fullmatch(r"[\w-]{43}\n", viewer)
    (site,) = listed("sites", "list", "--customer", "acme")
    assert (site["id"], site["time_zone"]) == ("hq", "Europe/Amsterdam")
    enrolment, access = listed("tokens", "list")
    assert (enrolment["role"], enrolment["kind"], enrolment["uses_left"]) == ("enroll", "server", 1)
    assert ISO.fullmatch(str(enrolment["expires_at"])) and access["role"] == "viewer"
    run("tokens", "revoke", "2")
    assert [row["usable"] for row in listed("tokens", "list")] == [True, False]
    run("customers", "set-plan", "acme", "break_fix", "--from", "2999-01-01")
    assert [row["plan"] for row in listed("contracts", "list")] == ["monthly", "break_fix"]
    (customer,) = listed("customers", "show", "acme")
    assert (customer["plan"], customer["sites"]) == ("monthly", ["hq"])
    actions = [row["action"] for row in listed("audit", "list")]
    assert actions == [
        "customers.set-plan",
        "tokens.revoke",
        "tokens.create",
        "tokens.create",
        "sites.add",
        "customers.add",
    ]
    assert token.strip() not in json.dumps(listed("audit", "list") + listed("tokens", "list"))


@pytest.mark.usefixtures("state")
def test_break_fix_needs_a_consent_before_its_token(run: Run, listed: Listed) -> None:
    run("customers", "add", "bob", "--name", "Bob", "--plan", "break_fix")
    create = ("tokens", "create", "--customer", "bob", "--site", "hq", "--kind", "desktop")
    refused = run(*create, code=1)
    assert refused.stdout == "" and "--monitoring-consent" in refused.stderr
    assert "contracts change 1 --monitoring-consent" in refused.stderr
    run("customers", "set-plan", "bob", "break_fix", "--monitoring-consent", "Bob, 2026-01-01")
    run(*create)
    assert [row["monitoring_consent_by"] for row in listed("contracts", "list")] == [None, "Bob"]


@pytest.mark.usefixtures("state")
def test_a_customer_of_long_standing_has_the_contract_of_then(run: Run, listed: Listed) -> None:
    add = ("customers", "add", "acme", "--name", "Acme BV", "--plan", "monthly")
    wrong = run(*add, "--from", "1024-05-01", "--sla", "gold", code=1).stderr
    assert "no earlier than 1970-01-01" in wrong and "the SLA 'gold'" in wrong
    run(*add, "--from", "2024-05-01", "--term-months", "36", "--number", "2024-011", "--fee", "250")
    (contract,) = listed("contracts", "list")
    assert (contract["number"], contract["fee"], contract["notice"]) == (
        "2024-011",
        "250",
        "goes on for 36 months unless it is ended",
    )
    assert str(contract["term_ends_at"])[5:10] in ("04-30", "05-01")  # by the clock of Amsterdam
    (record,) = listed("audit", "list")
    assert "2024-011" in str(record["data"])


@pytest.mark.usefixtures("state")
def test_a_plan_set_tells_what_it_drops(run: Run) -> None:
    run("customers", "add", "acme", "--name", "Acme BV", "--plan", "monthly")
    run("contracts", "change", "1", "--plan", "managed", "--from", "2999-01-01")
    told = run("customers", "set-plan", "acme", "hybrid", "--from", "2998-01-01").stderr
    assert "note: contract 2 (managed, from 2999-01-01" in told and told.count("note:") == 1


@pytest.mark.usefixtures("state")
def test_thresholds_of_each_layer(run: Run, listed: Listed) -> None:
    run("customers", "add", "acme", "--name", "Acme BV", "--plan", "monthly")
    run("sites", "add", "hq", "--customer", "acme")
    run("thresholds", "set", "filesystem_full", "0.01", "--customer", "acme")
    run("thresholds", "set", "filesystem_full", "0.5", "--plan", "monthly")
    run("thresholds", "set", "filesystem_full", "0.6", "--site", "acme/hq")
    run("thresholds", "set", "filesystem_full", "0.7", "--site", "hq", "--customer", "acme")
    assert [(row["layer"], row["subject"], row["value"]) for row in listed("thresholds", "list")] == [
        ("customer", "acme", 0.01),
        ("plan", "monthly", 0.5),
        ("site", "acme/hq", 0.7),
    ]
    run("thresholds", "unset", "filesystem_full", "--customer", "acme")
    run("thresholds", "unset", "filesystem_full", "--customer", "acme", code=1)
    assert len(listed("thresholds", "list", "--all")) == 4


@pytest.mark.usefixtures("state")
def test_thresholds_by_the_hour(run: Run, listed: Listed) -> None:
    run("customers", "add", "acme", "--name", "Acme", "--plan", "monthly")
    night = ("--customer", "acme", "--hours", "Mon-Fri 22:00-02:00")
    run("thresholds", "set", "cpu_busy", "0.8", "--customer", "acme")
    assert "cpu_busy is 0.99 for customer acme, mon-fri" in run("thresholds", "set", "cpu_busy", "0.99", *night).stderr
    assert [(row["value"], row["hours"]) for row in listed("thresholds", "list")] == [
        (0.8, None),
        (0.99, "mon-fri 22:00-02:00"),
    ]
    assert (
        "write hours" in run("thresholds", "set", "cpu_busy", "1", "--customer", "acme", "--hours", "x", code=1).stderr
    )
    run("thresholds", "unset", "cpu_busy", *night)
    assert [row["value"] for row in listed("thresholds", "list")] == [0.8]


@pytest.mark.usefixtures("state")
def test_thresholds_explain_names_each_layer(run: Run, listed: Listed, tmp_path: Path) -> None:
    run("customers", "add", "acme", "--name", "Acme", "--plan", "monthly")
    device = asyncio.run(enrolled(load_settings(tmp_path / "data").database))
    run("thresholds", "set", "cpu_busy", "0.8", "--plan", "monthly")
    run("thresholds", "set", "cpu_busy", "0.99", "--device", device, "--hours", "mon-sun 00:00-24:00")
    rows = listed("thresholds", "explain", "cpu_busy", "--device", device)
    assert [(row["layer"], row["value"], row["hours"], row["counts"]) for row in rows] == [
        ("default", 0.9, None, False),
        ("plan", 0.8, None, False),
        ("device", 0.99, "mon-sun 00:00-24:00", True),
    ]
    assert "no device" in run("thresholds", "explain", "cpu_busy", "--device", "nothing", code=1).stderr


async def enrolled(url: str) -> str:
    """The id of a new server of acme's."""
    now = datetime.now(UTC)
    async with await Database.open(url) as database, database.begin() as connection:
        token = await make_token(connection, now=now)
        outcome = await World().enrollment.enroll(connection, request(token), now=now)
        return outcome.device_id


def test_thresholds_are_known_by_name_and_unit(run: Run, listed: Listed, tmp_path: Path) -> None:
    run("customers", "add", "acme", "--name", "Acme BV", "--plan", "monthly")
    assert "did you mean" in run("thresholds", "set", "filesystem_ful", "0.5", "--customer", "acme", code=1).stderr
    assert "write 0.95" in run("thresholds", "set", "filesystem_full", "95", "--customer", "acme", code=1).stderr
    full = next(row for row in listed("thresholds", "defaults") if row["name"] == "filesystem_full")
    assert (full["unit"], full["default"], full["min"], full["max"]) == ("ratio", 0.9, 0, 1)
    own = tmp_path / "rules"
    own.mkdir()
    (own / "thresholds.yaml").write_text("thresholds: {mine: {description: d, unit: seconds, default: 1}}\n")
    with only_server(tmp_path / "data", own):  # the rules in force are those of the process that serves
        assert [row["name"] for row in listed("thresholds", "defaults")] == ["mine"]
        run("thresholds", "set", "mine", "7", "--customer", "acme")
    assert (tmp_path / "data" / "serve.pid").stat().st_mode & 0o777 == 0o600
    assert listed("thresholds", "list")[0]["name"] == "mine"


@pytest.mark.parametrize(
    "arguments",
    [
        ("thresholds", "set", "filesystem_full", "0.1"),
        ("thresholds", "set", "filesystem_full", "0.1", "--customer", "acme", "--device", "x"),
        ("thresholds", "set", "filesystem_full", "0.1", "--site", "hq"),
        ("thresholds", "set", "filesystem_full", "much", "--customer", "acme"),
        ("tokens", "create", "--customer", "acme"),
        ("tokens", "create", "--role", "viewer", "--kind", "server"),
        ("tokens", "create", "--role", "viewer", "--expires", "soon"),
        ("tokens", "create", "--customer", "acme", "--site", "hq", "--kind", "toaster"),
        ("tickets", "list", "--shadow", "--status", "new"),
        ("tickets", "set-status", "1001", "done"),
        ("customers", "add", "acme", "--name", "Acme"),
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, arguments: tuple[str, ...]) -> None:
    run("db", "migrate")
    assert run(*arguments, code=2).stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("customers", "show", "nobody"),
        ("customers", "add", "Acme B.V.", "--name", "Acme", "--plan", "monthly"),
        ("customers", "add", "acme", "--name", "Acme", "--plan", "yearly"),
        ("tokens", "revoke", "3"),
        ("devices", "show", "nothing"),
        ("devices", "end", "nothing"),
        ("tickets", "show", "1001"),
        ("tickets", "comment", "1001", "hello"),
        ("thresholds", "set", "filesystem_full", "nan", "--plan", "monthly"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_1(run: Run, arguments: tuple[str, ...]) -> None:
    run("db", "migrate")
    result = run(*arguments, code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1


def test_lists_of_nothing_are_empty_arrays(listed: Listed, run: Run) -> None:
    run("db", "migrate")
    for noun in ("customers", "sites", "contracts", "tokens", "devices", "tickets", "thresholds", "audit"):
        assert listed(noun, "list") == []
    assert listed("tickets", "list", "--shadow", "--all") == []
    assert run("tickets", "list").stdout == ""
    assert run("db", "check").stdout == "no problems\n"
    assert "schema" in run("db", "migrate").stdout


def test_a_wrong_config_is_refused_with_its_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "config.toml").write_text("retention = 3\n")
    assert f"{tmp_path}/data/config.toml: retention: is no setting" in run("tickets", "list", code=1).stderr


def test_tickets_list_loads_neither_numpy_nor_the_server(tmp_path: Path) -> None:
    script = (
        "import sys; from collector.cli import main\n"
        "try: main(['tickets', 'list', '--json'])\n"
        "finally: print([name for name in ('numpy', 'aiohttp', 'rich', 'alembic', 'asyncpg', 'promql_parser')\n"
        "    if name in sys.modules], file=sys.stderr)\n"
    )
    environment = {**os.environ, "QUARKPULSE_DATA": str(tmp_path)}
    command = [sys.executable, "-c", script]
    begun = CliRunner().invoke(main, ["db", "migrate", "--data", str(tmp_path)])
    assert begun.exit_code == 0
    again = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert (again.stdout, again.stderr) == ("[]\n", "[]\n")


def test_text_is_aligned_and_obeys_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[Row] = [{"id": "a", "name": "\x1b[2Jwiped", "gone": []}, {"id": "longer", "name": "ok", "gone": True}]
    print_rows(rows, as_json=False, columns=["id", "name", "gone"])
    assert capsys.readouterr().out.splitlines() == [
        "ID      NAME       GONE",
        "a       �[2Jwiped  -",
        "longer  ok         yes",
    ]


@pytest.mark.parametrize(
    ("kind", "written", "told"),
    [
        (DAY, "2026-02-30", "there is no 2026-02-30: look at the calendar, or the clock"),
        (DAY, "01-05-2024", "write a day like 2026-03-02, not '01-05-2024'"),
        (DAY, "2026-03-02 09:00", "write a day like 2026-03-02, not '2026-03-02 09:00'"),
        (MOMENT, "2026-03-02 25:00", "there is no 2026-03-02 25:00: look at the calendar, or the clock"),
        (MOMENT, "2026-03-02", "write a day and time like '2026-03-02 09:00', not '2026-03-02'"),
        (DAY_OR_TIME, "2026-13-01", "there is no 2026-13-01: look at the calendar, or the clock"),
        (DAY_OR_TIME, "morgen", "write a day like 2026-03-02, or a time like '2026-03-02 09:00', not 'morgen'"),
        (CLOCK, "9", "write a time of the day like 09:00, not '9'"),
    ],
)
def test_a_day_that_is_none_is_told_from_one_written_otherwise(
    kind: click.ParamType[object], written: str, told: str
) -> None:
    with pytest.raises(click.BadParameter) as refused:
        kind.convert(written, None, None)
    assert refused.value.message == told


@pytest.fixture
def in_amsterdam(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Amsterdam")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_amsterdam")
@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (
            "holds from 2026-04-30 22:00 UTC until 2026-12-31 23:00 UTC",
            "2026-05-01 00:00 CEST until 2027-01-01 00:00 CET",
        ),
        (
            "2026-03-29 00:59:59 UTC, then 2026-03-29 01:00:00 UTC",
            "2026-03-29 01:59:59 CET, then 2026-03-29 03:00:00 CEST",
        ),
        ("2026-02-30 10:00 UTC is no time, nor is 9999-12-31 23:59 UTC", "2026-02-30 10:00 UTC is no time"),
    ],
)
def test_people_read_times_by_their_own_clock(told: str, shown: str) -> None:
    assert shown in in_own_zone(told)


@pytest.mark.usefixtures("state", "in_amsterdam")
def test_what_is_refused_is_told_by_the_clock_on_the_wall(run: Run) -> None:
    run("customers", "add", "acme", "--name", "Acme BV", "--plan", "monthly")
    run("contracts", "end", "1", "--on", "2099-05-01")
    refused = run("contracts", "add", "acme", "--plan", "monthly", "--from", "2099-04-01", code=1).stderr
    assert "until 2099-05-01 00:00 CEST" in refused and "UTC" not in refused
    number = run("tickets", "add", "--customer", "acme", "--title", "Outlook is slow").stdout.strip()
    assert re.search(r"^[0-9-]{10} [0-9:]{8} CES?T  \S+  opened", run("tickets", "show", number).stdout, re.MULTILINE)


def test_times_are_utc_with_a_z() -> None:
    assert iso(datetime(2026, 3, 2, 9, 0, 0, 999_999, tzinfo=UTC)) == "2026-03-02T09:00:00.999Z"
    assert iso(None) is None


@pytest.mark.parametrize(
    ("text", "duration"), [("90s", timedelta(seconds=90)), ("12h", timedelta(hours=12)), ("4w", timedelta(weeks=4))]
)
def test_durations(text: str, duration: timedelta) -> None:
    assert Duration().convert(text, None, None) == duration


def test_under_sudo_the_actor_is_who_called_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    assert common.actor().startswith("anna@")
