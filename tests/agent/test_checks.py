"""Custom checks: real plugins of Debian's, and programs that do everything wrong."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.allow_list import AllowList, NotAllowedError
from agent.children import RUNNING, end_children
from agent.config import AgentConfig
from agent.inspection import inspect
from agent.probes.base import ProbeUnavailable, Sample
from agent.probes.checks import MAX_FIGURES, MAX_OUTPUT_BYTES, MAX_SERIES, Check, CheckProbe, run_check
from agent.settings import Section, SettingsError
from protocol.wire import CustomCheck
from tests.agent.test_children import is_running
from tests.conftest import skip_or_fail

PLUGINS = Path("/usr/lib/nagios/plugins")


def script(folder: Path, body: str, name: str = "check_it") -> Path:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n# -*- coding: utf-8 -*-\nimport os, sys, time\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def shell(folder: Path, body: str, name: str = "check_it") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def local(path: Path, *words: str, timeout_seconds: float = 60.0) -> Check:
    return Check("it", (str(path), *words), timeout_seconds=timeout_seconds, is_local=True)


def asked(path: Path | str, *words: str, name: str = "it") -> CustomCheck:
    return CustomCheck(name=name, command=[str(path), *words], interval_seconds=60.0, timeout_seconds=60.0)


def plugin(name: str) -> Path:
    path = PLUGINS / name
    if not path.exists():
        skip_or_fail("needs the Debian package monitoring-plugins-basic")
    return path


def series(samples: list[Sample], name: str) -> dict[tuple[str, ...], float | None]:
    return {tuple(one.labels.values()): one.value for one in samples if one.name == name}


# Real plugins.


def test_real_plugins_are_told_with_their_figures_in_base_units() -> None:
    checks = [
        Check("disk", (str(plugin("check_disk")), "-w", "1%", "-c", "0%", "-p", "/"), is_local=True),
        Check("load", (str(plugin("check_load")), "-w", "900,800,700", "-c", "1000,900,800"), is_local=True),
        Check("file", (str(plugin("check_file_age")), "-w", "0", "-c", "99999999999", "/etc/hostname"), is_local=True),
        Check("port", (str(plugin("check_tcp")), "-H", "127.0.0.1", "-p", "1"), is_local=True),
        Check("usage", (str(plugin("check_disk")), "--no-such-option"), is_local=True),
    ]
    found = inspect([CheckProbe(checks)])
    assert (found.lacking, found.failed) == ({}, {})
    assert series(found.samples, "check_status") == {
        ("disk",): 0,
        ("load",): 0,
        ("file",): 1,
        ("port",): 2,
        ("usage",): 3,
    }
    values = series(found.samples, "check_value")
    assert (values["disk", "/", "bytes"] or 0) > 1 << 20
    assert values["load", "load1"] is not None
    assert (values["file", "age", "seconds"] or 0) >= 0
    limits = series(found.samples, "check_limit")
    assert limits["load", "load1", "warning_high"] == 900
    assert limits["load", "load1", "min"] == 0


@pytest.mark.parametrize(("code", "status"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (127, 3), (255, 3)])
def test_the_status_is_the_exit_code_alone(code: int, status: int) -> None:
    check = Check("dummy", ("/bin/sh", "-c", f"echo 'OK CRITICAL WARNING'; exit {code}"), is_local=True)
    assert run_check(check, AllowList()).status == status


def test_the_plugin_for_tests_says_what_it_is_told() -> None:
    result = run_check(local(plugin("check_dummy"), "1", "hello"), AllowList())
    assert (result.status, result.text) == (1, "WARNING: hello")


# What goes wrong.


@pytest.mark.parametrize(
    ("body", "text", "timeout_seconds"),
    [
        ("os.write(1, b'x' * 300_000)", "was ended: more than", 60.0),
        ("time.sleep(1000)", "was ended: no answer within 1 s", 1.0),
        ("os.kill(os.getpid(), 9)", "said nothing, exit code -9", 60.0),
        ("sys.exit(0) if os.fork() else time.sleep(1000)", "was ended: no answer within 1 s", 1.0),
    ],
    ids=["floods", "hangs", "dies", "forks and keeps the pipe"],
)
def test_a_check_that_misbehaves_is_not_known(tmp_path: Path, body: str, text: str, timeout_seconds: float) -> None:
    began = time.monotonic()
    result = run_check(local(script(tmp_path, body), timeout_seconds=timeout_seconds), AllowList())
    assert (result.status, result.figures) == (3, [])
    assert text in result.text
    assert time.monotonic() - began < 600.0  # not a thousand


def test_what_a_check_leaves_behind_is_ended(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    path = shell(tmp_path, f"sleep 1000 >/dev/null 2>&1 & echo $! > {note}; echo fine; exit 0")
    assert run_check(local(path), AllowList()).status == 0
    deadline = time.monotonic() + 60.0
    while is_running(int(note.read_text())):
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("output", "text", "figures"),
    [
        (b"\x80\x81\x00\x01|\x80\xff=1 good=2", None, {"\ufffd\ufffd": 1.0, "good": 2.0}),
        (b"ok|" + b"\0" * 50 + b" good=2", None, {"good": 2.0}),
        (b"Gr\xf6\xdfe OK|Gr\xf6\xdfe=3", "Gr��e OK", {"Gr��e": 3.0}),
        ("Größe OK|Größe=3".encode(), "Größe OK", {"Größe": 3.0}),
        (b"OK: 1.234,5 MB frei|frei=1234,5MB;10,5;5", None, {"frei": 1234.5 * 2**20}),
        (b"", "said nothing", {}),
        (b"\n\n\n", "said nothing", {}),
        (b"| a=1 a=2", "said nothing", {"a": 1.0}),
    ],
    ids=["binary", "zeros", "latin-1", "utf-8", "localized", "empty", "blank lines", "twice the same"],
)
def test_whatever_it_prints_the_status_counts(
    tmp_path: Path, output: bytes, text: str | None, figures: dict[str, float]
) -> None:
    (tmp_path / "output").write_bytes(output)
    path = shell(tmp_path, f"cat {tmp_path}/output; exit 1")
    found = inspect([CheckProbe([local(path)])])
    assert series(found.samples, "check_status") == {("it",): 1}
    values: dict[str, float | None] = {}
    for sample in found.samples:
        if sample.name == "check_value":
            values.setdefault(sample.labels["check_metric"], sample.value)
    assert values == figures
    if text is not None:
        assert text in run_check(local(path), AllowList()).text


def test_figures_are_bounded(tmp_path: Path) -> None:
    many = " ".join(f"m{number}=1;2;3;0;9" for number in range(500))
    assert len(many) < MAX_OUTPUT_BYTES
    path = shell(tmp_path, f"echo 'OK|{many}'")
    found = inspect([CheckProbe([local(path)._replace(name=f"c{number}") for number in range(20)])])
    assert len(found.samples) == MAX_SERIES
    assert len(series(found.samples, "check_status")) == 20
    values = [one for one in found.samples if one.name == "check_value"]
    assert len([one for one in values if one.labels["check"] == "c0"]) == MAX_FIGURES


def test_what_counts_is_a_counter_and_what_is_not_known_has_no_value(tmp_path: Path) -> None:
    path = shell(tmp_path, "echo 'OK|requests=12345c free=U%;10:;5:'")
    samples = inspect([CheckProbe([local(path)])]).samples
    assert Sample("check_count_total", 12345.0, {"check": "it", "check_metric": "requests"}) in samples
    assert Sample("check_value", None, {"check": "it", "check_metric": "free", "unit": "ratio"}) in samples
    assert series(samples, "check_limit") == {
        ("it", "free", "ratio", "warning_low"): 0.1,
        ("it", "free", "ratio", "critical_low"): 0.05,
    }


# When.


class Watch:
    """A probe, and the clock that it goes by."""

    def __init__(self, *checks: Check, patience_seconds: float = 60.0) -> None:
        self.now = 1000.0
        self.probe = CheckProbe(checks, boot=lambda: self.now, patience_seconds=patience_seconds)

    def read(self, after: float = 0.0) -> dict[tuple[str, ...], float | None]:
        self.now += after
        return series(self.probe.sample(), "check_status")


def test_each_check_runs_at_its_own_interval(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    path = shell(tmp_path, f"echo $1 >> {runs}; echo OK")
    fast, slow = local(path, "fast")._replace(name="fast"), local(path, "slow")._replace(name="slow")
    watch = Watch(fast, slow._replace(interval_seconds=300.0))
    for _ in range(10):
        assert watch.read(after=60.0) == {("fast",): 0, ("slow",): 0}
    assert sorted(runs.read_text().split()) == ["fast"] * 10 + ["slow"] * 2


def test_one_that_hangs_keeps_no_other_from_running(tmp_path: Path) -> None:
    slow = script(tmp_path, "time.sleep(1000)", "slow")
    quick = shell(tmp_path, "echo OK", "quick")
    hanging = [local(slow)._replace(name=f"slow{number}") for number in range(3)]
    watch = Watch(*hanging, local(quick), patience_seconds=0.0)
    deadline = time.monotonic() + 60.0
    while not (statuses := watch.read()):
        assert time.monotonic() < deadline
    assert statuses == {("it",): 0}
    while len(watch.read()) < 4:
        end_children()  # as their timeout would
        assert time.monotonic() < deadline
    assert watch.read() == {("slow0",): 3, ("slow1",): 3, ("slow2",): 3, ("it",): 0}


def test_a_result_that_is_too_old_is_not_known(tmp_path: Path) -> None:
    watch = Watch(local(shell(tmp_path, "echo 'OK|a=1'"), timeout_seconds=60.0))
    assert watch.read() == {("it",): 0}
    note = tmp_path / "runs"
    (tmp_path / "check_it").write_text(f"#!/bin/sh\ntouch {note}\nsleep 1000\n")
    watch.probe._patience_seconds = 0.0
    assert [watch.read(after=60.0) for _ in range(3)] == [{("it",): 0}, {("it",): 0}, {("it",): None}]
    deadline = time.monotonic() + 60.0
    while not (note.exists() and RUNNING):  # it may run before the agent's thread knows of it
        assert time.monotonic() < deadline
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    other.rename(tmp_path / "check_it")
    end_children()
    watch.probe._patience_seconds = 60.0  # it is due again at once
    while watch.read() != {("it",): 1}:
        assert time.monotonic() < deadline
    assert [one.details["status"] for one in watch.probe.take_occurrences()] == [3, 1]  # ended by a signal, then run


def test_a_change_is_told_once_with_the_plugins_words(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("0")
    watch = Watch(local(shell(tmp_path, f"s=$(cat {state}); echo it is $s; exit $s")))
    for status in ("0", "0", "2", "2", "0"):
        state.write_text(status)
        watch.read(after=60.0)
    assert [one.details for one in watch.probe.take_occurrences()] == [
        {"check": "it", "status": 2, "before": 0, "text": "it is 2"},
        {"check": "it", "status": 0, "before": 2, "text": "it is 0"},
    ]
    assert watch.probe.take_occurrences() == []


# What may run.


@pytest.fixture
def allowed(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with plugins that is allowed, and one that is not."""
    inside, outside = tmp_path / "plugins", tmp_path / "elsewhere"
    for folder in (inside, outside):
        folder.mkdir(mode=0o755)
        shell(folder, "echo OK")
    return inside, outside


