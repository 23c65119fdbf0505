"""Samples from many files made one matrix without sorting them: what a file holds is sorted already."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from collector.series.history.rows import Ids, Rows
from collector.series.labels import Indexes
from collector.series.read import Samples, Times, Values


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which series are asked for, at least one, both of shape (m,)."""

    ids: Ids  # rising
    places: Indexes  # where each stands in the answer

    @classmethod
    def all_of(cls, size: int) -> Self:
        """Series that are known by their places already."""
        return cls(np.arange(size), np.arange(size))


@dataclass(frozen=True, slots=True)
class Piece:
    """What one file told: m runs, each of one series and rising in time, one behind the other."""

    rank: int  # rises with the age of the log: of two samples with one series and time, the lower rank's was first
    places: Indexes  # (m,), of each run's series among those asked for
    lengths: Ids  # (m,)
    times: Times  # (n,)
    values: Values  # (n,)

    def __len__(self) -> int:
        return len(self.times)

    @classmethod
    def of(cls, rank: int, told: tuple[Ids, Times, Values], wanted: Wanted) -> Self:
        """Series, times and values of rows, each of shape (n,), without those that are not wanted."""
        series, times, values = told
        if len(series) == 0:
            return cls.none(rank)
        begins = np.flatnonzero(np.r_[True, (series[1:] != series[:-1]) | (times[1:] <= times[:-1])])
        lengths = np.diff(begins, append=len(series))
        found = np.minimum(np.searchsorted(wanted.ids, series[begins]), len(wanted.ids) - 1)
        is_wanted = wanted.ids[found] == series[begins]
        if not is_wanted.all():
            kept = np.repeat(is_wanted, lengths)
            times, values = times[kept], values[kept]
            found, lengths = found[is_wanted], lengths[is_wanted]
        return cls(rank, wanted.places[found], lengths, times, values)

    @classmethod
    def none(cls, rank: int = 0) -> Self:
        empty = np.empty(0, dtype=np.int64)
        return cls(rank, empty, empty, empty, np.empty(0))


class _Runs(NamedTuple):
    """The runs of several pieces, all of shape (m,)."""

    places: Indexes
    first: Times
    last: Times
    lengths: Ids


def matrix(pieces: Sequence[Piece], size: int) -> Samples:
    """The samples of `size` series, each once: of one series and time the one of the lowest rank."""
    pieces = _untangled([piece for piece in pieces if len(piece)])
    runs = _runs_of(pieces)
    order = np.lexsort((runs.first, runs.places))
    counts = np.bincount(runs.places, weights=runs.lengths, minlength=size).astype(np.int64)
    width = int(counts.max(initial=0))
    lengths = runs.lengths[order]
    before = np.cumsum(lengths) - lengths  # of all runs before, then less those of the series before
    columns = np.empty(len(order), dtype=np.int64)
    columns[order] = before - (np.cumsum(counts) - counts)[runs.places[order]]
    cells = runs.places * width + columns
    times = np.zeros((size, width), dtype=np.int64)
    values = np.zeros((size, width))
    begun = 0
    for piece in pieces:
        of_piece = slice(begun, begun + len(piece.places))
        begun = of_piece.stop
        offsets = np.cumsum(piece.lengths) - piece.lengths
        targets = np.repeat(cells[of_piece] - offsets, piece.lengths) + np.arange(len(piece))
        times.reshape(-1)[targets] = piece.times
        values.reshape(-1)[targets] = piece.values
    return Samples(times, values, counts)


def _untangled(pieces: list[Piece]) -> list[Piece]:
    """The same samples, no two runs of one series overlapping: what was late, or came twice, is sorted in."""
    runs = _runs_of(pieces)
    order = np.lexsort((runs.first, runs.places))
    places = runs.places[order]
    overlaps = (places[1:] == places[:-1]) & (runs.first[order][1:] <= runs.last[order][:-1])
    if not overlaps.any():
        return pieces
    is_tangled = np.zeros(int(places.max()) + 1, dtype=np.bool_)
    is_tangled[places[1:][overlaps]] = True
    sorted_in, clean = [Rows.none()], []
    for piece in pieces:
        tangled = is_tangled[piece.places]
        if not tangled.any():
            clean.append(piece)
            continue
        rows = np.repeat(tangled, piece.lengths)
        of_rows = np.repeat(piece.places[tangled], piece.lengths[tangled])
        ranks = np.full(len(of_rows), piece.rank, dtype=np.int64)
        sorted_in.append(Rows(of_rows, piece.times[rows], piece.values[rows], ranks))
        clean.append(
            Piece(piece.rank, piece.places[~tangled], piece.lengths[~tangled], piece.times[~rows], piece.values[~rows])
        )
    late = Rows.joined(sorted_in).distinct()
    whole = Piece.of(0, (late.series, late.times, late.values), Wanted.all_of(len(is_tangled)))
    return [*(piece for piece in clean if len(piece)), whole]


def _runs_of(pieces: Sequence[Piece]) -> _Runs:
    empty = np.empty(0, dtype=np.int64)

    def joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        return np.concatenate([empty, *parts])

    begins = [np.cumsum(piece.lengths) - piece.lengths for piece in pieces]
    return _Runs(
        joined([piece.places for piece in pieces]),
        joined([piece.times[begin] for piece, begin in zip(pieces, begins, strict=True)]),
        joined([piece.times[begin + piece.lengths - 1] for piece, begin in zip(pieces, begins, strict=True)]),
        joined([piece.lengths for piece in pieces]),
    )
