"""How samples become Parquet blocks: segments are compacted, small blocks merged, old ones dropped.

Nothing here changes what counts: each step gives a manifest that its caller commits, or that is as if it never was.
"""

import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.series.history.duck import Duck, HistoryError
from collector.series.history.index import MetricCodes, SeriesIndex
from collector.series.history.manifest import DAY_MS, Block, Manifest, make_durable
from collector.series.history.rows import Ids, Rows, distinct_of, runs
from collector.series.history.tail import SegmentView
from collector.series.read import STALE, Milliseconds, Times, Values, is_stale
from protocol.errors import TransientError

FINAL = 9  # the level of what holds a whole day
CLOSED_MS = 6 * 3600 * 1000  # a day is over for good when most of what was late has come
FORGET_AFTER_MS = 2 * DAY_MS  # how much longer than its samples a series is known

# In the files of a day that is over one metric's samples stand together, so that a question about the whole fleet reads
# a fortieth of them; in the others one device's do, since the newest hours are looked at device by device.
BY_METRIC_ROWS = 49_152  # in a row group: about those of one metric of a file with 40 series for each device

READ = "SELECT series, t, v, stale FROM read_parquet(?) WHERE series BETWEEN ? AND ? AND t > ? AND t <= ?"


class StoppedError(TransientError):
    """The collector is stopping; what was begun is begun again at its next start."""


class UnreadableBlockError(HistoryError):
    """A block is damaged."""

    def __init__(self, block: Block, reason: Exception) -> None:
        super().__init__(f"{block.name}: {reason}")
        self.block = block


@dataclass(frozen=True, slots=True)
class BlockSettings:
    retention_ms: Milliseconds = 35 * DAY_MS
    printer_retention_ms: Milliseconds = 400 * DAY_MS
    retention_bytes: int = 50 * 10**9
    part_rows: int = 2_000_000  # in one file, and in memory at once; 32 bytes each, and again while they are sorted
    fan_in: int = 8  # so many runs of one level become one of the next


@dataclass(frozen=True, slots=True)
class Merge:
    """Runs of one day that should become one; they follow each other."""

    blocks: tuple[Block, ...]
    level: int


