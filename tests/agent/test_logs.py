"""Errors in logs, failed logons, pressure and the clock. The journal's record is of a booted Debian 12."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.base import ProbeFailed, ProbeUnavailable, Sample
from agent.probes.clock_sync import (
    ClockProbe,
    ClockReading,
    parse_chrony,
    parse_timesync_offset,
    parse_w32tm,
    read_chrony,
    read_timedatectl,
)
from agent.probes.eventlog import EventLog, LogEvent, parse_events
from agent.probes.logs import (
    MAX_SOURCES,
    JournalReader,
    LogonProbe,
    LogProbe,
    WindowsErrors,
    WindowsLogons,
    parse_journal,
    read_btmp,
)
from agent.probes.pressure import PressureProbe

DATA = Path(__file__).parent / "data"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts shell scripts into the PATH, in place of the real programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(**scripts: str) -> None:
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    return put


def counts(probe: LogProbe) -> dict[str, float | None]:
    return {sample.labels["log_source"]: sample.value for sample in probe.sample()}


def test_journal_entries_by_the_program_that_wrote_them() -> None:
    entries = parse_journal((DATA / "journal.errors").read_text(encoding="utf-8"))
    assert {source for source, _ in entries} == {"systemd", "root"}
    assert all(cursor.startswith("s=") for _, cursor in entries)
    assert parse_journal('{"_TRANSPORT":"kernel","SYSLOG_IDENTIFIER":"x","__CURSOR":"c"}') == [("kernel", "c")]
    # A message of bytes comes as numbers, and a field without a value as null.
    assert parse_journal('{"SYSLOG_IDENTIFIER":[255,1],"_SYSTEMD_UNIT":null,"__CURSOR":"c"}') == [("unknown", "c")]


def test_the_journal_is_followed_from_where_it_ended(install: Install, tmp_path: Path) -> None:
    install(journalctl=f'echo "$@" >> {tmp_path}/asked; echo \'{{"SYSLOG_IDENTIFIER":"sshd","__CURSOR":"c1"}}\'')
    reader = JournalReader()
    assert reader() == []
    assert reader() == ["sshd"]
    install(journalctl="exit 0")
    assert reader() == []
    asked = (tmp_path / "asked").read_text().splitlines()
    assert "--lines=1" in asked[0]
    assert "--priority=err --after-cursor=c1" in asked[1]


def test_a_journal_that_floods_or_was_rotated_is_taken_up_again_at_its_end(install: Install) -> None:
    entry = '\'{"SYSLOG_IDENTIFIER":"sshd","__CURSOR":"c"}\''
    for trouble in ("exec yes", "exit 1"):
        install(journalctl=f"echo {entry}")
        reader = JournalReader()
        reader()
        install(journalctl=trouble)
        with pytest.raises(ProbeFailed):
            reader()
        install(journalctl=f"echo {entry}")
        assert reader() == []
        assert reader() == ["sshd"]


def test_a_journal_that_may_not_be_read_says_so(install: Install) -> None:
    install(journalctl="echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1")
    with pytest.raises(ProbeUnavailable, match="systemd-journal"):
        JournalReader()()


def test_errors_are_counted_and_only_so_many_sources_have_a_name() -> None:
    readings = iter([[], ["sshd", "sshd", "kernel"], [f"app-{number}" for number in range(100)], ["app-99", "sshd"]])
    probe = LogProbe(lambda: next(readings))
    assert counts(probe) == {"other": 0}
    assert counts(probe) == {"other": 0, "sshd": 2, "kernel": 1}
    assert len(counts(probe)) == MAX_SOURCES + 1
    last = counts(probe)
    assert (last["sshd"], last["kernel"], last["app-17"], last["other"]) == (3, 1, 1, 83)
    assert sum(value or 0 for value in last.values()) == 105


EVENT = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
    "<Provider Name='{name}' Guid='{{1-2}}'/><EventID>7</EventID><Level>2</Level>"
    "<EventRecordID>{record}</EventRecordID></System><EventData><Data>Fehler \u00e4</Data></EventData></Event>"
)


def test_windows_events_in_wevtutils_words() -> None:
    text = EVENT.format(name="disk", record=41) + "\r\n" + EVENT.format(name="Service Control Manager", record=42)
    assert parse_events(text) == [LogEvent(41, "disk"), LogEvent(42, "Service Control Manager")]
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]>' + "<Event>" * 1000
    assert parse_events(bomb) == []


def test_the_event_log_is_followed_by_its_record_numbers(install: Install, tmp_path: Path) -> None:
    install(wevtutil=f'echo "$@" >> {tmp_path}/asked; echo "{EVENT.format(name="disk", record=41)}"')
    log = EventLog("System", "Level=1 or Level=2")
    assert log.read() == []
    assert log.read() == [LogEvent(41, "disk")]
    install(wevtutil="exit 0")
    assert log.read() == []
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == [
        "qe System /q:* /c:1 /f:xml /rd:true",
        "qe System /q:*[System[(Level=1 or Level=2) and EventRecordID > 41]] /c:1000 /f:xml /rd:false",
    ]
    install(wevtutil="exit 5")
    with pytest.raises(ProbeUnavailable, match="may not read the event log System"):
        log.read()
    install(wevtutil="exit 1")
    with pytest.raises(ProbeFailed):
        log.read()


def test_windows_counts_errors_and_failed_logons(install: Install) -> None:
    install(wevtutil=f'echo "{EVENT.format(name="disk", record=41)}"')
    errors, logons = WindowsErrors(), WindowsLogons()
    assert errors() == []
    assert errors() == ["disk", "disk"]  # of two logs
    assert [logons(), logons(), logons()] == [0, 1, 2]


def test_failed_logons_are_counted_without_reading_who(tmp_path: Path) -> None:
    btmp = tmp_path / "btmp"
    with pytest.raises(ProbeUnavailable):
        LogonProbe(lambda: read_btmp(btmp)).sample()
    btmp.write_bytes(b"\x00" * 384 * 7)
    btmp.chmod(0)
    assert LogonProbe(lambda: read_btmp(btmp)).sample() == [Sample("security_failed_logons_total", 7)]


def test_pressure_and_kills_of_linux(tmp_path: Path) -> None:
    with pytest.raises(ProbeUnavailable):
        PressureProbe(tmp_path).sample()
    (tmp_path / "pressure").mkdir()
    line = "some avg10=9.99 avg60={avg} avg300=1.00 total=1\nfull avg10=0.00 avg60=99.00 avg300=0.00 total=0\n"
    (tmp_path / "pressure/memory").write_text(line.format(avg="12.34"))
    (tmp_path / "pressure/io").write_bytes(b"\xff\xfe\x00 some avg60=x")
    (tmp_path / "vmstat").write_text("nr_free_pages 1\noom_kill 3\noom_kill_x 9\n")
    assert PressureProbe(tmp_path).sample() == [
        Sample("system_pressure_stall_ratio", 0.1234, {"system_resource": "memory"}),
        Sample("system_memory_oom_kills_total", 3),
    ]


CHRONY = "A29FC87B,162.159.200.1,4,1795640000.1,{off},-0.000123,0.000456,-11.5,0.001,0.05,0.01,0.01,64,{leap}\n"


def test_chrony() -> None:
    assert parse_chrony(CHRONY.format(off="0.000215", leap="Normal")) == ClockReading(True, 0.000215)
    assert parse_chrony(CHRONY.format(off="0.0", leap="Not synchronised")) == ClockReading(False)
    assert parse_chrony("506 Cannot talk to daemon\n") is None


def test_chrony_goes_before_systemd_and_systemd_is_asked_only_where_it_keeps_the_clock(
    install: Install,
) -> None:
    install(chronyc=f"echo '{CHRONY.format(off='-1.5', leap='Normal').strip()}'")
    assert read_chrony() == ClockReading(True, -1.5)
    install(chronyc="echo '506 Cannot talk to daemon'; exit 1")
    assert read_chrony() is None
    for shown, expected in (
        ("NTP=yes\nNTPSynchronized=yes", ClockReading(True, -0.00189)),
        ("NTP=no\nNTPSynchronized=yes", ClockReading(True)),
        ("NTP=yes\nNTPSynchronized=no", ClockReading(False)),
    ):
        install(timedatectl=f'case $1 in show) echo "{shown}";; *) cat {DATA}/timesync-status;; esac')
        assert read_timedatectl() == expected
    install(timedatectl="echo 'System has not been booted with systemd' >&2; exit 1")
    with pytest.raises(ProbeUnavailable):
        read_timedatectl()


def test_offsets_in_systemds_words() -> None:
    for text, seconds in (("+1.5s", 1.5), ("-250us", -0.00025), ("1min 2.5s", 62.5), ("+12ms", 0.012), ("0", None)):
        assert parse_timesync_offset(f"  Leap: normal\n  Offset: {text}\n") == seconds


def test_windows_in_german() -> None:
    text = (DATA / "w32tm.german").read_bytes().decode("cp1252")
    assert parse_w32tm(text) == ClockReading(True, -0.0006312)
    assert parse_w32tm("Sprungindikator: 3(nicht synchronisiert)\nStratum: 0\n") == ClockReading(False)
    with pytest.raises(ProbeUnavailable):
        parse_w32tm("Folgender Fehler ist aufgetreten: Der Dienst wurde nicht gestartet. (0x80070426)\n")


def test_a_clock_whose_offset_nobody_tells() -> None:
    assert ClockProbe(lambda: ClockReading(False)).sample() == [Sample("system_clock_synchronized", 0)]
    samples = ClockProbe(lambda: ClockReading(True, 0.25)).sample()
    assert [sample.value for sample in samples] == [1, 0.25]


@given(st.text(max_size=300) | st.text(alphabet="0123456789,.:-+s()ms \n", max_size=200))
def test_any_text_is_borne(text: str) -> None:
    parse_journal(text)
    parse_events(text)
    parse_events(f"<Event><Provider {text}</Event>")
    parse_chrony(text)
    parse_timesync_offset(f"Offset: {text}")
    with contextlib.suppress(ProbeUnavailable):
        parse_w32tm(text)
