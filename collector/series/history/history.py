"""History: the log's sealed segments become Parquet, and every sample that was ever stored can be read.

Three places hold samples: the segment being written, sealed segments not compacted yet, and blocks. A manifest says up
to which segment the blocks go, so renaming it moves samples from one place to the next at once. Compacted segments stay
until the head needs them no more.
"""

import asyncio
import itertools
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from collector.clock import Clock, to_milliseconds
from collector.series.history import manifest as manifests
from collector.series.history.blocks import Blocks, BlockSettings, StoppedError, UnreadableBlockError, read_block
from collector.series.history.duck import Duck, HistoryBusyError, HistoryError
from collector.series.history.endings import Endings
from collector.series.history.index import OWNER_SHIFT, SeriesIndex
from collector.series.history.manifest import DAY_MS, Block, Manifest, ManifestError
from collector.series.history.reader import SpanningReader
from collector.series.history.rows import Ids, Rows
from collector.series.history.tail import Segment, SegmentView
from collector.series.labels import LabelFrame
from collector.series.log.files import segment_numbers
from collector.series.log.format import LogFormatError
from collector.series.read import Matcher, Milliseconds, Samples
from collector.series.slots import Slots
from collector.series.store import SampleStore
from protocol.errors import PermanentError

logger = logging.getLogger(__name__)

MAX_OWNERS_APART = 16  # the series of so few devices are looked up device by device, which skips most of a block


class TooManySamplesError(PermanentError):
    """A question that would need more memory than one may have."""


@dataclass(frozen=True, slots=True)
class HistorySettings:
    blocks: BlockSettings = field(default_factory=BlockSettings)
    memory_limit: str = "512MB"  # DuckDB's
    max_samples: int = 20_000_000  # read for one selector
    read_seconds: float = 60.0
    every_seconds: float = 30.0  # how often is looked for segments to compact


@dataclass(frozen=True, slots=True)
class HistoryStats:
    blocks: int
    block_bytes: int
    samples: int  # in blocks
    series: int
    segments_waiting: int  # not compacted yet, the one being written included
    segments_compacted: int  # since the start, as are the rest
    samples_compacted: int
    merges: int
    failures: int
    damaged_blocks: int


@dataclass(slots=True)
class _Counters:
    segments: int = 0
    samples: int = 0
    merges: int = 0
    failures: int = 0
    damaged_blocks: int = 0


@dataclass(slots=True)
class _Waiting:
    """A segment that is not compacted yet."""

    segment: Segment
    endings: bytes | None = None  # what was known at its end, once it is sealed and read whole


@dataclass(frozen=True, slots=True)
class _Snapshot:
    generation: int
    manifest: Manifest
    segments: tuple[SegmentView, ...]


