"""Probes in processes of their own, with probes of somebody else's package that do all that is bad."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.acceptance import MAX_SERIES_PER_PROBE, accept
from agent.children import end_children
from agent.isolated import IsolatedProbe
from agent.loading import assemble_probes, describe_probe
from agent.probes.base import ProbeFailed, ProbeUnavailable, Sample
from agent.sampling import Sampler
from agent.settings import FILE_NAME
from agent.state import ProbeEntry, StateFolder
from tests.agent.running import await_threads
from tests.agent.test_children import await_end

PROBES = """
import os, sys, time
from agent.probes.base import Metric, MetricType, ProbeUnavailable, Sample

class Good:
    name = "good"
    isolated = True
    interval_seconds = 3600.0
    timeout_seconds = 1.0
    metrics = (Metric("good_value", MetricType.GAUGE, "things", "For tests", ("where",)),)
    def __init__(self, where="nowhere"):
        self.where = where
    @classmethod
    def from_settings(cls, section):
        return cls(section.text("where") or "nowhere")
    def sample(self):
        print("babble on stdout")
        return [Sample("good_value", 1.5, {"where": self.where})]

class Lacking(Good):
    def sample(self):
        raise ProbeUnavailable("no such thing here")

class Raising(Good):
    def sample(self):
        return [1 / 0]

class Exiting(Good):
    def sample(self):
        sys.exit(4)

class Crashing(Good):
    def sample(self):
        os.abort()

class Hanging(Good):
    def sample(self):
        time.sleep(1000)

class Starting(Good):
    def sample(self):
        from agent.children import run_child
        run_child(["sh", "-c", f"echo $$ > {sys.argv[3]}/started; exec sleep 1000"], timeout_seconds=600)

class Forking(Good):
    def sample(self):
        os.fork()
        return super().sample()

class Flooding(Good):
    def sample(self):
        return [Sample("good_value", 1.0, {"where": "x" * 3_000_000})]

class Garbage(Good):
    def sample(self):
        return [("not valid", "no number", {"a": 1})]
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder, beside a package with probes."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "their_probes.py").write_text(PROBES)
    monkeypatch.setenv("PYTHONPATH", str(packages))  # for the children
    monkeypatch.syspath_prepend(str(packages))
    state = tmp_path / "state"
    state.mkdir()
    yield state


def isolated(name: str, state: Path, timeout_seconds: float = 65.0) -> IsolatedProbe:
    place = f"their_probes:{name}"
    return IsolatedProbe("good", place, state, interval_seconds=3600.0, timeout_seconds=timeout_seconds)


def test_its_samples_come_through_and_what_it_prints_does_not(theirs: Path) -> None:
    assert isolated("Good", theirs).sample() == [Sample("good_value", 1.5, {"where": "nowhere"})]


def test_it_reads_its_settings_itself(theirs: Path) -> None:
    (theirs / FILE_NAME).write_text('[good]\nwhere = "here"\n')
    assert isolated("Good", theirs).sample()[0].labels == {"where": "here"}
    (theirs / FILE_NAME).write_text("[good]\nwere = 1\n")
    with pytest.raises(ProbeUnavailable, match=r"agent\.toml: good\.were: no such setting; there are where"):
        isolated("Good", theirs).sample()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Raising", "ZeroDivisionError: division by zero"),
        ("Exiting", "exit code 4"),
        ("Crashing", "exit code -6"),
        ("Flooding", "more than 1048576 bytes"),
        ("Missing", "cannot be loaded"),
    ],
)
def test_what_goes_wrong_there_is_only_told(theirs: Path, name: str, reason: str) -> None:
    with pytest.raises(ProbeFailed, match=reason):
        isolated(name, theirs).sample()


def test_one_that_hangs_costs_its_timeout(theirs: Path) -> None:
    with pytest.raises(ProbeFailed, match="no answer within 1 s"):
        isolated("Hanging", theirs, timeout_seconds=1.0).sample()


