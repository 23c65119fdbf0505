"""Windows' event log through wevtutil, a small program: PowerShell would take a second of processor time each time."""

import re
from typing import NamedTuple

from agent.children import run_child
from agent.probes.base import ProbeFailed, ProbeUnavailable
from agent.probes.parsing import decode

MAX_EVENTS = 1000
ACCESS_DENIED = 5
EVENT = re.compile(r"<Event[ >].*?</Event>", re.DOTALL)
PROVIDER = re.compile(r"<Provider\s[^>]*?Name=(?:'([^']*)'|\"([^\"]*)\")")
RECORD = re.compile(r"<EventRecordID>(\d{1,18})</EventRecordID>")


class LogEvent(NamedTuple):
    record: int
    provider: str


class EventLog:
    """Follows one log: each call gives what has come since the one before; the first gives nothing."""

    def __init__(self, log: str, condition: str) -> None:
        """`condition` is an XPath on `System`, such as `Level=1 or Level=2`."""
        self._log = log
        self._condition = condition
        self._last: int | None = None

    def read(self) -> list[LogEvent]:
        """Oldest first, at most MAX_EVENTS. Raises ProbeUnavailable or ProbeFailed."""
        if self._last is None:
            newest = self._query("*", 1, newest_first=True)
            self._last = newest[0].record if newest else 0
            return []
        query = f"*[System[({self._condition}) and EventRecordID > {self._last}]]"
        events = self._query(query, MAX_EVENTS, newest_first=False)
        self._last = max([self._last, *(event.record for event in events)])
        return events

    def _query(self, query: str, count: int, *, newest_first: bool) -> list[LogEvent]:
        command = [
            "wevtutil",
            "qe",
            self._log,
            f"/q:{query}",
            f"/c:{count}",
            "/f:xml",
            f"/rd:{str(newest_first).lower()}",
        ]
        answer = run_child(command, max_bytes=8 << 20)
        if answer.exit_code == ACCESS_DENIED:
            raise ProbeUnavailable(f"the agent may not read the event log {self._log}")
        if answer.exit_code != 0:
            raise ProbeFailed(f"wevtutil ended with exit code {answer.exit_code}")
        return parse_events(decode(answer.output))


def parse_events(text: str) -> list[LogEvent]:
    """The events in wevtutil's XML fragments. Only two values are looked for: no XML parser, so no entities either."""
    events = []
    for event in EVENT.findall(text):
        provider, record = PROVIDER.search(event), RECORD.search(event)
        if provider and record:
            events.append(LogEvent(int(record[1]), provider[1] or provider[2] or ""))
    return events
