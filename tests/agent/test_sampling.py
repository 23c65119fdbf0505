"""Probes that work, fail, hang and are not there, run by real threads."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from agent.config import AgentConfig
from agent.measuring import last_reading
from agent.probes.base import Metric, MetricType, ProbeUnavailable, Sample
from agent.sampling import Sampler
from tests.agent.running import await_threads

PATIENCE_SECONDS = 0.05  # with what hangs


class ScriptedProbe:
    """Does what `act` does."""

    timeout_seconds = 5.0
    metrics = (Metric("system_test", MetricType.GAUGE, "tests", "For tests"),)

    def __init__(self, name: str, act: Callable[[], float], interval_seconds: float = 60.0) -> None:
        self.name = name
        self.interval_seconds = interval_seconds
        self.calls = 0
        self._act = act

    def sample(self) -> list[Sample]:
        self.calls += 1
        return [Sample("system_test", self._act(), {"probe": self.name})]


class Hang:
    """What hangs until the event, and whether it does so now."""

    def __init__(self, until: threading.Event) -> None:
        self.is_on = False
        self._until = until

    def __call__(self) -> float:
        self.is_on = True
        assert self._until.wait(60)
        self.is_on = False
        return 1.0


class Machine:
    def __init__(self, *probes: ScriptedProbe, hangs: Sequence[Hang] = ()) -> None:
        self.now = 1000.0
        self.said: list[tuple[str, str]] = []
        self.sampler = Sampler(
            probes, boot=lambda: self.now, on_unavailable=self.hear, patience_seconds=PATIENCE_SECONDS
        )
        self.hangs = hangs

    def hear(self, probe: str, reason: str) -> None:
        self.said.append((probe, reason))

    def tick(self, seconds: float = 60.0) -> None:
        """What does not hang is waited for: a busy machine may keep it for longer than the sampler waits."""
        self.now += seconds
        self.sampler.read_due(slack_seconds=seconds / 2)
        deadline = time.monotonic() + 60
        while sum(one.is_running for one in self.sampler.schedules) > sum(hang.is_on for hang in self.hangs):
            assert time.monotonic() < deadline

    def values(self) -> dict[str, list[float | None]]:
        return {
            schedule.name: [sample.value for sample in last_reading(schedule, self.now)]
            for schedule in self.sampler.schedules
        }


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets what hangs go on; set at the end in any case."""
    event = threading.Event()
    yield event
    event.set()


def test_a_hanging_probe_keeps_one_thread_and_the_rest_go_on(release: threading.Event) -> None:
    hang = Hang(release)
    first, hanging = ScriptedProbe("first", lambda: 1.0), ScriptedProbe("hanging", hang)
    last = ScriptedProbe("last", lambda: 2.0)
    machine = Machine(first, hanging, last, hangs=[hang])
    before = set(threading.enumerate())
    for _ in range(5):
        machine.tick()
    await_threads(1, before=before)
    assert (first.calls, hanging.calls, last.calls) == (5, 1, 5)
    assert machine.values() == {"first": [1.0], "hanging": [], "last": [2.0]}
    assert [schedule.errors for schedule in machine.sampler.schedules] == [0, 1, 0]  # once, at its timeout
    release.set()
    machine.sampler.wait(60)
    machine.tick()
    assert hanging.calls == 2
    assert machine.values()["hanging"] == [1.0]


def test_two_hanging_probes_do_not_hide_a_third(release: threading.Event) -> None:
    hangs = [Hang(release), Hang(release)]
    hanging = [ScriptedProbe(f"hanging{number}", hang) for number, hang in enumerate(hangs)]
    machine = Machine(*hanging, ScriptedProbe("well", lambda: 3.0), hangs=hangs)
    machine.tick()
    assert machine.values()["well"] == [3.0]


