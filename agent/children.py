"""Runs other programs for the probes: without rights to stay, bounded in time and output, and as the least important.

A program that is missing is no fault (ProbeUnavailable). One that hangs or floods is ended, and is a ProbeFailed: the
agent is none the worse for it. What a program has started does not outlive it: on Linux not even in a session of its
own, elsewhere as far as `end_with_offspring` sees.
"""

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent.orphans import Known, Orphans
from agent.probes.base import ProbeFailed, ProbeUnavailable

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS = 20.0
MAX_OUTPUT_BYTES = 1 << 20  # `apt-get --simulate upgrade` of a thousand packages says a quarter of it
CHUNK_BYTES = 1 << 16
OWN_VARIABLES = "QUARKPULSE_"  # may hold a token
LOCALE_VARIABLES = ("LANG", "LANGUAGE", "LC_")
NICENESS = 19
MAX_TOLD = 100


class Grouping:
    """Whether each child has a session of its own. The reader of an isolated probe turns it off: it runs in the session
    that the agent gave it, and what it starts is ended with it."""

    own_session = True


class Ending:
    """Whether the agent stops. Who has started a child looks here once it is in RUNNING; who stops sets this first, and
    then ends what is in RUNNING: so none is overlooked."""

    has_begun = False


class Spent:
    """What children that have ended took, where the system does not add it up."""

    cpu_seconds = 0.0


RUNNING: "set[subprocess.Popen[bytes]]" = set()  # for `end_children`
BOUNDED: "set[subprocess.Popen[bytes]]" = set()  # those of them that have a timeout
STARTING: set[object] = set()  # one for each that is about to be in RUNNING
TOLD: set[str] = set()  # names of processes of which it was said that they were left behind


def what_is_known() -> Known:
    starting = frozenset(STARTING)  # first: what leaves it is in RUNNING
    return Known(frozenset(process.pid for process in set(RUNNING)), starting | frozenset(BOUNDED))


ORPHANS = Orphans(what_is_known)


class Answer(NamedTuple):
    exit_code: int  # negative: ended by this signal
    output: bytes


