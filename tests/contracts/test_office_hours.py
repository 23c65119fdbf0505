from datetime import UTC, date, datetime

import pytest

from collector.contracts import OfficeHours, OfficeHoursError

ZONE = "Europe/Amsterdam"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("utc", "is_open"),
    [
        ("2026-01-05 06:59", False),
        ("2026-01-05 07:00", True),  # 08:00 in winter
        ("2026-07-06 06:00", True),  # 08:00 in summer
        ("2026-07-06 15:59", True),
        ("2026-07-06 16:00", False),
        ("2026-01-10 08:30", True),  # Saturday
        ("2026-01-10 12:00", False),
        ("2026-01-11 12:00", False),  # Sunday
        ("2026-12-25 12:00", False),  # a Friday
    ],
)
def test_hours_follow_the_sites_zone_and_holidays(utc: str, is_open: bool) -> None:
    hours = OfficeHours.parse("mon-fri 08:00-18:00,  Sat 09:00-13:00", ZONE)
    assert hours.is_open(at(utc)) is is_open


def test_one_stretch_is_one_day() -> None:
    always = OfficeHours.parse("Mon-Sun 00:00-24:00", ZONE, "none")
    assert always.are_one_stretch(at("2026-12-25 09:00"), at("2026-12-25 22:59"))
    assert not always.are_one_stretch(at("2026-12-25 09:00"), at("2026-12-25 23:00"))  # midnight there


def test_working_days_are_counted_in_whole() -> None:
    hours = OfficeHours.parse("Mon-Fri 08:00-18:00", ZONE)
    friday = at("2026-04-24 12:00")
    assert hours.working_days(friday, friday, 99) == 0
    assert hours.working_days(friday, at("2026-04-28 12:00"), 99) == 0  # a weekend and King's Day lie between
    assert hours.working_days(friday, at("2026-04-30 12:00"), 99) == 2
    assert hours.working_days(friday, at("2036-04-30 12:00"), 15) == 15
    assert not hours.is_working_day(date(2026, 4, 27))


@pytest.mark.parametrize(
    ("hours", "zone", "said"),
    [
        ("", ZONE, "write office hours like"),
        ("Mon-Fri", ZONE, "write office hours like"),
        ("Fri-Mon 08:00-18:00", ZONE, "ends before it begins"),
        ("Mon 18:00-08:00", ZONE, "ends before it begins"),
        ("Mon 08:00-25:00", ZONE, "25:00 is no time"),
        ("Mon 08:00-12:00, Foo 08:00-12:00", ZONE, "foo"),
        ("Mon 08:00-12:00," * 20, ZONE, "at most 200"),
        ("Mon 08:00-12:00", "Europe/Nowhere", "no time zone"),
        ("Mon 08:00-12:00", "../etc/passwd", "no time zone"),
    ],
)
def test_what_are_no_hours_is_explained(hours: str, zone: str, said: str) -> None:
    with pytest.raises(OfficeHoursError, match=said):
        OfficeHours.parse(hours, zone)


def test_a_country_without_known_holidays_is_explained() -> None:
    with pytest.raises(OfficeHoursError, match="no holidays are known of 'XX'"):
        OfficeHours.parse("Mon 08:00-12:00", ZONE, "XX").is_holiday(date(2026, 1, 1))