class Blocks:
    """Writes files beside those that count. For the one thread that writes."""

    def __init__(self, directory: Path, duck: Duck, index: SeriesIndex, settings: BlockSettings) -> None:
        self.stopping = threading.Event()
        self._directory = directory
        self._duck = duck
        self._index = index
        self._settings = settings

    def compact(self, manifest: Manifest, segment: SegmentView, endings: bytes) -> Manifest:
        """What counts when the samples of a sealed segment are in blocks; `endings` is what is known at its end.

        Raises HistoryError, StoppedError and OSError, as all of these do.
        """
        files = itertools.count(manifest.next_file)
        blocks: list[Block] = []
        for rows in segment.chunks(self._index, self._settings.part_rows):
            self._check_wanted()
            blocks += self.write(rows.distinct(), 0, segment.number, files)
        endings_name = f"endings-{next(files):010d}.npz"
        (self._directory / endings_name).write_bytes(endings)
        dictionaries = manifest.dictionaries
        unsaved = self._index.unsaved()
        new = [endings_name]
        if unsaved is not None:
            new.append(f"series-{next(files):010d}.parquet")
            self._duck.write(self._directory / new[-1], unsaved)
            dictionaries = (*dictionaries, new[-1])
        make_durable(self._directory, [*new, *(block.name for block in blocks)])
        return replace(
            manifest.with_blocks((), blocks),
            through=segment.number,
            next_file=next(files),
            endings=endings_name,
            dictionaries=dictionaries,
        )

    def due_merge(self, manifest: Manifest, now: Milliseconds) -> Merge | None:
        """The next merge that is worth its while: of the many small runs of one level, or of all runs of a day that is
        over."""
        by_day: dict[tuple[int, bool], dict[int, list[Block]]] = {}
        for block in manifest.blocks:
            by_day.setdefault((block.day, block.printers), {}).setdefault(block.run, []).append(block)
        for (day, _), of_day in sorted(by_day.items()):
            runs = [of_day[run] for run in sorted(of_day)]
            levels = [run[0].level for run in runs]
            if FINAL not in levels and (day + 1) * DAY_MS + CLOSED_MS <= now:
                return _merge_of(runs, FINAL)
            for level, group in itertools.groupby(range(len(runs)), levels.__getitem__):
                places = list(group)
                if len(places) >= self._settings.fan_in:
                    return _merge_of([runs[place] for place in places], level + 1)
        return None

    def merge(self, manifest: Manifest, due: Merge) -> Manifest:
        """What counts when the runs are one. Raises UnreadableBlockError too."""
        files = itertools.count(manifest.next_file)
        run = min(block.run for block in due.blocks)
        new: list[Block] = []
        for low, high in self._slices(due.blocks):
            self._check_wanted()
            parts = [
                self._read_all(block, low, high) for block in due.blocks if block.low <= high and block.high >= low
            ]
            new += self.write(Rows.joined(parts).distinct(), due.level, run, files)
        make_durable(self._directory, [block.name for block in new])
        return replace(manifest.with_blocks(due.blocks, new), next_file=next(files))

    def too_old(self, manifest: Manifest, now: Milliseconds) -> list[Block]:
        """The blocks whose whole day is older than it may be."""
        settings = self._settings
        return [
            block
            for block in manifest.blocks
            if (block.day + 1) * DAY_MS
            <= now - (settings.printer_retention_ms if block.printers else settings.retention_ms)
        ]

    def too_many(self, manifest: Manifest) -> list[Block]:
        """The oldest days of what is more than fits, those of printers last."""
        gone: list[Block] = []
        kept = sorted(manifest.blocks, key=lambda block: (block.printers, block.day))
        total = sum(block.bytes for block in kept)
        for _, of_day in itertools.groupby(kept, lambda block: (block.printers, block.day)):
            if total <= self._settings.retention_bytes:
                break
            day = list(of_day)
            gone += day
            total -= sum(block.bytes for block in day)
        return gone

    def tidied(self, manifest: Manifest, now: Milliseconds) -> Manifest:
        """What counts when the dictionaries are one, without the series whose samples are gone."""
        settings = self._settings
        before = now - FORGET_AFTER_MS
        self._index.forget(before - settings.retention_ms, before - settings.printer_retention_ms)
        name = f"series-{manifest.next_file:010d}.parquet"
        self._duck.write(self._directory / name, self._index.all())
        make_durable(self._directory, [name])
        return replace(manifest, dictionaries=(name,), tidied=now, next_file=manifest.next_file + 1)

    def _check_wanted(self) -> None:
        if self.stopping.is_set():
            raise StoppedError("the collector is stopping")

    def write(self, rows: Rows, level: int, run: int, files: Iterator[int]) -> list[Block]:
        """Distinct rows as files, one for each day and class, numbered by `files`. Not yet durable."""
        if len(rows) == 0:
            return []
        series, lengths = runs(rows.series)
        known = self._index.rows_of_ids(series)
        metrics = np.repeat(self._index.metrics(known), lengths)
        kinds = rows.times // DAY_MS * 2 + np.repeat(self._index.are_printers(known), lengths)
        blocks = []
        for key in distinct_of(kinds).tolist():
            of_kind = kinds == key
            some = rows.where(of_kind)
            day, is_printers = key // 2, bool(key % 2)
            date = datetime.fromtimestamp(day * DAY_MS / 1000, UTC).strftime("%Y-%m-%d")
            name = f"{date}-{'printers' if is_printers else 'samples'}-{next(files):010d}.parquet"
            path = self._directory / name
            self._write(path, some, metrics[of_kind], by_metric=level == FINAL)
            blocks.append(
                Block(
                    name=name,
                    day=day,
                    printers=is_printers,
                    level=level,
                    run=run,
                    low=int(some.series[0]),
                    high=int(some.series[-1]),
                    first=int(some.times.min()),
                    last=int(some.times.max()),
                    rows=len(some),
                    bytes=path.stat().st_size,
                )
            )
        return blocks

    def _write(self, path: Path, rows: Rows, metrics: MetricCodes, *, by_metric: bool) -> None:
        columns: dict[str, NDArray[Any]] = {
            "metric": metrics,
            "series": rows.series,
            "t": rows.times,
            "v": rows.values,
            "stale": is_stale(rows.values),
        }
        if by_metric:
            order = np.argsort(metrics, kind="stable")
            columns = {name: column[order] for name, column in columns.items()}
        self._duck.write(path, columns, row_group=BY_METRIC_ROWS if by_metric else None)

    def _slices(self, blocks: Sequence[Block]) -> Iterator[tuple[int, int]]:
        """Ranges of ids, both ends included, none with more rows than one file may have if it has several series."""
        parts = [self._counts(block) for block in blocks]
        ids, inverse = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
        counts = np.bincount(inverse, weights=np.concatenate([part[1] for part in parts])).astype(np.int64)
        total = np.cumsum(counts)
        begun = 0
        while begun < len(ids):
            done = int(total[begun - 1]) if begun else 0
            stop = max(begun + 1, int(np.searchsorted(total, done + self._settings.part_rows, side="right")))
            yield int(ids[begun]), int(ids[stop - 1])
            begun = stop

    def _counts(self, block: Block) -> tuple[Ids, Ids]:
        try:
            found = self._duck.columns(
                "SELECT series, count(*) AS n FROM read_parquet(?) GROUP BY series", [str(self._directory / block.name)]
            )
        except HistoryError as exc:
            raise UnreadableBlockError(block, exc) from exc
        return found["series"], found["n"]

    def _read_all(self, block: Block, low: int, high: int) -> Rows:
        try:
            series, times, values = read_block(
                self._duck, self._directory / block.name, (low, high), (block.first - 1, block.last)
            )
        except HistoryError as exc:
            raise UnreadableBlockError(block, exc) from exc
        return Rows(series, times, values, np.full(len(series), block.run))


def read_block(
    duck: Duck,
    path: Path,
    ids: tuple[int, int],
    period: tuple[Milliseconds, Milliseconds],
    *,
    metrics: Sequence[int] = (),
) -> tuple[Ids, Times, Values]:
    """Series, times and values of the samples in the period (start, end] of the series from ids[0] to ids[1], both
    included, in the order in which they stand there; of these `metrics` alone unless there are none. For a thread of
    `duck`.

    Raises HistoryError and HistoryBusyError."""
    query = READ
    parameters: list[object] = [str(path.absolute()), *ids, *period]
    if metrics:
        query += f" AND metric IN ({', '.join('?' * len(metrics))})"
        parameters += metrics
    found = duck.columns(query, parameters)
    values = found["v"]
    values[found["stale"]] = STALE
    return found["series"], found["t"], values


def _merge_of(runs: Sequence[Sequence[Block]], level: int) -> Merge:
    return Merge(tuple(block for run in runs for block in run), min(level, FINAL))
