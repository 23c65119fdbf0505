"""When rules are evaluated."""

from datetime import UTC, datetime, timedelta

import pytest

from collector.alerting.loop import instant_before, next_instant

INTERVAL = timedelta(seconds=15)
AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_instants_are_multiples_of_the_interval() -> None:
    assert instant_before(AT + timedelta(seconds=14.9), INTERVAL) == AT
    assert instant_before(AT, INTERVAL) == AT


@pytest.mark.parametrize(
    ("late_seconds", "instant", "missed"), [(0, 1, 0), (14.9, 1, 0), (15, 2, 1), (50, 4, 3), (-3600, 1, 0)]
)
def test_late_ticks_are_skipped_and_counted(late_seconds: float, instant: int, missed: int) -> None:
    """Also when the clock was set back: no instant comes twice."""
    now = AT + INTERVAL + timedelta(seconds=late_seconds)
    assert next_instant(AT, now, INTERVAL) == (AT + instant * INTERVAL, missed)
