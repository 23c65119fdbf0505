"""`rules test` and `promtool test rules` give the same verdict on the same files, failure by failure."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector.alerting.ruletest.report import FileReport, told
from collector.alerting.ruletest.run import run_file
from collector.alerting.yamlfile import shipped_folder
from collector.cli import main
from tests.conftest import require
from tests.rules.corners import CASES, NEWER

DATA = Path("tests/data/rule-tests")
# By the data's README; promtool 2.42 refuses the two that use what is newer.
VERDICTS = {"unittest.yml": True, "failing.yml": False, "long-period.yml": True, "start-time-test.yml": True}
# It makes much garbage, and spends 40 % of its time on that unless it may leave it lying about.
HURRIED = {"GOGC": "800"}
NEWER_FILES = {"unittest.yml", "start-time-test.yml"}
FILES = [*(DATA / name for name in VERDICTS), *sorted((shipped_folder() / "tests").glob("*.test.yaml"))]


def promtool(path: Path) -> tuple[bool, set[tuple[str, str]]]:
    """Whether promtool is content, and what failed and when: alerts and expressions."""
    done = subprocess.run(
        [require("promtool"), "test", "rules", str(path)],
        env={**os.environ, **HURRIED},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    alerts = re.findall(r"alertname: (.*?), time: (\w+), $", done.stderr, re.MULTILINE)
    exprs = re.findall(r'expr: ("(?:\\.|[^"\\])*"), time: (\w+),', done.stderr)
    return done.returncode == 0, {*alerts, *((json.loads(expr), time) for expr, time in exprs)}


def failures(report: FileReport) -> set[tuple[str, str]]:
    found = set()
    for failure in report.failures:
        if match := re.match(r"(?:alert|expr) (.*?) at (\w+)(?::|$)", failure.what, re.DOTALL):
            found.add((match[1], match[2]))
    return found


def write(folder: Path, rules: str, tests: str) -> Path:
    (folder / "rules.yml").write_text(rules)
    (folder / "tests.yml").write_text(tests)
    return folder / "tests.yml"


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_both_agree_on_whole_files(path: Path) -> None:
    report = run_file(path)
    assert (not report.failures) is VERDICTS.get(path.name, True)
    if path.name not in NEWER_FILES:
        passes, failed = promtool(path)
        assert (not report.failures, failures(report)) == (passes, failed)


@pytest.mark.parametrize("name", CASES)
def test_both_agree_on_corners(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, *CASES[name])
    report = run_file(path)
    passes, failed = promtool(path)
    assert (not report.failures, failures(report)) == (passes, failed), "\n".join(told(report))


@pytest.mark.parametrize("name", NEWER)
def test_what_is_newer_than_debian_s_promtool(name: str, tmp_path: Path) -> None:
    rules, tests, passes = NEWER[name]
    report = run_file(write(tmp_path, rules, tests))
    assert (not report.failures) is passes, "\n".join(told(report))


def test_the_range_is_open_on_its_left_as_in_prometheus_3(tmp_path: Path) -> None:
    """Here both differ, and rightly: Prometheus 2 still counted a sample at the very start of a range."""
    tests = (
        "tests:\n- interval: 1m\n  input_series:\n  - {series: x, values: 1x9}\n  promql_expr_test:\n"
        "  - {expr: 'count_over_time(x[1m])', eval_time: 5m, exp_samples: [{labels: '{}', value: 1}]}\n"
    )
    path = write(tmp_path, "", tests)
    assert run_file(path).failures == []
    assert promtool(path)[0] is False


def test_a_failure_says_where_and_what(tmp_path: Path) -> None:
    rules, _ = CASES["fires when for is over"]
    tests = (
        "rule_files: [rules.yml]\ntests:\n- name: outage\n  interval: 1m\n  input_series:\n"
        '  - {series: \'up{job="x", instance="a"}\', values: 0x9}\n  alert_rule_test:\n'
        "  - eval_time: 1m\n    alertname: Down\n    exp_alerts:\n    - exp_labels: {instance: a}\n"
        "  promql_expr_test:\n  - {expr: up, eval_time: 0, exp_samples: [{labels: up, value: 1.5}]}\n"
    )
    path = write(tmp_path, rules, tests)
    result = CliRunner().invoke(main, ["rules", "test", str(path)])
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{path}: FAILED (0 of 1 tests passed)",
        f"  {path}:8: test 1 'outage': alert Down at 1m",
        "    expected (-), got (+):",
        '      - {alertname="Down", instance="a"}',
        "      + nothing",
        "    1 pending, since 0s; 'for' is 2m",
        f"  {path}:13: test 1 'outage': expr up at 0s",
        "    expected (-), got (+):",
        "      - up 1.5",
        '      + up{instance="a", job="x"} 0',
    ]


def test_programs_get_an_array(tmp_path: Path) -> None:
    good = write(tmp_path, "", "tests: []\n")
    result = CliRunner().invoke(main, ["rules", "test", str(good), str(DATA / "failing.yml"), "--json"])
    assert result.exit_code == 1
    first, second = json.loads(result.stdout)
    assert (first["file"], first["passed"], first["tests"], first["failures"]) == (str(good), True, 0, [])
    assert (second["passed"], second["tests"], second["tests_passed"]) == (False, 2, 0)
    assert [(one["line"], one["test"], one["name"]) for one in second["failures"]] == [
        (20, 1, "Failing test"),
        (13, 1, "Failing test"),
        (33, 2, "Failing alert test"),
        (36, 2, "Failing alert test"),
    ]
    assert second["failures"][1]["expected"] == ["test 1"]


def test_a_folder_stands_for_its_tests(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for path in (tmp_path / "one.test.yaml", tmp_path / "tests" / "two.test.yaml", tmp_path / "rules.yaml"):
        path.write_text("tests: []\n")
    result = CliRunner().invoke(main, ["rules", "test", str(tmp_path)])
    assert result.exit_code == 0
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [
        str(tmp_path / "one.test.yaml"),
        str(tmp_path / "tests" / "two.test.yaml"),
    ]


def test_wrong_usage_is_told_apart(tmp_path: Path) -> None:
    without = CliRunner().invoke(main, ["rules", "test", str(tmp_path)])
    assert (without.exit_code, "holds no test: name a file" in without.stderr) == (2, True)
    assert CliRunner().invoke(main, ["rules", "test", "missing.yml"]).exit_code == 2
    assert CliRunner().invoke(main, ["rules", "test"]).exit_code == 2


@pytest.mark.parametrize(
    ("series", "interval", "trouble"),
    [("1x9999999", "1m", "more than"), ("1", "1ms", "evaluations")],
)
def test_what_would_never_end_is_refused(series: str, interval: str, trouble: str, tmp_path: Path) -> None:
    tests = (
        f"evaluation_interval: {interval}\ntests:\n- interval: 1m\n"
        f"  input_series:\n  - {{series: x, values: '{series}'}}\n"
        "  promql_expr_test:\n  - {expr: x, eval_time: 100d}\n"
    )
    (failure,) = run_file(write(tmp_path, "", tests)).failures
    assert trouble in failure.what
