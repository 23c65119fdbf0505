"""What is known of an alert that a ruler posts, again and again and in any order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.alerting.external import RESOLVE_TIMEOUT, Known, Posted, taken

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LABELS = {"alertname": "Full", "device_id": "ws-1"}


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def posted(starts: float, ends: float | None) -> Posted:
    return Posted(LABELS, {}, at(starts), None if ends is None else at(ends))


def after(*told: tuple[float, float, float | None]) -> Known:
    """What is known after messages: when each came, when it says that the alert began, and when it ends."""
    known: Known | None = None
    for when, starts, ends in told:
        known = taken(known, posted(starts, ends), at(when))
    assert known is not None
    return known


@pytest.mark.parametrize(
    ("told", "when", "fires"),
    [
        ([(0, 0, 4)], 3, True),
        ([(0, 0, 4)], 4, False),  # not repeated
        ([(0, 0, 4), (1, 0, 5)], 4.5, True),
        ([(1, 0, 5), (0, 0, 4)], 4.5, True),  # an older repetition takes nothing back
        ([(0, 0, None)], 4.9, True),
        ([(0, 0, None)], 5, False),  # Alertmanager's resolve_timeout
        ([(0, 0, 4), (2, 0, 1.5)], 2, False),  # over
        ([(2, 0, 1.5), (2.1, 0, 6)], 2.2, False),  # the firing one was overtaken by its end
        ([(2, 0, 1.5), (2.1, 2, 6)], 2.2, True),  # it fires anew
        ([(2, 2, 6), (2.1, 0, 1.5)], 2.2, True),  # the end of the episode before comes late
        ([(0, 0, 4), (6, 0, 10)], 7, True),  # nobody told us for a while; it never was over
        ([(0, 3, 7)], 1, True),  # a ruler whose clock is ahead
    ],
)
def test_whether_it_fires(told: list[tuple[float, float, float | None]], when: float, fires: bool) -> None:
    assert after(*told).fires(at(when)) is fires


def test_it_has_been_active_since_the_earliest_beginning_that_was_told() -> None:
    assert after((5, 4, 8), (6, 2, 10)).active_since == at(2)
    assert after((5, 4, 8), (6, 4, 5.5), (9, 8, 12)).active_since == at(8)  # over in between


def test_no_alert_began_in_the_future() -> None:
    assert after((0, 3, 7)).active_since == at(0)


MESSAGES = [(5.0, 0.0, 9.0), (5.0, 0.0, 3.0), (5.0, 4.0, 8.0), (5.0, 4.0, 4.5)]  # two episodes, both over


@given(st.permutations(MESSAGES), st.lists(st.sampled_from(MESSAGES), max_size=6))
def test_the_order_of_messages_and_their_repetition_change_nothing(
    order: list[tuple[float, float, float]], again: list[tuple[float, float, float]]
) -> None:
    told = [*again, *order]
    if MESSAGES[3] in told:
        assert not after(*told, MESSAGES[3]).fires(at(5))
    assert after(*(one for one in told if one is not MESSAGES[3])).fires(at(5)) is True


def test_without_an_end_it_goes_on_for_the_resolve_timeout_after_each_repetition() -> None:
    assert after((0, 0, None), (3, 0, None)).ends_at == at(3) + RESOLVE_TIMEOUT