class History:
    """See the module. Made by `open`, for a store that is open for as long; `maintain` must run beside it."""

    def __init__(
        self,
        directory: Path,
        store: SampleStore,
        *,
        clock: Clock,
        settings: HistorySettings,
        duck: Duck,
        index: SeriesIndex,
        endings: Endings,
        manifest: Manifest,
    ) -> None:
        self.reader = SpanningReader(store.reader, self, clock, lambda: store.reader.head.limits.silent_ms)
        self._directory = directory
        self._store = store
        self._clock = clock
        self._settings = settings
        self._duck = duck
        self._index = index
        self._endings = endings
        self._manifest = manifest
        self._blocks = Blocks(directory, duck, index, settings.blocks)
        self._counters = _Counters()
        self._reading = threading.Lock()  # of the log's end; the only one that may be held while the disk is read
        self._lock = threading.Lock()  # of what follows
        self._waiting: dict[int, _Waiting] = {}
        self._generation = 0
        self._leases: dict[int, int] = {}  # how many read what counted at a generation
        self._garbage: list[tuple[int, list[str]]] = []  # files that counted until after a generation

    @classmethod
    async def open(cls, store: SampleStore, *, clock: Clock, settings: HistorySettings | None = None) -> Self:
        """The history beside a store's log. What cannot be read is set aside, loudly. Raises OSError."""
        settings = settings or HistorySettings()
        return await asyncio.to_thread(cls._open, store, clock, settings)

    @classmethod
    def _open(cls, store: SampleStore, clock: Clock, settings: HistorySettings) -> Self:
        directory = store.directory / "history"
        try:
            return cls._restore(directory, store, clock, settings)
        except (ManifestError, HistoryError) as exc:
            aside = directory.with_name(f"history.unreadable-{to_milliseconds(clock())}")
            directory.rename(aside)
            logger.error("history set aside, a new one begins: folder=%s reason=%s", aside, exc)  # noqa: TRY400
            return cls._restore(directory, store, clock, settings)

    @classmethod
    def _restore(cls, directory: Path, store: SampleStore, clock: Clock, settings: HistorySettings) -> Self:
        directory.mkdir(mode=0o700, exist_ok=True)
        manifest = manifests.load(directory)
        manifests.delete_strangers(directory, manifest)
        if store.active_segment <= manifest.through:  # somebody emptied the log, and its numbers begin anew
            oldest = min(segment_numbers(store.log_directory), default=store.active_segment)
            manifest = replace(manifest, through=oldest - 1)
        duck = Duck(directory, memory_limit=settings.memory_limit)
        try:
            index = SeriesIndex(store.reader.strings, store.catalog)
            paths = [str((directory / name).absolute()) for name in manifest.dictionaries]
            query = "SELECT * FROM read_parquet(?) ORDER BY series"
            index.load((duck.columns(query, [path]) for path in paths), manifest.tidied, manifest.newest)
            endings = Endings(index)
            if manifest.endings is not None:
                try:
                    endings = Endings.load((directory / manifest.endings).read_bytes(), index)
                except (OSError, ValueError, KeyError, TypeError) as exc:
                    logger.warning("ends of series not restored: file=%s reason=%s", manifest.endings, exc)
        except BaseException:
            duck.close()
            raise
        store.release_log(manifest.through)
        return cls(
            directory,
            store,
            clock=clock,
            settings=settings,
            duck=duck,
            index=index,
            endings=endings,
            manifest=manifest,
        )

    def stats(self) -> HistoryStats:
        with self._lock:
            blocks, waiting, counters = self._manifest.blocks, len(self._waiting), self._counters
        return HistoryStats(
            blocks=len(blocks),
            block_bytes=sum(block.bytes for block in blocks),
            samples=sum(block.rows for block in blocks),
            series=len(self._index),
            segments_waiting=waiting,
            segments_compacted=counters.segments,
            samples_compacted=counters.samples,
            merges=counters.merges,
            failures=counters.failures,
            damaged_blocks=counters.damaged_blocks,
        )

    # Upkeep

    async def maintain(self) -> None:
        """Compact what is sealed, for as long as it runs. What fails is logged, counted and tried again."""
        while True:
            try:
                await self.compact()
            except (HistoryError, HistoryBusyError, OSError) as exc:
                self._counters.failures += 1
                logger.error("history not compacted, tried again soon: reason=%s", exc)  # noqa: TRY400
            await asyncio.sleep(self._settings.every_seconds)

    async def compact(self) -> None:
        """Do what is due: sealed segments into blocks, small blocks into larger ones, old ones away.

        Raises HistoryError, HistoryBusyError and OSError; what was done until then stands.
        """
        while await asyncio.get_running_loop().run_in_executor(self._duck.writer, self._step):
            pass

    async def close(self) -> None:
        """Let go of the folder; what is being compacted is given up."""
        self._blocks.stopping.set()
        await asyncio.to_thread(self._duck.close)

    def _step(self) -> bool:
        """One thing that is due; False if nothing is left to do."""
        now = to_milliseconds(self._clock())
        try:
            self._delete_garbage()
            return self._compact_segment() or self._merge(now) or self._expire(now) or self._tidy(now)
        except StoppedError:
            return False

    def _compact_segment(self) -> bool:
        self._refresh()
        with self._lock:
            number = min(self._waiting, default=0)
            waiting = self._waiting.get(number)
        if waiting is None or waiting.endings is None:
            return False
        with self._reading:
            segment = waiting.segment.view()
        before = self._manifest
        unsaved = self._index.unsaved_count
        manifest = self._blocks.compact(before, segment, waiting.endings)
        self._commit(manifest)
        self._index.saved(unsaved)
        self._counters.segments += 1
        self._counters.samples += sum(block.rows for block in set(manifest.blocks) - set(before.blocks))
        self._store.release_log(number)
        return True

    def _expire(self, now: Milliseconds) -> bool:
        gone = self._blocks.expired(self._manifest, now)
        if gone:
            self._commit(self._manifest.with_blocks(gone, ()))
            logger.info("old samples deleted: blocks=%d", len(gone))
        return bool(gone)

    def _tidy(self, now: Milliseconds) -> bool:
        if not self._manifest.dictionaries or now < self._manifest.tidied + DAY_MS:
            return False
        self._commit(self._blocks.tidied(self._manifest, now))
        return True

    def _merge(self, now: Milliseconds) -> bool:
        due = self._blocks.due_merge(self._manifest, now)
        if due is None:
            return False
        try:
            self._commit(self._blocks.merge(self._manifest, due))
            self._counters.merges += 1
        except UnreadableBlockError as exc:
            self._set_aside(exc.block, exc)
        return True

    def _set_aside(self, block: Block, reason: Exception) -> None:
        """Go on without a block that cannot be read."""
        self._counters.damaged_blocks += 1
        aside = self._directory.with_name("history.unreadable")
        aside.mkdir(exist_ok=True)
        manifest = self._manifest.with_blocks([block], ())
        manifests.commit(self._directory, manifest)
        with self._lock:
            self._manifest = manifest
        (self._directory / block.name).rename(aside / block.name)
        logger.error("damaged block of the history set aside: folder=%s reason=%s", aside, reason)

    def _commit(self, manifest: Manifest) -> None:
        manifests.commit(self._directory, manifest)
        with self._reading, self._lock:
            gone = sorted(self._manifest.files - manifest.files)
            if gone:
                self._garbage.append((self._generation, gone))
            self._generation += 1
            self._manifest = manifest
            for number in [number for number in self._waiting if number <= manifest.through]:
                del self._waiting[number]

    def _delete_garbage(self) -> None:
        """Delete the files that nobody reads any more."""
        with self._lock:
            oldest = min(self._leases, default=self._generation)
            free = [names for generation, names in self._garbage if generation < oldest]
            self._garbage = [one for one in self._garbage if one[0] >= oldest]
        for name in (name for names in free for name in names):
            (self._directory / name).unlink(missing_ok=True)

    def _refresh(self) -> None:
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

    # Reading; from threads that may wait

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Slots:
        """The rows of the series that match and may have samples in (start, end], rising by id."""
        self._refresh()
        return self._index.select(matchers, start, end)

    def labels(self, rows: Slots) -> LabelFrame:
        return self._index.labels(rows)

    def samples(self, rows: Slots, start: Milliseconds, end: Milliseconds) -> Samples:
        """All samples in (start, end]. Raises TooManySamplesError and HistoryBusyError."""
        ids = self._index.ids(rows)
        by_id = np.argsort(ids)
        place_of = np.full(int(rows.max(initial=-1)) + 1, -1, dtype=np.int32)
        place_of[rows] = np.arange(len(rows))
        self._refresh()
        with self._snapshot() as snapshot:
            parts = [segment.read(place_of, start, end) for segment in snapshot.segments]
            blocks = [block for block in snapshot.manifest.blocks if block.may_hold(ids[by_id], start, end)]
            if blocks:
                room = self._settings.max_samples - sum(map(len, parts))
                found = self._duck.read(
                    lambda: self._read_blocks(blocks, ids[by_id], (start, end), room), self._settings.read_seconds
                )
                places = by_id[np.searchsorted(ids[by_id], found.series)]
                parts.append(Rows(places, found.times, found.values, found.order))
        return _matrix(Rows.joined(parts).distinct() if parts else Rows.none(), len(rows))

    @contextmanager
    def _snapshot(self) -> Iterator[_Snapshot]:
        """What counts now; its files stay for as long as this is entered."""
        with self._reading, self._lock:
            generation = self._generation
            segments = tuple(waiting.segment.view() for _, waiting in sorted(self._waiting.items()))
            snapshot = _Snapshot(generation, self._manifest, segments)
            self._leases[generation] = self._leases.get(generation, 0) + 1
        try:
            yield snapshot
        finally:
            with self._lock:
                self._leases[generation] -= 1
                if not self._leases[generation]:
                    del self._leases[generation]

    def _read_blocks(
        self, blocks: Sequence[Block], ids: Ids, period: tuple[Milliseconds, Milliseconds], room: int
    ) -> Rows:
        """In a thread of DuckDB's: the samples of `ids`, which rise."""
        owners, begins = np.unique(ids >> OWNER_SHIFT, return_index=True)
        if len(owners) <= MAX_OWNERS_APART:
            return self._read_groups(blocks, np.split(ids, begins[1:]), period, room)
        cursor = self._duck.cursor
        cursor.register("wanted", {"id": ids})
        try:
            return self._read_groups(blocks, [ids], period, room, only_wanted=True)
        finally:
            cursor.unregister("wanted")

    def _read_groups(
        self,
        blocks: Sequence[Block],
        groups: Sequence[Ids],
        period: tuple[Milliseconds, Milliseconds],
        room: int,
        *,
        only_wanted: bool = False,
    ) -> Rows:
        parts = [Rows.none()]
        for block, group in itertools.product(blocks, groups):
            if not block.may_hold(group, *period):
                continue
            bounds = int(group[0]), int(group[-1])
            path = self._directory / block.name
            try:
                series, times, values = read_block(
                    self._duck, path, bounds, period, most=room + 1, only_wanted=only_wanted
                )
            except HistoryError as exc:
                self._counters.damaged_blocks += 1
                logger.error("damaged block of the history, left out: file=%s reason=%s", block.name, exc)  # noqa: TRY400
                continue
            room -= len(series)
            if room < 0:
                raise TooManySamplesError(
                    f"a selector reads more than {self._settings.max_samples:,} samples of history; ask for fewer "
                    "series or a shorter range"
                )
            rows = Rows(series, times, values, np.full(len(series), block.run << 32))
            places = np.minimum(np.searchsorted(group, series), len(group) - 1)
            parts.append(rows.where(group[places] == series))
        return Rows.joined(parts)


def _matrix(rows: Rows, size: int) -> Samples:
    """Distinct rows of `size` series as one row of samples for each."""
    counts = np.bincount(rows.series, minlength=size).astype(np.int64)
    width = int(counts.max(initial=0))
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    times = np.zeros((size, width), dtype=np.int64)
    values = np.zeros((size, width))
    times[rows.series, columns] = rows.times
    values[rows.series, columns] = rows.values
    return Samples(times, values, counts)
