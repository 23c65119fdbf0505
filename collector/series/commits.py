"""Group commit: while one batch of frames is written and fsynced, the next one gathers."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from collector.series.catalog import VALUE_BYTES, DeviceFrame
from collector.series.worker import Worker
from protocol.errors import PermanentError, TransientError

# A batch costs about 0.2 ms whatever is in it; with so many frames that hardly counts, and nobody need wait for more.
ENOUGH_FRAMES = 128


class StoreBusyError(TransientError):
    """More frames wait for the disk than may; try again in `retry_after_seconds`."""

    retry_after_seconds = 5


class FrameSizeError(PermanentError):
    """A frame has more or fewer values than its layout has series."""


@dataclass(slots=True, eq=False)
class _Batch:
    frames: list[DeviceFrame] = field(default_factory=list)
    value_bytes: int = 0
    waiters: list[Callable[[Exception | None], None]] = field(default_factory=list)

    def settle(self, error: Exception | None) -> None:
        """Tell those who wait, once, how it went."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:  # each its own error: a traceback grows with each raise
            waiter(None if error is None else type(error)(*error.args))


class GroupCommit:
    """Gathers frames on the event loop and has `commit` write them, batch by batch, on the worker's thread."""

    def __init__(
        self,
        worker: Worker,
        commit: Callable[[list[DeviceFrame]], None],
        *,
        interval_seconds: float,
        max_waiting_bytes: int,
        max_waiting_frames: int,
        write_timeout_seconds: float,
    ) -> None:
        self.frames_refused = 0  # because too much waited
        self.is_stuck = False  # a write takes longer than it may
        self.idle = asyncio.Event()  # nothing waits and nothing is written
        self.idle.set()
        self._worker = worker
        self._commit = commit
        self._interval_seconds = interval_seconds
        self._max_waiting_bytes = max_waiting_bytes
        self._max_waiting_frames = max_waiting_frames
        self._write_timeout_seconds = write_timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._gathering = _Batch()
        self._writing: _Batch | None = None
        self._timer: asyncio.TimerHandle | None = None  # for the next batch
        self._started_at = -math.inf  # the newest batch, on the loop's clock
        self._waiting_bytes = 0
        self._waiting_frames = 0

    async def append(self, frames: Sequence[DeviceFrame]) -> None:
        """Return once the frames are committed. A cancelled wait takes nothing back.

        Raises StoreBusyError, FrameSizeError and what `commit` raises.
        """
        waiter: asyncio.Future[None] = self._loop.create_future()

        def settle(error: Exception | None) -> None:
            if waiter.done():
                return
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

        self.submit(frames, settle)
        await waiter

    def submit(self, frames: Sequence[DeviceFrame], settle: Callable[[Exception | None], None]) -> None:
        """As `append`, for who has no task to wait with: `settle`, which must not raise, is called on the loop once
        the frames are committed, or with what `commit` raised.

        Raises StoreBusyError and FrameSizeError; then nothing was taken.
        """
        value_bytes = 0
        for frame in frames:
            size = len(frame.values)
            if size != VALUE_BYTES * len(frame.layout.series.templates):
                raise FrameSizeError("a frame does not have as many values as its layout has series")
            value_bytes += size
        if (
            self._waiting_bytes + value_bytes > self._max_waiting_bytes
            or self._waiting_frames + len(frames) > self._max_waiting_frames
        ) and self._waiting_frames:
            self.frames_refused += len(frames)
            raise StoreBusyError("the disk is slower than the frames come in; try again in a few seconds")
        self._waiting_bytes += value_bytes
        self._waiting_frames += len(frames)
        batch = self._gathering
        batch.frames += frames
        batch.value_bytes += value_bytes
        batch.waiters.append(settle)
        if self._writing is None:
            self._schedule_start()

    def _schedule_start(self) -> None:
        """Begin the next batch: at once after a rest or when much has gathered, else when the last one began a moment
        ago, since a batch costs much the same whatever is in it."""
        is_enough = len(self._gathering.frames) >= ENOUGH_FRAMES
        if self._timer is not None and not is_enough:
            return
        self.idle.clear()
        if is_enough:
            self._start()
        else:
            due = self._started_at + self._interval_seconds
            self._timer = self._loop.call_at(max(due, self._loop.time()), self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._started_at = self._loop.time()
        batch = self._writing = self._gathering
        self._gathering = _Batch()
        timer = self._loop.call_later(self._write_timeout_seconds, self._give_up, batch)

        def settle(_: None, error: Exception | None) -> None:
            timer.cancel()
            self._finish(batch, error)

        self._worker.put(lambda: self._commit(batch.frames), settle)

    def _finish(self, batch: _Batch, error: Exception | None) -> None:
        self._waiting_bytes -= batch.value_bytes
        self._waiting_frames -= len(batch.frames)
        self._writing = None
        self.is_stuck = False
        batch.settle(error)
        if self._gathering.waiters:
            self._schedule_start()
        else:
            self.idle.set()

    def _give_up(self, batch: _Batch) -> None:
        self.is_stuck = True
        batch.settle(StoreBusyError("the disk does not answer; try again in a few seconds"))
