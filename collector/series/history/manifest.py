"""What history consists of: one small file names all that counts, and renaming it is the only moment of change.

Whatever else stands in the folder was left by a process that died before it could say so, and is deleted at the start.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from collector.series.history.rows import Ids
from collector.series.log.files import sync_directory
from collector.series.read import Milliseconds
from protocol.errors import PermanentError

VERSION = 2  # 1 had no metrics in its blocks
NAME = "manifest.json"
DAY_MS = 86_400_000


class ManifestError(PermanentError):
    """The manifest cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Block:
    """One Parquet file: samples of one day (UTC), each once, series by series in the order of their times."""

    name: str
    day: int  # days since 1970
    printers: bool  # kept longer than the rest
    level: int  # how often merged
    run: int  # the files made by one compaction or merge have one number; it rises with the age of the log
    low: int  # ids of the first and last series
    high: int
    first: Milliseconds
    last: Milliseconds
    rows: int
    bytes: int

    def may_hold(self, ids: Ids, start: Milliseconds, end: Milliseconds) -> bool:
        """Whether it may hold samples in (start, end] of `ids`, which rise."""
        if self.last <= start or self.first > end:
            return False
        place = int(ids.searchsorted(self.low))
        return place < len(ids) and bool(ids[place] <= self.high)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Never changed in place."""

    through: int = 0  # the newest segment of the log whose samples are in the blocks
    next_file: int = 1
    endings: str | None = None
    dictionaries: tuple[str, ...] = ()
    tidied: Milliseconds = 0  # when the dictionaries were last made one
    blocks: tuple[Block, ...] = ()

    @property
    def files(self) -> set[str]:
        names = {block.name for block in self.blocks} | set(self.dictionaries)
        return names | ({self.endings} if self.endings else set())

    @property
    def newest(self) -> Milliseconds:
        return max((block.last for block in self.blocks), default=0)

    def with_blocks(self, gone: Iterable[Block], new: Iterable[Block]) -> "Manifest":
        without = set(gone)
        return replace(self, blocks=(*(block for block in self.blocks if block not in without), *new))


def load(directory: Path) -> Manifest:
    """The manifest in a folder, an empty one if there is none. Raises ManifestError and OSError."""
    try:
        data = (directory / NAME).read_bytes()
    except FileNotFoundError:
        return Manifest()
    try:
        told = orjson.loads(data)
        if told.pop("version") != VERSION:
            raise ManifestError(f"{directory / NAME} is of another version; it needs a newer collector")
        blocks = tuple(Block(**one) for one in told.pop("blocks"))
        manifest = Manifest(**{**told, "dictionaries": tuple(told["dictionaries"]), "blocks": blocks})
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ManifestError(f"{directory / NAME} is damaged: {exc}") from exc
    if any(Path(name).name != name for name in manifest.files):
        raise ManifestError(f"{directory / NAME} names files of other folders")
    return manifest


def commit(directory: Path, manifest: Manifest) -> None:
    """Make `manifest` the one that counts; the files that it names are on disk already. Raises OSError."""
    draft = directory / f"{NAME}.draft"
    data = orjson.dumps({"version": VERSION, **asdict(manifest)})
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(directory / NAME)
    sync_directory(directory)


def make_durable(directory: Path, names: Iterable[str]) -> None:
    """Have these files, and their names, on disk. Raises OSError."""
    for name in names:
        with (directory / name).open("rb") as file:
            os.fsync(file.fileno())
    sync_directory(directory)


def delete_strangers(directory: Path, manifest: Manifest) -> int:
    """Delete what no manifest names; returns how many files."""
    strangers = [path for path in directory.iterdir() if path.is_file() and path.name not in {NAME, *manifest.files}]
    for path in strangers:
        path.unlink()
    return len(strangers)
