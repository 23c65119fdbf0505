"""The head on disk, so that a start need not read hours of log.

A file is: magic and version; the length of a JSON description; the description; arrays as they are, little-endian; and
the CRC-32 of all that. It is written beside the old one and renamed over it. A file that is bad in any way is the same
as none.
"""

import logging
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from collector.series.catalog import Catalog, DeviceFrame, TemplateList
from collector.series.head import Head
from collector.series.keeping import HeadLimits, Windows
from collector.series.labels import Strings, Target
from collector.series.log.files import FILE_MODE, Position, sync_directory
from collector.series.pools import LAST_POOL
from collector.series.rings import Block
from collector.series.stream import LateSpan, Stream

logger = logging.getLogger(__name__)

START = struct.Struct("<6sHQ")  # magic, version, length of the description
MAGIC = b"QPHEAD"
VERSION = 2
CRC = struct.Struct("<I")
CHUNK_ROWS = 4_096  # of rings, copied at once
CHUNK_BYTES = 1 << 20

Array = NDArray[Any]


class _BadCheckpointError(Exception):
    """The file cannot be used; the message says why."""


def write(path: Path, head: Head, position: Position) -> Path:
    """Write a head, which covers the log up to `position`, to a file beside `path`, which is returned.

    For the thread that writes the head; only `publish` makes it durable, and may be called from another."""
    draft = path.with_suffix(".draft")
    description, arrays = _describe(head, position)
    encoded = orjson.dumps(description, option=orjson.OPT_NON_STR_KEYS)
    draft.unlink(missing_ok=True)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            out = _Writer(file)
            out.write(START.pack(MAGIC, VERSION, len(encoded)))
            out.write(encoded)
            for array in arrays:
                out.write(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
            file.write(CRC.pack(out.crc))
    except OSError:
        draft.unlink(missing_ok=True)  # a full disk needs its room for samples
        raise
    return draft


def publish(draft: Path, path: Path) -> None:
    """Make a written checkpoint the one that counts."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def load(
    path: Path, strings: Strings, catalog: Catalog, windows: Windows, limits: HeadLimits
) -> tuple[Head, Position] | None:
    """The head that a checkpoint holds and what it covers; None if there is none that serves, because it is damaged
    or keeps less than `windows` asks for."""
    try:
        with path.open("rb") as file:
            return _load(file, strings, catalog, windows, limits)
    except FileNotFoundError:
        return None
    except (_BadCheckpointError, OSError, ValueError, KeyError, IndexError, TypeError, struct.error) as exc:
        logger.warning("checkpoint not used, the log is read instead: file=%s reason=%s", path, exc)
        return None


@dataclass(slots=True)
class _Writer:
    file: BinaryIO
    crc: int = 0

    def write(self, data: bytes | memoryview) -> None:
        self.crc = zlib.crc32(data, self.crc)
        self.file.write(data)


def _check(file: BinaryIO) -> None:
    """Read it all once before any number in it is believed."""
    left = os.fstat(file.fileno()).st_size - CRC.size
    crc = 0
    while left > 0 and (data := file.read(min(left, CHUNK_BYTES))):
        crc = zlib.crc32(data, crc)
        left -= len(data)
    if left != 0 or file.read(CRC.size) != CRC.pack(crc):
        raise _BadCheckpointError("it is cut off or damaged")
    file.seek(0)


def _array(file: BinaryIO, dtype: str, *shape: int) -> Array:
    return np.fromfile(file, dtype=dtype, count=int(np.prod(shape))).reshape(shape)


@dataclass(slots=True)
class _Numbering:
    """Things to small numbers, in the order in which they are met."""

    numbers: dict[int, int] = field(default_factory=dict)
    listed: list[object] = field(default_factory=list)

    def number(self, key: int, described: object) -> int:
        if key not in self.numbers:
            self.numbers[key] = len(self.listed)
            self.listed.append(described)
        return self.numbers[key]


def _describe(head: Head, position: Position) -> tuple[dict[str, object], Iterator[Array]]:
    table = head.pools.table
    templates, lists = _Numbering(), _Numbering()

    def list_number(series: TemplateList) -> int:
        members = [templates.number(one.number, [one.name, dict(one.labels)]) for one in series.templates]
        return lists.number(series.number, members)

    streams = list(head.streams.values())
    described: list[object] = []
    for stream in streams:
        target, name = stream.key
        described.append(
            {
                "target": [target.device_id, target.customer, target.site, target.kind],
                "name": name,
                "feeds": head.is_fed(stream),
                "layout": None if stream.layout is None else list_number(stream.layout.series),
                "newest": stream.newest,
                "horizon": stream.horizon,
                "received": stream.received,
                "spacings": stream.spacings,
                "late": None if stream.late is None else [*astuple(stream.late)],
                "rows": len(stream.rows),
                "left": [[stream.rows.tolist().index(row), since] for row, since in stream.left.items()],
                "ahead": [
                    [list_number(frame.layout.series), frame.t, frame.received, frame.values.hex()]
                    for frame in stream.ahead
                ],
            }
        )
    rows = np.concatenate([np.empty(0, dtype=np.int32), *[stream.rows for stream in streams]])
    row_templates = np.array(
        [templates.number(one.number, [one.name, dict(one.labels)]) for one in map(table.template, rows.tolist())],
        dtype="<i4",
    )
    place = np.zeros(table.rows.used, dtype="<i4")
    place[rows] = np.arange(len(rows))
    in_last = np.flatnonzero(table.pool_of[rows] == LAST_POOL)
    blocks: dict[int, list[tuple[int, Block]]] = {}
    for index, stream in enumerate(streams):
        for block in stream.blocks:
            blocks.setdefault(block.pool.depth, []).append((index, block))
    description: dict[str, object] = {
        "position": list(position),
        "limits": asdict(head.limits),
        "windows": list(head.windows.items()),
        "templates": templates.listed,
        "lists": lists.listed,
        "streams": described,
        "last": len(in_last),
        "rings": [[depth, len(members), sum(len(b.rows) for _, b in members)] for depth, members in blocks.items()],
    }

    def arrays() -> Iterator[Array]:
        yield row_templates
        yield in_last.astype("<i4")
        slots = table.slot_of[rows[in_last]]
        yield head.pools.last.newest_times[slots]
        yield head.pools.last.newest_values[slots]
        yield head.pools.last.second_times[slots]
        yield head.pools.last.second_values[slots]
        for depth, members in blocks.items():
            pool = head.pools.rings[depth]
            indexes = np.array([block.index for _, block in members])
            yield np.array([index for index, _ in members], dtype="<i4")
            yield np.array([len(block.rows) for _, block in members], dtype="<i4")
            yield pool.keeps[indexes]
            yield pool.counts[indexes]
            yield place[np.concatenate([block.rows for _, block in members])]
            for start in range(0, len(indexes), CHUNK_ROWS):
                yield pool.times[indexes[start : start + CHUNK_ROWS]]
            ring_slots = np.concatenate([block.slots for _, block in members])
            for start in range(0, len(ring_slots), CHUNK_ROWS):
                yield pool.values[ring_slots[start : start + CHUNK_ROWS]]

    return description, arrays()


def _load(
    file: BinaryIO, strings: Strings, catalog: Catalog, windows: Windows, limits: HeadLimits
) -> tuple[Head, Position] | None:
    _check(file)
    magic, version, length = START.unpack(file.read(START.size))
    if magic != MAGIC or version != VERSION:
        raise _BadCheckpointError("it is of another version")
    description = orjson.loads(file.read(length))
    head = Head(strings, dict(description["windows"]), limits)
    if description["limits"] != asdict(limits) or head.is_deepened_by(windows):
        return None
    _fill(head, description, file, catalog)
    head.windows = windows
    for stream in head.streams.values():
        head.rebind(stream)
    return head, Position(*description["position"])


def _fill(head: Head, description: Mapping[str, Any], file: BinaryIO, catalog: Catalog) -> None:
    templates = [catalog.template(name, tuple(sorted(labels.items()))) for name, labels in description["templates"]]
    lists = [
        catalog.series((templates[one].name, templates[one].labels) for one in members)
        for members in description["lists"]
    ]
    table = head.pools.table
    row_templates = _array(file, "<i4", sum(one["rows"] for one in description["streams"])).tolist()
    streams: list[Stream] = []
    start = 0
    for one in description["streams"]:
        key = (Target(*one["target"]), one["name"])
        stream = head.add_stream(key)
        stream.newest, stream.horizon, stream.received = one["newest"], one["horizon"], one["received"]
        stream.spacings = tuple(one["spacings"])
        stream.late = None if one["late"] is None else LateSpan(*one["late"])
        stop = start + one["rows"]
        stream.rows = table.add(stream.index, [templates[place] for place in row_templates[start:stop]])
        stream.left = {int(stream.rows[place]): since for place, since in one["left"]}
        if one["layout"] is not None:
            stream.layout = catalog.layout(key[0], lists[one["layout"]], key[1])
        if one["feeds"]:
            head.feed(stream)
        for list_number, t, received, values in one["ahead"]:
            layout = catalog.layout(key[0], lists[list_number], key[1])
            head.wait(stream, DeviceFrame(layout, t, received, bytes.fromhex(values)))
        streams.append(stream)
        start = stop
    rows = np.concatenate([np.empty(0, dtype=np.int32), *[stream.rows for stream in streams]])
    _fill_last(head, rows, description["last"], file)
    for ring in description["rings"]:
        _fill_rings(head, streams, rows, file, ring)


def _fill_last(head: Head, rows: NDArray[np.int32], count: int, file: BinaryIO) -> None:
    in_last = rows[_array(file, "<i4", count)]
    slots = head.pools.last.take(count)
    head.pools.table.place(in_last, LAST_POOL, slots)
    head.pools.last.newest_times[slots] = _array(file, "<i8", count)
    head.pools.last.newest_values[slots] = _array(file, "<f8", count)
    head.pools.last.second_times[slots] = _array(file, "<i8", count)
    head.pools.last.second_values[slots] = _array(file, "<f8", count)


def _fill_rings(
    head: Head, streams: list[Stream], rows: NDArray[np.int32], file: BinaryIO, ring: tuple[int, int, int]
) -> None:
    depth, block_count, row_count = ring
    pool = head.pools.ring_pool(depth)
    of_stream = _array(file, "<i4", block_count).tolist()
    sizes = _array(file, "<i4", block_count)
    keeps = _array(file, "<i8", block_count)
    counts = _array(file, "<i8", block_count)
    block_rows = rows[_array(file, "<i4", row_count)]
    indexes = pool.add_blocks(keeps)
    slots = pool.add_rows(np.repeat(indexes, sizes))
    pool.counts[indexes] = counts
    for start in range(0, block_count, CHUNK_ROWS):
        some = indexes[start : start + CHUNK_ROWS]
        pool.times[some] = _array(file, "<i8", len(some), depth)
    for start in range(0, row_count, CHUNK_ROWS):
        some = slots[start : start + CHUNK_ROWS]
        pool.values[some] = _array(file, "<f8", len(some), depth)
    head.pools.table.place(block_rows, depth, slots)
    stops = np.cumsum(sizes).tolist()
    begin = 0
    for place, index, keep, stop in zip(of_stream, indexes.tolist(), keeps.tolist(), stops, strict=True):
        stream = streams[place]
        nowhere = np.full(stop - begin, -1, dtype=np.int32)
        block = Block(pool, index, keep, block_rows[begin:stop].copy(), slots[begin:stop].copy(), nowhere)
        stream.blocks = (*stream.blocks, block)
        begin = stop