def test_what_a_reader_started_is_ended_with_it(theirs: Path) -> None:
    started = theirs / "started"
    started.touch()
    for seconds in (2, 10, 60):  # it may take long to start it
        with pytest.raises(ProbeFailed, match=f"no answer within {seconds} s"):
            isolated("Starting", theirs, timeout_seconds=seconds + 5.0).sample()
        if started.read_text():
            break
    await_end(int(started.read_text()))


def test_an_agent_that_stops_ends_what_still_reads(theirs: Path) -> None:
    sampler = Sampler([isolated("Starting", theirs, 600.0)], boot=lambda: 0.0, on_unavailable=lambda *_: None)
    sampler.read_due(0.0)
    deadline = time.monotonic() + 60
    while not (theirs / "started").exists() or not (theirs / "started").read_text():
        assert time.monotonic() < deadline
    end_children()
    sampler.wait(60)
    assert sampler.schedules[0].trouble == "the reader of good ended with exit code -9"
    await_end(int((theirs / "started").read_text()))


def test_one_that_lacks_its_thing_says_so(theirs: Path) -> None:
    with pytest.raises(ProbeUnavailable, match="no such thing here"):
        isolated("Lacking", theirs).sample()


def test_two_answers_from_one_that_forks_are_none(theirs: Path) -> None:
    with pytest.raises(ProbeFailed, match="did not answer in JSON"):
        isolated("Forking", theirs).sample()


def test_garbage_stops_at_the_door(theirs: Path) -> None:
    sampler = Sampler([isolated("Garbage", theirs)], boot=lambda: 0.0, on_unavailable=lambda *_: None)
    sampler.read_due(0.0)
    sampler.wait(60)
    assert sampler.schedules[0].samples == ()
    assert sampler.schedules[0].trouble.startswith("the probe gave something that is no sample")


@pytest.mark.parametrize(
    "samples",
    [
        None,
        "text",
        [("system_x", 1.0, {})],
        [Sample("bad name", 1.0)],
        [Sample("x" * 300, 1.0)],
        [Sample("x", "1")],  # type: ignore[arg-type]
        [Sample("x", 1 << 5000)],
        [Sample("x", 1.0, {"bad-label": "x"})],
        [Sample("x", 1.0, {"a": 1})],  # type: ignore[dict-item]
        [Sample("x", 1.0, {f"l{number}": "" for number in range(40)})],
        [Sample("x", 1.0, {"n": str(number)}) for number in range(MAX_SERIES_PER_PROBE + 1)],
    ],
    ids=range(11),
)
def test_only_sound_samples_are_accepted(samples: object) -> None:
    with pytest.raises(ProbeFailed):
        accept(samples)
    assert accept((Sample("x", None), Sample("x", float("inf")), Sample("x", True))) != ()


class ForkingInside:
    name = "forking"
    interval_seconds = 60.0
    timeout_seconds = 5.0
    metrics = ()

    def __init__(self, note: Path) -> None:
        self._note = note

    def sample(self) -> list[Sample]:
        pid = os.fork()
        if pid:
            _, status = os.waitpid(pid, 0)
            self._note.write_text(str(os.waitstatus_to_exitcode(status)))
        return [Sample("x", pid)]


def test_the_copy_of_an_agent_that_a_probe_forks_ends_at_once(tmp_path: Path) -> None:
    sampler = Sampler([ForkingInside(tmp_path / "note")], boot=lambda: 0.0, on_unavailable=lambda *_: None)
    sampler.read_due(0.0)
    sampler.wait(60)
    assert (tmp_path / "note").read_text() == "1"
    assert len(sampler.schedules[0].samples) == 1


@pytest.mark.usefixtures("theirs")
def test_the_list_says_what_is_isolated() -> None:
    assert describe_probe("good", "their_probes:Good") == ProbeEntry("their_probes:Good", 3600.0, 20.0)
    assert describe_probe("uptime", "agent.probes.host:UptimeProbe") == ProbeEntry("agent.probes.host:UptimeProbe")
    assert describe_probe("gone", "their_probes:Gone") == ProbeEntry("their_probes:Gone")


