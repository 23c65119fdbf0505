"""The supervisor alone, with readers that are scripts: what it makes of what they say, also of nonsense."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agent.printers.supervision import PRINTERS_PER_RECORD, PrinterSupervisor
from protocol.wire import PrinterConfig, layout_id

SERIES = [{"name": "printer_reachable", "labels": {}}, {"name": "printer_pages_total", "labels": {}}]
LAYOUT = {"id": layout_id(SERIES), "series": SERIES}  # type: ignore[arg-type]
NOW_MS = 1_700_000_000_000


def config(*device_ids: str) -> tuple[PrinterConfig, ...]:
    return tuple(PrinterConfig(device_id=one, host="127.0.0.1", interval_seconds=300.0) for one in device_ids)


def line(device_id: str = "prn-1", **more: Any) -> dict[str, Any]:
    told = {"device_id": device_id, "layout": LAYOUT, "v": [1, None], "interval_seconds": 300.0, "events": []}
    return {**told, **more}


class Supervised:
    """A supervisor whose clock is a number."""

    def __init__(self, script: str = "import sys; sys.stdin.read()") -> None:
        self.now = 1_000.0
        interpreter = (sys.executable, "-c", script)
        self.it = PrinterSupervisor(lambda: self.now, lambda: "an-id", interpreter=interpreter)

    def records(self, push_interval_seconds: float = 60.0) -> list[dict[str, Any]]:
        return [json.loads(one) for one in self.it.records(NOW_MS, push_interval_seconds)]


@pytest.fixture
def supervised() -> Iterator[Supervised]:
    found = Supervised()
    yield found
    found.it.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(1_200):
        if condition():
            return
        waited.wait(0.05)
    raise AssertionError("it did not happen in time")


def test_a_line_becomes_a_frame_until_it_is_three_intervals_old(supervised: Supervised) -> None:
    supervised.it.configure(config("prn-1"))
    supervised.it.take(line())
    (record,) = supervised.records()
    assert record["layouts"] == [LAYOUT]
    assert record["frames"] == [{"device": "prn-1", "layout": LAYOUT["id"], "t": NOW_MS, "v": [1, None]}]
    supervised.now += 60
    assert supervised.records() == []  # the next one is soon enough
    supervised.now += 60
    assert [one["v"] for one in supervised.records()[0]["frames"]] == [[1, None]]
    supervised.it.take(line(layout=LAYOUT["id"], v=[0.5, 7]))
    assert [one["v"] for one in supervised.records()[0]["frames"]] == [[0.5, 7]]
    supervised.now += 3 * 300
    assert [one["v"] for one in supervised.records()[0]["frames"]] == [[None, None]]


def test_every_printer_has_a_frame_within_two_minutes_whatever_the_interval(supervised: Supervised) -> None:
    supervised.it.configure(config("prn-1"))
    for push_interval_seconds in (5.0, 50.0, 60.0, 120.0):
        supervised.it.take(line())
        framed_at = []
        for _ in range(int(600 / push_interval_seconds)):
            framed_at += [supervised.now] if supervised.records(push_interval_seconds) else []
            supervised.now += push_interval_seconds
        gaps = [later - earlier for earlier, later in pairwise(framed_at)]
        assert gaps and max(gaps) <= 120


def test_many_printers_are_several_records_and_a_layout_comes_once_in_each(supervised: Supervised) -> None:
    names = [f"prn-{number}" for number in range(PRINTERS_PER_RECORD + 1)]
    supervised.it.configure(config(*names))
    for name in names:
        supervised.it.take(line(name))
    records = supervised.records()
    assert [len(one["frames"]) for one in records] == [PRINTERS_PER_RECORD, 1]
    assert [len(one["layouts"]) for one in records] == [1, 1]


def test_events_go_out_a_few_at_a_time_and_none_is_lost(supervised: Supervised) -> None:
    supervised.it.configure(config("prn-1"))
    told = [{"type": "printer_alert", "device_id": "prn-1", "code": str(number)} for number in range(5)]
    supervised.it.take(line(events=told))
    sent = []
    while records := supervised.records(120.0):
        sent += [event for record in records for event in record["events"]]
        supervised.now += 120
        if len(sent) == 5:
            break
    assert sent == [{"id": "an-id", "t": NOW_MS, **event} for event in told]


def test_a_reader_that_takes_nothing_in_holds_up_nobody_and_is_told_the_newest_when_it_does(tmp_path: Path) -> None:
    """Its pipe holds 64 KiB; each configuration here is larger."""
    go, heard = tmp_path / "go", tmp_path / "heard"
    script = f"""