def run_child(
    command: Sequence[str],
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    max_bytes: int = MAX_OUTPUT_BYTES,
    variables: Mapping[str, str] | None = None,
    executable: str | None = None,
) -> Answer:
    """What it says on stdout, and its exit code; stderr is not looked at, stdin is empty. `executable` is the file to
    run, if it is not the first word of the command.

    Raises ProbeUnavailable if there is no such program, ProbeFailed if it takes too long or says too much.
    """
    deadline = time.monotonic() + timeout_seconds
    try:
        process = start_child(
            command,
            is_bounded=True,
            stderr=subprocess.DEVNULL,
            variables=variables,
            executable=executable,
        )
    except FileNotFoundError as error:
        raise ProbeUnavailable(f"{command[0]} is not installed") from error
    except OSError as error:
        raise ProbeUnavailable(f"{command[0]} cannot be run ({error.strerror})") from error
    try:
        if Ending.has_begun:
            raise ProbeFailed(f"{command[0]} was ended: the agent stops")
        output = read_bounded(process, deadline, max_bytes)
        exit_code = process.wait(max(0.0, deadline - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise ProbeFailed(f"{command[0]} was ended: no answer within {timeout_seconds:g} s") from None
    except OverflowError:
        raise ProbeFailed(f"{command[0]} was ended: more than {max_bytes} bytes of output") from None
    finally:
        end_with_offspring(process)
        if process.stdout is not None:
            process.stdout.close()
        process.wait()
        forget_child(process)
    return Answer(exit_code, output)


def start_child(
    command: Sequence[str],
    *,
    is_bounded: bool,
    stdin: int = subprocess.DEVNULL,
    stderr: int | None = None,
    variables: Mapping[str, str] | None = None,
    executable: str | None = None,
) -> "subprocess.Popen[bytes]":
    """A child in RUNNING, with its stdout in a pipe; `is_bounded`: it has a timeout. Raises OSError.

    Starting may take its time, on a network mount that hangs, and keeps no other."""
    start = object()
    STARTING.add(start)
    try:
        process = subprocess.Popen(
            command,
            executable=executable,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=make_environment(os.environ, variables or {}),
            cwd="/" if os.name == "posix" else None,
            start_new_session=Grouping.own_session and os.name == "posix",
            creationflags=CREATION_FLAGS,
        )
        if is_bounded:
            BOUNDED.add(process)
        RUNNING.add(process)
    finally:
        STARTING.discard(start)
    lower_priority(process)
    return process


def forget_child(process: "subprocess.Popen[bytes]") -> None:
    """Of one that has ended, and been waited for: end what it left behind."""
    RUNNING.discard(process)
    BOUNDED.discard(process)
    Spent.cpu_seconds += read_uncounted_cpu_seconds(process)
    ended = ORPHANS.end() - TOLD
    if ended and len(TOLD) < MAX_TOLD:
        TOLD.update(ended)
        logger.warning("processes were left behind, ended: names=%r", sorted(ended))


def end_children() -> None:
    """What still runs when the agent stops has nobody left to answer."""
    for process in list(RUNNING):
        end_with_offspring(process)
    ORPHANS.end()


def make_environment(inherited: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """The agent's own without its secrets, in English, with the administrator's folders in the PATH."""
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.upper().startswith((OWN_VARIABLES, *LOCALE_VARIABLES))
    }
    if os.name == "posix":
        kept["PATH"] = ":".join([inherited.get("PATH", "/usr/bin:/bin"), "/usr/sbin", "/sbin"])
    return {**kept, "LC_ALL": "C", **more}


def cpu_seconds() -> tuple[float, float]:
    """Of the agent, and of its children that have ended."""
    times = os.times()
    return time.process_time(), times.children_user + times.children_system + Spent.cpu_seconds


if sys.platform == "win32":
    import ctypes
    import threading

    import psutil

    from agent.clock import WINDOWS_TICK_SECONDS

    CREATION_FLAGS = subprocess.IDLE_PRIORITY_CLASS | subprocess.CREATE_NO_WINDOW

    def lower_priority(process: "subprocess.Popen[bytes]") -> None:
        """It was started as the least important."""

    def read_uncounted_cpu_seconds(process: "subprocess.Popen[bytes]") -> float:
        """Of one that has ended; what it started itself is not counted."""
        created, ended, kernel, user = (ctypes.c_ulonglong() for _ in range(4))
        found = ctypes.windll.kernel32.GetProcessTimes(
            ctypes.c_void_p(int(vars(process)["_handle"])), *map(ctypes.byref, (created, ended, kernel, user))
        )
        return (kernel.value + user.value) * WINDOWS_TICK_SECONDS if found else 0.0

    def read_bounded(process: "subprocess.Popen[bytes]", deadline: float, max_bytes: int) -> bytes:
        """All until the end. Raises TimeoutError or OverflowError. Pipes cannot be polled here: a thread reads."""
        chunks: list[bytes] = []

        def read() -> None:
            with contextlib.suppress(OSError, ValueError):
                chunks.append(process.stdout.read(max_bytes + 1) if process.stdout else b"")

        reader = threading.Thread(target=read, name="child", daemon=True)
        reader.start()
        reader.join(max(0.0, deadline - time.monotonic()))
        if reader.is_alive():
            raise TimeoutError
        output = b"".join(chunks)
        if len(output) > max_bytes:
            raise OverflowError
        return output

    def end_with_offspring(process: "subprocess.Popen[bytes]") -> None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
        with contextlib.suppress(OSError):
            process.kill()
else:
    import select
    import signal

    CREATION_FLAGS = 0

    def read_uncounted_cpu_seconds(_process: "subprocess.Popen[bytes]") -> float:
        """None: the system counts those that were waited for, with all that those waited for."""
        return 0.0

    def lower_priority(process: "subprocess.Popen[bytes]") -> None:
        """Its whole group, in case it has started others already."""
        with contextlib.suppress(OSError):  # ended already, or the service manager forbids it and has done it itself
            os.setpriority(os.PRIO_PGRP, process.pid, NICENESS)

    def read_bounded(process: "subprocess.Popen[bytes]", deadline: float, max_bytes: int) -> bytes:
        """All until the end. Raises TimeoutError or OverflowError."""
        if process.stdout is None:
            return b""
        descriptor = process.stdout.fileno()
        poll = select.poll()  # unlike select() without a limit on the descriptor's number
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
        chunks: list[bytes] = []
        size = 0
        while True:
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0 or not poll.poll(left_seconds * 1000):
                raise TimeoutError
            chunk = os.read(descriptor, CHUNK_BYTES)
            if not chunk:
                return b"".join(chunks)
            size += len(chunk)
            if size > max_bytes:
                raise OverflowError
            chunks.append(chunk)

    def end_with_offspring(process: "subprocess.Popen[bytes]") -> None:
        """The group is the child's own session, so it holds what the child has started and nothing else."""
        with contextlib.suppress(OSError):
            if Grouping.own_session:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