def test_the_collectors_checks_run_only_where_the_machine_allows_them(allowed: tuple[Path, Path]) -> None:
    inside, outside = allowed
    probe = CheckProbe(allow=AllowList([inside]))
    good, bad = asked(inside / "check_it"), asked(outside / "check_it", name="bad")
    for _ in range(2):
        probe.configure(AgentConfig(custom_checks=(good, bad)))
    probe.settle(60.0)
    assert series(probe.sample(), "check_status") == {("it",): 0}
    (refusal,) = probe.take_occurrences()
    assert (refusal.type, refusal.details["probe"]) == ("probe_unavailable", "checks.bad")
    assert "agent.toml does not allow" in str(refusal.details["reason"])
    probe.configure(AgentConfig())
    with pytest.raises(ProbeUnavailable, match="no check is configured"):
        probe.sample()


def test_what_agent_toml_names_wins_over_the_collector(allowed: tuple[Path, Path]) -> None:
    inside, _ = allowed
    probe = CheckProbe([Check("it", ("/bin/sh", "-c", "exit 1"), is_local=True)], AllowList([inside]))
    probe.configure(AgentConfig(custom_checks=(asked(inside / "check_it"),)))
    probe.settle(60.0)
    assert series(probe.sample(), "check_status") == {("it",): 1}