import json, pathlib, sys, time
while not pathlib.Path({str(go)!r}).exists():
    time.sleep(0.02)
for line in sys.stdin:
    names = [one["device_id"] for one in json.loads(line)["printers"]]
    with open({str(heard)!r}, "a") as out:
        out.write(names[-1] + chr(10))
"""
    supervised = Supervised(script)
    try:
        for last in ("prn-a", "prn-b", "prn-c"):
            supervised.it.configure(config(*(f"prn-{number}" for number in range(2_000)), last))
            wait_until(lambda: supervised.it.is_running)
        go.touch()
        wait_until(lambda: heard.exists() and heard.read_text().endswith("prn-c\n"))
    finally:
        supervised.it.stop()


def test_a_printer_that_is_no_longer_configured_is_forgotten(supervised: Supervised) -> None:
    supervised.it.configure(config("prn-1", "prn-2"))
    supervised.it.take(line("prn-1"))
    supervised.it.take(line("prn-2"))
    supervised.it.configure(config("prn-2"))
    supervised.it.take(line("prn-1"))  # was on its way
    assert [frame["device"] for record in supervised.records() for frame in record["frames"]] == ["prn-2"]


@pytest.mark.parametrize(
    "nonsense",
    [
        {},
        line(v="many"),
        line(v=["many"]),
        line(layout="never-told"),
        line(layout={"id": "x"}),
        line(v=[1]),
        line(interval_seconds=None),
        line(events=[{"type": "no-such-type"}]),
        line(events=[1]),
    ],
)
def test_what_makes_no_sense_is_refused(supervised: Supervised, nonsense: dict[str, Any]) -> None:
    supervised.it.configure(config("prn-1"))
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        supervised.it.take(nonsense)
    assert supervised.records() == []


@pytest.mark.parametrize(
    "script", ["raise SystemExit(3)", "print('no json', flush=True); input()", "print('x' * 3_000_000)"]
)
def test_a_reader_that_is_no_good_is_ended_and_comes_again(script: str) -> None:
    supervised = Supervised(script)
    supervised.it.configure(config("prn-1"))
    try:
        wait_until(lambda: supervised.it.restarts >= 1)
    finally:
        supervised.it.stop()


def test_a_reader_that_hangs_is_ended() -> None:
    supervised = Supervised("import sys, time; sys.stdin.readline(); time.sleep(1_000)")
    supervised.it.configure(config("prn-1"))
    try:
        wait_until(lambda: supervised.it.is_running)
        supervised.records()
        assert supervised.it.restarts == 0
        supervised.now += 3 * 300 + 121
        supervised.records()
        wait_until(lambda: supervised.it.restarts == 1)
    finally:
        supervised.it.stop()


def test_a_program_that_is_not_there_is_tried_again() -> None:
    supervised = Supervised()
    supervised.it = PrinterSupervisor(lambda: 0.0, lambda: "an-id", interpreter=("/nonexistent",))
    supervised.it.configure(config("prn-1"))
    wait_until(lambda: supervised.it.restarts >= 1)
    supervised.it.stop()


def test_the_reader_that_runs_is_weighed() -> None:
    supervised = Supervised("import sys, time\nwhile time.process_time() < 0.3: pass\nsys.stdin.read()")
    try:
        assert supervised.it.weight() == (0, 0.0)
        supervised.it.configure(config("prn-1"))
        wait_until(lambda: supervised.it.weight()[1] >= 0.1)
        assert 2 << 20 < supervised.it.weight()[0] < 64 << 20
        supervised.it.configure(())
        wait_until(lambda: supervised.it.weight() == (0, 0.0))
    finally:
        supervised.it.stop()
