"""The systemd units: accepted by systemd itself, well locked up, and starting what exists."""

import configparser
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import require

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
# systemd's own measure, from 0 (locked up) to 10. The agent must see processes, mounts and interfaces.
MAX_EXPOSURE = {
    "quarkpulse-collector.service": 1.5,
    "quarkpulse-agent.service": 2.5,
    "quarkpulse-agent-hardware.service": 1.5,
}


def start_command(unit: Path) -> list[str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit, encoding="utf-8")
    return shlex.split(parser["Service"]["ExecStart"])


def test_both_programs_have_a_unit() -> None:
    programs = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert {Path(start_command(unit)[0]).name for unit in UNITS} == set(programs)
    assert {unit.name for unit in UNITS} == set(MAX_EXPOSURE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_accepts(unit: Path, tmp_path: Path) -> None:
    analyze = require("systemd-analyze")
    # systemd looks whether the program is there; on this machine it is not installed in its place.
    program = start_command(unit)[0]
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text(encoding="utf-8").replace(program, "/bin/true"), encoding="utf-8")

    verified = subprocess.run(
        [analyze, "verify", "--man=no", "--generators=no", "--recursive-errors=no", copy],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_is_locked_up(unit: Path) -> None:
    threshold = round(MAX_EXPOSURE[unit.name] * 10)
    looked = subprocess.run(
        [require("systemd-analyze"), "security", "--offline=true", "--no-pager", f"--threshold={threshold}", unit],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert looked.returncode == 0, looked.stdout + looked.stderr
