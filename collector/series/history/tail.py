"""The end of the log that is not compacted yet: an index of its frames, so that those of one device are found without
decoding all."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.series.catalog import Catalog, Layout
from collector.series.history.endings import Endings, FrameTimes, Marker
from collector.series.history.index import OWNER_SHIFT, SeriesIndex
from collector.series.history.rows import Ids, Rows, distinct_of
from collector.series.log.files import segment_path
from collector.series.log.format import (
    HEADER,
    RECORD,
    RecordType,
    check_header,
    frame_columns,
    record_end,
    resume_after,
)
from collector.series.log.reader import Definitions
from collector.series.read import STALE, Milliseconds, Times, Values, is_absent
from collector.series.slots import Slots

logger = logging.getLogger(__name__)

VALUE_BYTES = 8
_EARLIEST, _LATEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


class Frames(NamedTuple):
    """Frames of a segment in log order, all of shape (n,)."""

    layouts: Ids  # places in Segment.layouts
    times: Times
    places: Ids  # where in the file the values begin


class LayoutSeries(NamedTuple):
    """The series of all layouts, one layout behind the other."""

    rows: Slots
    layouts: Ids  # of each row
    sizes: Ids  # of each layout

    def of(self, layout: int) -> Slots:
        end = int(np.searchsorted(self.layouts, layout, side="right"))
        return self.rows[end - int(self.sizes[layout]) : end]


class Ended(NamedTuple):
    """Staleness markers, in the order in which they came to be, all of shape (n,)."""

    rows: Slots
    times: Times
    frames: Ids  # each was stored before the frame of this place


_NO_NUMBERS = np.empty(0, dtype=np.int64)
_NO_ROWS = np.empty(0, dtype=np.int32)
_NO_SERIES = LayoutSeries(_NO_ROWS, _NO_NUMBERS, _NO_NUMBERS)
_NO_ENDED = Ended(_NO_ROWS, _NO_NUMBERS, _NO_NUMBERS)


@dataclass(slots=True)
class _Fresh:
    """Frames since the last record of another kind."""

    layouts: list[Ids] = field(default_factory=list)
    times: list[Times] = field(default_factory=list)
    received: list[Times] = field(default_factory=list)
    places: list[Ids] = field(default_factory=list)


class Segment:
    """One segment, read further as it grows. Not locked: its owner sees to that; what `view` gives stays as it is."""

    def __init__(self, directory: Path, number: int, catalog: Catalog, index: SeriesIndex) -> None:
        self.path = segment_path(directory, number)
        self.number = number
        self.layouts: list[Layout] = []
        self.rows: list[Slots] = []  # of each layout's series
        self.read_to = 0
        self._definitions = Definitions(catalog)
        self._index = index
        self._place_of: dict[int, int] = {}  # places in `layouts` by the numbers used in this file
        self._frames = Frames(*(np.empty(0, dtype=np.int64) for _ in range(3)))
        self._series = _NO_SERIES
        self._markers: list[Marker] = []
        self._ended = _NO_ENDED

    def view(self) -> "SegmentView":
        if len(self._series.sizes) < len(self.rows):
            sizes = np.array([len(rows) for rows in self.rows], dtype=np.int64)
            layouts = np.repeat(np.arange(len(self.rows)), sizes)
            self._series = LayoutSeries(np.concatenate(self.rows), layouts, sizes)
        if self._markers:
            sizes = np.array([len(marker.rows) for marker in self._markers], dtype=np.int64)
            self._ended = Ended(
                np.concatenate((self._ended.rows, *[marker.rows for marker in self._markers])),
                np.concatenate((self._ended.times, np.repeat([marker.t for marker in self._markers], sizes))),
                np.concatenate((self._ended.frames, np.repeat([marker.frame for marker in self._markers], sizes))),
            )
            self._markers = []
        return SegmentView(self.path, self.number, self._frames, self._series, self._ended)

    def refresh(self, endings: Endings, *, is_sealed: bool) -> None:
        """Take in what was written since the last time. Raises OSError, and LogFormatError if it is no segment."""
        with self.path.open("rb") as file:
            file.seek(self.read_to)
            data = file.read()
        offset = 0
        if self.read_to == 0:
            if len(data) < HEADER.size and not is_sealed:
                return  # its header is being written
            check_header(self.path, data)
            offset = HEADER.size
        fresh = _Fresh()
        while offset < len(data):
            end = record_end(data, offset)
            if end is None:
                sound = resume_after(data, offset)
                if sound is None:
                    break  # torn, or still being written
                logger.error("damaged bytes in the log, skipped: file=%s at=%d", self.path, self.read_to + offset)
                offset = sound
                continue
            kind = data[offset + 4]
            payload = memoryview(data)[offset + RECORD.size : end]
            if kind == RecordType.DEFINITIONS:
                self._definitions.add(payload)
            elif kind == RecordType.FRAMES:
                self._gather(fresh, payload, self.read_to + offset + RECORD.size)
            elif kind == RecordType.ENDS:
                self._settle(fresh, endings)
                fresh = _Fresh()
                for one in self._definitions.ends(payload):
                    self._end(endings.end(one))
            offset = end
        self._settle(fresh, endings)
        self.read_to += offset

    def _gather(self, fresh: _Fresh, payload: memoryview, at: int) -> None:
        columns = frame_columns(payload)
        sizes = columns.sizes.astype(np.int64)
        places = at + columns.values_at + (np.cumsum(sizes) - sizes) * VALUE_BYTES
        layouts = np.array([self._layout(number) for number in columns.layouts.tolist()], dtype=np.int64)
        known = layouts >= 0
        if not known.all():  # their definition was lost with a damaged record
            layouts, places = layouts[known], places[known]
            columns = columns._replace(received=columns.received[known], times=columns.times[known])
        fresh.layouts.append(layouts)
        fresh.times.append(columns.times)
        fresh.received.append(columns.received)
        fresh.places.append(places)

    def _layout(self, number: int) -> int:
        place = self._place_of.get(number)
        if place is None:
            layout = self._definitions.layouts.get(number)
            if layout is None:
                return -1
            place = self._place_of[number] = len(self.layouts)
            self.rows.append(self._index.rows_of(layout))
            self.layouts.append(layout)
        return place

    def _settle(self, fresh: _Fresh, endings: Endings) -> None:
        if not fresh.layouts:
            return
        layouts, times = np.concatenate(fresh.layouts), np.concatenate(fresh.times)
        before = self._frames
        self._end(endings.frames(self.layouts, FrameTimes(layouts, times, np.concatenate(fresh.received))))
        self._frames = Frames(
            np.concatenate((before.layouts, layouts)),
            np.concatenate((before.times, times)),
            np.concatenate((before.places, *fresh.places)),
        )
        first = np.full(len(self.layouts), np.iinfo(np.int64).max)
        last = np.full(len(self.layouts), np.iinfo(np.int64).min)
        np.minimum.at(first, layouts, times)
        np.maximum.at(last, layouts, times)
        present = distinct_of(layouts)
        sizes = [len(self.rows[place]) for place in present.tolist()]
        self._index.note(
            np.concatenate([self.rows[place] for place in present.tolist()]),
            np.repeat(first[present], sizes),
            np.repeat(last[present], sizes),
        )

    def _end(self, markers: list[Marker]) -> None:
        """Take in markers; their frames are counted from the first that is not settled yet."""
        settled = len(self._frames.times)
        for marker in markers:
            self._markers.append(marker._replace(frame=settled + marker.frame))
            at = np.full(len(marker.rows), marker.t)
            self._index.note(marker.rows, at, at)


@dataclass(frozen=True, slots=True)
class SegmentView:
    """A segment as far as it was read."""

    path: Path
    number: int
    frames: Frames
    series: LayoutSeries
    ended: Ended

    def read(self, place_of: Slots, start: Milliseconds, end: Milliseconds) -> Rows:
        """The samples in (start, end] of the rows that have a place in `place_of` (-1: not wanted, and so is what lies
        beyond its end); their series is that place."""
        places = _places(place_of, self.series.rows)
        is_wanted = np.zeros(len(self.series.sizes), dtype=bool)
        is_wanted[self.series.layouts[places >= 0]] = True
        frames = self.frames
        inside = np.flatnonzero(is_wanted[frames.layouts] & (frames.times > start) & (frames.times <= end))
        parts: list[Rows] = []
        if len(inside):
            inside = inside[np.argsort(frames.layouts[inside], kind="stable")]
            parts.append(self._of_frames(inside, places))
        parts.append(self._ends(_places(place_of, self.ended.rows), start, end))
        return Rows.joined(parts)

    def _of_frames(self, frames: Ids, places: Ids) -> Rows:
        """Of these frames the values of the series that have a place (-1: not wanted), in no order."""
        wanted = np.flatnonzero(places >= 0)  # among the series of all layouts
        sizes = self.series.sizes
        positions = wanted - (np.cumsum(sizes) - sizes)[self.series.layouts[wanted]]
        begins = np.searchsorted(self.series.layouts[wanted], self.frames.layouts[frames])
        counts = np.searchsorted(self.series.layouts[wanted], self.frames.layouts[frames], side="right") - begins
        of_frames = np.repeat(frames, counts)
        among = np.repeat(begins - (np.cumsum(counts) - counts), counts) + np.arange(len(of_frames))
        data = np.memmap(self.path, dtype=np.uint8, mode="r")
        values = gather(data, self.frames.places[of_frames] + positions[among] * VALUE_BYTES)
        rows = Rows(places[wanted[among]], self.frames.times[of_frames], values, self._order(of_frames))
        return rows.where(~is_absent(values))

    def chunks(self, index: SeriesIndex, most: int) -> Iterator[Rows]:
        """All samples by id, owners rising, about `most` at a time."""
        ids = index.ids(self.series.rows)
        ended_ids = index.ids(self.ended.rows)
        sizes = self.series.sizes
        owners = np.zeros(len(sizes), dtype=np.int64)
        owners[sizes > 0] = ids[(np.cumsum(sizes) - sizes)[sizes > 0]] >> OWNER_SHIFT
        of_frames = self.frames.layouts
        by_owner = np.lexsort((self.frames.times, of_frames, owners[of_frames]))
        frame_owners = owners[of_frames][by_owner]
        total = np.cumsum(sizes[of_frames][by_owner])
        data = np.memmap(self.path, dtype=np.uint8, mode="r")
        begun, above = 0, -1
        while True:
            done = int(total[begun - 1]) if begun else 0
            stop = max(begun + 1, int(np.searchsorted(total, done + most, side="right")))
            if stop < len(by_owner):  # not amid an owner, unless it alone is larger
                whole = int(np.searchsorted(frame_owners, frame_owners[stop]))
                stop = whole if whole > begun else int(np.searchsorted(frame_owners, frame_owners[begun], side="right"))
            is_last = stop >= len(by_owner)
            upto = np.iinfo(np.int64).max if is_last else int(frame_owners[stop - 1])
            parts: list[Rows] = []
            for layout, group in self._by_layout(by_owner[begun:stop]):
                begin = int(np.searchsorted(self.series.layouts, layout))
                of_layout = ids[begin : begin + int(sizes[layout])]
                parts.append(self._of_layout(data, group, of_layout))
            ended_here = (ended_ids >> OWNER_SHIFT > above) & (ended_ids >> OWNER_SHIFT <= upto)
            parts.append(self._ends(np.where(ended_here, ended_ids, -1)))
            yield Rows.joined(parts)
            if is_last:
                return
            begun, above = stop, upto

    def _by_layout(self, frames: Ids) -> Iterator[tuple[int, Ids]]:
        """Frames that are sorted by layout, layout by layout."""
        layouts = self.frames.layouts[frames]
        bounds = np.flatnonzero(np.diff(layouts, prepend=-1))
        for group in np.split(frames, bounds[1:]) if len(frames) else []:
            yield int(self.frames.layouts[group[0]]), group

    def _of_layout(self, data: NDArray[np.uint8], frames: Ids, series: Ids) -> Rows:
        """The values of frames of one layout, whose series have these ids, series by series."""
        values = _columns(data, self.frames.places[frames], len(series)).ravel()
        rows = Rows(
            np.repeat(series.astype(np.int64), len(frames)),
            np.tile(self.frames.times[frames], len(series)),
            values,
            np.tile(self._order(frames), len(series)),
        )
        return rows.where(~is_absent(values))

    def _ends(self, series: Ids, start: Milliseconds = _EARLIEST, end: Milliseconds = _LATEST) -> Rows:
        """The staleness markers in (start, end]; `series` is what each is a marker of, -1: not wanted."""
        here = np.flatnonzero((series >= 0) & (self.ended.times > start) & (self.ended.times <= end))
        return Rows(
            series[here], self.ended.times[here], np.full(len(here), STALE), self._order(self.ended.frames[here]) - 1
        )

    def _order(self, frames: Ids) -> Ids:
        """When frames were stored, compared with other segments; between two of them is room for markers."""
        return (self.number << 32) + 2 * frames + 1


def _places(place_of: Slots, rows: Slots) -> Ids:
    places = np.full(len(rows), -1, dtype=np.int64)
    known = rows < len(place_of)
    places[known] = place_of[rows[known]]
    return places


def gather(data: NDArray[np.uint8], starts: Ids) -> Values:
    """The float64 that begin at these bytes, wherever they lie: one view for each alignment."""
    values = np.empty(len(starts))
    for view, some, places in _aligned(data, starts):
        values[some] = view[places]
    return values


def _columns(data: NDArray[np.uint8], starts: Ids, width: int) -> Values:
    """The rows of `width` float64 that begin at these bytes, as columns: of shape (width, n)."""
    values = np.empty((width, len(starts)))
    for view, some, places in _aligned(data, starts):
        values[:, some] = view[places + np.arange(width)[:, None]]
    return values


def _aligned(data: NDArray[np.uint8], starts: Ids) -> Iterator[tuple[Values, Ids, Ids]]:
    """`data` as float64 in each alignment that occurs, which of the starts have that, and their places in it."""
    phases = starts % VALUE_BYTES
    for phase in distinct_of(phases).tolist():
        some = np.flatnonzero(phases == phase)
        usable = (len(data) - phase) // VALUE_BYTES * VALUE_BYTES
        yield data[phase : phase + usable].view("<f8"), some, (starts[some] - phase) // VALUE_BYTES
