"""What systemd is told, and how the log looks in its journal."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import runner
from agent.children import Ending
from agent.logs import JournalFormatter, leads_to_journal
from agent.notify import Notifier, take_notifier
from agent.runner import RunOptions, run
from agent.wakeup import Wakeup
from tests.agent.collector import Collector, Reply
from tests.agent.conftest import StartAgent


class Manager:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(60)

    def hear(self) -> str:
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """Agents that start now are its services."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    listening = Manager(str(tmp_path / "notify"))
    yield listening
    listening.close()


def test_systemd_hears_of_the_first_frame_of_each_and_of_the_end(
    state: Path, start_agent: StartAgent, manager: Manager
) -> None:
    agent = start_agent(state)
    assert manager.hear().startswith("WATCHDOG=1\nSTATUS=")
    assert manager.hear() == "READY=1"
    for _ in range(2):
        assert manager.hear().startswith("WATCHDOG=1\n")
    agent.send_signal(signal.SIGTERM)
    heard = ""
    while heard != "STOPPING=1":
        heard = manager.hear()
    assert agent.wait(60) == 0


def test_a_collector_that_is_away_is_no_reason_to_be_restarted(
    collector: Collector, state: Path, start_agent: StartAgent, manager: Manager
) -> None:
    collector.script.extend([Reply(503)] * 50)
    agent = start_agent(state)
    heard = [manager.hear() for _ in range(4)]
    assert sum(message.startswith("WATCHDOG=1") for message in heard) == 3
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0


def test_an_ended_device_starts_and_stops_for_systemd_and_is_not_tried_again(
    state: Path, start_agent: StartAgent, manager: Manager
) -> None:
    (state / "ended").touch()
    assert start_agent(state).wait(60) == 0
    assert manager.hear() == "READY=1"


@pytest.mark.parametrize(("is_shutdown", "reason"), [(True, "shutdown"), (False, "stop")])
def test_who_hears_no_signals_is_stopped_from_another_thread(
    collector: Collector, state: Path, is_shutdown: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a Windows service is: it runs in a thread, and is told whether the machine goes down."""
    monkeypatch.setattr(Ending, "has_begun", False)  # put back afterwards: this process goes on
    monkeypatch.setattr(runner, "GOODBYE_SECONDS", 60.0)
    made: list[Wakeup] = []
    exit_codes: list[int] = []

    def serve() -> None:
        made.append(Wakeup())
        exit_codes.append(run(RunOptions(state, interval_seconds=0.3), wakeup=made[0]))

    thread = threading.Thread(target=serve)
    thread.start()
    collector.wait_for(lambda it: len(it.frames) >= 2)
    made[0].announce_sleep()
    collector.wait_for(lambda it: any(event.type == "goodbye" for event in it.events))
    made[0].stop(is_shutdown=is_shutdown)
    thread.join(60)
    assert exit_codes == [0]
    reasons = [(event.model_extra or {})["reason"] for event in collector.events if event.type == "goodbye"]
    assert reasons == ["sleep", reason]


def test_an_abstract_address() -> None:
    name = f"quarkpulse-test-{os.getpid()}"
    listening = Manager("\0" + name)
    notifier = Notifier(f"@{name}")
    notifier.ready()
    assert listening.hear() == "READY=1"
    listening.close()
    notifier.stopping()  # nobody listens any more
    notifier.close()


def test_what_the_agent_starts_cannot_speak_in_its_name() -> None:
    environment = {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1", "PATH": "/bin"}
    take_notifier(environment).ready()
    assert environment == {"PATH": "/bin"}


def test_every_line_of_a_traceback_bears_its_level() -> None:
    error = ValueError("two\nlines")
    record = logging.LogRecord("agent.x", logging.ERROR, "x.py", 1, "crashed", None, (ValueError, error, None))
    lines = JournalFormatter("%(name)s: %(message)s").format(record).splitlines()
    assert lines[0] == "<3>agent.x: crashed"
    assert len(lines) > 2
    assert all(line.startswith("<3>") for line in lines)


@pytest.mark.parametrize(
    ("level", "prefix"),
    [(logging.CRITICAL, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"), (logging.DEBUG, "<7>")],
)
def test_levels_of_the_journal(level: int, prefix: str) -> None:
    record = logging.LogRecord("agent.x", level, "x.py", 1, "text", None, None)
    assert JournalFormatter("%(message)s").format(record) == f"{prefix}text"


def test_only_the_very_stream_of_systemd_is_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        found = os.fstat(log.fileno())
        named = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert leads_to_journal(named, log.fileno())
        assert not leads_to_journal({"JOURNAL_STREAM": f"{found.st_dev}:1"}, log.fileno())
        assert not leads_to_journal({"JOURNAL_STREAM": "nonsense"}, log.fileno())
        assert not leads_to_journal({}, log.fileno())
