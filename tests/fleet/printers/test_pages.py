"""Pages from a life counter that goes back, jumps and is told wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.fleet.printers.pages import MAX_PAGES_PER_SECOND, Counter, count

HOUR = 3600.0


def pages(*values: float) -> list[int]:
    counter: Counter | None = None
    found = []
    for number, value in enumerate(values):
        counter, more = count(counter, value, number * HOUR)
        found.append(more)
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((50_000, 50_010, 50_010, 50_030), [0, 10, 0, 20]),
        ((50_000, 50_010, 12, 30), [0, 10, 0, 18]),  # a new board
        ((50_000, 0, 50_010), [0, 0, 10]),  # told wrong once
        ((50_000, 4e9, 50_010, 50_020), [0, 0, 0, 10]),  # likewise
        ((50_000, 12_000, 12_500), [0, 0, 500]),  # another printer's old board
        ((50_000, 10, 49_990, 50_020), [0, 0, 0, 20]),
    ],
)
def test_nothing_is_counted_that_was_not_seen_to_rise(values: tuple[float, ...], expected: list[int]) -> None:
    assert pages(*values) == expected


@given(st.lists(st.floats(0, 1e12), max_size=30))
def test_no_counter_makes_pages_faster_than_a_press(values: list[float]) -> None:
    found = pages(*values)
    assert all(0 <= one <= MAX_PAGES_PER_SECOND * HOUR for one in found)
