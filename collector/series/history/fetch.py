"""Reads samples of chosen series out of blocks and log, and lays them out as queries want them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from collector.series.history.blocks import read_block
from collector.series.history.contents import Contents
from collector.series.history.duck import Duck, HistoryError
from collector.series.history.index import OWNER_SHIFT, SeriesIndex
from collector.series.history.manifest import Block
from collector.series.history.pieces import Piece, Wanted, matrix
from collector.series.read import Milliseconds, Samples
from collector.series.slots import Slots
from protocol.errors import PermanentError

logger = logging.getLogger(__name__)

MAX_OWNERS_APART = 16  # the series of so few devices are looked up device by device, which skips most of a block
MAX_METRICS = 16  # with more, all are read and what is not wanted is left out
AT_ONCE = 2  # threads for one question


class TooManySamplesError(PermanentError):
    """A question that would need more memory than one may have."""


@dataclass(frozen=True, slots=True)
class _Narrow:
    """What keeps a block from being read whole."""

    period: tuple[Milliseconds, Milliseconds]  # (start, end]
    metrics: list[int]  # of all that is wanted; empty: too many to name


class Fetcher:
    """For threads that may wait for the disk."""

    def __init__(
        self, directory: Path, duck: Duck, index: SeriesIndex, contents: Contents, *, max_samples: int, seconds: float
    ) -> None:
        self.damaged_blocks = 0
        self._directory = directory
        self._duck = duck
        self._index = index
        self._contents = contents
        self._max_samples = max_samples
        self._seconds = seconds
        self._lock = Lock()

    def samples(self, rows: Slots, start: Milliseconds, end: Milliseconds) -> Samples:
        """All samples of `rows` in (start, end]. Raises TooManySamplesError and HistoryBusyError."""
        if len(rows) == 0:
            return matrix([], 0)
        ids = self._index.ids(rows)
        by_id = np.argsort(ids)
        wanted = Wanted(ids[by_id], by_id)
        place_of = np.full(int(rows.max()) + 1, -1, dtype=np.int32)
        place_of[rows] = np.arange(len(rows))
        with self._contents.snapshot() as snapshot:
            pieces: list[Piece] = []
            for segment in snapshot.segments:
                told = segment.read(place_of, start, end).distinct()
                of_segment = told.series, told.times, told.values
                pieces.append(Piece.of(segment.number, of_segment, Wanted.all_of(len(rows))))
            blocks = [block for block in snapshot.manifest.blocks if block.may_hold(wanted.ids, start, end)]
            if blocks:
                metrics = np.unique(self._index.metrics(rows)).tolist()
                narrow = _Narrow((start, end), metrics if len(metrics) <= MAX_METRICS else [])
                pieces += self._of_blocks(blocks, wanted, narrow, self._max_samples - sum(map(len, pieces)))
        return matrix(pieces, len(rows))

    def _of_blocks(self, blocks: Sequence[Block], wanted: Wanted, narrow: _Narrow, room: int) -> list[Piece]:
        begins = np.flatnonzero(np.diff(wanted.ids >> OWNER_SHIFT)) + 1
        groups = [wanted]
        is_of_few = len(begins) < MAX_OWNERS_APART
        if is_of_few:
            of_each = zip(np.split(wanted.ids, begins), np.split(wanted.places, begins), strict=True)
            groups = [Wanted(ids, places) for ids, places in of_each]
        left = [(block, group) for block in blocks for group in groups if block.may_hold(group.ids, *narrow.period)]
        pieces: list[Piece] = []

        def job() -> None:
            nonlocal room
            while True:
                with self._lock:
                    if not left or room < 0:
                        return
                    block, group = left.pop()
                piece = self._of_block(block, group, narrow)
                with self._lock:
                    pieces.append(piece)
                    room -= len(piece)

        try:
            self._duck.read([job] * (1 if is_of_few else AT_ONCE), self._seconds)
        finally:
            with self._lock:  # who still reads is to end after the block in hand
                left.clear()
        if room < 0:
            raise TooManySamplesError(
                f"a selector reads more than {self._max_samples:,} samples of history at once; ask for fewer series or "
                "a shorter range"
            )
        return pieces

    def _of_block(self, block: Block, wanted: Wanted, narrow: _Narrow) -> Piece:
        """In a thread of DuckDB's."""
        bounds = int(wanted.ids[0]), int(wanted.ids[-1])
        path = self._directory / block.name
        try:
            told = read_block(self._duck, path, bounds, narrow.period, metrics=narrow.metrics)
        except HistoryError as exc:
            self.damaged_blocks += 1
            logger.error("damaged block of the history, left out: file=%s reason=%s", block.name, exc)  # noqa: TRY400
            return Piece.none()
        return Piece.of(block.run, told, wanted)
