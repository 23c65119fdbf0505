"""Prometheus's own scripts pass, and the runner would notice if they did not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.promqltest.runner import EXPERIMENTAL, NATIVE_HISTOGRAMS, run_file
from tests.promqltest.script import ScriptError

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.test"))


def written(folder: Path, text: str) -> Path:
    path = folder / "some.test"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script_of_prometheus(path: Path) -> None:
    report = run_file(path)
    assert report.failures == []
    assert report.passed > 0
    assert {skip.reason for skip in report.skips} <= {NATIVE_HISTOGRAMS, EXPERIMENTAL}


@pytest.mark.parametrize(
    ("expectation", "reason"),
    [
        ("{a='1'} 2", "expected 2.0, got 1.0"),
        ("{a='2'} 1", "missing"),
        ("", "unexpected"),
        ("x{a='1'} 1", "missing"),
        ("1", "got series"),
        ("expect fail", "should have failed"),
        ("expect string 'x'", "got series"),
    ],
)
def test_a_wrong_result_is_a_failure(tmp_path: Path, expectation: str, reason: str) -> None:
    path = written(tmp_path, f"load 1m\n  x{{a='1'}} 1 1\n\neval instant at 1m x + 0\n  {expectation}\n")
    [failure] = run_file(path).failures
    assert failure.line == 4
    assert reason in failure.reason


@pytest.mark.parametrize(
    "script",
    [
        "load 30s\n\tm 1+1x2 _x2 stale 0x2 -1e1-.5x1\n\n"
        "eval range from 0 to 4m30s step 30s m\n\tm 1 2 3 3 3 _ 0 0 0 -10\n",
        'load 1m\n\t{"a.b", `le`=\'0x1\'} 0x1\n\neval instant at 60 {"a.b"}\n\t{__name__="a.b", le="0x1"} 0\n',
        "eval_fail instant at 0 foo(\n",
        "load 1m\n  x{n='1'} 1\n  x{n='2'} 2\n\neval_ordered instant at 0 sort_desc(x)\n  x{n='2'} 2\n  x{n='1'} 1\n",
        "load 1m\n  x 1 2 3\n\neval instant at 2m x[2m]\n  expect range vector from 1m to 2m step 1m\n  x 2 3\n",
        "load 1m\n  x 1\n\nclear\n\neval instant at 0 x\n  expect no_warn\n  # nothing\n",
        "eval instant at -1m time()\n  -60\n",
    ],
)
def test_the_notation(tmp_path: Path, script: str) -> None:
    report = run_file(written(tmp_path, script))
    assert (report.passed, report.failures, report.skips) == (1, [], [])


def test_native_histograms_are_skipped_by_name(tmp_path: Path) -> None:
    script = (
        "load 1m\n  h{a='b'} {{sum:1 count:1}}x3\n  f 1 {{sum:1 count:2 buckets:[1 1]}}\n\n"
        "eval instant at 0 h\n  h{a='b'} {{sum:1 count:1}}\n\n"
        "eval instant at 0 count(h) == 0\n\n"
        "eval instant at 0 f\n  f 1\n"
    )
    report = run_file(written(tmp_path, script))
    assert (report.passed, report.failures) == (1, [])
    assert [(skip.line, skip.reason) for skip in report.skips] == [(5, NATIVE_HISTOGRAMS), (8, NATIVE_HISTOGRAMS)]


def test_what_is_no_script_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"^3: "):
        run_file(written(tmp_path, "load 1m\n  x 1\n  x{ 1\n"))


def test_the_command_line(tmp_path: Path) -> None:
    bad = written(tmp_path, "eval instant at 0 1 + 1\n  3\n")
    command = [sys.executable, "-m", "tests.promqltest", "--json", str(SCRIPTS[0]), str(bad)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    first, second = json.loads(done.stdout)
    assert done.returncode == 1
    assert first["failed"] == 0
    assert {"file", "passed", "failed", "skipped", "failures"} <= first.keys()
    assert second["failures"][0]["query"] == "1 + 1"
