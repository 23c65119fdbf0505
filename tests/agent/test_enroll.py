import json
import os
import re
import socket
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli import cli
from agent.enrolment import describe_probes, enroll
from agent.machine import instance_of, read_machine_id, read_serial
from agent.state import FolderLock, StateError, StateFolder
from protocol import models
from protocol.wire import Kind
from tests.agent.collector import DEVICE_ID, LOGIN_PAGE, SECRET, Collector, Reply
from tests.agent.conftest import AGENT
from tests.conftest import require

GOLDEN = Path("protocol/examples")


def run_cli(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def enroll_cli(collector: str, state: Path, *more: str) -> Result:
    return run_cli("enroll", "--collector", collector, "--token", "a-token", "--state", state, *more)


def test_enrolling_prints_the_device_and_fills_a_private_folder(collector: Collector, tmp_path: Path) -> None:
    state = tmp_path / "state"
    finished = subprocess.run(
        [AGENT, "enroll", "--collector", collector.url, "--token", "a-token", "--state", str(state)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == f"{DEVICE_ID}\n"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in state.iterdir()} == {
        "agent.json": 0o600,
        "config.json": 0o600,
        "lock": 0o600,
        "probes.json": 0o600,
        "secret": 0o600,
    }
    folder = StateFolder(state)
    assert (folder.load_secret(), folder.load_probes()) == (SECRET, describe_probes())
    assert SECRET not in (state / "agent.json").read_text()
    (asked,) = collector.enrolled
    assert asked.token == "a-token"
    assert asked.instance == instance_of(state)
    assert asked.machine_id
    assert asked.os


def test_the_golden_answer_is_understood(collector: Collector, tmp_path: Path) -> None:
    golden = json.loads((GOLDEN / "enroll.response.json").read_text(encoding="utf-8"))
    collector.enroll_reply = Reply(200, golden)
    assert enroll(tmp_path / "state", collector.url, "t") == golden["device_id"]
    assert StateFolder(tmp_path / "state").load_secret() == golden["secret"]


def test_the_kind_may_be_named(collector: Collector, tmp_path: Path) -> None:
    assert enroll_cli(collector.url, tmp_path / "state", "--kind", "laptop").exit_code == 0
    assert collector.enrolled[0].kind is Kind.LAPTOP


def test_enrolling_twice_is_refused_unless_forced(collector: Collector, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert enroll_cli(collector.url, state).exit_code == 0
    StateFolder(state).ended_path.touch()
    again = enroll_cli(collector.url, state)
    assert again.exit_code == 1
    assert f"already enrolled as {DEVICE_ID}" in again.output
    assert len(collector.enrolled) == 1
    assert enroll_cli(collector.url, state, "--force").exit_code == 0
    assert not StateFolder(state).ended_path.exists()


def test_what_was_spooled_as_another_device_does_not_arrive_as_this_one(collector: Collector, state: Path) -> None:
    spool = state / "spool"
    spool.mkdir()
    (spool / "0000000000000001-1796000000000.json.gz").touch()
    assert enroll_cli(collector.url, state, "--force").exit_code == 0
    assert spool.exists()  # the same device again
    answer = {"device_id": "ws-2", "secret": SECRET, "now": 1, "config": collector.config}
    collector.enroll_reply = Reply(200, answer)
    assert enroll_cli(collector.url, state, "--force").exit_code == 0
    assert not spool.exists()


def test_a_folder_in_use_is_not_enrolled_again_under_the_agents_feet(collector: Collector, state: Path) -> None:
    with FolderLock(state / "lock"):
        result = enroll_cli(collector.url, state, "--force")
    assert result.exit_code == 1
    assert "already runs" in result.output
    assert len(collector.enrolled) == 1


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (
            Reply(
                403, {"error": "token_expired", "message": "the token expired on 3 May; ask for another", "details": []}
            ),
            "expired on",
        ),
        (
            Reply(403, {"error": "token_used_up", "message": "the token has no uses left", "details": []}),
            "no uses left",
        ),
        (Reply(200, LOGIN_PAGE), "does not answer as a Quarkpulse collector"),
        (Reply(200, {"device_id": "x"}), "does not answer as a Quarkpulse collector"),
        (Reply(502, b"<h1>Bad gateway</h1>"), "502"),
        (Reply(302, b"", {"Location": "/login"}), "login page"),
    ],
    ids=["expired", "used up", "login page", "something else", "proxy", "redirect"],
)
def test_a_refusal_is_one_clear_sentence(collector: Collector, tmp_path: Path, reply: Reply, complaint: str) -> None:
    collector.enroll_reply = reply
    result = enroll_cli(collector.url, tmp_path / "state")
    assert result.exit_code == 1
    assert complaint in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "state").exists()


