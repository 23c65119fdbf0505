"""The head made again from the log."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from collector.series.catalog import Catalog, DeviceFrame
from collector.series.head import Head
from collector.series.log.files import Position, cut_torn_tail, segment_numbers, segment_path, segments_since, set_aside
from collector.series.log.format import HEADER, LogFormatError
from collector.series.log.reader import Batch, ReadDamage, SegmentReader

logger = logging.getLogger(__name__)

MIN_FRAMES_AT_ONCE = 1_024


@dataclass(slots=True)
class Replayed:
    """How far a replay came, and what it met."""

    position: Position
    frames: int = 0
    damage: ReadDamage = field(default_factory=ReadDamage)


def replay(directory: Path, head: Head, catalog: Catalog, start: Position, since: int, *, repair: bool) -> Replayed:
    """Apply the log from `start` on to `head`, without the segments that hold only what was received before `since`
    (Unix milliseconds).

    With `repair`, which is for the start alone, a torn tail is cut and what is no segment is set aside. What is
    damaged is skipped, counted and logged; it never stops a start. Raises OSError if the disk does.
    """
    replayed = Replayed(start)
    gathered: list[DeviceFrame] = []
    for batch in _batches(directory, catalog, replayed, start, since, repair=repair):
        gathered += batch.frames
        # As many at once as there are devices: then most have one frame, which costs least.
        if batch.ends or len(gathered) >= max(MIN_FRAMES_AT_ONCE, len(head.streams)):
            head.apply(gathered)
            replayed.frames += len(gathered)
            gathered = []
        for end in batch.ends:
            head.end(end)
        replayed.position = batch.position
    head.apply(gathered)
    replayed.frames += len(gathered)
    return replayed


def _batches(
    directory: Path, catalog: Catalog, replayed: Replayed, start: Position, since: int, *, repair: bool
) -> Iterator[Batch]:
    newest = max(segment_numbers(directory), default=0)
    for number in segments_since(directory, start, since):
        path = segment_path(directory, number)
        if repair and path.stat().st_size < HEADER.size:
            path.unlink()  # it was being created when the machine stopped or the disk was full, and held nothing yet
            continue
        damage = ReadDamage()
        try:
            segment = SegmentReader(directory, number, catalog, damage)
        except LogFormatError as exc:
            replayed.damage.unreadable_segments += 1
            if repair:
                aside = set_aside(directory, number)
                logger.error("unreadable segment of the sample log set aside: reason=%s file=%s", exc, aside)  # noqa: TRY400
            continue
        yield from segment.batches(start.offset if number == start.segment else 0)
        if damage.torn_bytes and repair and number == newest:
            cut_torn_tail(directory, number, segment.sound_bytes)
            logger.warning("torn tail of the sample log cut: file=%s bytes=%d", path, damage.torn_bytes)
        replayed.damage.torn_bytes += damage.torn_bytes
        replayed.damage.damaged_bytes += damage.damaged_bytes
        replayed.damage.lost_frames += damage.lost_frames
