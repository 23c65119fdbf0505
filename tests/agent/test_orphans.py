"""Programs that leave others behind in sessions of their own, run by a process that is the reaper, as the agent is."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.orphans import VARIABLE, read_children, read_session
from tests.agent.test_children import is_running

# Starts anew as the reaper, as `quarkpulse-agent run` does, and then does what the test wants.
REAPER = """
import json, os, subprocess, sys, threading, time
from agent import children, orphans
from agent.children import run_child
from agent.probes.base import ProbeFailed
orphans.become_reaper()
assert orphans.Reaping.is_on
orphans.END_SECONDS = 30.0  # what is killed may be long about it
def run(command, seconds=60.0):
    try:
        return run_child(command, timeout_seconds=seconds).exit_code
    except ProbeFailed as error:
        return str(error)
"""
# The sleeper's pid goes to the file; its own session, and no open pipe.
SETSID = (
    """setsid sleep 1000 >/dev/null 2>&1 & echo $! > {note}; until [ "$(cat /proc/$!/comm)" = sleep ]; do :; done"""
)
DOUBLE_FORK = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        os.environ.clear()
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        with open("{note}.new", "w") as file:
            file.write(str(os.getpid()))
        os.rename("{note}.new", "{note}")
        os.execv("/bin/sleep", ["sleep", "1000"])
    os._exit(0)
while not os.path.exists("{note}"):
    pass
os.close(1)
if {hangs}:
    time.sleep(1000)
"""


def reap(script: str, *arguments: object) -> Any:
    """What the script printed, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", REAPER + script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=180,
    )
    return json.loads(done.stdout)


def double_fork(note: Path, *, hangs: bool) -> str:
    return DOUBLE_FORK.format(note=note, hangs=hangs)


@pytest.mark.parametrize("hangs", [False, True])
def test_a_double_fork_in_a_session_of_its_own_is_ended_with_the_program(tmp_path: Path, hangs: bool) -> None:
    note = tmp_path / "pid"
    script = """
for seconds in (3.0, 15.0, 60.0) if sys.argv[3] == "True" else (60.0,):  # it may be long in saying who it is
    result = run([sys.executable, "-c", sys.argv[1]], seconds)
    if os.path.exists(sys.argv[2]):
        break
print(json.dumps([result, seconds, sorted(orphans.read_children())]))
"""
    result, seconds, left = reap(script, double_fork(note, hangs=hangs), note, hangs)
    assert result == (f"{sys.executable} was ended: no answer within {seconds:g} s" if hangs else 0)
    assert left == []  # not as a zombie either
    assert not is_running(int(note.read_text()))


FAMILY = """
import os, sys, time
for number in range(5):
    if os.fork() == 0:
        os.setsid()
        os.close(1)  # whose end is waited for
        os.spawnvp(os.P_NOWAIT, "setsid", ["setsid", "sleep", "1000"])
        open(f"{sys.argv[1]}/{number}", "w").close()
        time.sleep(1000)
while len(os.listdir(sys.argv[1])) < 5:
    pass
"""


def test_whole_families_are_ended(tmp_path: Path) -> None:
    """Children in sessions of their own with children in sessions of their own; none has lost its parent before."""
    script = """
run([sys.executable, "-c", sys.argv[1], sys.argv[2]])
print(json.dumps([orphans.Reaping.is_on, sorted(orphans.read_children())]))
"""
    assert reap(script, FAMILY, tmp_path) == [True, []]
    assert len(list(tmp_path.iterdir())) == 5


def test_the_helper_of_another_program_lives_until_that_ends(tmp_path: Path) -> None:
    note, gate = tmp_path / "pid", tmp_path / "gate"
    script = """
code, note, gate = sys.argv[1:]
other = threading.Thread(target=run, args=(["sh", "-c", f"{code}; while [ ! -e {gate} ]; do sleep 0.01; done"],))
other.start()
while not os.path.exists(note) or not open(note).read():
    pass
pid = int(open(note).read())
while pid not in orphans.read_children():
    pass
run(["true"])
during = pid in orphans.read_children()
open(gate, "w").close()
other.join()
print(json.dumps([during, pid in orphans.read_children()]))
"""
    # Its parent ends at once, so that it is the reaper's.
    code = f"({SETSID.format(note=note)})"
    assert reap(script, code, note, gate) == [True, False]
    assert not is_running(int(note.read_text()))


def test_what_the_process_started_itself_or_had_before_is_spared() -> None:
    script = """
own = subprocess.Popen(["sleep", "1000"])
orphans.Reaping.spared |= {(before := subprocess.Popen(["sleep", "1000"], start_new_session=True)).pid}
run(["true"])
alive = [own.poll(), before.poll()]
for process in (own, before):
    process.kill()
    process.wait()
print(json.dumps(alive))
"""
    assert reap(script) == [None, None]


def test_a_program_that_takes_long_to_start_is_not_taken_for_an_orphan() -> None:
    """Between fork and exec nobody knows it yet; exec may hang on a network mount."""
    script = """
real = subprocess.Popen
class Slow(real):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        if arguments[0][0] == "sleep":
            started.set()
            finished.wait()
started, finished = threading.Event(), threading.Event()
subprocess.Popen = Slow
slow = threading.Thread(target=lambda: results.append(run(["sleep", "0"])))
results = []
slow.start()
started.wait()
run(["true"])
finished.set()
slow.join()
print(json.dumps(results))
"""
    assert reap(script) == [0]


def test_what_cannot_be_ended_is_waited_for_once(tmp_path: Path) -> None:
    """As a process that hangs in the kernel: here nothing is killed until the end. Time passes by waiting alone."""
    script = """
import types
orphans.END_SECONDS = 0.2
kill, os.kill = os.kill, lambda *_: None
now, waited = [0.0], []
def wait(seconds):
    waited[-1] += 1
    now[0] += seconds
orphans.time = types.SimpleNamespace(monotonic=lambda: now[0], sleep=wait)
for command in (["sh", "-c", sys.argv[1]], ["true"], ["true"]):
    waited.append(0)
    run(command)
orphans.time = time
os.kill = kill
until = time.monotonic() + 60
while orphans.read_children() and time.monotonic() < until:
    run(["true"])
print(json.dumps([waited, sorted(orphans.read_children())]))
"""
    (first, *others), left = reap(script, SETSID.format(note=tmp_path / "pid"))
    assert first > 0
    assert others == [0, 0]
    assert left == []


def test_it_is_said_once(tmp_path: Path) -> None:
    script = """
import logging
logging.basicConfig(stream=sys.stdout, format="%(message)s")
said = []
logging.getLogger("agent.children").addHandler(handler := logging.Handler())
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("agent.children").propagate = False
for _ in range(3):
    run(["sh", "-c", sys.argv[1]])
print(json.dumps(said))
"""
    assert reap(script, SETSID.format(note=tmp_path / "pid")) == ["processes were left behind, ended: names=['sleep']"]


def test_a_reader_that_is_no_reaper_ends_nothing_of_others() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from agent.children import ORPHANS; print(ORPHANS.end())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


def test_the_parents_and_sessions_of_processes_are_read() -> None:
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while read_session(child.pid) != child.pid:
            assert time.monotonic() < deadline
        assert child.pid in read_children()
    finally:
        child.kill()
        child.wait()
    assert read_session(child.pid) is None
    assert child.pid not in read_children()


def test_the_word_that_the_reaper_starts_anew_by_is_no_ones_inheritance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    assert reap("print(json.dumps(os.environ.get(orphans.VARIABLE)))") is None
