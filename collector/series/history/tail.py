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
from collector.series.history.rows import Ids, Rows
from collector.series.log import (
    HEADER,
    RECORD,
    Definitions,
    RecordType,
    check_header,
    frame_columns,
    record_end,
    resume_after,
    segment_path,
)
from collector.series.read import STALE, Mask, Milliseconds, Times, Values, is_absent
from collector.series.slots import Slots

logger = logging.getLogger(__name__)

VALUE_BYTES = 8


class Frames(NamedTuple):
    """Frames of a segment in log order, all of shape (n,)."""

    layouts: Ids  # places in Segment.layouts
    times: Times
    places: Ids  # where in the file the values begin


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
        self._markers: list[Marker] = []

    def view(self) -> "SegmentView":
        return SegmentView(self.path, self.number, self._frames, self.layouts, self.rows, tuple(self._markers))

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
        for marker in endings.frames(self.layouts, FrameTimes(layouts, times, np.concatenate(fresh.received))):
            self._end([marker])
        before = self._frames
        self._frames = Frames(
            np.concatenate((before.layouts, layouts)),
            np.concatenate((before.times, times)),
            np.concatenate((before.places, *fresh.places)),
        )
        first = np.full(len(self.layouts), np.iinfo(np.int64).max)
        last = np.full(len(self.layouts), np.iinfo(np.int64).min)
        np.minimum.at(first, layouts, times)
        np.maximum.at(last, layouts, times)
        for place in np.unique(layouts).tolist():
            self._index.note(self.rows[place], int(first[place]), int(last[place]))

    def _end(self, markers: list[Marker]) -> None:
        for marker in markers:
            self._markers.append(marker)
            self._index.note(marker.rows, marker.t, marker.t)


