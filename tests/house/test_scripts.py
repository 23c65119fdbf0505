"""The scripts that make everything else: what they say when something is missing."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import require

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / ".ci").iterdir())


def run(script: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / ".ci" / script, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_bash_that_stops_at_errors(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    assert os.access(script, os.X_OK)
    subprocess.run([require("bash"), "-n", script], check=True, timeout=60)


def test_an_environment_that_is_there_is_left_alone(tmp_path: Path) -> None:
    executable(tmp_path / "venv/bin/python", "exit 0")
    made = run("make-venv", tmp_path / "venv", PYTHON="/nonexistent")
    assert (made.returncode, made.stderr) == (0, "")


def test_a_python_that_is_missing_is_named(tmp_path: Path) -> None:
    made = run("make-venv", tmp_path / "venv", PYTHON="python-of-nowhere")
    assert made.returncode == 1
    assert "there is no python-of-nowhere" in made.stderr
    assert made.stderr.count("\n") == 1


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    old = executable(tmp_path / "python3.9", 'case "$2" in *print*) echo 3.9 ;; *) exit 1 ;; esac')
    made = run("make-venv", tmp_path / "venv", PYTHON=str(old))
    assert made.returncode == 1
    assert "is Python 3.9, and 3.11 or newer is needed" in made.stderr
    assert not (tmp_path / "venv").exists()


def test_nothing_is_said_when_no_package_is_missing(tmp_path: Path) -> None:
    require("dpkg-query")
    packages = tmp_path / "packages.txt"
    packages.write_text("# comments are allowed\nbash   # here, too\n\ncoreutils\n", encoding="utf-8")
    installed = run("apt-install", packages)
    assert (installed.returncode, installed.stdout, installed.stderr) == (0, "", "")


def test_without_root_it_says_what_to_install_and_ends_well(tmp_path: Path) -> None:
    require("dpkg-query")
    executable(tmp_path / "bin/id", "echo 1000")
    packages = tmp_path / "packages.txt"
    packages.write_text("bash\nno-such-package-as-this\n", encoding="utf-8")
    installed = run("apt-install", packages, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert installed.returncode == 0
    assert installed.stderr.endswith("sudo apt-get install no-such-package-as-this\n")
