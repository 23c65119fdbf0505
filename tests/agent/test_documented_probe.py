"""docs/how-to: the probe and the settings that are shown there work as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.enrolment import find_probes
from agent.inspection import load_probes
from agent.settings import FILE_NAME, load_settings
from tests.agent.conftest import AGENT

HOW_TO = Path(__file__).parents[2] / "docs/how-to"


def block(document: str, language: str) -> str:
    """The first block of code in this language."""
    found = re.search(rf"```{language}\n(.*?)```", (HOW_TO / document).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def test_somebody_elses_probe_is_found_configured_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages, state = tmp_path / "packages", tmp_path / "state"
    metadata = packages / "door_probe-1.0.dist-info"
    metadata.mkdir(parents=True)
    state.mkdir()
    source = block("add-a-probe.md", "python")
    assert len([line for line in source.splitlines() if line.strip()]) <= 20
    (packages / "door_probe.py").write_text(source)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: door-probe\nVersion: 1.0\n")
    entry_points = block("add-a-probe.md", "toml").replace("project.entry-points.", "").replace('"', "")
    (metadata / "entry_points.txt").write_text(entry_points)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    door = tmp_path / "door"

    def probe(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [AGENT, "probe", "door", "--format", "prometheus", *arguments],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip

    assert "this machine watches no rack" in probe().stderr
    (state / FILE_NAME).write_text(f'[door]\nfile = "{door}"\n')
    door.write_text("open\n")
    assert 'rack_door_open{rack_name="main"} 1' in probe("--state", str(state)).stdout


def test_the_settings_that_are_shown_are_accepted(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(block("configure-the-agent.md", "toml"))
    settings = load_settings(tmp_path)
    probes = find_probes()
    assert settings.without_probe(probes) == []
    assert set(settings.probes_off()) <= set(probes)
    assert len(load_probes(probes, settings)) == len(probes)


def test_the_modules_that_read_for_others_say_how_they_are_used() -> None:
    finished = subprocess.run([sys.executable, "-m", "agent.reading"], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (2, "usage: python -m agent.reading NAME PLACE STATE\n")