@dataclass(frozen=True, slots=True)
class SegmentView:
    """A segment as far as it was read."""

    path: Path
    number: int
    frames: Frames
    layouts: list[Layout]  # may grow, the first ones stay
    rows: list[Slots]
    markers: tuple[Marker, ...]

    def read(self, place_of: Slots, start: Milliseconds, end: Milliseconds) -> Rows:
        """The samples in (start, end] of the rows that have a place in `place_of` (-1: not wanted, and so is what lies
        beyond its end); their series is that place."""
        inside = np.flatnonzero((self.frames.times > start) & (self.frames.times <= end))
        wanted: dict[int, tuple[Ids, Ids]] = {}
        for layout in np.unique(self.frames.layouts[inside]).tolist():
            places = _places(place_of, self.rows[layout])
            positions = np.flatnonzero(places >= 0)
            if len(positions):
                wanted[layout] = (positions, places[positions])
        parts: list[Rows] = []
        if wanted:
            is_wanted = np.zeros(max(wanted) + 1, dtype=bool)
            is_wanted[list(wanted)] = True
            of_frames = self.frames.layouts[inside]
            inside = inside[(of_frames < len(is_wanted)) & is_wanted[np.minimum(of_frames, len(is_wanted) - 1)]]
            inside = inside[np.argsort(self.frames.layouts[inside], kind="stable")]
            data = np.memmap(self.path, dtype=np.uint8, mode="r")
            bounds = np.flatnonzero(np.diff(self.frames.layouts[inside], prepend=-1))
            parts += [
                self._of_layout(data, group, *wanted[int(self.frames.layouts[group[0]])])
                for group in np.split(inside, bounds[1:])
            ]
        parts += [
            self._marker(marker, places[places >= 0], number)
            for number, marker in enumerate(self.markers)
            if start < marker.t <= end and ((places := _places(place_of, marker.rows)) >= 0).any()
        ]
        return Rows.joined(parts) if parts else Rows.none()

    def chunks(self, index: SeriesIndex, most: int) -> Iterator[Rows]:
        """All samples by id, owners rising, about `most` at a time."""
        owners = np.array(
            [int(index.ids(rows[:1])[0]) >> OWNER_SHIFT if len(rows) else 0 for rows in self.rows], dtype=np.int64
        )
        sizes = np.array([len(rows) for rows in self.rows], dtype=np.int64)
        by_owner = np.lexsort((self.frames.times, self.frames.layouts, owners[self.frames.layouts]))
        frame_owners = owners[self.frames.layouts][by_owner]
        total = np.cumsum(sizes[self.frames.layouts][by_owner])
        data = np.memmap(self.path, dtype=np.uint8, mode="r")
        marked = [(int(i), marker.t, n) for n, marker in enumerate(self.markers) for i in index.ids(marker.rows)]
        marker_ids = np.array([one[0] for one in marked], dtype=np.int64)
        marker_rows = Rows(
            marker_ids,
            np.array([one[1] for one in marked], dtype=np.int64),
            np.full(len(marked), STALE),
            self._order(np.array([one[2] for one in marked], dtype=np.int64) + (1 << 31)),
        )
        begun, above = 0, -1
        while True:
            done = int(total[begun - 1]) if begun else 0
            stop = int(np.searchsorted(total, done + most, side="right"))
            stop = max(stop, begun + 1)
            if stop < len(by_owner):  # not amid an owner, unless it alone is larger
                whole = int(np.searchsorted(frame_owners, frame_owners[stop]))
                stop = whole if whole > begun else int(np.searchsorted(frame_owners, frame_owners[begun], side="right"))
            is_last = stop >= len(by_owner)
            upto = np.iinfo(np.int64).max if is_last else int(frame_owners[stop - 1])
            parts = []
            frames = by_owner[begun:stop]
            bounds = np.flatnonzero(np.diff(self.frames.layouts[frames], prepend=-1))
            for group in np.split(frames, bounds[1:]) if len(frames) else []:
                ids = index.ids(self.rows[int(self.frames.layouts[group[0]])])
                parts.append(self._of_layout(data, group, np.arange(len(ids)), ids))
            marker_owners = marker_ids >> OWNER_SHIFT
            parts.append(marker_rows.where((marker_owners > above) & (marker_owners <= upto)))
            yield Rows.joined(parts)
            if is_last:
                return
            begun, above = stop, upto

    def _of_layout(self, data: NDArray[np.uint8], frames: Ids, positions: Ids, series: Ids) -> Rows:
        """The values at `positions` of frames of one layout, series by series."""
        starts = self.frames.places[frames] + positions[:, None] * VALUE_BYTES
        values = gather(data, starts.ravel())
        rows = Rows(
            np.repeat(series.astype(np.int64), len(frames)),
            np.tile(self.frames.times[frames], len(positions)),
            values,
            np.tile(self._order(frames), len(positions)),
        )
        return rows.where(~is_absent(values))

    def _marker(self, marker: Marker, places: Ids, number: int) -> Rows:
        size = len(places)
        order = self._order(np.full(size, number + (1 << 31)))
        return Rows(places.astype(np.int64), np.full(size, marker.t), np.full(size, STALE), order)

    def _order(self, within: Ids) -> Ids:
        """When things were stored, compared with other segments; markers behind all samples."""
        return (self.number << 32) + within


def _places(place_of: Slots, rows: Slots) -> Ids:
    known = rows < len(place_of)
    return np.where(known, place_of[np.where(known, rows, 0)], -1).astype(np.int64)


def gather(data: NDArray[np.uint8], starts: Ids) -> Values:
    """The float64 that begin at these bytes, wherever they lie: one view for each alignment."""
    values = np.empty(len(starts))
    phases = starts % VALUE_BYTES
    for phase in np.unique(phases).tolist():
        of_phase: Mask = phases == phase
        usable = (len(data) - phase) // VALUE_BYTES * VALUE_BYTES
        view = data[phase : phase + usable].view("<f8")
        values[of_phase] = view[(starts[of_phase] - phase) // VALUE_BYTES]
    return values
