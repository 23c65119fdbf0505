"""The store of samples: durable before it answers, in memory for the rules, and the same again after a restart.

Group commit: while one batch is written and fsynced by the writer thread, the next one gathers. The batch is then
taken into the head, and those who wait for it are let go. One writer thread does all that changes log and head, in
order.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from collector.clock import Clock, to_milliseconds
from collector.series import checkpoint, opening
from collector.series.catalog import VALUE_BYTES, DeviceFrame, Layout, TemplateList
from collector.series.commits import GroupCommit
from collector.series.head import Head
from collector.series.head_reader import HeadReader
from collector.series.keeping import HeadLimits, Windows
from collector.series.labels import Target
from collector.series.late import LateFrames
from collector.series.log.files import (
    LOG_START,
    Position,
    delete_old_segments,
    delete_old_unreadable,
    segment_numbers,
    segment_path,
)
from collector.series.log.writer import LogWriteError, LogWriter
from collector.series.opening import Restored
from collector.series.read import Milliseconds
from collector.series.replay import Replayed, replay
from collector.series.stream import Freshness, LateSpan
from collector.series.worker import StoreClosedError, Worker
from protocol.errors import QuarkpulseError

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class StoreSettings:
    head: HeadLimits = field(default_factory=HeadLimits)
    segment_bytes: int = 64 << 20
    segment_seconds: float = 900.0  # also how long a sample waits, at most, until it is compacted
    retention_seconds: float = 35 * 24 * 3600.0
    retention_bytes: int = 50 * 10**9
    checkpoint_seconds: float = 300.0
    commit_interval_seconds: float = 0.01  # batches begin at least so far apart
    max_waiting_bytes: int = 64 << 20
    max_waiting_frames: int = 200_000
    write_timeout_seconds: float = 30.0  # a disk that takes longer is reported as busy


@dataclass(frozen=True, slots=True)
class StoreStats:
    series: int
    devices: int
    log_bytes: int
    log_segments: int
    frames_appended: int
    samples_appended: int
    commits: int
    commit_seconds: float  # spent writing and fsyncing, in all
    last_commit_ok: bool  # False: the last write failed, or one does not end; tried again without being asked
    write_failures: int
    checkpoint_failures: int
    frames_refused_busy: int
    frames_ahead: int  # waiting for their time
    frames_ahead_refused: int
    late_frames: int
    series_refused: int
    samples_overwritten: int
    torn_bytes: int
    damaged_bytes: int
    lost_frames: int
    unreadable_segments: int


@dataclass(slots=True)
class _Counters:
    frames: int = 0
    samples: int = 0
    commits: int = 0
    commit_seconds: float = 0.0
    write_failures: int = 0
    checkpoint_failures: int = 0


class SampleStore:
    """See the module. Made by `open`, used from one event loop; `reader` from any thread.

    `maintain` must run beside it, in a task of the owner's.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock,
        settings: StoreSettings,
        restored: Restored,
        lock: int,
    ) -> None:
        self.reader = HeadReader(restored.head)
        self.directory = directory
        self.log_directory = directory / "log"
        self._clock = clock
        self._settings = settings
        self.catalog = restored.catalog
        self._damage = restored.damage
        self._lock = lock
        self._log = LogWriter.open(
            self.log_directory,
            restored.position,
            segment_bytes=settings.segment_bytes,
            segment_milliseconds=int(settings.segment_seconds * 1000),
        )
        self._checkpoint_path = directory / "head.checkpoint"
        self._counters = _Counters()
        self._is_closed = False
        self._released = 0
        self.late = LateFrames()
        self._upkeep = asyncio.Lock()  # checkpoint, change of windows, close: one at a time
        self._worker = Worker("sample-writer")
        self._commits = GroupCommit(
            self._worker,
            self._commit,
            interval_seconds=settings.commit_interval_seconds,
            max_waiting_bytes=settings.max_waiting_bytes,
            max_waiting_frames=settings.max_waiting_frames,
            write_timeout_seconds=settings.write_timeout_seconds,
        )

    @classmethod
    async def open(
        cls, directory: Path, *, windows: Windows, clock: Clock, settings: StoreSettings | None = None
    ) -> Self:
        """Open the store in `directory`, which is made if missing: the head comes from checkpoint and log.

        Raises StoreInUseError if another process has it open, OSError if the disk fails.
        """
        settings = settings or StoreSettings()
        lock = await asyncio.to_thread(opening.lock, directory)
        try:
            restored = await asyncio.to_thread(
                opening.restore, directory, windows, to_milliseconds(clock()), settings.head
            )
        except BaseException:
            os.close(lock)
            raise
        return cls(directory, clock=clock, settings=settings, restored=restored, lock=lock)

    # For history

    @property
    def active_segment(self) -> int:
        """The segment of the log that is written, or will be next; those before it are sealed. From any thread."""
        return self._log.active

    def release_log(self, through: int) -> None:
        """Say that what the log holds up to the segment `through` is stored elsewhere: it is deleted when the head
        could not need it any more. From any thread."""
        self._released = through

    # Layouts and frames

    def series(self, series: Sequence[tuple[str, Mapping[str, str]]]) -> TemplateList:
        """The list of these series (name, labels without the reserved ones), for `layout`.

        Raises DuplicateSeriesError if one stands there twice.
        """
        return self.catalog.series(
            (name, tuple(sorted((label, value) for label, value in labels.items() if value))) for name, labels in series
        )

    def layout(self, target: Target, series: TemplateList, stream: str = "") -> Layout:
        """What frames of a device with these series refer to. `stream` keeps apart what the collector itself says
        about a device ("presence") from what its agent sends (""): each has its own current layout."""
        return self.catalog.layout(target, series, stream)

    async def append(self, frames: Sequence[DeviceFrame]) -> None:
        """Return once the frames are on disk and in the head. A cancelled wait takes nothing back.

        Raises StoreBusyError, LogWriteError and StoreClosedError, all transient, and FrameSizeError.
        """
        self._check_open()
        await self._commits.append(frames)

    def submit(self, frames: Sequence[DeviceFrame], settle: Callable[[Exception | None], None]) -> None:
        """As `append`, for who has no task to wait with: `settle`, which must not raise, is called on the loop once
        the frames are on disk and in the head, or with what kept them from it.

        Raises at once what can be said at once: StoreBusyError, StoreClosedError and FrameSizeError; then nothing was
        taken.
        """
        self._check_open()
        self._commits.submit(frames, settle)

    async def end_device(self, device_id: str, at: Milliseconds) -> None:
        """Write staleness markers for all series that a device's agent sends: it said goodbye, or was lost.

        Durable on return; a device that has ended already, or that is not known, changes nothing.
        """
        await self.end_devices([device_id], at)

    async def end_devices(self, device_ids: Sequence[str], at: Milliseconds) -> None:
        """The same for several devices with one write."""
        self._check_open()
        await self._commits.idle.wait()
        await self._worker.run(lambda: self._end(device_ids, at))

    # What is known

    def freshness(self, device_id: str) -> Freshness | None:
        """What is known of a device's pushes; None if it has been silent for so long that it was forgotten."""
        return self.reader.head.freshness(device_id)

    def freshness_all(self) -> dict[str, Freshness]:
        """The same of all devices, by device id."""
        return self.reader.head.freshness_all()

    def late_spans(self, received_before: Milliseconds) -> dict[str, LateSpan]:
        """By device, frames that came long after their time, once none was received since `received_before`."""
        return self.reader.head.late_spans(received_before)

    async def forget_late(self, spans: Mapping[str, LateSpan]) -> None:
        """They were looked at, and are told no more."""
        await self._worker.run(lambda: self.reader.head.forget_late(spans))

    def stats(self) -> StoreStats:
        head, counters, damage = self.reader.head, self._counters, self._damage
        numbers = segment_numbers(self.log_directory)
        return StoreStats(
            series=len(head.pools.table),
            devices=len(head.freshness_all()),
            log_bytes=sum(segment_path(self.log_directory, number).stat().st_size for number in numbers),
            log_segments=len(numbers),
            frames_appended=counters.frames,
            samples_appended=counters.samples,
            commits=counters.commits,
            commit_seconds=counters.commit_seconds,
            last_commit_ok=not (self._log.is_failing or self._commits.is_stuck or self._worker.failure is not None),
            write_failures=counters.write_failures,
            checkpoint_failures=counters.checkpoint_failures,
            frames_refused_busy=self._commits.frames_refused,
            frames_ahead=head.frames_ahead,
            frames_ahead_refused=head.counters.frames_ahead_refused,
            late_frames=head.counters.late_frames,
            series_refused=head.counters.series_refused,
            samples_overwritten=head.pools.samples_overwritten,
            torn_bytes=damage.torn_bytes,
            damaged_bytes=damage.damaged_bytes,
            lost_frames=damage.lost_frames,
            unreadable_segments=damage.unreadable_segments,
        )

    # Upkeep

    async def maintain(self) -> None:
        """Keep the store: each second what was ahead of its time, every five minutes a checkpoint. Runs until it is
        cancelled; raises what made the writer thread fail, so that its owner goes down with it."""
        next_checkpoint = time.monotonic() + self._settings.checkpoint_seconds
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._worker.failed.wait()
            await self.tick()
            if time.monotonic() >= next_checkpoint:
                next_checkpoint = time.monotonic() + self._settings.checkpoint_seconds
                try:
                    await self.checkpoint()
                except OSError as exc:
                    self._counters.checkpoint_failures += 1
                    logger.error("no checkpoint written, a start would take longer: reason=%s", exc)  # noqa: TRY400

    async def tick(self) -> None:
        """Take in the frames whose time has come; try a disk again that failed."""
        now = self._now()
        await self._worker.run(lambda: self._tick(now))

    async def checkpoint(self) -> None:
        """Free what is silent, write the head to disk, delete log beyond its retention. Raises OSError."""
        async with self._upkeep:
            now = self._now()
            draft, position = await self._worker.run(lambda: self._write_checkpoint(now))
            await asyncio.to_thread(self.reader.head.strings.sweep)
            await asyncio.to_thread(checkpoint.publish, draft, self._checkpoint_path)
            deleted = await asyncio.to_thread(
                delete_old_segments,
                self.log_directory,
                keep=position,
                oldest=now - int(self._settings.retention_seconds * 1000),
                max_bytes=self._settings.retention_bytes,
            )
            if deleted:
                logger.info("old samples deleted: segments=%d", deleted)
            await asyncio.to_thread(
                delete_old_segments,
                self.log_directory,
                keep=min(position, Position(self._released + 1, 0)),
                oldest=now - self.reader.head.reach_ms,
                max_bytes=self._settings.retention_bytes,
            )
            if forgotten := await asyncio.to_thread(
                delete_old_unreadable, self.log_directory, now - int(self._settings.retention_seconds * 1000)
            ):
                logger.info("old unreadable segments deleted: segments=%d", forgotten)

    async def set_windows(self, windows: Windows) -> None:
        """Keep as much as other rules read. Where that is more than before, the head is made anew from the log beside
        the old one, and takes its place when it is complete; until then the old one serves."""
        async with self._upkeep:
            head = self.reader.head
            if not head.is_deepened_by(windows):
                await self._worker.run(lambda: setattr(head, "windows", windows))
                return
            deeper = Head(head.strings, windows, head.limits)
            since = self._now() - head.reach_ms
            replayed = await asyncio.to_thread(self._replay, deeper, LOG_START, since)
            await self._worker.run(lambda: self._swap_in(deeper, replayed.position, since))

    async def close(self) -> None:
        """Finish what is in hand, then let go of the directory."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._commits.idle.wait()
        if self._worker.failure is None:
            try:
                await self.checkpoint()
            except (OSError, QuarkpulseError) as exc:
                logger.error("no checkpoint written, the next start takes longer: reason=%s", exc)  # noqa: TRY400
        async with self._upkeep:
            await self._worker.stop()
        self._log.close()
        os.close(self._lock)

    def _now(self) -> Milliseconds:
        return to_milliseconds(self._clock())

    def _check_open(self) -> None:
        self._worker.check()
        if self._is_closed:
            raise StoreClosedError("the collector is stopping; try again when it is back")

    # On the writer thread

    def _commit(self, frames: list[DeviceFrame]) -> None:
        now = self._now()
        started = time.monotonic()
        try:
            self._log.append(frames, [], now)
        except LogWriteError:
            self._counters.write_failures += 1
            raise
        self._counters.commits += 1
        self._counters.commit_seconds += time.monotonic() - started
        self._counters.frames += len(frames)
        self._counters.samples += sum(len(frame.values) for frame in frames) // VALUE_BYTES
        self.late.note(frames)
        self.reader.head.apply(frames)

    def _tick(self, now: Milliseconds) -> None:
        self.reader.head.tick(now)
        self._log.retry(now)

    def _write_checkpoint(self, now: Milliseconds) -> tuple[Path, Position]:
        head = self.reader.head
        head.sweep(now)
        position = self._log.position
        return checkpoint.write(self._checkpoint_path, head, position), position

    def _replay(self, head: Head, start: Position, since: Milliseconds) -> Replayed:
        return replay(self.log_directory, head, self.catalog, start, since, repair=False)

    def _swap_in(self, head: Head, position: Position, since: Milliseconds) -> None:
        self._replay(head, position, since)
        head.tick(self._now())
        self.reader.head = head

    def _end(self, device_ids: Sequence[str], at: Milliseconds) -> None:
        head = self.reader.head
        ends = [end for device_id in device_ids if (end := head.end_of(device_id, at)) is not None]
        if ends:
            now = self._now()
            self._log.append([], ends, now)
            self.late.note_ends(ends, now)
        for end in ends:
            head.end(end)
