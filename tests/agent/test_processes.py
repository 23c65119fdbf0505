from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.base import Sample
from agent.probes.processes import MIN_MEMORY_BYTES, Process, ProcessProbe, make_process, parse_stat, read_processes

# Fields 4 to 52 as proc_pid_stat(5) lists them: of these only 14, 15, 22 and 24 matter.
TAIL = "1 1 1 0 -1 4194304 100 0 0 0 {user} {system} 0 0 20 0 1 0 {start} 10000000 {pages} 18446744073709551615 0 0"


def stat_line(pid: int, name: str, state: str, **numbers: int) -> str:
    return f"{pid} ({name}) {state} " + TAIL.format(**{"user": 0, "system": 0, "start": 5, "pages": 0, **numbers})


def samples_of(probe: ProcessProbe, metric: str) -> dict[str, float | None]:
    return {next(iter(one.labels.values())): one.value for one in probe.sample() if one.name == metric}


@pytest.mark.skipif(not psutil.LINUX, reason="reads /proc")
def test_processes_by_state_from_recorded_files(tmp_path: Path) -> None:
    processes = [("R (x) R", "S"), ("bash", "R"), ("a b", "Z"), ("gdb", "t")]
    for number, (name, state) in enumerate(processes):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "stat").write_text(stat_line(number, name, state))
    (tmp_path / "98").mkdir()
    (tmp_path / "98/stat").write_bytes(b"\xff\xfe garbage")
    (tmp_path / "99").mkdir()  # ended between listing and reading
    (tmp_path / "self").mkdir()
    probe = ProcessProbe(lambda: read_processes(tmp_path))
    assert samples_of(probe, "system_process_count") == {"running": 1, "sleeping": 1, "stopped": 1, "defunct": 1}


def test_a_process_from_its_line() -> None:
    line = stat_line(42, "tmux: server", "S", user=150, system=50, start=777, pages=3).encode()
    assert parse_stat(42, line, 100, 4096) == Process((42, 777.0), "tmux: server", "S", 2.0, 12288)
    worker = parse_stat(9, stat_line(9, "kworker/0:1-events", "I").encode(), 100, 4096)
    assert worker is not None and worker.name == "kworker"


def running(pid: int, name: str, cpu_seconds: float, mebibytes: int = 0, start: float = 1.0) -> Process:
    return Process((pid, start), name, "S", cpu_seconds, mebibytes << 20)


def test_the_programs_that_use_most_all_their_processes_together() -> None:
    readings = iter([
        [running(1, "db", 100.0, 500), running(2, "db", 10.0, 600), running(4, "idle", 9.0, 1),
         running(3, "web", 50.0, 900)],
        [running(1, "db", 160.0, 500), running(2, "db", 40.0, 600), running(4, "idle", 9.1, 1),
         running(3, "web", 30.0, 900, start=2.0)],
    ])  # fmt: skip
    times = iter([1000.0, 1300.0])
    probe = ProcessProbe(lambda: next(readings), lambda: next(times), processors=2)
    first = probe.sample()
    assert [sample for sample in first if sample.name == "process_memory_usage_bytes"] == [
        Sample("process_memory_usage_bytes", 1100 << 20, {"process_name": "db"}),
        Sample("process_memory_usage_bytes", 900 << 20, {"process_name": "web"}),
    ]
    assert not [sample for sample in first if sample.name == "process_cpu_utilization_ratio"]
    # 90 of 600 processor seconds; the other process number 3 has spent its 30 since it started.
    assert samples_of(probe, "process_cpu_utilization_ratio") == {"db": 0.15, "web": 0.05}


def test_never_more_than_five_and_none_that_uses_next_to_nothing() -> None:
    many = [running(number, f"p{number}", 0.0, 100 + number) for number in range(50)]
    assert list(samples_of(ProcessProbe(lambda: many), "process_memory_usage_bytes")) == [
        "p49",
        "p48",
        "p47",
        "p46",
        "p45",
    ]
    small = [Process((1, 1.0), "small", "S", 0.0, MIN_MEMORY_BYTES - 1)]
    assert samples_of(ProcessProbe(lambda: small), "process_memory_usage_bytes") == {}


def test_what_psutil_may_not_read_counts_as_nothing() -> None:
    nothing = dict.fromkeys(["pid", "name", "status", "cpu_times", "memory_info", "create_time"])
    assert make_process(nothing) == Process((0, 0.0), "?", "", 0.0, 0)
    me = psutil.Process().as_dict(["pid", "name", "status", "cpu_times", "memory_info", "create_time"])
    assert make_process(me).cpu_seconds > 0
    assert make_process(me).memory_bytes > 1 << 20


FIELDS = st.sampled_from([b"(", b")", b"S", b"7", b"-1", b"x", b"\xff", b"9" * 400])


LETTERS = st.text(alphabet="()RSZ 0123456789-", max_size=200).map(str.encode)


@given(st.binary(max_size=100) | st.lists(FIELDS, max_size=40).map(b" ".join) | LETTERS)
def test_any_bytes_are_borne(stat: bytes) -> None:
    parse_stat(1, stat, 100, 4096)
