"""A real agent with all probes of this machine lives some hours on a clock that leaps: nothing of it grows."""

import pytest

from bench._day import WARM_HOURS, Day, live

HOURS = 5
# What Python's allocator takes for a moment and keeps; a leak of 2 KiB a frame is above it.
MEMORY_MARGIN_MIB = 0.3


@pytest.fixture(scope="module")
def day() -> Day:
    return live(HOURS)


@pytest.mark.slow
def test_threads_descriptors_and_memory_are_after_hours_what_they_were(day: Day) -> None:
    warm, end = day.looks[WARM_HOURS], day.looks[-1]
    assert (end.threads, end.open_files) == (warm.threads, warm.open_files)
    assert end.anonymous_mib - warm.anonymous_mib < MEMORY_MARGIN_MIB


@pytest.mark.slow
def test_a_frame_a_minute_arrives(day: Day) -> None:
    assert len(day.frame_times) == HOURS * 60
    told = day.summarize()
    assert told["frames"] == len(day.frame_times)
    # Readings and the push go on at the machine's own pace between two frames.
    assert 59 < told["longest_gap_between_frames_seconds"] < 90