def test_single_programs_may_be_allowed(allowed: tuple[Path, Path]) -> None:
    inside, _ = allowed
    other = shell(inside, "echo OK", "other")
    allow = AllowList([other])
    assert allow.resolve(str(other)) == str(other)
    with pytest.raises(NotAllowedError):
        allow.resolve(str(inside / "check_it"))


@pytest.mark.parametrize(
    "make",
    [
        lambda _, __: "check_it",
        lambda inside, _: f"{inside}/../elsewhere/check_it",
        lambda inside, outside: link(inside / "link", outside / "check_it"),
        lambda inside, outside: f"{link(inside / 'folder', outside)}/check_it",
        lambda inside, _: str(inside),
        lambda inside, _: f"{inside}-of-others/check_it",
        lambda inside, _: link(inside / "circle", inside / "circle"),
        lambda inside, _: shell(inside, "exec $@", "negate"),
        lambda inside, _: link(inside / "renamed", shell(inside, "exec $@", "negate")),
    ],
    ids=["relative", "dots", "link", "linked folder", "the folder", "a longer name", "circle", "negate", "renamed"],
)
def test_there_is_no_way_out_of_an_allowed_folder(
    allowed: tuple[Path, Path], make: Callable[[Path, Path], object]
) -> None:
    inside, outside = allowed
    with pytest.raises(NotAllowedError):
        AllowList([inside]).resolve(str(make(inside, outside)))


