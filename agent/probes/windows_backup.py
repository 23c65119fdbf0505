"""Windows Backup and Windows Server Backup, as `wbadmin get versions` lists what there is to go back to."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from agent.children import run_child
from agent.probes.base import ProbeFailed
from agent.probes.parsing import decode

LOCAL = "local"  # what this machine's own catalogue knows, wherever it lies
TIMEOUT_SECONDS = 120.0
# Everything around it is in the language of the system; the identifier is what `-version:` takes, and the same in all:
# month/day/year-hours:minutes, in UTC.
VERSION = re.compile(r":\s*(\d{2}/\d{2}/\d{4}-\d{2}:\d{2})\s*$", re.MULTILINE)

Ask = Callable[[list[str]], bytes]


def ask_wbadmin(arguments: list[str]) -> bytes:
    """Raises ProbeUnavailable or ProbeFailed."""
    answer = run_child(["wbadmin.exe", *arguments], timeout_seconds=TIMEOUT_SECONDS)
    if answer.exit_code != 0:
        raise ProbeFailed(
            f"wbadmin ended with exit code {answer.exit_code}: there is no backup, or the agent may not look (group"
            " Backup Operators)"
        )
    return answer.output


def read_newest_version(target: str, ask: Ask = ask_wbadmin) -> float | None:
    """When the newest backup was made, in Unix seconds; None: there is none. Raises ProbeUnavailable or ProbeFailed."""
    where = [] if target == LOCAL else [f"-backupTarget:{target}"]
    return newest_version(decode(ask(["get", "versions", *where])))


def newest_version(text: str) -> float | None:
    """Of all that `wbadmin get versions` lists, in whatever language."""
    times = [at for written in VERSION.findall(text) if (at := to_time(written)) is not None]
    return max(times, default=None)


def to_time(identifier: str) -> float | None:
    """Unix seconds; None for what is no date."""
    try:
        return datetime.strptime(identifier, "%m/%d/%Y-%H:%M").replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
