"""A picture of all samples of a collector that may go on writing: a folder that can be opened like any other.

Files that are never changed again are linked, not copied, so it costs next to nothing; the newest segment of the log,
which grows, and the checkpoint are copied.
"""

import os
import shutil
from pathlib import Path

from collector.series.history import manifest as manifests
from collector.series.log.files import segment_numbers, segment_path
from protocol.errors import TransientError

TRIES = 20


class SnapshotError(TransientError):
    """The collector kept changing its files meanwhile; try again."""


def take(data: Path, into: Path) -> None:
    """Makes `into`, a new folder on the same file system, with the samples of the data folder `data`.

    Raises SnapshotError, ManifestError and OSError."""
    into.mkdir(mode=0o700)
    for _ in range(TRIES):
        if _linked(data, into):
            return
        shutil.rmtree(into)
        into.mkdir(mode=0o700)
    raise SnapshotError(f"{data}: its files changed {TRIES} times while they were read; try again")


def _linked(data: Path, into: Path) -> bool:
    """False if a compaction came in between: a file was gone, or the log begins behind what the history holds."""
    (into / "history").mkdir(mode=0o700)
    (into / "log").mkdir(mode=0o700)
    try:
        if (data / "head.checkpoint").exists():  # first: what it leaves out must be in the log
            shutil.copyfile(data / "head.checkpoint", into / "head.checkpoint")
        if (data / "history" / manifests.NAME).exists():
            shutil.copyfile(data / "history" / manifests.NAME, into / "history" / manifests.NAME)
        manifest = manifests.load(into / "history")
        for name in manifest.files:
            os.link(data / "history" / name, into / "history" / name)
        numbers = segment_numbers(data / "log")
        for number in numbers[:-1]:
            os.link(segment_path(data / "log", number), segment_path(into / "log", number))
        for number in numbers[-1:]:
            shutil.copyfile(segment_path(data / "log", number), segment_path(into / "log", number))
    except FileNotFoundError:
        return False
    return not numbers or numbers[0] <= manifest.through + 1 or manifest.through == 0
