"""One `serve` per data folder, and how other commands find it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import PermanentError

PID_NAME = "serve.pid"


class AlreadyServedError(PermanentError):
    """Another process serves this data folder."""


@dataclass(frozen=True, slots=True)
class Server:
    """The process that serves a data folder, as it was started."""

    pid: int
    rules_dir: Path | None  # None: the shipped rules


@contextmanager
def only_server(data: Path, rules_dir: Path | None = None) -> Iterator[None]:
    """Holds the folder for this process, whose id stands in DIR/serve.pid meanwhile, with its rules in a second line.

    The lock is the truth, the number only tells whom to signal: a killed process leaves its file but not its lock.
    Raises AlreadyServedError.
    """
    path = data / PID_NAME
    with open(path, "a+", opener=_private) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.readline().strip() or "unknown"
            raise AlreadyServedError(
                f"{data} is already served by process {pid}: stop it, or use another --data"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n{'' if rules_dir is None else rules_dir.absolute()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)  # not removed: who waits for the lock holds this very file


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, mode=0o600)


def server_of(data: Path) -> Server | None:
    """Who serves the folder. The lock is asked first: the number of a dead process may be anybody's now."""
    try:
        with (data / PID_NAME).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, _, rules_dir = file.read().partition("\n")
                rules_dir = rules_dir.removesuffix("\n")
                if pid.isascii() and pid.isdigit():
                    return Server(int(pid), Path(rules_dir) if rules_dir else None)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None
