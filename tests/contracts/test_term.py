"""When what was agreed for some months ends, or goes on."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.contracts.term import Term, term_of

ZONE = ZoneInfo("Europe/Amsterdam")


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).astimezone(UTC)


@pytest.mark.parametrize(
    ("began", "months", "valid_to", "now", "term"),
    [
        ("2026-03-01", 12, None, "2026-06-01", ("2027-03-01", 12)),
        ("2026-03-01", 12, None, "2027-02-28", ("2027-03-01", 12)),
        ("2026-03-01", 12, None, "2027-03-01", ("2028-03-01", 12)),  # it went on
        ("2026-03-01", 1, None, "2026-10-26", ("2026-11-01", 1)),  # summer time is over
        ("2026-01-31", 1, None, "2026-02-10", ("2026-02-28", 1)),
        ("2026-01-31", 1, None, "2026-03-01", ("2026-03-31", 1)),  # of the first day, not of the short month
        ("2027-01-01", 12, None, "2026-06-01", ("2028-01-01", 12)),  # it has not begun
        ("2026-03-01", 12, "2026-12-01", "2026-06-01", ("2026-12-01", None)),
        ("2026-03-01", 12, "2027-12-01", "2026-06-01", ("2027-03-01", 12)),  # ended for later
        ("2026-03-01", 12, "2027-03-01", "2026-06-01", ("2027-03-01", None)),
        ("2026-03-01", None, "2026-12-01", "2026-06-01", ("2026-12-01", None)),
        ("2026-03-01", None, "2026-04-01", "2026-06-01", ("2026-04-01", None)),
    ],
)
def test_what_ends_next(
    began: str, months: int | None, valid_to: str | None, now: str, term: tuple[str, int | None]
) -> None:
    ends_at, renews_for = term
    found = term_of(day(began), months, day(valid_to) if valid_to else None, ZONE, day(now))
    assert found == Term(day(ends_at), renews_for)


def test_until_further_notice_nothing_ends() -> None:
    assert term_of(day("2026-03-01"), None, None, ZONE, day("2026-06-01")) is None


@given(
    began=st.datetimes(day("2020-01-01").replace(tzinfo=None), day("2030-01-01").replace(tzinfo=None)),
    months=st.integers(1, 60),
    later=st.integers(0, 4_000),
)
def test_a_term_that_goes_on_ends_within_its_length(began: datetime, months: int, later: int) -> None:
    first = began.replace(tzinfo=UTC)
    now = first + timedelta(days=later)
    term = term_of(first, months, None, ZONE, now)
    assert term is not None and now < term.ends_at <= now + timedelta(days=31 * months + 1)
