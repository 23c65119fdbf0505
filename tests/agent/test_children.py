"""Real programs that hang, flood, fork and babble: none of them costs more than its time."""

import signal
import sys
import time
from pathlib import Path

import pytest

from agent.children import make_environment, run_child
from agent.probes.base import ProbeFailed, ProbeUnavailable
from agent.probes.parsing import decode, dig_number, parse_json


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


def await_end(pid: int) -> None:
    """At once, or nearly: the kernel takes a moment after the signal."""
    deadline = time.monotonic() + 60
    while is_running(pid):
        assert time.monotonic() < deadline


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir() if path.exists()}


def test_the_answer_is_what_it_says_on_stdout_and_its_exit_code() -> None:
    answer = run_child(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert answer == (3, b"out\n")
    assert run_child(["sh", "-c", "kill -9 $$"]).exit_code == -signal.SIGKILL


def test_a_program_that_is_missing_is_no_fault() -> None:
    with pytest.raises(ProbeUnavailable, match="smartctl-of-nobody is not installed"):
        run_child(["smartctl-of-nobody", "--scan"])
    with pytest.raises(ProbeUnavailable, match="cannot be run"):
        run_child(["/etc/passwd"])


def test_one_that_hangs_is_ended() -> None:
    before = open_descriptors()
    with pytest.raises(ProbeFailed, match=r"no answer within 0\.3 s"):
        run_child(["sleep", "1000"], timeout_seconds=0.3)
    with pytest.raises(ProbeFailed, match="no answer"):
        run_child(python("import os, time; os.close(1); time.sleep(1000)"), timeout_seconds=0.5)
    assert open_descriptors() <= before  # a thread of another test may have closed some


def test_what_it_started_is_ended_with_it(tmp_path: Path) -> None:
    """It forks, says who its child is, and leaves; the child keeps the pipe open, or does not."""
    note = tmp_path / "pid"
    leaves = f"& echo $! > {note}"
    run_child(["sh", "-c", f"sleep 1000 >/dev/null {leaves}"], timeout_seconds=60.0)
    await_end(int(note.read_text()))
    note.write_text("")
    for seconds in (0.5, 5.0, 50.0):  # it may take long to say who it is
        with pytest.raises(ProbeFailed):  # it waits for the end of the output, and that does not come
            run_child(["sh", "-c", f"sleep 1000 {leaves}"], timeout_seconds=seconds)
        if note.read_text():
            break
    await_end(int(note.read_text()))


def test_a_flood_is_cut_off() -> None:
    with pytest.raises(ProbeFailed, match="more than 100000 bytes"):
        run_child(["yes"], max_bytes=100_000)


def test_it_is_the_least_important() -> None:
    """From right after its start on."""
    waits = "import os\nwhile os.nice(0) != 19: pass\nprint('it is')"
    assert run_child(python(waits), timeout_seconds=60.0).output == b"it is\n"


def test_it_speaks_english_and_knows_no_secret() -> None:
    inherited = {
        "LANG": "de_DE.UTF-8",
        "LC_MESSAGES": "de",
        "LANGUAGE": "de",
        "QUARKPULSE_TOKEN": "x",
        "PATH": "/bin",
    }
    made = make_environment(inherited, {"BORG_REPO": "x"})
    assert made == {"LC_ALL": "C", "PATH": "/bin:/usr/sbin:/sbin", "BORG_REPO": "x"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain ü".encode(), "plain ü"),
        (b"\xef\xbb\xbfwith a mark", "with a mark"),
        ("breit".encode("utf-16"), "breit"),
        ("stra\u00dfe".encode("cp850"), "stra\ufffde"),
        (b"\x00\xff\xfe\x80", "\x00\ufffd\ufffd\ufffd"),
    ],
    ids=["utf-8", "mark", "utf-16", "code page", "binary"],
)
def test_any_bytes_become_text(content: bytes, text: str) -> None:
    assert decode(content) == text


@pytest.mark.parametrize("content", [b"", b"\x7fELF\x00\xff", b"[" * 100_000, b'{"a": 1', b"9" * 5000])
def test_what_is_no_json_is_a_failed_reading(content: bytes) -> None:
    with pytest.raises(ProbeFailed, match="smartctl did not answer in JSON"):
        parse_json(content, "smartctl")


def test_numbers_that_are_none_are_not_known() -> None:
    content = {"a": {"b": 3}, "inf": float("inf"), "nan": float("nan"), "text": "7", "long": 10**400, "yes": True}
    assert dig_number(content, "a", "b") == 3
    assert dig_number(content, "yes") == 1
    for keys in (("a",), ("a", "b", "c"), ("inf",), ("nan",), ("text",), ("long",), ("missing", "x")):
        assert dig_number(content, *keys) is None
