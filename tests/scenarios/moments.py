"""The times of a story as people write them: `mon 08:30`, `next tue 17:45`, `2026-03-29 01:30`."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

FIRST_MONDAY = date(2026, 3, 2)  # the week that is meant where a story names only a day
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_MOMENT = re.compile(r"(?:(?P<next>next )?(?P<day>[a-z]{3})|(?P<date>\d{4}-\d\d-\d\d)) (?P<time>\d\d:\d\d(?::\d\d)?)")
_DURATION = re.compile(r"(-?)(\d+)([smhdw])")


def parse_moment(text: str, zone: ZoneInfo) -> datetime:
    """A moment in the story's time zone, as UTC. Raises ValueError."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(f"write a moment like 'mon 08:30', 'next mon 08:30' or '2026-03-29 01:30', not {text!r}")
    if match["date"]:
        day = date.fromisoformat(match["date"])
    elif match["day"] in DAYS:
        day = FIRST_MONDAY + timedelta(days=DAYS.index(match["day"]) + (7 if match["next"] else 0))
    else:
        raise ValueError(f"{match['day']!r} is no day; they are {', '.join(DAYS)}")
    return datetime.combine(day, time.fromisoformat(match["time"]), zone).astimezone(UTC)


def parse_duration(text: str) -> timedelta:
    """`90s`, `20m`, `2h`, `3d`, with a minus before it for backwards. Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"write a length of time like 90s, 20m, 2h or 3d, not {text!r}")
    length = timedelta(**{UNITS[match[3]]: int(match[2])})
    return -length if match[1] else length


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when something is expected, both included."""

    first: datetime
    last: datetime

    @classmethod
    def parse(cls, text: str, zone: ZoneInfo, interval: timedelta) -> "Window":
        """`mon 08:31..mon 08:35`, `mon 08:31..08:35` on one day, or `mon 08:31`: up to one interval later."""
        start, dots, end = text.partition("..")
        first = parse_moment(start, zone)
        if not dots:
            return cls(first, first + interval)
        if re.fullmatch(r"\d\d:\d\d(:\d\d)?", end):
            end = f"{start.rpartition(' ')[0]} {end}"
        last = parse_moment(end, zone)
        if last < first:
            raise ValueError(f"{text!r} ends before it begins")
        return cls(first, last)

    def holds(self, at: datetime | None, tolerance: timedelta) -> bool:
        return at is not None and self.first <= at <= self.last + tolerance
