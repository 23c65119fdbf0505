"""History: the log's sealed segments become Parquet, and every sample that was ever stored can be read.

Three places hold samples: the segment being written, sealed segments not compacted yet, and blocks. Compacted segments
stay until the head needs them no more.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from collector.clock import Clock, to_milliseconds
from collector.series.history import manifest as manifests
from collector.series.history.blocks import Blocks, BlockSettings, StoppedError, UnreadableBlockError
from collector.series.history.contents import Contents
from collector.series.history.duck import Duck, HistoryBusyError, HistoryError
from collector.series.history.endings import Endings
from collector.series.history.fetch import Fetcher
from collector.series.history.index import SeriesIndex
from collector.series.history.manifest import DAY_MS, Block, Manifest, ManifestError
from collector.series.history.reader import SpanningReader
from collector.series.labels import LabelFrame
from collector.series.log.files import segment_numbers
from collector.series.read import Matcher, Milliseconds, Samples
from collector.series.slots import Slots
from collector.series.store import SampleStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HistorySettings:
    blocks: BlockSettings = field(default_factory=BlockSettings)
    memory_limit: str = "512MB"  # DuckDB's
    max_samples: int = 20_000_000  # read for one selector
    read_seconds: float = 60.0
    every_seconds: float = 30.0  # how often is looked for segments to compact


@dataclass(slots=True)
class HistoryCounters:
    """What was done since the start."""

    segments_compacted: int = 0
    samples_compacted: int = 0
    compaction_seconds: float = 0.0
    last_compaction: Milliseconds | None = None  # when the last one was complete
    merges: int = 0
    merge_seconds: float = 0.0
    failures: int = 0  # of compacting, merging and deleting
    bytes_too_old: int = 0  # dropped
    bytes_too_many: int = 0
    damaged_blocks: int = 0  # looked at in vain; each as often as it was
    blocks_set_aside: int = 0


@dataclass(frozen=True, slots=True)
class HistoryStats:
    blocks: int
    block_bytes: int
    samples: int  # in blocks
    oldest: Milliseconds | None  # of them; None: there are none
    series: int
    segments_waiting: int  # not compacted yet, the one being written included
    done: HistoryCounters


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
        self._contents = Contents(directory, store, index, endings, manifest)
        self._fetcher = Fetcher(
            directory, duck, index, self._contents, max_samples=settings.max_samples, seconds=settings.read_seconds
        )
        self._blocks = Blocks(directory, duck, index, settings.blocks)
        self._counters = HistoryCounters()

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
        blocks = self._contents.manifest.blocks
        return HistoryStats(
            blocks=len(blocks),
            block_bytes=sum(block.bytes for block in blocks),
            samples=sum(block.rows for block in blocks),
            oldest=min((block.first for block in blocks), default=None),
            series=len(self._index),
            segments_waiting=self._contents.segments_waiting,
            done=replace(self._counters, damaged_blocks=self._counters.damaged_blocks + self._fetcher.damaged_blocks),
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
            self._contents.delete_garbage()
            return self._compact_segment() or self._merge(now) or self._expire(now) or self._tidy(now)
        except StoppedError:
            return False

    def _compact_segment(self) -> bool:
        self._contents.refresh()
        sealed = self._contents.oldest_sealed()
        if sealed is None:
            return False
        begun = time.monotonic()
        before = self._contents.manifest
        unsaved = self._index.unsaved_count
        manifest = self._blocks.compact(before, sealed.view, sealed.endings)
        self._contents.commit(manifest)
        self._index.saved(unsaved)
        done = self._counters
        done.segments_compacted += 1
        done.samples_compacted += sum(block.rows for block in set(manifest.blocks) - set(before.blocks))
        done.compaction_seconds += time.monotonic() - begun
        done.last_compaction = to_milliseconds(self._clock())
        self._store.release_log(sealed.view.number)
        return True

    def _expire(self, now: Milliseconds) -> bool:
        manifest = self._contents.manifest
        old = self._blocks.too_old(manifest, now)
        many = self._blocks.too_many(manifest.with_blocks(old, ()))
        if not old and not many:
            return False
        self._contents.commit(manifest.with_blocks([*old, *many], ()))
        self._counters.bytes_too_old += sum(block.bytes for block in old)
        self._counters.bytes_too_many += sum(block.bytes for block in many)
        logger.info("samples deleted: files_too_old=%d files_too_many=%d", len(old), len(many))
        return True

    def _tidy(self, now: Milliseconds) -> bool:
        if not self._contents.manifest.dictionaries or now < self._contents.manifest.tidied + DAY_MS:
            return False
        self._contents.commit(self._blocks.tidied(self._contents.manifest, now))
        return True

    def _merge(self, now: Milliseconds) -> bool:
        due = self._blocks.due_merge(self._contents.manifest, now)
        if due is None:
            return False
        begun = time.monotonic()
        try:
            self._contents.commit(self._blocks.merge(self._contents.manifest, due))
            self._counters.merges += 1
            self._counters.merge_seconds += time.monotonic() - begun
        except UnreadableBlockError as exc:
            self._set_aside(exc.block, exc)
        return True

    def _set_aside(self, block: Block, reason: Exception) -> None:
        """Go on without a block that cannot be read."""
        self._counters.damaged_blocks += 1
        aside = self._directory.with_name("history.unreadable")
        self._contents.set_aside(block.name, aside)
        self._counters.blocks_set_aside += 1
        logger.error("damaged block of the history set aside: folder=%s reason=%s", aside, reason)

    # Reading; from threads that may wait

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Slots:
        """The rows of the series that match and may have samples in (start, end], rising by id."""
        self._contents.refresh()
        return self._index.select(matchers, start, end)

    def labels(self, rows: Slots) -> LabelFrame:
        return self._index.labels(rows)

    def samples(self, rows: Slots, start: Milliseconds, end: Milliseconds) -> Samples:
        """All samples in (start, end]. Raises TooManySamplesError and HistoryBusyError."""
        self._contents.refresh()
        return self._fetcher.samples(rows, start, end)