def test_what_is_wrong_in_the_settings_leaves_out_only_what_it_concerns(theirs: Path) -> None:
    folder = StateFolder(theirs)
    folder.save_probes({
        "good": ProbeEntry("their_probes:Good"),
        "uptime": ProbeEntry("agent.probes.host:UptimeProbe"),
        "memory": ProbeEntry("agent.probes.memory:MemoryProbe"),
        "apart": ProbeEntry("their_probes:Good", 3600.0, 20.0),
    })  # fmt: skip

    def assemble(text: str) -> tuple[list[str], list[tuple[str, str]]]:
        (theirs / FILE_NAME).write_text(text)
        complaints: list[tuple[str, str]] = []
        probes = assemble_probes(folder, lambda name, reason: complaints.append((name, reason)))
        return [type(probe).__name__ for probe in probes], complaints

    assert assemble("") == (["Good", "UptimeProbe", "MemoryProbe", "IsolatedProbe"], [])
    assert assemble('[probes]\noff = ["memory", "apart"]') == (["Good", "UptimeProbe"], [])
    names, complaints = assemble('[good]\nwhere = 7\n[goood]\n[memory]\nx = 1\n[probes]\noff = ["smrt"]')
    assert names == ["UptimeProbe", "IsolatedProbe"]
    assert complaints == [
        ("agent.toml", "agent.toml: goood: no such section"),
        ("agent.toml", "agent.toml: probes.off: no such probe: smrt"),
        ("good", "agent.toml: good.where: must be a text of 1 to 1000 characters"),
        ("memory", "agent.toml: memory.x: no such setting"),
    ]
    names, complaints = assemble("[good\n")
    assert names == ["Good", "UptimeProbe", "MemoryProbe", "IsolatedProbe"]  # as if nothing were set
    assert [name for name, _ in complaints] == ["agent.toml"]
    assert "line 1" in complaints[0][1]


def test_the_background_reads_one_after_the_other_and_no_frame_waits() -> None:
    release = threading.Event()
    before = set(threading.enumerate())

    class Slow:
        interval_seconds = 3600.0
        timeout_seconds = 60.0
        metrics = ()

        def __init__(self, name: str) -> None:
            self.name = name
            self.began = threading.Event()

        def sample(self) -> list[Sample]:
            self.began.set()
            assert release.wait(60)
            return [Sample("x", 1.0)]

    now = 0.0
    one, two = Slow("one"), Slow("two")
    sampler = Sampler([one, two], boot=lambda: now, on_unavailable=lambda *_: None, patience_seconds=3600.0)
    sampler.read_due(0.0)  # would wait for an hour otherwise
    assert one.began.wait(60)
    sampler.read_due(0.0)
    await_threads(1, before=before)
    assert not two.began.is_set()
    now = 100.0
    sampler.read_due(0.0)  # the first one is overdue: another thread takes over
    assert two.began.wait(60)
    assert [schedule.errors for schedule in sampler.schedules] == [1, 0]
    release.set()
    sampler.wait(60)
    assert [len(schedule.samples) for schedule in sampler.schedules] == [1, 1]


def test_what_the_machine_lacks_is_not_looked_for_all_the_time() -> None:
    class Lacking:
        name = "lacking"
        interval_seconds = 300.0
        timeout_seconds = 60.0
        metrics = ()
        calls = 0

        def sample(self) -> list[Sample]:
            self.calls += 1
            raise ProbeUnavailable("smartctl is not installed")

    now = 0.0
    probe = Lacking()
    sampler = Sampler([probe], boot=lambda: now, on_unavailable=lambda *_: None)
    for minute in range(24 * 60):
        now = 60.0 * minute
        sampler.read_due(30.0)
        sampler.wait(60)
    assert probe.calls == 4
    assert sampler.schedules[0].errors == 0
