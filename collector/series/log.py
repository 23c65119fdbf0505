"""The durable log of samples: append-only segments, each readable alone.

A segment is a header (magic, version, time of creation) and records; a record is a marker, a type, the payload's length
and the CRC-32 of type and payload. Integers are little-endian.

- DEFINITIONS: JSON, or zlib of it where it is long; what the numbers in later records mean. Written before the first
  record of the same segment that uses them, so that no segment needs another one to be read.
- FRAMES: n; then n layout numbers (u32), n counts of values (u32), n receive times and n times (i64, Unix
  milliseconds), then all values (float64; null is ABSENT).
- ENDS: JSON; a list of [layout number, t]: all series of that layout's device and stream end at t.
"""

import errno
import itertools
import logging
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from collector.series.catalog import VALUE_BYTES, Catalog, DeviceFrame, Layout, TemplateList
from collector.series.labels import Target
from protocol.errors import PermanentError, TransientError

logger = logging.getLogger(__name__)

Buffer = bytes | memoryview

MAGIC = b"QPSEG"
VERSION = 1
HEADER = struct.Struct("<5sB2xq")  # magic, version, created (Unix milliseconds)
RECORD = struct.Struct("<4sBII")  # marker, type, length of the payload, CRC-32 of type and payload
MARKER = b"\xf1QPr"
MAX_PAYLOAD_BYTES = 64 << 20
MAX_FRAMES_PER_RECORD = 256  # a damaged record loses no more than these
MAX_SERIES_PER_RECORD = 10_000  # in DEFINITIONS, unless one layout has more
COMPRESSED_FROM_BYTES = 4 << 10
COMPRESSION_LEVEL = 1  # labels repeat so much that more effort gains little
ZLIB_START = 0x78  # JSON never begins so
SUFFIX = ".seg"
UNREADABLE_SUFFIX = f"{SUFFIX}.unreadable"
MAX_UNREADABLE_FILES = 8
FILE_MODE = 0o600
MAX_RETRY_SECONDS = 5.0
FIRST_RETRY_SECONDS = 0.25
MIN_FREE_BYTES = 16 << 20  # a disk that failed is tried again when it has so much room


class LogWriteError(TransientError):
    """The disk did not take a write; nothing of it counts as stored. The message may go to a sender."""


class LogFormatError(PermanentError):
    """A file is not a segment of this log, or is of a version that this program does not know."""


class RecordType(IntEnum):
    DEFINITIONS = 1
    FRAMES = 2
    ENDS = 3


class End(NamedTuple):
    """All series of the layout's device and stream end at `t` (Unix milliseconds)."""

    layout: Layout
    t: int


class Position(NamedTuple):
    """A place in the log; what stands before it has been dealt with."""

    segment: int
    offset: int


LOG_START = Position(0, 0)


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


def encode_record(kind: RecordType, payload: bytes) -> bytes:
    checksum = zlib.crc32(payload, zlib.crc32(bytes((kind,))))
    return RECORD.pack(MARKER, kind, len(payload), checksum) + payload


