"""Ends what a program left behind in a session of its own: after setsid, or a double fork. On Linux.

The agent is the reaper of all that descends from it: what loses its parent becomes the agent's own child. A child that
the agent does not know, in another session than the agent's, was left behind by a program that it ran.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
VARIABLE = "QUARKPULSE_REAPER"
END_SECONDS = 0.5  # for all of a program's; what is stuck in the kernel goes when it can
PAUSE_SECONDS = 0.002


class Reaping:
    """Whether this process is the reaper, and of whom it is not: it had them before."""

    is_on = False
    spared: frozenset[int] = frozenset()


class Known(NamedTuple):
    """What the agent knows of its children."""

    pids: frozenset[int]
    bounded: frozenset[Hashable]  # programs that run, or are being started, and will have ended some day


def become_reaper() -> None:
    """Make this process the reaper. It starts anew: what that takes outlives exec, and ctypes, which is needed to ask
    for it, is 0.4 MiB that the agent would keep. Where it cannot be had, the agent goes on without."""
    if not sys.platform.startswith("linux") or not sys.executable:
        return
    if os.environ.pop(VARIABLE, "") == str(os.getpid()):
        Reaping.is_on, Reaping.spared = True, frozenset(read_children())
        return
    try:
        import ctypes  # noqa: PLC0415 - see above

        is_refused = ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0
    except (ImportError, OSError, AttributeError, MemoryError):
        return
    if not is_refused:
        os.environ[VARIABLE] = str(os.getpid())
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very program


class Orphans:
    """Looks for them when a program has ended. A helper of another one that still runs is let live until that ends: to
    whom an orphan belonged cannot be seen, so it is ended once all have that ran when it was first seen."""

    def __init__(self, known: Callable[[], Known]) -> None:
        self._known = known
        self._lock = threading.Lock()
        self._since: dict[int, frozenset[Hashable]] = {}  # which programs ran when it was first seen
        self._stuck: set[int] = set()  # killed, and still there: not waited for again

    def end(self) -> set[str]:
        """Names of those that were ended, and of what those had started in turn."""
        ended: set[str] = set()
        if not Reaping.is_on:
            return ended
        with self._lock:
            deadline = time.monotonic() + END_SECONDS
            while found := set(self._find()):
                for pid in found:
                    ended.add(read_name(pid))
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                    with contextlib.suppress(OSError):
                        os.waitpid(pid, os.WNOHANG)
                if found <= self._stuck:
                    break
                if time.monotonic() >= deadline:
                    self._stuck |= found
                    break
                time.sleep(PAUSE_SECONDS)
        return ended

    def _find(self) -> Iterator[int]:
        """Those that are nobody's."""
        children = read_children()
        known = self._known()  # in this order: a program that starts in between is in neither
        self._since = {pid: since for pid, since in self._since.items() if pid in children}
        self._stuck &= children
        session = os.getsid(0)
        for pid in children - known.pids - Reaping.spared:
            its_session = read_session(pid)
            if its_session in known.pids or its_session in (session, None):
                continue
            since = self._since.setdefault(pid, known.bounded)
            if not since & known.bounded:
                yield pid


def read_name(pid: int) -> str:
    """As the process calls itself, which may be anything of 15 characters."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "?"


def read_children() -> set[int]:
    """Process ids of this process's children, those that have ended but not been waited for among them."""
    try:
        tasks = list(Path("/proc/self/task").iterdir())
        return {int(pid) for task in tasks for pid in (task / "children").read_bytes().split()}
    except OSError:  # not every kernel has this file; a thread may have ended, too
        own = os.getpid()
        return {pid for pid in read_pids() if read_parent_and_session(pid)[:1] == (own,)}


def read_pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def read_session(pid: int) -> int | None:
    """None if there is no such process."""
    found = read_parent_and_session(pid)
    return found[1] if found else None


def read_parent_and_session(pid: int) -> tuple[int, int] | tuple[()]:
    """Empty if there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()  # its name may hold anything
    except OSError:
        return ()
    return int(fields[1]), int(fields[3])
