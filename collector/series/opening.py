"""Opening a data directory: one process at a time, and the head as it was, from checkpoint and log."""

import fcntl
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from collector.series import checkpoint
from collector.series.catalog import Catalog
from collector.series.head import Head
from collector.series.keeping import HeadLimits, Windows
from collector.series.labels import Strings
from collector.series.log.files import FILE_MODE, LOG_START, Position
from collector.series.log.reader import ReadDamage
from collector.series.read import Milliseconds
from collector.series.replay import replay
from protocol.errors import PermanentError

logger = logging.getLogger(__name__)


class StoreInUseError(PermanentError):
    """Another process has this data directory open."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a start finds, and how far the log was read."""

    catalog: Catalog
    head: Head
    position: Position
    damage: ReadDamage


def lock(directory: Path) -> int:
    """The descriptor that holds `directory`, which is made if missing. Raises StoreInUseError and OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "log").mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(directory / "series.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise StoreInUseError(f"another collector serves {directory}; stop it first") from exc
    return descriptor


def restore(directory: Path, windows: Windows, now: Milliseconds, limits: HeadLimits) -> Restored:
    """The head from checkpoint and log. Raises OSError."""
    started = time.monotonic()
    catalog = Catalog()
    strings = Strings()
    loaded = checkpoint.load(directory / "head.checkpoint", strings, catalog, windows, limits)
    head, covered = loaded or (Head(strings, windows, limits), LOG_START)
    replayed = replay(directory / "log", head, catalog, covered, now - head.reach_ms, repair=True)
    head.tick(now)
    logger.info(
        "samples restored: series=%d frames_replayed=%d seconds=%.1f",
        len(head.pools.table),
        replayed.frames,
        time.monotonic() - started,
    )
    return Restored(catalog, head, replayed.position, replayed.damage)
