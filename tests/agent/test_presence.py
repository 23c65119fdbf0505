from pathlib import Path

import pytest

from agent.presence import PowerWatch, RunMark, SleepWatch
from agent.probes.base import Sample
from agent.state import StateFolder
from protocol.wire import LastRun, PowerSource


def mark(folder: Path, boot: str = "boot-1") -> RunMark:
    return RunMark(StateFolder(folder), folder / "run.json", boot)


def test_a_mark_tells_the_next_run_how_this_one_ended(tmp_path: Path) -> None:
    first = mark(tmp_path)
    assert first.begin() is LastRun.FIRST
    assert mark(tmp_path).begin() is LastRun.CRASHED
    assert mark(tmp_path, "boot-2").begin() is LastRun.CUT
    mark(tmp_path, "boot-2").end()
    assert mark(tmp_path, "boot-3").begin() is LastRun.CLEAN


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"boot": "x"}'])
def test_a_damaged_mark_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    assert mark(tmp_path).begin() is LastRun.FIRST


def test_sleep_is_what_the_boot_clock_is_ahead() -> None:
    boot, awake = [1000.0], [900.0]
    watch = SleepWatch(lambda: boot[0], lambda: awake[0])
    boot[0], awake[0] = 1060.2, 960.0
    assert watch.slept_seconds() == 0
    boot[0], awake[0] = 9000.0, 970.0
    assert watch.slept_seconds() == pytest.approx(7929.8)
    assert watch.slept_seconds() == 0


def test_clocks_that_drift_are_no_sleep() -> None:
    boot, awake = [0.0], [0.0]
    watch = SleepWatch(lambda: boot[0], lambda: awake[0])
    for minute in range(7 * 24 * 60):
        boot[0], awake[0] = minute * 60.0 * 1.00005, minute * 60.0
        assert watch.slept_seconds() == 0


def test_power_is_told_when_it_changes() -> None:
    watch = PowerWatch()

    def plugged(value: float | None) -> PowerSource | None:
        return watch.changed_to([Sample("x", 1), Sample("hw_battery_power_plugged", value)])

    assert plugged(None) is None
    assert plugged(1) is PowerSource.MAINS
    assert plugged(1) is None
    assert watch.changed_to([]) is None
    assert plugged(0) is PowerSource.BATTERY
    assert plugged(1) is PowerSource.MAINS
