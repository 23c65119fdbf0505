"""Reading the log: one segment, what its numbers mean, and what in it is damaged."""

import logging
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from collector.series.catalog import VALUE_BYTES, Catalog, DeviceFrame, Layout, TemplateList
from collector.series.labels import Target
from collector.series.log.files import Position, segment_path
from collector.series.log.format import (
    HEADER,
    RECORD,
    ZLIB_START,
    Buffer,
    End,
    RecordType,
    check_header,
    frame_columns,
    record_end,
    resume_after,
)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ReadDamage:
    """What could not be read: stretches of bytes that were skipped, frames whose layout was lost with them."""

    torn_bytes: int = 0  # at the end of the newest segment: a write that never finished
    damaged_bytes: int = 0
    lost_frames: int = 0
    unreadable_segments: int = 0


class Batch(NamedTuple):
    """Frames, or ends, as they follow each other in the log, and the place after them."""

    frames: list[DeviceFrame]
    ends: list[End]
    position: Position


class Definitions:
    """What the numbers in the records of one segment mean, as far as it was read."""

    def __init__(self, catalog: Catalog) -> None:
        self.layouts: dict[int, Layout] = {}
        self._catalog = catalog
        self._lists: dict[int, TemplateList] = {}
        self._templates: dict[int, tuple[str, tuple[tuple[str, str], ...]]] = {}

    def add(self, payload: Buffer) -> None:
        """Take in a record of DEFINITIONS."""
        known = orjson.loads(zlib.decompress(payload) if payload[0] == ZLIB_START else payload)
        for number, name, labels in known["templates"]:
            self._templates[number] = (name, tuple(sorted(labels.items())))
        for number, members in known["lists"]:
            if all(member in self._templates for member in members):
                self._lists[number] = self._catalog.series(self._templates[member] for member in members)
        for number, series_number, device_id, customer, site, kind, stream in known["layouts"]:
            series = self._lists.get(series_number)
            if series is not None:
                target = Target(device_id, customer, site, kind)
                self.layouts[number] = self._catalog.layout(target, series, stream)

    def ends(self, payload: Buffer) -> list[End]:
        """What a record of ENDS says."""
        listed = orjson.loads(payload)
        return [End(self.layouts[number], t) for number, t in listed if number in self.layouts]


class SegmentReader:
    """Reads one segment, stepping over what is damaged."""

    def __init__(self, directory: Path, number: int, catalog: Catalog, damage: ReadDamage) -> None:
        """Raises LogFormatError if the file is no segment, OSError if it cannot be read."""
        self._path = segment_path(directory, number)
        self._number = number
        self._damage = damage
        self._data = self._path.read_bytes()
        self._definitions = Definitions(catalog)
        self.created = check_header(self._path, self._data)
        self.sound_bytes = HEADER.size  # up to the end of the last sound record

    @property
    def size(self) -> int:
        return len(self._data)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """What the records after byte `start` hold. Definitions are read from the beginning all the same."""
        offset = HEADER.size
        while offset < len(self._data):
            end = record_end(self._data, offset)
            if end is None:
                sound = resume_after(self._data, offset)
                stretch = (len(self._data) if sound is None else sound) - offset
                if sound is None:
                    self._damage.torn_bytes += stretch
                    return
                self._damage.damaged_bytes += stretch
                logger.error("damaged bytes in the log, skipped: file=%s at=%d bytes=%d", self._path, offset, stretch)
                offset = sound
                continue
            self.sound_bytes = end
            kind = self._data[offset + 4]
            payload = memoryview(self._data)[offset + RECORD.size : end]
            position = Position(self._number, end)
            if kind == RecordType.DEFINITIONS:
                self._definitions.add(payload)
            elif offset >= start and kind == RecordType.FRAMES:
                yield Batch(self._frames(payload), [], position)
            elif offset >= start and kind == RecordType.ENDS:
                yield Batch([], self._definitions.ends(payload), position)
            offset = end

    def _frames(self, payload: memoryview) -> list[DeviceFrame]:
        columns = frame_columns(payload)
        values = bytes(payload[columns.values_at :])
        frames: list[DeviceFrame] = []
        start = 0
        for number, size, got, t in zip(*(column.tolist() for column in columns[:4]), strict=True):
            stop = start + size * VALUE_BYTES
            layout = self._definitions.layouts.get(number)
            if layout is None:
                self._damage.lost_frames += 1
            else:
                frames.append(DeviceFrame(layout, t, got, values[start:stop]))
            start = stop
        return frames
