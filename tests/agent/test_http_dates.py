from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.http_dates import parse_http_date


@given(st.datetimes(min_value=datetime(1900, 3, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_date_is_the_second_it_names(moment: datetime) -> None:
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    text = f"{days[moment.weekday()]}, {moment:%d} {months[moment.month - 1]} {moment.year:04} {moment:%H:%M:%S} GMT"
    assert parse_http_date(text) == moment.replace(microsecond=0).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 06 Nev 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:99 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, 0\xb2 Nov 1994 08:49:37 GMT",
    ],
)
def test_anything_else_is_no_date(text: str) -> None:
    assert parse_http_date(text) is None