def test_a_failure_takes_back_what_it_made_and_nothing_else(collector: Collector, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "machine-id").write_text("known before\n")
    collector.enroll_reply = Reply(403, {"error": "token_expired", "message": "expired", "details": []})
    assert enroll_cli(collector.url, tmp_path / "state").exit_code == 1
    assert [file.name for file in (tmp_path / "state").iterdir()] == ["machine-id"]


def test_a_failure_leaves_an_enrolment_before_as_it_was(collector: Collector, state: Path) -> None:
    before = {file.name: file.read_bytes() for file in state.iterdir()}
    collector.enroll_reply = Reply(403, {"error": "token_expired", "message": "expired", "details": []})
    assert enroll_cli(collector.url, state, "--force").exit_code == 1
    assert {file.name: file.read_bytes() for file in state.iterdir()} == before


def test_an_unreachable_collector_is_one_clear_sentence(tmp_path: Path) -> None:
    result = enroll_cli("http://127.0.0.1:9", tmp_path / "state")
    assert result.exit_code == 1
    assert "refuses connections" in result.output


def test_plain_http_to_another_machine_is_refused_before_the_token_leaves(tmp_path: Path) -> None:
    result = enroll_cli("http://collector.example", tmp_path / "state")
    assert result.exit_code == 1
    assert "plain http" in result.output


def test_a_folder_that_takes_nothing_does_not_use_up_the_token(collector: Collector, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="cannot write"):
        enroll(tmp_path / "file" / "state", collector.url, "t")
    assert collector.enrolled == []


def test_a_folder_of_others_is_left_to_them(collector: Collector, tmp_path: Path) -> None:
    for name in ("machine-id", "lock", "passwd"):  # as /etc and /var hold, too
        (tmp_path / name).touch()
    tmp_path.chmod(0o755)
    result = enroll_cli(collector.url, tmp_path)
    assert result.exit_code == 1
    assert f"{tmp_path} is no state folder, it holds passwd; name an empty folder" in result.output
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert collector.enrolled == []


def test_a_folder_that_was_made_ready_is_taken(collector: Collector, tmp_path: Path) -> None:
    (tmp_path / "agent.toml").symlink_to("/etc/quarkpulse-agent/agent.toml")
    (tmp_path / "ca.pem").touch()
    assert enroll_cli(collector.url, tmp_path).exit_code == 0


def test_a_token_that_is_none_is_not_repeated_in_the_complaint(collector: Collector, tmp_path: Path) -> None:
    result = enroll_cli(collector.url, tmp_path / "state", "--token", "x" * 300)
    assert result.exit_code == 1
    assert "token" in result.output
    assert "xxx" not in result.output


