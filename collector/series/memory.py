"""What a series takes in memory, by how far back rules read it; counted from the arrays that hold its samples."""

import math
from dataclasses import dataclass

from collector.series.keeping import MAX_WINDOW_MS, SLACK_MS, HeadLimits, keep_ms
from collector.series.labels import Strings
from collector.series.last import LastPool
from collector.series.long_windows import slab_ms
from collector.series.rings import RingPool, depth_for
from collector.series.table import SeriesTable


@dataclass(frozen=True, slots=True)
class Footprint:
    """Without labels, which all series of the same kind share."""

    depth: int  # samples in its ring; 0: only the newest is kept
    bytes_per_series: int
    bytes_per_device: int  # what the rings of one device share: the times of their samples


def footprint(window_seconds: float, limits: HeadLimits | None = None) -> Footprint:
    """Of a series that rules read `window_seconds` back, 0 for its newest sample alone, at the push interval that rings
    are made for."""
    limits = limits or HeadLimits()
    table, last = SeriesTable(Strings()), LastPool()
    rows = (table.template_of, table.stream_of, table.pool_of, table.slot_of, table.births)
    row_bytes = sum(column.itemsize for column in rows)
    keep = keep_ms(window_seconds, limits.lookback_ms)
    if keep == 0:
        newest = (last.newest_times, last.newest_values, last.second_times, last.second_values)
        return Footprint(0, row_bytes + sum(column.itemsize for column in newest), 0)
    ring = RingPool(depth_for(keep, limits.expected_interval_ms))
    return Footprint(
        ring.depth,
        row_bytes + ring.block_of.itemsize + ring.depth * ring.values.itemsize,
        ring.counts.itemsize + ring.keeps.itemsize + ring.depth * ring.times.itemsize,
    )


def slab_samples(newest_seconds: float, oldest_seconds: float, limits: HeadLimits | None = None) -> int:
    """How many samples of a series are kept beside the head, BYTES_PER_SAMPLE each, for rules that read between two
    ages: as many more as the window are in memory while such a rule is evaluated."""
    limits = limits or HeadLimits()
    if oldest_seconds * 1000 <= MAX_WINDOW_MS + SLACK_MS or math.isinf(oldest_seconds):
        return 0
    return slab_ms(int(newest_seconds * 1000), int(oldest_seconds * 1000)) // limits.expected_interval_ms
