"""`rules check`, `list` and `reload`, as an operator runs them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from collector.alerting.records import insert_alerts
from collector.alerting.rulefile import load_rules
from collector.cli import main
from collector.config import CONFIG_NAME
from collector.db.database import Database
from collector.pidfile import PID_NAME

BAD = "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: up == 0\n    for: -5m\n    fro: 1\n"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["rules", *arguments])


def test_the_shipped_rules_are_good() -> None:
    result = run("check")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "no problems"), result.stdout


def test_each_rule_s_memory_is_told(tmp_path: Path) -> None:
    (tmp_path / "some.yaml").write_text(
        "groups:\n- name: a\n  rules:\n  - record: r\n    expr: avg_over_time(slow[1h]) + now\n"
        '  - record: s\n    expr: now > on (device_id) quarkpulse_threshold{name="disk_busy"}\n'
        "  - record: t\n    expr: fixed @ 0\n"
    )
    result = run("check", str(tmp_path), "--json")
    told = [one for one in json.loads(result.stdout) if one["level"] == "memory"]
    assert [(one["rule"], one["metric"], one["window_seconds"], one["keeps"]) for one in told] == [
        ("r", "now", 0, "last value only"),
        ("r", "slow", 3600, "ring of 64 samples"),
        ("s", "now", 0, "last value only"),
        ("t", "fixed", None, "ring of 128 samples"),
    ]
    last, ring = told[0], told[1]
    assert last["bytes_per_series"] <= 100 and 64 * 8 < ring["bytes_per_series"] <= 700
    assert (last["bytes_per_device"], ring["bytes_per_device"]) == (0, 64 * 8 + 16)
    text = run("check", str(tmp_path)).stdout
    assert text.splitlines()[0].split() == ["RULE", "METRIC", "KEEPS", "BYTES_PER_SERIES"]


def test_memory_of_windows_beyond_two_hours_and_the_lookback_are_told(tmp_path: Path) -> None:
    (tmp_path / "some.yaml").write_text(
        "groups:\n- name: a\n  rules:\n  - record: r\n    expr: avg_over_time(day[1d]) + past offset 1d\n"
        "  - record: s\n    expr: slow offset 10m\n"
        "  - alert: T\n    expr: now\n    for: 15m\n    labels: {severity: minor}\n"
    )
    told = json.loads(run("check", str(tmp_path), "--json", "--lookback", "1200").stdout)
    notices = [one["message"] for one in told if one["level"] == "notice"]
    assert "'for' is shorter than the lookback, 20m: one sample and then silence fires it" in notices
    keeps = {one["metric"]: (one["keeps"], one["bytes_per_series"]) for one in told if one["level"] == "memory"}
    samples = 24 * 60  # an hour more than the window, and without the last hour, which is in the ring
    assert keeps["day"] == (f"ring of 128 samples, and {samples} samples of the hours before", 1046 + 16 * samples)
    assert keeps["past"][0].startswith("last value only, and 140 samples")  # 20 minutes, and hours around them
    assert keeps["slow"][0] == "ring of 40 samples"  # 10 minutes, the lookback, and a little more
    assert run("check", str(tmp_path)).stdout.splitlines()[0].startswith("RULE")


def test_a_shell_s_list_of_files_holds_the_thresholds_too() -> None:
    assert run("check", *map(str, sorted(Path("rules").glob("*.yaml")))).exit_code == 0


def test_all_problems_are_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    result = run("check", str(path))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == f"{path}:6: 'for' must not be negative, got '-5m'"
    assert result.stdout.splitlines()[1].startswith(f"{path}:7: unknown key 'fro' in a rule")
    as_json = run("check", str(path), "--json")
    assert as_json.exit_code == 1
    assert [(one["level"], one["file"], one["line"]) for one in json.loads(as_json.stdout)] == [
        ("problem", str(path), 6),
        ("problem", str(path), 7),
    ]


def test_problems_of_thresholds_and_rules_come_together(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "thresholds.yaml").write_text("thresholds: {x: {default: 1}}")
    lines = run("check", str(tmp_path)).stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [str(tmp_path / "bad.yaml")] * 2 + [
        str(tmp_path / "thresholds.yaml")
    ] * 2


def test_a_notice_is_no_problem() -> None:
    result = run("check", "deploy/demo/rules", "--json")
    assert result.exit_code == 0
    assert {one["level"] for one in json.loads(result.stdout)} == {"notice", "memory"}


def test_wrong_usage_is_told_apart(tmp_path: Path) -> None:
    assert run("check", str(tmp_path / "missing.yaml")).exit_code == 2


def test_rules_are_listed() -> None:
    rows = json.loads(run("list", "rules/server.yaml", "--json").stdout)
    assert rows[0]["alert"] == "ServerFilesystemFull"
    assert rows[0]["thresholds"] == ["filesystem_full"]
    assert run("list").stdout.startswith("GROUP ")


def test_without_a_server_a_reload_says_so(tmp_path: Path) -> None:
    (tmp_path / PID_NAME).write_text(f"{os.getpid()}\n")  # left behind by a process that was killed
    result = run("reload", "--data", str(tmp_path))
    assert result.exit_code == 1
    assert "no serve runs on" in result.output


SERVER = """
import signal, sys
from datetime import UTC, datetime
from pathlib import Path
from collector.pidfile import only_server
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
with only_server(Path(sys.argv[1])):
    print("serving", flush=True)
    print(signal.Signals(signal.sigwait({signal.SIGHUP})).name, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals are Unix's")
def test_a_reload_reaches_the_process_that_serves(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == "serving\n"
            assert run("reload", "--data", str(tmp_path)).exit_code == 0
            assert server.stdout.readline() == "SIGHUP\n"
        finally:
            server.kill()


async def test_the_list_counts_what_is_open_now(tmp_path: Path, database: Database, database_url: str) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "some.yaml").write_text(
        "groups:\n- name: g\n  limit: 5\n  rules:\n  - {alert: A, expr: x > 0, for: 5m}\n  - {alert: B, expr: x > 0}\n"
    )
    key = load_rules([rules]).alert_rules[0].key
    at = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    plain = {"rule_key": key, "rule": "A", "rule_version": "1", "labels": {}, "annotations": {}, "active_since": at}
    rows_now = [
        {**plain, "fingerprint": mark, "state": state, "outcome": "none", "reason": ""}
        for mark, state in (("a", "firing"), ("b", "firing"), ("c", "pending"))
    ]
    async with database.begin() as connection:
        await insert_alerts(connection, rows_now)
    (tmp_path / CONFIG_NAME).write_text(f'database_url = "{database_url}"\n')
    result = await asyncio.to_thread(run, "list", str(rules), "--data", str(tmp_path), "--json")
    rows = json.loads(result.stdout)
    assert [(row["alert"], row["pending"], row["firing"], row["limit"]) for row in rows] == [
        ("A", 1, 2, 5),
        ("B", 0, 0, 5),
    ]
    assert rows[0]["memory"] == [{"metric": "x", "keeps": "last value only", "bytes_per_series": 50}]
