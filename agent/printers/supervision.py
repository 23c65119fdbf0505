"""The running agent's side of printers: a child process that reads them, and frames of what it said last.

The agent loads nothing of SNMP or IPP, and keeps each printer small: its layout packed, its values as bare numbers.
"""

import contextlib
import json
import logging
import math
import subprocess
import sys
import threading
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from agent.children import end_with_offspring, forget_child, start_child
from agent.printers.exchange import MAX_LINE_BYTES, READER
from agent.shedding import weigh_process
from protocol.wire import (
    MAX_FRAME_INTERVAL_SECONDS,
    MAX_SERIES_PER_LAYOUT,
    STALE_AFTER_INTERVALS,
    EventType,
    PrinterConfig,
)

logger = logging.getLogger(__name__)

PRINTERS_PER_RECORD = 16  # a record is taken apart in memory when it is sent
BACKOFF_BASE_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 300.0
WORKED_SECONDS = 600.0  # a reader that lived so long begins anew with the shortest wait
MAX_WAITING_EVENTS = 20  # of a printer
MAX_EVENTS_PER_RECORD = 2  # those of many printers are told over some minutes
STOP_SECONDS = 2.0
GRACE_SECONDS = 120.0  # for the first readings of many


class Held:
    """What one printer said last."""

    __slots__ = ("events", "framed_at", "interval_seconds", "is_new", "layout", "layout_id", "read_at", "values")

    def __init__(self) -> None:
        self.layout_id = ""
        self.layout = b""  # its JSON, packed
        self.values = array("d")  # NaN: not known
        self.interval_seconds = 0.0
        self.read_at = 0.0  # by the boot clock
        self.framed_at = -math.inf
        self.is_new = True  # was read since it had a frame
        self.events: tuple[bytes, ...] = ()  # that wait: JSON, packed


