import math

from hypothesis import given
from hypothesis import strategies as st

from agent.frames import FrameBuilder
from agent.probes.base import Sample
from protocol import models
from protocol.wire import MAX_SERIES_PER_LAYOUT, layout_id

USED = Sample("system_memory_utilization_ratio", 0.5, {"system_memory_state": "used"})
FREE = Sample("system_memory_utilization_ratio", 0.25, {"system_memory_state": "free"})
UPTIME = Sample("system_uptime_seconds", 12.0)


def test_series_are_sorted_whatever_order_they_come_in() -> None:
    layout, frame = FrameBuilder().build([UPTIME, USED, FREE], 1000)
    again, _ = FrameBuilder().build([FREE, UPTIME, USED], 2000)
    assert layout == again
    assert frame["v"] == [0.25, 0.5, 12]
    assert layout["id"] == layout_id(layout["series"])


def test_a_series_that_goes_makes_a_new_layout_and_one_not_known_does_not() -> None:
    builder = FrameBuilder()
    first, _ = builder.build([USED, UPTIME], 1000)
    second, frame = builder.build([USED._replace(value=None), UPTIME], 2000)
    third, _ = builder.build([UPTIME], 3000)
    assert first is second
    assert frame["v"] == [None, 12]
    assert third["id"] != first["id"]


def test_of_two_samples_of_one_series_the_first_counts() -> None:
    _, frame = FrameBuilder().build([UPTIME, UPTIME._replace(value=99.0)], 1000)
    assert frame["v"] == [12]


def test_more_series_than_a_layout_holds_are_cut() -> None:
    samples = [Sample("system_test", 1.0, {"number": f"{number:05d}"}) for number in range(MAX_SERIES_PER_LAYOUT + 7)]
    layout, frame = FrameBuilder().build(samples, 1000)
    assert len(layout["series"]) == len(frame["v"]) == MAX_SERIES_PER_LAYOUT


@given(st.lists(st.tuples(st.floats() | st.none(), st.text(max_size=600)), max_size=20))
def test_whatever_a_probe_says_the_frame_is_valid(readings: list[tuple[float | None, str]]) -> None:
    samples = [Sample("system_test", value, {"name": text}) for value, text in readings]
    layout, frame = FrameBuilder().build(samples, 1000)
    models.Layout.model_validate(layout)
    models.Frame.model_validate(frame)
    assert all(value is None or math.isfinite(value) for value in frame["v"])


def test_a_folder_named_in_no_encoding_does_not_spoil_the_frame() -> None:
    layout, _ = FrameBuilder().build([Sample("system_test", 1.0, {"mountpoint": "/mnt/caf\udce9"})], 1000)
    assert layout["series"][0]["labels"] == {"mountpoint": "/mnt/caf?"}