def test_a_failing_probe_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> float:
        raise ZeroDivisionError("bad sensor")

    machine = Machine(ScriptedProbe("bad", fail), ScriptedProbe("well", lambda: 3.0))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            machine.tick()
    assert [schedule.errors for schedule in machine.sampler.schedules] == [3, 0]
    assert len(caplog.records) == 1
    assert machine.values()["well"] == [3.0]


def test_what_the_machine_lacks_is_said_once_and_is_no_error() -> None:
    def lack() -> float:
        raise ProbeUnavailable("no battery")

    machine = Machine(ScriptedProbe("battery", lack))
    for _ in range(3):
        machine.tick()
    assert machine.said == [("battery", "no battery")]
    assert machine.sampler.schedules[0].errors == 0


def test_a_reading_is_repeated_until_it_is_three_intervals_old_and_then_unknown(release: threading.Event) -> None:
    readings = iter([7.0])
    hang = Hang(release)
    slow = ScriptedProbe("slow", lambda: next(readings, None) or hang(), interval_seconds=300.0)
    machine = Machine(slow, hangs=[hang])
    machine.tick()
    for minute in range(1, 16):
        machine.tick()
        assert machine.values()["slow"] == ([7.0] if minute < 15 else [None])


def test_slow_probes_keep_their_interval_and_fast_ones_follow_the_push_interval() -> None:
    fast, slow, chosen = (
        ScriptedProbe("fast", lambda: 1.0),
        ScriptedProbe("slow", lambda: 1.0, interval_seconds=300.0),
        ScriptedProbe("chosen", lambda: 1.0),
    )
    machine = Machine(fast, slow, chosen)
    machine.sampler.set_intervals(5.0, {"chosen": 20.0})
    for _ in range(61):
        machine.tick(5.0)
    assert (fast.calls, slow.calls, chosen.calls) == (61, 2, 16)


def test_what_is_turned_off_is_not_read_and_not_sent_until_it_is_turned_on_again() -> None:
    cpu, smart = ScriptedProbe("cpu", lambda: 1.0), ScriptedProbe("smart", lambda: 2.0, interval_seconds=3600.0)
    machine = Machine(cpu, smart)
    machine.tick()
    machine.sampler.configure(AgentConfig(probes_off=frozenset({"smart", "unheard_of"})), 60.0)
    machine.tick()
    assert (machine.values(), smart.calls) == ({"cpu": [1.0]}, 1)
    machine.sampler.configure(AgentConfig(), 60.0)
    assert machine.values() == {"cpu": [1.0], "smart": []}  # not what was true before
    machine.tick()
    assert (machine.values(), smart.calls) == ({"cpu": [1.0], "smart": [2.0]}, 2)


def test_a_probe_is_told_of_a_configuration_once_and_its_failure_keeps_no_other_from_it() -> None:
    class Told(ScriptedProbe):
        def __init__(self, name: str, seconds: float) -> None:
            super().__init__(name, lambda: 1.0, interval_seconds=seconds)
            self.told: list[tuple[str, ...]] = []

        def configure(self, config: AgentConfig) -> None:
            self.told.append(config.services)
            if self.name == "bad":
                raise RuntimeError("not today")

    bad, good = Told("bad", 60.0), Told("good", 300.0)
    machine = Machine(bad, good)
    config = AgentConfig(services=("nginx",), probe_intervals_seconds={"good": 120.0})
    for _ in range(3):
        machine.sampler.configure(config, 30.0)
    assert (bad.told, good.told) == ([("nginx",)], [("nginx",)])
    assert [schedule.interval_seconds for schedule in machine.sampler.schedules] == [30.0, 120.0]


def test_a_process_of_its_own_is_not_started_every_second() -> None:
    heavy = ScriptedProbe("updates", lambda: 1.0, interval_seconds=86_400.0)
    heavy.timeout_seconds = 600.0
    machine = Machine(heavy)
    machine.sampler.configure(AgentConfig(probe_intervals_seconds={"updates": 1.0}), 1.0)
    assert machine.sampler.schedules[0].interval_seconds == 60.0
