"""One `serve` per data folder, and how other commands find it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import PermanentError

PID_NAME = "serve.pid"


class AlreadyServedError(PermanentError):
    """Another process serves this data folder."""


@contextmanager
def only_server(data: Path) -> Iterator[None]:
    """Holds the folder for this process, whose id stands in DIR/serve.pid meanwhile.

    The lock is the truth, the number only tells whom to signal: a killed process leaves its file but not its lock.
    Raises AlreadyServedError.
    """
    path = data / PID_NAME
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise AlreadyServedError(
                f"{data} is already served by process {pid}: stop it, or use another --data"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)  # not removed: who waits for the lock holds this very file