class PrinterSupervisor:
    """Runs the reader while there are printers. `configure`, `records` and `stop` are called from the main thread."""

    def __init__(
        self,
        boot: Callable[[], float],
        make_id: Callable[[], str],
        *,
        interpreter: Sequence[str] = (sys.executable, "-P", "-m"),
    ) -> None:
        self.restarts = 0
        self._boot = boot
        self._make_id = make_id
        self._command = [*interpreter, READER]
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._printers: tuple[PrinterConfig, ...] = ()
        self._held: dict[str, Held] = {}
        self._child: subprocess.Popen[bytes] | None = None
        self._heard_at = 0.0  # by the boot clock
        self._thread: threading.Thread | None = None
        self._is_stopping = False

    @property
    def is_running(self) -> bool:
        return self._child is not None

    def weight(self) -> tuple[int, float]:
        """Resident bytes and CPU-seconds of the reader that runs; those that have ended are among the children."""
        child = self._child
        return (0, 0.0) if child is None else weigh_process(child.pid)

    def configure(self, printers: tuple[PrinterConfig, ...]) -> None:
        """Read these and no others."""
        if printers == self._printers:
            return
        with self._lock:
            self._printers = printers
            wanted = {one["device_id"] for one in printers}
            self._held = {device_id: held for device_id, held in self._held.items() if device_id in wanted}
            child = self._child
            self._wake.notify_all()
        if child is not None and not printers:
            end_with_offspring(child)
        if printers and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="printers", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        with self._lock:
            self._is_stopping = True
            child = self._child
            self._wake.notify_all()
        if child is not None:
            end_with_offspring(child)
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def records(self, t_milliseconds: int, push_interval_seconds: float) -> Iterator[bytes]:
        """Records for the spool, as JSON: what happened to printers, and a frame of each that was read since its last
        one, or whose last one would be too old by the next time this is called."""
        now = self._boot()
        self._end_if_it_hangs(now)
        with self._lock:
            due = [
                (device_id, held)
                for device_id, held in self._held.items()
                if held.is_new or now - held.framed_at + push_interval_seconds > MAX_FRAME_INTERVAL_SECONDS
            ]
            for _, held in due:
                held.framed_at, held.is_new = now, False
            for start in range(0, len(due), PRINTERS_PER_RECORD):
                part = due[start : start + PRINTERS_PER_RECORD]
                yield encode_record(part, self._take_events(part, t_milliseconds), now, t_milliseconds)

    def _end_if_it_hangs(self, now: float) -> None:
        """A reader that says nothing of any printer, for as long as readings may be old, reads no more."""
        with self._lock:
            longest = max((one["interval_seconds"] for one in self._printers), default=0.0)
            silent_seconds = now - self._heard_at
            child = self._child if silent_seconds >= STALE_AFTER_INTERVALS * longest + GRACE_SECONDS else None
            self._heard_at = now if child is not None else self._heard_at
        if child is not None:
            logger.error("reader of printers hangs, ended: silent_seconds=%.0f", silent_seconds)
            end_with_offspring(child)

    def _take_events(self, printers: Sequence[tuple[str, Held]], t_milliseconds: int) -> list[bytes]:
        """Some of those that wait, each with an id and a time; the others wait for the next frame."""
        taken: list[bytes] = []
        for _, held in printers:
            room = MAX_EVENTS_PER_RECORD - len(taken)
            for packed in held.events[:room]:
                head = json.dumps({"id": self._make_id(), "t": t_milliseconds}).encode()
                taken.append(head[:-1] + b"," + zlib.decompress(packed)[1:])
            held.events = held.events[room:]
        return taken

    # The child's side, in a thread of its own.

    def _run(self) -> None:
        failures = 0
        while True:
            with self._lock:
                self._wake.wait_for(lambda: self._printers or self._is_stopping)
                if self._is_stopping:
                    return
            began = self._boot()
            self._follow()
            failures = 0 if self._boot() - began >= WORKED_SECONDS else failures + 1
            with self._lock:
                if self._is_stopping:
                    return
                if not self._printers:
                    failures = 0
                    continue
                self.restarts += 1
                delay_seconds = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2 ** min(failures - 1, 20))
                logger.warning("reader of printers ended, started again: in_seconds=%.0f", delay_seconds)
                self._wake.wait_for(lambda: self._is_stopping, delay_seconds)

    def _follow(self) -> None:
        """Start the child and take in what it says, until it ends."""
        try:
            child = start_child(self._command, is_bounded=False, stdin=subprocess.PIPE)
        except OSError as error:
            logger.error("reader of printers cannot be started: reason=%r", str(error))  # noqa: TRY400
            return
        with self._lock:
            self._child, self._heard_at = child, self._boot()
            must_end = self._is_stopping
        teller = threading.Thread(target=self._tell, args=(child,), name="printers-config", daemon=True)
        try:
            if not must_end:
                teller.start()
                self._listen(child)
        finally:
            with self._lock:
                self._child = None
                self._wake.notify_all()
            end_with_offspring(child)
            child.wait()
            if teller.ident is not None:
                teller.join(STOP_SECONDS)
            forget_child(child)
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def _tell(self, child: "subprocess.Popen[bytes]") -> None:
        """Each configuration, passwords included: through the pipe, where nobody else can read it.

        In a thread of its own, the only one that writes there: a reader that hangs must not hold up the agent."""
        told: tuple[PrinterConfig, ...] = ()
        while True:
            with self._lock:
                while self._child is child and not self._is_stopping and self._printers is told:
                    self._wake.wait()
                if self._child is not child or self._is_stopping:
                    return
                told = self._printers
            line = json.dumps({"printers": told}, separators=(",", ":")).encode() + b"\n"
            try:
                if child.stdin is not None:
                    child.stdin.write(line)
                    child.stdin.flush()
            except (OSError, ValueError):  # it has ended: the next one is told
                return

    def _listen(self, child: "subprocess.Popen[bytes]") -> None:
        while child.stdout is not None and (line := child.stdout.readline(MAX_LINE_BYTES)):
            try:
                self.take(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                logger.error("reader of printers said what makes no sense: reason=%r", str(error)[:200])  # noqa: TRY400
                return

    def take(self, line: dict[str, object]) -> None:
        """One line of the reader. Raises ValueError, TypeError, KeyError or AttributeError if it is none."""
        device_id, layout = str(line["device_id"]), line["layout"]
        values = array("d", [math.nan if one is None else float(one) for one in cast("list[float | None]", line["v"])])
        interval_seconds = float(cast("float", line["interval_seconds"]))
        events = tuple(
            pack(one) for one in cast("list[dict[str, object]]", line["events"]) if EventType(str(one["type"]))
        )
        with self._lock:
            self._heard_at = self._boot()
            if not any(one["device_id"] == device_id for one in self._printers):
                return
            held = self._held.get(device_id) or Held()
            if isinstance(layout, dict):
                layout_id, size = str(layout["id"]), len(layout["series"])
                packed = self._find_packed(layout_id) or pack(layout)
            else:
                layout_id, packed = held.layout_id, held.layout
                size = len(held.values) if layout == layout_id else -1
            if len(values) != size or size > MAX_SERIES_PER_LAYOUT:
                raise ValueError(f"{len(values)} values for a layout of {size} series")
            held.layout_id, held.layout, held.values = layout_id, packed, values
            held.interval_seconds, held.read_at, held.is_new = interval_seconds, self._boot(), True
            self._held[device_id] = held
            held.events = (held.events + events)[-MAX_WAITING_EVENTS:]

    def _find_packed(self, layout_id: str) -> bytes | None:
        """Printers of one model have one layout: it is kept once."""
        return next((held.layout for held in self._held.values() if held.layout_id == layout_id), None)


def pack(content: dict[str, object]) -> bytes:
    return zlib.compress(json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode())


def encode_record(
    printers: Sequence[tuple[str, Held]], events: Sequence[bytes], now: float, t_milliseconds: int
) -> bytes:
    """A spool's record, put together of what is JSON already: as dictionaries it would take a MiB."""
    layouts = {held.layout_id: held.layout for _, held in printers}
    frames = []
    for device_id, held in printers:
        is_stale = now - held.read_at >= STALE_AFTER_INTERVALS * held.interval_seconds
        values = [None if is_stale or math.isnan(one) else to_short(one) for one in held.values]
        frames.append({"device": device_id, "layout": held.layout_id, "t": t_milliseconds, "v": values})
    return b'{"layouts":[%b],"frames":%b,"events":[%b]}' % (
        b",".join(zlib.decompress(one) for one in layouts.values()),
        json.dumps(frames, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(),
        b",".join(events),
    )


def to_short(value: float) -> float:
    return int(value) if value == int(value) else value
