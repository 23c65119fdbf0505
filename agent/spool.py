"""What is not yet acknowledged, on disk: one file per record, whole or absent, bounded in every way.

    spool/spool.json                           id of this spool, and a number that no push has reached yet
    spool/<seq>-<t>.json.gz                    a record: `{"layouts": [...], "frames": [...], "events": [...],
                                               "inventory"?: {...}}`
    spool/aside/<seq>-<t>.json.gz              what the collector will never take, or what is damaged

A record brings the layouts that its frames use, so that each can be understood alone; compressed it still fits into one
block of the file system. `seq` orders records; `t` is their time in Unix milliseconds.
"""

import contextlib
import json
import logging
import os
import re
import threading
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, NotRequired, TypeAlias, TypedDict

from agent.files import PRIVATE_FOLDER, write_atomically
from protocol.wire import MAX_AGE_SECONDS, MAX_DECODED_BYTES, Event, Frame, Layout

logger = logging.getLogger(__name__)

GZIP_WINDOW = 31  # zlib's word for the gzip format, so that `zcat` reads the records
RECORD_NAME = re.compile(r"^(\d{16})-(\d{13})\.json\.gz$")
# `spool.json` is written once per so many numbers, not for each.
RESERVE = 1_000
# What a name has room for: a larger number or time would make a name that the next start does not know.
MAX_SEQ = 10**15
MAX_TIME = 10**13 - 1
# By how much the time that ages are judged by moves on with a record: one wrong answer days ahead must not drop what
# waits. After a long sleep ages are judged rightly some hundred records later; until then the collector refuses.
MAX_AGING_MILLISECONDS = 3_600_000
BLOCK_BYTES = 4096  # what a file takes of the disk is a multiple of it


class Limits(NamedTuple):
    """What a spool may hold; the oldest goes first."""

    bytes: int = 64 << 20  # of disk, what is set aside among them
    records: int = 20_000  # a week of frames a minute apart takes 10,080
    age_seconds: float = MAX_AGE_SECONDS  # the collector refuses what is older
    memory_records: int = 120  # while the disk takes nothing
    aside_records: int = 100
    aside_bytes: int = 4 << 20
    record_bytes: int = 4 << 20  # a larger file is no record: 2,000 series take a tenth of it


class Record(TypedDict):
    layouts: list[Layout]
    frames: list[Frame]
    events: list[Event]
    inventory: NotRequired[dict[str, object]]


EncodedRecord: TypeAlias = bytes  # inside, `bytes` is a size


