"""What a segment of the log looks like on disk.

A segment is a header (magic, version, time of creation) and records; a record is a marker, a type, the payload's length
and the CRC-32 of type and payload. Integers are little-endian.

- DEFINITIONS: JSON, or zlib of it where it is long; what the numbers in later records mean. Written before the first
  record of the same segment that uses them, so that no segment needs another one to be read.
- FRAMES: n; then n layout numbers (u32), n counts of values (u32), n receive times and n times (i64, Unix
  milliseconds), then all values (float64; null is ABSENT).
- ENDS: JSON; a list of [layout number, t]: all series of that layout's device and stream end at t.
"""

import struct
import zlib
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.series.catalog import VALUE_BYTES, DeviceFrame, Layout
from protocol.errors import PermanentError

Buffer = bytes | memoryview

MAGIC = b"QPSEG"
VERSION = 1
HEADER = struct.Struct("<5sB2xq")  # magic, version, created (Unix milliseconds)
RECORD = struct.Struct("<4sBII")  # marker, type, length of the payload, CRC-32 of type and payload
MARKER = b"\xf1QPr"
MAX_PAYLOAD_BYTES = 64 << 20
ZLIB_START = 0x78  # JSON never begins so


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
