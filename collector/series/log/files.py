"""The files of the log: their names, which of them are needed, and which may go."""

import itertools
import os
from pathlib import Path
from typing import NamedTuple

from collector.series.log.format import HEADER, MAGIC

SUFFIX = ".seg"
UNREADABLE_SUFFIX = f"{SUFFIX}.unreadable"
MAX_UNREADABLE_FILES = 8
FILE_MODE = 0o600


class Position(NamedTuple):
    """A place in the log; what stands before it has been dealt with."""

    segment: int
    offset: int


LOG_START = Position(0, 0)


def segment_path(directory: Path, number: int) -> Path:
    return directory / f"{number:010d}{SUFFIX}"


def segment_numbers(directory: Path) -> list[int]:
    """The numbers of the segments in `directory`, rising."""
    return sorted(int(path.stem) for path in directory.glob(f"*{SUFFIX}") if path.stem.isdecimal())


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable: a new file's fsync does not cover its name."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cut_torn_tail(directory: Path, number: int, sound_bytes: int) -> None:
    """Cut the newest segment behind its last sound record: what follows is a write that never finished."""
    path = segment_path(directory, number)
    with path.open("r+b") as file:
        file.truncate(sound_bytes)
        os.fsync(file.fileno())


def set_aside(directory: Path, number: int) -> Path:
    """Rename a segment that cannot be read at all, so that the log goes on without it."""
    path = segment_path(directory, number)
    aside = path.with_suffix(UNREADABLE_SUFFIX)
    path.rename(aside)
    sync_directory(directory)
    return aside


def segment_created(directory: Path, number: int) -> int | None:
    """When a segment was begun (Unix milliseconds); None if its header cannot be read."""
    with segment_path(directory, number).open("rb") as file:
        header = file.read(HEADER.size)
    if len(header) < HEADER.size or not header.startswith(MAGIC):
        return None
    created: int = HEADER.unpack(header)[2]
    return created


def segments_since(directory: Path, start: Position, since: int) -> list[int]:
    """The segments from `start` on that may hold what was received at or after `since` (Unix milliseconds)."""
    numbers = [number for number in segment_numbers(directory) if number >= start.segment]
    for index in range(len(numbers) - 1, 0, -1):
        created = segment_created(directory, numbers[index])
        if created is not None and created < since:
            return numbers[index:]
    return numbers


def delete_old_segments(directory: Path, *, keep: Position, oldest: int, max_bytes: int) -> int:
    """Delete the oldest segments, never one at or behind `keep`: those ended before `oldest` (Unix milliseconds), and
    more while all of them together exceed `max_bytes`. Returns how many are gone."""
    numbers = segment_numbers(directory)
    sizes = {number: segment_path(directory, number).stat().st_size for number in numbers}
    total = sum(sizes.values())
    deleted = 0
    for number, following in itertools.pairwise(numbers):
        ended = segment_created(directory, following)
        is_old = ended is not None and ended < oldest
        if number >= keep.segment or (total <= max_bytes and not is_old):
            break
        segment_path(directory, number).unlink()
        total -= sizes[number]
        deleted += 1
    return deleted


def delete_old_unreadable(directory: Path, oldest: int) -> int:
    """Delete what was set aside, but for the newest few files last written at or after `oldest` (Unix milliseconds).
    Returns how many are gone."""
    newest_first = sorted(directory.glob(f"*{UNREADABLE_SUFFIX}"), reverse=True)
    old = [
        path
        for place, path in enumerate(newest_first)
        if place >= MAX_UNREADABLE_FILES or path.stat().st_mtime * 1000 < oldest
    ]
    for path in old:
        path.unlink()
    return len(old)