class Spool:
    """Records in order of their seq. Used by the main thread, which appends, and the sender, which takes away.

    No method but `read` raises on a disk that is full, read-only or gone: records then stay in memory, few of them."""

    def __init__(
        self,
        path: Path,
        limits: Limits = Limits(),  # noqa: B008 - a tuple of constants
        on_damage: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_damage` is told what was found damaged, from either thread."""
        self.id = ""
        self.dropped = 0
        self.set_aside_total = 0
        self.damaged = 0
        self._path = path
        self._aside = path / "aside"
        self._limits = limits
        self._on_damage = on_damage
        self._lock = threading.RLock()
        # Three columns instead of a list of tuples: a week's spool costs 0.24 MiB so, not 2.
        self._seqs = array("Q")
        self._times = array("Q")
        self._sizes = array("L")
        self._bytes = 0
        self._disk_bytes = 0
        self._in_memory: dict[int, bytes] = {}
        self._is_writable = True
        self._is_readable = True
        self._aged_at = 0  # Unix milliseconds by which ages were judged last; 0: not yet
        self._next = 1
        self._reserved = 0
        self._open()

    # What is there.

    def __len__(self) -> int:
        return len(self._seqs)

    @property
    def bytes(self) -> int:
        return self._bytes

    def newest(self) -> int | None:
        with self._lock:
            return self._seqs[-1] if self._seqs else None

    def oldest(self, records: int, after: int = 0) -> list[int]:
        """The first that come after this number, oldest first."""
        with self._lock:
            at = bisect_right(self._seqs, after)
            return list(self._seqs[at : at + records])

    def latest(self, records: int) -> list[int]:
        """Newest first."""
        with self._lock:
            return list(reversed(self._seqs[-records:]))

    # Numbers.

    def take_seq(self) -> int:
        """The next number, of a record or a push; it never comes back while this spool's id lives."""
        with self._lock:
            if self._next >= self._reserved:
                self._reserve()
            seq = self._next
            self._next += 1
            return seq

    def _reserve(self) -> None:
        self._reserved = self._next + RESERVE
        try:
            write_atomically(
                self._path / "spool.json", json.dumps({"id": self.id, "reserved": self._reserved}).encode()
            )
        except OSError as error:
            self._complain(error)
            # A number that may come back after a restart needs another id to stand under.
            self.id = os.urandom(16).hex()

    # Records.

    def append(self, record: Record, now_milliseconds: int) -> int:
        """Keep a record durably, or in memory if the disk takes nothing; its seq."""
        encoded = json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        return self.append_encoded(encoded, now_milliseconds)

    def append_encoded(self, record: EncodedRecord, now_milliseconds: int) -> int:
        """As `append`, of a record that is JSON already."""
        body = compress(record)
        now_milliseconds = min(now_milliseconds, MAX_TIME)
        with self._lock:
            seq = self.take_seq()
            try:
                write_atomically(self._file(seq, now_milliseconds), body)
            except OSError as error:
                self._complain(error)
                self._in_memory[seq] = body
            else:
                if not self._is_writable:
                    self._is_writable = True
                    logger.warning("spool writable again: path=%s", self._path)
            self._seqs.append(seq)
            self._times.append(now_milliseconds)
            self._sizes.append(len(body))
            self._count(len(body))
            self._keep_within_limits(now_milliseconds)
        return seq

    def read(self, seq: int) -> Record | None:
        """A record; None if it is gone or damaged. A damaged one is set aside and counted.

        Raises OSError if it cannot be read now: no descriptor is free, the disk hangs, the right to is missing."""
        with self._lock:
            at = self._index(seq)
            if at is None:
                return None
            try:
                record = decode(self._in_memory.get(seq) or self._read(seq, at))
            except FileNotFoundError:
                self._forget(at)
                self.dropped += 1
            except OSError as error:
                if self._is_readable:
                    self._is_readable = False
                    logger.warning("record not readable, kept: seq=%d reason=%r", seq, str(error))
                raise
            except (ValueError, RecursionError, zlib.error) as error:
                logger.warning("damaged record set aside: seq=%d reason=%r", seq, str(error))
                self._note_damage(f"record {seq}: {error}")
                self.set_aside(seq)
            else:
                self._is_readable = True
                return record
        return None

    def remove(self, seq: int) -> None:
        """Forget an acknowledged record; one already gone is no error."""
        with self._lock:
            at = self._index(seq)
            if at is not None:
                self._delete(at)

    def set_aside(self, seq: int) -> None:
        """Keep a record out of the way, for people to look at: bounded, the oldest dropped first."""
        with self._lock:
            at = self._index(seq)
            if at is None:
                return
            self.set_aside_total += 1
            if seq not in self._in_memory:
                file = Path(self._file(seq, self._times[at]))
                with contextlib.suppress(OSError):
                    self._aside.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
                    file.replace(self._aside / file.name)
                    self._prune_aside()
            self._delete(at)

    # Inside.

    def _open(self) -> None:
        try:
            if self._path.exists() and not self._path.is_dir():
                self._path.replace(self._path.with_name(f"{self._path.name}.damaged"))
                self._note_damage("the spool was no folder")
            self._path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            found = sorted(self._scan())
        except OSError as error:
            self._complain(error)
            found = []
        if found:
            self._aged_at = found[-1][1]
        for seq, time, size in found:
            self._seqs.append(seq)
            self._times.append(time)
            self._sizes.append(size)
            self._count(size)
        after_records = found[-1][0] + 1 if found else 1
        self.id, reserved = self._load_numbers()
        self._next = max(after_records, reserved)
        if not self.id:
            self.id = os.urandom(16).hex()
        self._reserve()

    def _scan(self) -> list[tuple[int, int, int]]:
        found = []
        with os.scandir(self._path) as entries:
            for entry in entries:
                name = RECORD_NAME.match(entry.name)
                if name and int(name[1]) < MAX_SEQ and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(OSError):  # one that a bad disk does not show hides no other
                        found.append((int(name[1]), int(name[2]), entry.stat().st_size))
                elif entry.name.startswith(".") and entry.name.endswith(".tmp"):
                    Path(entry.path).unlink(missing_ok=True)  # a write that a crash cut short
        return found

    def _load_numbers(self) -> tuple[str, int]:
        """Id and reserved number; an empty id if the file is missing or damaged, and then a new id begins."""
        try:
            found = json.loads((self._path / "spool.json").read_bytes())
            spool_id, reserved = found["id"], found["reserved"]
        except FileNotFoundError:
            return "", 0
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._note_damage(f"spool.json: {type(error).__name__}")
            return "", 0
        if (
            isinstance(spool_id, str)
            and re.fullmatch("[0-9a-f]{32}", spool_id)
            and type(reserved) is int
            and 0 < reserved < MAX_SEQ
        ):
            return spool_id, reserved
        self._note_damage("spool.json: no id and number")
        return "", 0

    def _file(self, seq: int, time: int) -> str:
        """No Path, since its name is new: see `place_beside`."""
        return f"{self._path}{os.sep}{seq:016d}-{time:013d}.json.gz"

    def _read(self, seq: int, at: int) -> EncodedRecord:
        most = self._limits.record_bytes
        with os.fdopen(os.open(self._file(seq, self._times[at]), os.O_RDONLY), "rb") as file:
            body = file.read(most + 1)
        if len(body) > most:
            raise ValueError(f"larger than {most} bytes")
        return body

    def _note_damage(self, what: str) -> None:
        self.damaged += 1
        self._on_damage(what)

    def _count(self, size: int, sign: int = 1) -> None:
        self._bytes += sign * size
        self._disk_bytes += sign * on_disk(size)

    def _index(self, seq: int) -> int | None:
        at = bisect_left(self._seqs, seq)
        return at if at < len(self._seqs) and self._seqs[at] == seq else None

    def _delete(self, at: int) -> None:
        seq = self._seqs[at]
        if self._in_memory.pop(seq, None) is None:
            with contextlib.suppress(OSError):  # on a disk gone read-only it stays, and is sent again: harmless
                os.unlink(self._file(seq, self._times[at]))  # noqa: PTH108 - no Path, see above
        self._forget(at)

    def _forget(self, at: int) -> None:
        self._count(self._sizes[at], -1)
        for column in (self._seqs, self._times, self._sizes):
            del column[at]

    def _keep_within_limits(self, now_milliseconds: int) -> None:
        limits = self._limits
        self._aged_at = min(now_milliseconds, (self._aged_at or self._times[0]) + MAX_AGING_MILLISECONDS)
        too_old = self._aged_at - limits.age_seconds * 1000
        while len(self._seqs) > 1 and (
            self._disk_bytes > limits.bytes - limits.aside_bytes
            or len(self._seqs) > limits.records
            or self._times[0] < too_old
        ):
            self._delete(0)
            self.dropped += 1
        while len(self._in_memory) > limits.memory_records:
            at = self._index(min(self._in_memory))
            if at is not None:
                self._delete(at)
                self.dropped += 1

    def _prune_aside(self) -> None:
        files = sorted(self._aside.iterdir())
        size = sum(on_disk(file.stat().st_size) for file in files)
        while len(files) > self._limits.aside_records or size > self._limits.aside_bytes:
            oldest = files.pop(0)
            size -= on_disk(oldest.stat().st_size)
            oldest.unlink(missing_ok=True)
            self.dropped += 1

    def _complain(self, error: OSError) -> None:
        if self._is_writable:
            self._is_writable = False
            logger.error(
                "spool not writable, keeping the last %d records in memory: path=%s reason=%r",
                self._limits.memory_records,
                self._path,
                str(error),
            )


def on_disk(size: int) -> int:
    """What a file of this size takes of the disk."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def compress(content: bytes) -> bytes:
    """In gzip format, without loading the gzip module."""
    packer = zlib.compressobj(6, zlib.DEFLATED, GZIP_WINDOW)
    return packer.compress(content) + packer.flush()


def decode(body: bytes) -> Record:
    """The record in a file. Raises ValueError or zlib.error if it is damaged."""
    unpacker = zlib.decompressobj(GZIP_WINDOW)
    content = unpacker.decompress(body, MAX_DECODED_BYTES)
    if not unpacker.eof:
        raise ValueError("cut short, or far too long")
    found = json.loads(content, parse_constant=refuse_constant)
    if not is_record(found):
        raise ValueError("not a record")
    record = Record(layouts=found["layouts"], frames=found["frames"], events=found["events"])
    if "inventory" in found:
        record["inventory"] = found["inventory"]
    return record


def is_record(found: object) -> bool:
    """Whether a file's content has the shape that the sender relies on; what the values mean, the collector judges."""
    if not isinstance(found, dict):
        return False
    parts = [found.get(key) for key in ("layouts", "frames", "events")]
    if not all(isinstance(part, list) and all(isinstance(one, dict) for one in part) for part in parts):
        return False
    if not isinstance(found.get("inventory", {}), dict):
        return False
    if not (
        all(is_layout(layout) for layout in found["layouts"])
        and all(has_all(frame, layout=str, t=int, v=list) for frame in found["frames"])
        and all(has_all(event, id=str, t=int, type=str) for event in found["events"])
    ):
        return False
    # The collector would ask for a layout that nobody has, and the records behind would wait for ever.
    return {frame["layout"] for frame in found["frames"]} <= {layout["id"] for layout in found["layouts"]}


def is_layout(found: Mapping[str, object]) -> bool:
    series = found.get("series")
    return (
        isinstance(found.get("id"), str)
        and isinstance(series, list)
        and all(isinstance(one, dict) and has_all(one, name=str, labels=dict) for one in series)
    )


def has_all(found: Mapping[str, object], **types: type) -> bool:
    return all(isinstance(found.get(key), kind) for key, kind in types.items())


def refuse_constant(name: str) -> None:
    """NaN and the infinities are no JSON."""
    raise ValueError(f"{name} is no number")
