"""Agents as real processes on disks that take nothing: they go on, tell, and keep what they can."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.collector import Collector, Reply
from tests.agent.conftest import StartAgent
from tests.agent.running import stop
from tests.disks import fill

pytestmark = pytest.mark.needs_root  # to mount a disk


@pytest.fixture
def on_disk(state: Path, small_disk: Path) -> Path:
    """The state folder on a disk of 24 MiB."""
    shutil.copytree(state, small_disk / "state")
    return small_disk / "state"


def make_full(disk: Path) -> None:
    fill(disk / "ballast")


def make_room(disk: Path) -> None:
    (disk / "ballast").unlink()


def make_read_only(disk: Path) -> None:
    (disk / "state" / "lock").touch()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


def make_writable(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def bridge_an_outage(collector: Collector) -> None:
    """The collector fails twice; all that was made meanwhile comes, once."""
    taken = len(collector.frames)
    collector.wait_for(lambda it: len(it.frames) >= taken + 2)
    collector.script.extend([Reply(503)] * 2)
    collector.wait_for(lambda it: not it.script)
    collector.wait_for(lambda it: it.values(it.newest)["agent_spool_records"] == 0)
    times = [frame.t for frame in collector.frames]
    assert len(times) == len(set(times))


def test_an_agent_whose_disk_fills_goes_on_in_memory_until_there_is_room(
    collector: Collector, on_disk: Path, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = start_agent(on_disk)
    collector.wait_for(lambda it: len(it.frames) >= 1)
    make_full(on_disk.parent)
    bridge_an_outage(collector)
    make_room(on_disk.parent)
    taken = len(collector.frames)
    collector.wait_for(lambda it: len(it.frames) >= taken + 2)
    assert stop(agent) == 0
    log = (tmp_path / "agent.log").read_text()
    assert log.count("spool not writable, keeping the last 120 records in memory") == 1
    assert log.count("spool writable again") == 1
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("break_it", "mend_it"), [(make_full, make_room), (make_read_only, make_writable)], ids=["full", "read-only"]
)
def test_an_agent_starts_on_a_disk_that_takes_nothing(
    collector: Collector,
    on_disk: Path,
    start_agent: StartAgent,
    tmp_path: Path,
    *,
    break_it: Callable[[Path], None],
    mend_it: Callable[[Path], None],
) -> None:
    break_it(on_disk.parent)
    try:
        agent = start_agent(on_disk)
        bridge_an_outage(collector)
        assert stop(agent) == 0
    finally:
        mend_it(on_disk.parent)
    assert [event.type for event in collector.events] == ["agent_started", "goodbye"]
    assert "Traceback" not in (tmp_path / "agent.log").read_text()