def test_machine_ids_fall_back_to_a_random_one_that_stays(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    absent, empty = tmp_path / "absent", tmp_path / "empty"
    empty.write_text("uninitialized\n")
    made = read_machine_id(folder, [absent, empty])
    assert made == read_machine_id(folder, [absent])
    assert len(made) == 32
    real = tmp_path / "real"
    real.write_text("3d1219c7\n")
    assert read_machine_id(folder, [absent, real]) == "3d1219c7"


@pytest.mark.parametrize(
    ("text", "serial"), [("5CG1234XYZ\n", "5CG1234XYZ"), ("To be filled by O.E.M.\n", None), ("", None)]
)
def test_serials_that_the_maker_left_empty_are_none(tmp_path: Path, text: str, serial: str | None) -> None:
    file = tmp_path / "product_serial"
    file.write_text(text)
    assert read_serial(file) == serial


def test_two_folders_are_two_instances(tmp_path: Path) -> None:
    assert instance_of(tmp_path / "a") != instance_of(tmp_path / "b")
    assert instance_of(tmp_path / "a") == instance_of(tmp_path / "b" / ".." / "a")


# probe


@pytest.mark.slow
def test_probe_prints_what_promtool_accepts() -> None:
    result = run_cli("probe", "--format", "prometheus")
    assert result.exit_code == 0
    checked = subprocess.run(
        [require("promtool"), "check", "metrics"], input=result.stdout, text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr


def test_probe_prints_json_for_programs_and_nothing_else() -> None:
    result = run_cli("probe", "memory", "uptime", "--format", "json")
    names = {sample["name"] for sample in json.loads(result.stdout)}
    assert {"system_uptime_seconds", "system_memory_limit_bytes"} <= names
    assert not any(name.startswith("system_cpu") for name in names)


def test_probe_prints_a_table_for_people() -> None:
    result = run_cli("probe", "uptime")
    assert result.stdout.startswith("system_uptime_seconds")
    assert result.stdout.rstrip().endswith("seconds")


def test_an_unknown_probe_is_wrong_usage() -> None:
    result = run_cli("probe", "mermory")
    assert result.exit_code == 2
    assert "there are backups, battery" in result.output


# doctor


def test_the_doctor_says_how_to_enrol(tmp_path: Path) -> None:
    result = run_cli("doctor", "--state", tmp_path)
    assert result.exit_code == 1
    assert (
        f"WRONG  enrolment: no agent is enrolled in {tmp_path}; run `quarkpulse-agent enroll --state" in result.output
    )


def findings(state: Path) -> tuple[int, dict[str, dict[str, object]]]:
    result = run_cli("doctor", "--state", state, "--json")
    found: Sequence[dict[str, object]] = json.loads(result.stdout)
    return result.exit_code, {str(finding["check"]): finding for finding in found}


def test_the_doctor_finds_all_well_and_notes_that_nobody_runs(state: Path) -> None:
    code, found = findings(state)
    assert [check for check, finding in found.items() if not finding["is_well"]] == []
    assert [check for check, finding in found.items() if finding["is_notice"]] == ["running"]
    assert code == 0
    assert (
        "note   running: no agent runs on this folder; start the service" in run_cli("doctor", "--state", state).output
    )
    assert {"enrolment", "permissions", "space", "spool", "name", "connection", "credential", "clock"} <= found.keys()
    assert "probe memory" in found


def test_the_doctor_sees_an_open_folder_and_what_was_set_aside(state: Path) -> None:
    os.chmod(state / "secret", 0o644)  # noqa: PTH101 - as an administrator would
    (state / "spool" / "aside").mkdir(parents=True)
    (state / "spool" / "aside" / "0000000000000001-1796000000000.json.gz").touch()
    _, found = findings(state)
    assert "chmod 600" in str(found["permissions"]["advice"])
    assert not found["spool"]["is_well"]


def test_the_doctor_sees_what_others_may_change_or_the_agent_may_not(state: Path) -> None:
    def wrong() -> dict[str, str]:
        found = json.loads(run_cli("doctor", "--state", state, "--json").stdout)
        return {one["check"]: one["detail"] for one in found if not one["is_well"]}

    (state / "agent.toml").symlink_to(state.parent / "elsewhere.toml")
    assert wrong() == {"settings": f"{state}/agent.toml leads nowhere"}
    (state.parent / "elsewhere.toml").touch()
    (state.parent / "elsewhere.toml").chmod(0o666)
    assert wrong() == {"settings": f"{state}/agent.toml may be changed by others (666)"}
    (state.parent / "elsewhere.toml").chmod(0o644)
    assert wrong() == {}
    (state / "probes.json").chmod(0o644)
    assert wrong() == {"permissions": f"{state}/probes.json is open to others (644)"}


@pytest.mark.needs_root
def test_the_doctor_sees_what_another_user_left(state: Path) -> None:
    os.chown(state / "secret", 65534, 65534)
    result = run_cli("doctor", "--state", state)
    assert f"WRONG  permissions: {state}/secret belongs to another user than {state}; chown" in result.output


def test_the_doctor_tells_what_the_last_push_was_answered(collector: Collector, state: Path) -> None:
    collector.script.append(Reply(403, {"error": "unknown", "message": "no such device", "details": []}))
    subprocess.run([AGENT, "run", "--state", state, "--once"], check=False, capture_output=True)
    told = run_cli("doctor", "--state", state).output
    assert re.search(r"^WRONG  push: \d+ s ago: 403 no such device; see below", told, re.MULTILINE)


@pytest.mark.parametrize(
    ("reply", "check"),
    [
        (Reply(401, {"error": "unauthorized", "message": "revoked", "details": []}), "credential"),
        (Reply(401, {"error": "Unauthorized", "message": "log in to the hotel"}), "collector"),
        (Reply(403, LOGIN_PAGE), "collector"),
        (Reply(410, {"login": "please"}), "collector"),
        (Reply(200, {"login": "please"}), "collector"),
        (Reply(503, {"error": "busy", "message": "come again", "details": []}), "collector"),
    ],
    ids=lambda value: f"{value.status} {value.body[:12]!r}" if isinstance(value, Reply) else value,
)
def test_the_doctor_blames_the_credential_at_the_collectors_word_alone(
    collector: Collector, state: Path, reply: Reply, check: str
) -> None:
    collector.config_reply = reply
    collector.ahead_seconds = 3600.0
    _, found = findings(state)
    assert not found[check]["is_well"]
    is_collectors = b'"details"' in reply.body
    assert ("credential" in found, "clock" in found) == (check == "credential", is_collectors)


def test_the_doctor_names_what_is_wrong_in_the_settings(state: Path) -> None:
    (state / "agent.toml").write_text("[servicess]\nwatch = []\n[memory]\nfast = true\n")
    code, found = findings(state)
    assert code == 1
    assert found["agent.toml"]["detail"] == "agent.toml: servicess: no such section"
    assert found["memory"]["detail"] == "agent.toml: memory.fast: no such setting"
    assert "probe uptime" in found


def test_refresh_finds_the_probes_anew(state: Path, tmp_path: Path) -> None:
    assert set(StateFolder(state).load_probes()) == {"memory", "uptime"}
    result = run_cli("refresh", "--state", state)
    assert result.stdout == f"{len(describe_probes())}\n"
    assert StateFolder(state).load_probes() == describe_probes()
    refused = run_cli("refresh", "--state", tmp_path / "nobody")
    assert (refused.exit_code, "enroll" in refused.output) == (1, True)


def test_the_doctor_sees_a_clock_an_hour_off(collector: Collector, state: Path) -> None:
    collector.ahead_seconds = 3600.0
    _, found = findings(state)
    assert str(found["clock"]["detail"]).endswith("s behind")
    assert not found["clock"]["is_well"]


def test_the_doctor_stops_at_the_first_thing_between_here_and_the_collector(state: Path) -> None:
    identity = StateFolder(state).load_identity()
    StateFolder(state).save_enrolment(identity._replace(collector="http://127.0.0.1:9"), SECRET, {})
    code, found = findings(state)
    assert code == 1
    assert not found["connection"]["is_well"]
    assert "credential" not in found


def test_the_doctor_misses_the_files_of_certificates(state: Path, tmp_path: Path) -> None:
    folder = StateFolder(state)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
        identity = folder.load_identity()._replace(collector=address, ca=str(tmp_path / "gone.pem"))
        folder.save_enrolment(identity, SECRET, {})
        _, found = findings(state)
    assert "cannot read the certificates to trust" in str(found["tls"]["detail"])
    assert "put the file back" in str(found["tls"]["advice"])
    assert "collector" not in found


def test_the_doctor_speaks_plainly(tmp_path: Path) -> None:
    result = run_cli("doctor", "--state", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.startswith("WRONG  enrolment: no agent is enrolled")


def test_the_golden_request_is_one_that_the_agent_could_make() -> None:
    golden = models.EnrollRequest.model_validate_json((GOLDEN / "enroll.request.json").read_text(encoding="utf-8"))
    assert golden.kind in Kind
