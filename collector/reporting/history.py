"""What `/metrics` says about the history: what it holds, and how its upkeep goes."""

from collections.abc import Iterator

from prometheus_client.core import Metric, SummaryMetricFamily

from collector.reporting.families import counter, gauge
from collector.series.history.history import HistoryStats


def history_families(stats: HistoryStats) -> Iterator[Metric]:
    done = stats.done
    yield gauge("quarkpulse_history_files", "Parquet files of the history.", [], {(): stats.blocks})
    yield gauge("quarkpulse_history_bytes", "Size of these files on disk.", [], {(): stats.block_bytes})
    yield gauge("quarkpulse_history_samples", "Samples in them.", [], {(): stats.samples})
    yield gauge("quarkpulse_history_series", "Series that the history knows.", [], {(): stats.series})
    yield gauge(
        "quarkpulse_history_oldest_sample_timestamp_seconds",
        "When the oldest sample in the files was taken.",
        [],
        {} if stats.oldest is None else {(): stats.oldest / 1000},
    )
    yield gauge(
        "quarkpulse_history_segments_waiting",
        "Files of the log that are not compacted yet, the one being written included; more than 3 for long: it stalls.",
        [],
        {(): stats.segments_waiting},
    )
    yield SummaryMetricFamily(
        "quarkpulse_history_compaction_duration_seconds",
        "Time to compact a file of the log.",
        count_value=done.segments_compacted,
        sum_value=done.compaction_seconds,
    )
    yield counter("quarkpulse_history_compacted_samples", "Samples compacted.", [], {(): done.samples_compacted})
    yield gauge(
        "quarkpulse_history_last_compaction_timestamp_seconds",
        "When a file of the log was last compacted; missing until then.",
        [],
        {} if done.last_compaction is None else {(): done.last_compaction / 1000},
    )
    yield SummaryMetricFamily(
        "quarkpulse_history_merge_duration_seconds",
        "Time to make several files one.",
        count_value=done.merges,
        sum_value=done.merge_seconds,
    )
    yield counter(
        "quarkpulse_history_failures",
        "Failed attempts to compact, merge or delete; each is tried again within half a minute.",
        [],
        {(): done.failures},
    )
    yield counter(
        "quarkpulse_history_dropped_bytes",
        "Size of the files deleted because their samples were too old (age) or too much to keep (size).",
        ["reason"],
        {("age",): done.bytes_too_old, ("size",): done.bytes_too_many},
    )
    yield counter(
        "quarkpulse_history_damaged_reads",
        "Damaged files that a question or a merge met, and left out.",
        [],
        {(): done.damaged_blocks},
    )
    yield counter(
        "quarkpulse_history_files_set_aside", "Damaged files moved out of the way.", [], {(): done.blocks_set_aside}
    )
