from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.contracts.months import Month, MonthError

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
MARCH = Month(2026, 3)
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-3", "2026-13", "2026-00", "26-03", "2026-03-01", "", "1999-12", "2026-03\n"])
def test_what_is_no_month(text: str) -> None:
    with pytest.raises(MonthError, match="2026-03"):
        Month.parse(text)


@pytest.mark.parametrize(
    ("text", "hours"),
    [("2026-02", 28 * 24), ("2026-03", 31 * 24 - 1), ("2026-10", 31 * 24 + 1), ("2028-02", 29 * 24)],
)
def test_summer_time_makes_a_month_longer_or_shorter(text: str, hours: int) -> None:
    first, end = Month.parse(text).bounds(AMSTERDAM)
    assert end - first == timedelta(hours=hours)
    assert str(Month.parse(text)) == text


def test_a_day_counts_for_what_holds_when_it_ends() -> None:
    noon = datetime(2026, 3, 11, 11, 0, tzinfo=UTC)
    assert MARCH.days_held(noon, None, AMSTERDAM) == range(10, 31)
    assert MARCH.days_held(noon - timedelta(days=90), noon, AMSTERDAM) == range(10)
    first, end = MARCH.bounds(AMSTERDAM)
    assert MARCH.days_held(first, end, AMSTERDAM) == range(31)
    assert len(MARCH.days_held(noon, noon + timedelta(hours=1), AMSTERDAM)) == 0
    assert len(MARCH.days_held(end, None, AMSTERDAM)) == 0


@given(
    st.lists(st.integers(-10 * 24, 40 * 24).map(lambda hours: START + timedelta(hours=hours)), max_size=6),
    st.sampled_from(["Europe/Amsterdam", "America/New_York", "Pacific/Kiritimati", "America/Sao_Paulo"]),
)
def test_of_what_follows_each_other_each_day_is_ones(changes: list[datetime], zone: str) -> None:
    first, end = MARCH.bounds(ZoneInfo(zone))
    times = sorted([first, *(one for one in changes if first <= one < end)])
    spans = [
        MARCH.days_held(begins, ends, ZoneInfo(zone)) for begins, ends in zip(times, [*times[1:], None], strict=True)
    ]
    assert [day for span in spans for day in span] == list(range(31))
