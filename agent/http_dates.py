"""Dates as HTTP writes them, without loading the email and datetime modules."""

import re

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-3][0-9]) ([A-Z][a-z]{2}) ([0-9]{4})"
    r" ([0-2][0-9]):([0-5][0-9]):([0-5][0-9]|60) GMT"
)


def parse_http_date(text: str) -> float | None:
    """Unix seconds of `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that is written today; None for anything else."""
    found = DATE.fullmatch(text)
    if found is None or found[2] not in MONTHS:
        return None
    day, year, hour, minute, second = (int(found[place]) for place in (1, 3, 4, 5, 6))
    month = MONTHS.index(found[2]) + 1
    return float(((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)


def days_since_1970(year: int, month: int, day: int) -> int:
    """In the Gregorian calendar. The year is taken to begin in March, so that a leap day is its last."""
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    leap_days = year // 4 - year // 100 + year // 400
    return year * 365 + leap_days + (153 * month + 2) // 5 + day - 719_469
