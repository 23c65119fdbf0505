"""What all tests share: real tools, free ports, and the rule that no test leaves a process behind."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from bench._ports import free_port
from bench._postgresql import find_program

# What needs a database names it; a fixture that many packages import would be made once for each of them.
pytest_plugins = ["tests.db.fixtures", "tests.db.copies"]
# Whatever a test leaves on disk lies in memory, where there is such a thing: a test waits for many a sync.
MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 << 30:
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None

# The same examples in every run; no deadline, and no limit to how long they take to make: a busy machine is no bug.
settings.register_profile("quarkpulse", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quarkpulse")

EXITING = 0x4  # PF_EXITING, of the flags in /proc/PID/stat
SIGKILL_PENDING = 1 << (signal.SIGKILL - 1)

IS_CI = os.environ.get("CI") == "true"


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the running test, saying why; with CI=true fail it, since there nothing may be missing."""
    if IS_CI:
        pytest.fail(f"{reason} (with CI=true nothing is skipped)")
    pytest.skip(reason)


def require(tool: str) -> str:
    """The path of a real program that a test runs; without it the test is skipped, or fails with CI=true."""
    return find_program(tool) or skip_or_fail(f"needs {tool}: see deploy/debian/packages-test.txt")


@pytest.fixture(name="free_port")
def free_port_fixture() -> Callable[[], int]:
    return free_port


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that at the end every worker finds short ones to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_root") and os.geteuid() != 0:
        skip_or_fail("needs root rights")


def children() -> set[int]:
    """Ids of this process's running children, as Linux lists them per thread; empty where it does not."""
    found: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            pids = listing.read_text().split()
        except OSError:  # the thread ended meanwhile
            continue
        found.update(pid for pid in map(int, pids) if is_running(pid))
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there, and more than a zombie that waits to be reaped.

    One that was killed is as good as gone: a busy machine may be long in giving it the turn in which it ends."""
    try:
        state, _, _, _, _, _, flags, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    pending = [int(line.partition(":")[2], 16) for line in status if line.startswith(("SigPnd", "ShdPnd"))]
    is_killed = any(signals & SIGKILL_PENDING for signals in pending)
    return not (state == "Z" or int(flags) & EXITING or is_killed)


@pytest.fixture(autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """Fails a test that leaves a child running, and ends the child."""
    before = children()
    yield
    left = children() - before
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    if left:
        pytest.fail(f"left running: process {', '.join(map(str, sorted(left)))}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)