def encode_frames(frames: Sequence[DeviceFrame]) -> bytes:
    layouts = np.array([frame.layout.number for frame in frames], dtype="<u4")
    counts = np.array([len(frame.values) // VALUE_BYTES for frame in frames], dtype="<u4")
    received = np.array([frame.received for frame in frames], dtype="<i8")
    times = np.array([frame.t for frame in frames], dtype="<i8")
    head = (struct.pack("<I", len(frames)), layouts.tobytes(), counts.tobytes(), received.tobytes(), times.tobytes())
    return encode_record(RecordType.FRAMES, b"".join((*head, *[frame.values for frame in frames])))


@dataclass(slots=True)
class SegmentWriter:
    """One segment while it is written."""

    number: int
    created: int  # Unix milliseconds
    descriptor: int
    size: int
    is_empty: bool = True  # nothing in it counts as stored
    _defined: set[int] = field(default_factory=set)

    @classmethod
    def create(cls, directory: Path, number: int, now: int) -> Self:
        """A new segment, durable. Raises OSError; then there is none."""
        path = segment_path(directory, number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, FILE_MODE)
        segment = cls(number, now, descriptor, 0)
        try:
            segment._write(HEADER.pack(MAGIC, VERSION, now))
            os.fsync(descriptor)
            sync_directory(directory)
        except OSError:
            segment.close()
            with suppress(OSError):
                path.unlink()
            raise
        return segment

    def append(self, frames: Sequence[DeviceFrame], ends: Sequence[End]) -> None:
        """Write and fsync. Raises OSError; the segment must not be used any more then."""
        records: list[bytes] = []
        layouts = {frame.layout for frame in frames} | {end.layout for end in ends}
        new = [layout for layout in layouts if layout.number not in self._defined]
        if new:
            records += self._define(sorted(new, key=lambda layout: layout.number))
        starts = range(0, len(frames), MAX_FRAMES_PER_RECORD)
        records += [encode_frames(frames[start : start + MAX_FRAMES_PER_RECORD]) for start in starts]
        if ends:
            listed = orjson.dumps([[end.layout.number, end.t] for end in ends])
            records.append(encode_record(RecordType.ENDS, listed))
        self._write(b"".join(records))
        os.fdatasync(self.descriptor)
        self.is_empty = False

    def close(self) -> None:
        os.close(self.descriptor)

    def _define(self, layouts: list[Layout]) -> Iterator[bytes]:
        """Records that say what the numbers of layouts mean, none too long to be read again."""
        part: list[Layout] = []
        size = 0
        for layout in layouts:
            fresh = 0 if layout.series.number in self._defined else len(layout.series.templates)
            if part and size + fresh > MAX_SERIES_PER_RECORD:
                yield self._definitions(part)
                part, size = [], 0
            part.append(layout)
            size += fresh
        yield self._definitions(part)

    def _definitions(self, layouts: list[Layout]) -> bytes:
        templates: list[object] = []
        lists: list[object] = []
        described: list[object] = []
        for layout in layouts:
            series = layout.series
            if series.number not in self._defined:
                for template in series.templates:
                    if template.number not in self._defined:
                        templates.append([template.number, template.name, dict(template.labels)])
                        self._defined.add(template.number)
                lists.append([series.number, series.numbers.tolist()])
                self._defined.add(series.number)
            target = layout.target
            described.append(
                [
                    layout.number,
                    series.number,
                    target.device_id,
                    target.customer,
                    target.site,
                    target.kind,
                    layout.stream,
                ]
            )
            self._defined.add(layout.number)
        payload = orjson.dumps({"templates": templates, "lists": lists, "layouts": described})
        if len(payload) >= COMPRESSED_FROM_BYTES:
            payload = zlib.compress(payload, COMPRESSION_LEVEL)
        return encode_record(RecordType.DEFINITIONS, payload)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self.descriptor, view)
            view = view[written:]
            self.size += written


@dataclass(slots=True)
class LogWriter:
    """Appends to the log; one thread at a time. A segment whose write or fsync failed is left behind for good: after a
    failed fsync nobody knows what of it is on disk.

    A disk that failed twice is left alone for a while, longer each time: a full one must not be filled with the
    beginnings of segments.
    """

    directory: Path
    segment_bytes: int
    segment_milliseconds: int
    monotonic: Callable[[], float] = time.monotonic
    _next: int = 1
    _segment: SegmentWriter | None = None
    _failures: int = 0  # since the last write that went well
    _retry_at: float = 0.0
    _reason: str = ""

    @classmethod
    def open(cls, directory: Path, after: Position, *, segment_bytes: int, segment_milliseconds: int) -> Self:
        """Continue behind `after` and the segments that are there; they are never appended to again."""
        newest = max([after.segment, *segment_numbers(directory)])
        return cls(directory, segment_bytes, segment_milliseconds, _next=newest + 1)

    @property
    def position(self) -> Position:
        segment = self._segment
        return Position(self._next, 0) if segment is None else Position(segment.number, segment.size)

    @property
    def active(self) -> int:
        """The segment that is written, or will be next; those before it never change. From any thread."""
        return self.position.segment

    @property
    def is_failing(self) -> bool:
        """Whether the last write failed. From any thread."""
        return self._failures > 0

    def append(self, frames: Sequence[DeviceFrame], ends: Sequence[End], now: int) -> None:
        """Return once all of it is on disk. Raises LogWriteError; then none of it counts as stored."""
        if self._failures and self.monotonic() < self._retry_at:
            raise self._error()
        try:
            segment = self._writable(now)
            segment.append(frames, ends)
        except OSError as exc:
            raise self._failed(exc) from exc
        if self._failures:
            self._recovered()

    def retry(self, now: int) -> None:
        """Where the last write failed, see whether the disk takes one again, though nobody has anything to write."""
        if self._failures and self.monotonic() >= self._retry_at:
            try:
                self._writable(now)
            except OSError as exc:
                self._failed(exc)
            else:
                self._recovered()

    def close(self) -> None:
        self._leave()

    def _writable(self, now: int) -> SegmentWriter:
        segment = self._segment
        if segment is not None:
            if segment.size < self.segment_bytes and now - segment.created < self.segment_milliseconds:
                return segment
            self._leave()
        if self._failures:
            room = os.statvfs(self.directory)
            if room.f_bavail * room.f_frsize < MIN_FREE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            segment = self._segment = SegmentWriter.create(self.directory, self._next, now)
        finally:
            self._next += 1  # only now: whoever asks meanwhile must not take it for finished
        return segment

    def _leave(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _failed(self, exc: OSError) -> LogWriteError:
        """Leave the segment and wait before the next attempt, though not after the first failure."""
        segment = self._segment
        self._leave()
        if segment is not None and segment.is_empty:
            with suppress(OSError):
                segment_path(self.directory, segment.number).unlink()
        delay = min(MAX_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(self._failures, 16)) if self._failures else 0.0
        self._retry_at = self.monotonic() + delay
        self._failures += 1
        reason = exc.strerror or "unknown error"
        if reason != self._reason:
            logger.error("samples cannot be stored: folder=%s reason=%s", self.directory, reason)
        self._reason = reason
        return self._error()

    def _recovered(self) -> None:
        logger.warning("samples are stored again: folder=%s attempts_failed=%d", self.directory, self._failures)
        self._failures, self._reason = 0, ""

    def _error(self) -> LogWriteError:
        return LogWriteError(f"the collector's disk takes no samples ({self._reason}); keep them and try again later")


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


class FrameColumns(NamedTuple):
    """The frames of one record, column by column, each of shape (n,)."""

    layouts: NDArray[np.uint32]
    sizes: NDArray[np.uint32]  # in values
    received: NDArray[np.int64]
    times: NDArray[np.int64]
    values_at: int  # where in the payload the values begin


def frame_columns(payload: Buffer) -> FrameColumns:
    (count,) = struct.unpack_from("<I", payload)
    at = 4
    return FrameColumns(
        np.frombuffer(payload, "<u4", count, at),
        np.frombuffer(payload, "<u4", count, at + 4 * count),
        np.frombuffer(payload, "<i8", count, at + 8 * count),
        np.frombuffer(payload, "<i8", count, at + 16 * count),
        at + 24 * count,
    )


def record_end(data: bytes, offset: int) -> int | None:
    """Where the record at `offset` ends; None if there is no sound one."""
    if offset + RECORD.size > len(data):
        return None
    marker, kind, length, checksum = RECORD.unpack_from(data, offset)
    end = offset + RECORD.size + length
    if marker != MARKER or length > MAX_PAYLOAD_BYTES or end > len(data):
        return None
    payload = memoryview(data)[offset + RECORD.size : end]
    return end if zlib.crc32(payload, zlib.crc32(bytes((kind,)))) == checksum else None


def resume_after(data: bytes, offset: int) -> int | None:
    """Where the next sound record after `offset` begins."""
    candidate = data.find(MARKER, offset + 1)
    while candidate >= 0:
        if record_end(data, candidate) is not None:
            return candidate
        candidate = data.find(MARKER, candidate + 1)
    return None


def check_header(path: Path, data: bytes) -> int:
    """When a segment was begun (Unix milliseconds), from its first bytes. Raises LogFormatError."""
    if len(data) < HEADER.size or not data.startswith(MAGIC):
        raise LogFormatError(f"{path} is not a segment of the sample log")
    _, version, created = HEADER.unpack_from(data)
    if version != VERSION:
        raise LogFormatError(f"{path} has version {version}, known is {VERSION}; it needs a newer collector")
    return int(created)


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