@pytest.mark.parametrize("name", ["check_log", "check_by_ssh", "check_flexlm", "check_pgsql"])
def test_what_does_as_it_is_told_is_allowed_by_its_own_name_alone(allowed: tuple[Path, Path], name: str) -> None:
    inside, _ = allowed
    program = shell(inside, "echo OK", name)
    with pytest.raises(NotAllowedError):
        AllowList([inside]).resolve(str(program))
    assert AllowList([inside, program]).resolve(str(program)) == str(program)


def link(path: Path, target: Path) -> str:
    path.symlink_to(target)
    return str(path)


def test_what_anyone_may_change_is_not_run(allowed: tuple[Path, Path]) -> None:
    inside, _ = allowed
    program = inside / "check_it"
    for path, mode in ((program, 0o757), (inside, 0o777)):
        before = path.stat().st_mode
        path.chmod(mode)
        with pytest.raises(NotAllowedError, match="anyone may change"):
            AllowList([inside]).resolve(str(program))
        path.chmod(before)
    assert AllowList([inside]).resolve(str(program)) == str(program)


def test_a_program_that_was_swapped_after_it_was_allowed_is_not_run(allowed: tuple[Path, Path]) -> None:
    inside, outside = allowed
    probe = CheckProbe(allow=AllowList([inside]))
    probe.configure(AgentConfig(custom_checks=(asked(inside / "check_it"),)))
    (inside / "check_it").unlink()
    link(inside / "check_it", outside / "check_it")
    probe.settle(60.0)
    assert series(probe.sample(), "check_status") == {("it",): 3}


# agent.toml.


def test_checks_and_what_is_allowed_stand_in_the_settings(tmp_path: Path) -> None:
    path = shell(tmp_path, "echo $1; exit 2")
    content = {
        "allow": [str(tmp_path)],
        "root": {"command": [str(path), "-w"], "interval_seconds": 300, "timeout_seconds": 10},
        "load": {"command": [str(path)]},
    }
    section = Section(content, "agent.toml: checks")
    probe = CheckProbe.from_settings(section)
    section.finish()
    states = {name: state.check for name, state in probe._states.items()}
    assert states == {
        "root": Check("root", (str(path), "-w"), 300.0, 10.0, is_local=True),
        "load": Check("load", (str(path),), 60.0, 30.0, is_local=True),
    }


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"allow": ["plugins"]}, "checks.allow: must be absolute paths"),
        ({"a": {"command": ["check_disk"]}}, "checks.a.command: must be a list that begins with the absolute path"),
        ({"a": {"command": "/bin/true"}}, "checks.a.command: must be a list of texts"),
        ({"a": {}}, "checks.a.command: must be a list"),
        ({"a": {"command": ["/bin/true"], "interval_seconds": 5}}, "checks.a.interval_seconds: must be 30 to 86400"),
        ({"a": {"command": ["/bin/true"], "timeout_seconds": "x"}}, "checks.a.timeout_seconds: must be 1 to 300"),
        ({"a": {"command": ["/bin/true"], "intervall": 60}}, "checks.a.intervall: no such setting"),
        ({"a b": {"command": ["/bin/true"]}}, "must be named by letters"),
        ({str(number): {"command": ["/bin/true"]} for number in range(51)}, "at most 50 checks, got 51"),
    ],
)
def test_mistakes_in_the_settings_are_explained(content: dict[str, object], complaint: str) -> None:
    section = Section(content, "agent.toml: checks")
    CheckProbe.from_settings(section)
    with pytest.raises(SettingsError) as refused:
        section.finish()
    assert complaint in str(refused.value)
