"""Writing the log: records appended to a segment and fsynced, segment after segment."""

import errno
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import orjson

from collector.series.catalog import DeviceFrame, Layout
from collector.series.log.files import FILE_MODE, Position, segment_numbers, segment_path, sync_directory
from collector.series.log.format import HEADER, MAGIC, VERSION, End, RecordType, encode_frames, encode_record
from protocol.errors import TransientError

logger = logging.getLogger(__name__)

MAX_FRAMES_PER_RECORD = 256  # a damaged record loses no more than these
MAX_SERIES_PER_RECORD = 10_000  # in DEFINITIONS, unless one layout has more
COMPRESSED_FROM_BYTES = 4 << 10
COMPRESSION_LEVEL = 1  # labels repeat so much that more effort gains little
MAX_RETRY_SECONDS = 5.0
FIRST_RETRY_SECONDS = 0.25
MIN_FREE_BYTES = 16 << 20  # a disk that failed is tried again when it has so much room


class LogWriteError(TransientError):
    """The disk did not take a write; nothing of it counts as stored. The message may go to a sender."""


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
