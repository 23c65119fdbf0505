"""What history consists of at a moment: the blocks that count and what the log has beyond them.

A manifest says up to which segment the blocks go, so renaming it moves samples from the log to the blocks at once. Who
reads holds a snapshot; the files that it names stay for as long.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from collector.series.history import manifest as manifests
from collector.series.history.endings import Endings
from collector.series.history.index import SeriesIndex
from collector.series.history.manifest import Manifest
from collector.series.history.tail import Segment, SegmentView
from collector.series.log.files import segment_numbers
from collector.series.log.format import LogFormatError
from collector.series.store import SampleStore

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    """A segment that is not compacted yet."""

    segment: Segment
    endings: bytes | None = None  # what was known at its end, once it is sealed and read whole


@dataclass(frozen=True, slots=True)
class Sealed:
    """A segment that can be compacted, and what is known of the ends of series at its end."""

    view: SegmentView
    endings: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    generation: int
    manifest: Manifest
    segments: tuple[SegmentView, ...]  # in the order of the log


class Contents:
    """Changed by the one thread that writes, read by any."""

    def __init__(
        self, directory: Path, store: SampleStore, index: SeriesIndex, endings: Endings, manifest: Manifest
    ) -> None:
        self._directory = directory
        self._store = store
        self._index = index
        self._endings = endings
        self._manifest = manifest
        self._reading = threading.Lock()  # of the log's end; the only one that may be held while the disk is read
        self._lock = threading.Lock()  # of what follows
        self._waiting: dict[int, _Waiting] = {}
        self._generation = 0
        self._leases: dict[int, int] = {}  # how many read what counted at a generation
        self._garbage: list[tuple[int, list[str]]] = []  # files that counted until after a generation

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def segments_waiting(self) -> int:
        return len(self._waiting)

    def refresh(self) -> None:
        """Take in what was written to the log since the last time."""
        with self._reading:
            sealed_below = self._store.active_segment  # before looking what there is
            numbers = [one for one in segment_numbers(self._store.log_directory) if one > self._manifest.through]
            with self._lock:
                for number in self._waiting.keys() - set(numbers):
                    lost = len(self._waiting.pop(number).segment.view().frames.times)
                    if lost:
                        logger.error("log deleted before it was compacted: segment=%d frames=%d", number, lost)
            for number in numbers:
                waiting = self._waiting.get(number)
                if waiting is None:
                    waiting = _Waiting(Segment(self._store.log_directory, number, self._store.catalog, self._index))
                if waiting.endings is None:
                    is_sealed = number < sealed_below
                    try:
                        waiting.segment.refresh(self._endings, is_sealed=is_sealed)
                    except (LogFormatError, FileNotFoundError) as exc:
                        logger.error("segment of the log left out: reason=%s", exc)  # noqa: TRY400
                    if is_sealed:
                        waiting.endings = self._endings.dump()
                with self._lock:
                    self._waiting[number] = waiting

    def oldest_sealed(self) -> Sealed | None:
        """The segment that is compacted next, if it is written and read to its end."""
        with self._lock:
            waiting = self._waiting.get(min(self._waiting, default=0))
        if waiting is None or waiting.endings is None:
            return None
        with self._reading:
            return Sealed(waiting.segment.view(), waiting.endings)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """What counts now; its files stay for as long as this is entered."""
        with self._reading, self._lock:
            generation = self._generation
            segments = tuple(waiting.segment.view() for _, waiting in sorted(self._waiting.items()))
            snapshot = Snapshot(generation, self._manifest, segments)
            self._leases[generation] = self._leases.get(generation, 0) + 1
        try:
            yield snapshot
        finally:
            with self._lock:
                self._leases[generation] -= 1
                if not self._leases[generation]:
                    del self._leases[generation]

    def commit(self, manifest: Manifest) -> None:
        """Have another manifest count. Raises OSError, and then the old one does."""
        manifests.commit(self._directory, manifest)
        with self._reading, self._lock:
            gone = sorted(self._manifest.files - manifest.files)
            if gone:
                self._garbage.append((self._generation, gone))
            self._generation += 1
            self._manifest = manifest
            for number in [number for number in self._waiting if number <= manifest.through]:
                del self._waiting[number]

    def set_aside(self, name: str, folder: Path) -> None:
        """Go on without the block `name`, which cannot be read, and move it into `folder`. Raises OSError."""
        folder.mkdir(exist_ok=True)
        manifest = self._manifest.with_blocks([block for block in self._manifest.blocks if block.name == name], ())
        manifests.commit(self._directory, manifest)
        with self._lock:
            self._manifest = manifest
        (self._directory / name).rename(folder / name)

    def delete_garbage(self) -> None:
        """Delete the files that nobody reads any more. Raises OSError."""
        with self._lock:
            oldest = min(self._leases, default=self._generation)
            free = [names for generation, names in self._garbage if generation < oldest]
            self._garbage = [one for one in self._garbage if one[0] >= oldest]
        for name in (name for names in free for name in names):
            (self._directory / name).unlink(missing_ok=True)
