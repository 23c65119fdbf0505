"""Errors in the system's log by who wrote them, and failed logons. Only counts leave the machine, never a message."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from agent.children import run_child
from agent.probes.base import SLOW_INTERVAL_SECONDS, Metric, MetricType, ProbeFailed, ProbeUnavailable, Sample
from agent.probes.eventlog import EventLog
from agent.probes.parsing import decode, dig_text

MAX_SOURCES = 20
OTHER = "other"
JOURNAL_FIELDS = "SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,_TRANSPORT"
JOURNAL = ("journalctl", "--quiet", "--no-pager", "--output=json", f"--output-fields={JOURNAL_FIELDS}")
MAX_JOURNAL_BYTES = 4 << 20  # about 10,000 errors in 5 minutes
MAX_SOURCE_CHARS = 60
BTMP = Path("/var/log/btmp")
BTMP_RECORD_BYTES = 384  # struct utmp on all common Linux platforms
FAILED_LOGON_EVENT = 4625

ErrorReader = Callable[[], Iterable[str]]


class JournalReader:
    """Follows systemd's journal: each call names who wrote the errors since the one before; the first names none."""

    def __init__(self) -> None:
        self._cursor = ""

    def __call__(self) -> list[str]:
        """One source for each error. Raises ProbeUnavailable or ProbeFailed."""
        if not self._cursor:
            self._cursor = self._find_end()
            return []
        try:
            answer = run_child(
                [*JOURNAL, "--priority=err", f"--after-cursor={self._cursor}"], max_bytes=MAX_JOURNAL_BYTES
            )
        except ProbeFailed:
            self._cursor = ""  # a flood, or a journal that takes too long: go on from where it ends then
            raise
        if answer.exit_code != 0:
            self._cursor = ""  # rotated away
            raise ProbeFailed(f"journalctl ended with exit code {answer.exit_code}")
        entries = parse_journal(decode(answer.output))
        if entries:
            self._cursor = entries[-1][1]
        return [source for source, _ in entries]

    def _find_end(self) -> str:
        answer = run_child([*JOURNAL, "--lines=1"])
        entries = parse_journal(decode(answer.output))
        if not entries:
            raise ProbeUnavailable("the agent can read no journal (group systemd-journal), or it is empty")
        return entries[-1][1]


def parse_journal(text: str) -> list[tuple[str, str]]:
    """Source and cursor of each entry in `journalctl --output=json`; what is no entry is left out."""
    entries = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        cursor = dig_text(entry, "__CURSOR")
        if cursor:
            entries.append((name_source(entry), cursor))
    return entries


def name_source(entry: object) -> str:
    """The program, or its unit; a kernel message is the kernel's."""
    if dig_text(entry, "_TRANSPORT") == "kernel":
        return "kernel"
    return dig_text(entry, "SYSLOG_IDENTIFIER") or dig_text(entry, "_SYSTEMD_UNIT") or "unknown"


class WindowsErrors:
    """Critical events and errors of the system and the applications."""

    def __init__(self) -> None:
        self._logs = [EventLog(log, "Level=1 or Level=2") for log in ("System", "Application")]

    def __call__(self) -> list[str]:
        return [event.provider or "unknown" for log in self._logs for event in log.read()]


def choose_error_reader() -> ErrorReader:
    if sys.platform == "win32":
        return WindowsErrors()
    if sys.platform == "linux":
        return JournalReader()
    return refuse  # `log show` on macOS reads for minutes


def refuse() -> list[str]:
    raise ProbeUnavailable(f"the log cannot be read on {sys.platform}")


class LogProbe:
    """Counts from the agent's start. The first sources have a name, all after them are `other`."""

    name = "logs"
    interval_seconds = SLOW_INTERVAL_SECONDS
    timeout_seconds = 60.0
    metrics = (
        Metric(
            "system_log_errors_total",
            MetricType.COUNTER,
            "entries",
            f"Errors and worse in the journal or event log, by program; {MAX_SOURCES} programs and `{OTHER}`",
            ("log_source",),
        ),
    )

    def __init__(self, read: ErrorReader | None = None) -> None:
        self._read = choose_error_reader() if read is None else read
        self._counts = {OTHER: 0}

    def sample(self) -> list[Sample]:
        for source in self._read():
            name = source[:MAX_SOURCE_CHARS]
            if name not in self._counts and len(self._counts) > MAX_SOURCES:
                name = OTHER
            self._counts[name] = self._counts.get(name, 0) + 1
        return [Sample("system_log_errors_total", count, {"log_source": name}) for name, count in self._counts.items()]


class WindowsLogons:
    """Failed logons since the agent's start, from the security log, which only administrators may read."""

    def __init__(self) -> None:
        self._log = EventLog("Security", f"EventID={FAILED_LOGON_EVENT}")
        self._count = 0

    def __call__(self) -> int:
        self._count += len(self._log.read())
        return self._count


def read_btmp(file: Path = BTMP) -> int:
    """Failed logons since the file was rotated. Its size tells: what stands in it, names above all, is not read."""
    try:
        return file.stat().st_size // BTMP_RECORD_BYTES
    except OSError as error:
        raise ProbeUnavailable(f"this system keeps no {file}") from error


def choose_logon_reader() -> Callable[[], int]:
    return WindowsLogons() if sys.platform == "win32" else read_btmp


class LogonProbe:
    name = "logons"
    interval_seconds = SLOW_INTERVAL_SECONDS
    timeout_seconds = 30.0
    metrics = (
        Metric(
            "security_failed_logons_total",
            MetricType.COUNTER,
            "logons",
            "Failed logons: since the log was rotated (Linux), since the agent's start (Windows)",
        ),
    )

    def __init__(self, read: Callable[[], int] | None = None) -> None:
        self._read = choose_logon_reader() if read is None else read

    def sample(self) -> list[Sample]:
        return [Sample("security_failed_logons_total", self._read())]
