"""What the clock on a site's wall shows, for many times at once, and how long hours of the week hold there."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from collector.clock import EPOCH, from_milliseconds, to_milliseconds
from collector.contracts import WeekHours
from collector.contracts.week_hours import MINUTES_OF_DAY, MINUTES_OF_WEEK
from collector.series.read import Mask, Milliseconds, Times

MINUTE_MS = 60_000
WEEK_MS = MINUTES_OF_WEEK * MINUTE_MS
FIRST_YEAR, LAST_YEAR = 1971, 2099  # before and after them the offset is that of their ends
_EPOCH_WEEKDAY_MS = EPOCH.weekday() * MINUTES_OF_DAY * MINUTE_MS


def covered(hours: WeekHours, zone: str, times: Times) -> Mask:
    """At which of some times, rising, the clock of a zone shows a time within `hours`."""
    if len(times) == 0:
        return np.zeros(0, dtype=np.bool_)
    since, offsets = _offsets(zone, _year(int(times[0])), _year(int(times[-1])))
    local = times + offsets[np.maximum(np.searchsorted(since, times, side="right") - 1, 0)] + _EPOCH_WEEKDAY_MS
    minutes = local % WEEK_MS // MINUTE_MS
    places = np.searchsorted(np.array(hours.bounds, dtype=np.int64), minutes, side="right")
    return np.not_equal(places % 2, 0)


def stretch(hours: WeekHours, zone: str, at: Milliseconds) -> tuple[bool, Milliseconds, Milliseconds]:
    """Whether `hours` cover a time in a zone, and from when to when (that not included) this is known to stay so."""
    since, offset, until = _offset_at(zone, at)
    local = at + offset + _EPOCH_WEEKDAY_MS
    week_begins = at - local % WEEK_MS
    bounds = hours.bounds
    place = bisect_right(bounds, local % WEEK_MS // MINUTE_MS)
    begins = week_begins + (bounds[place - 1] if place else 0) * MINUTE_MS
    ends = week_begins + (bounds[place] if place < len(bounds) else MINUTES_OF_WEEK) * MINUTE_MS
    return place % 2 == 1, max(begins, since), min(ends, until)


def _offset_at(zone: str, at: Milliseconds) -> tuple[Milliseconds, int, Milliseconds]:
    """From when, how many milliseconds ahead of UTC, and until when (that not included)."""
    year = _year(at)
    since, offsets = _offsets(zone, year, year)
    place = max(int(np.searchsorted(since, at, side="right")) - 1, 0)
    known_until = to_milliseconds(datetime(year + 1, 1, 1, tzinfo=UTC)) if year < LAST_YEAR else at + WEEK_MS
    until = int(since[place + 1]) if place + 1 < len(since) else known_until
    return min(int(since[place]), at), int(offsets[place]), until


def _offsets(zone: str, first_year: int, last_year: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Since when (rising) which offset holds, from the beginning of one year to the end of another."""
    changes = [change for year in range(first_year, last_year + 1) for change in _changes(zone, year)]
    found = np.array(changes, dtype=np.int64)
    return found[:, 0], found[:, 1]


@lru_cache(maxsize=4096)
def _changes(zone: str, year: int) -> tuple[tuple[Milliseconds, int], ...]:
    """The offset at the beginning of a year (UTC), and each that follows within it, with the time since when."""
    wall = ZoneInfo(zone)
    at, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    changes = [(to_milliseconds(at), _offset(wall, at))]
    while at < end:
        later = min(at + timedelta(days=1), end - timedelta(seconds=1))
        if _offset(wall, later) != changes[-1][1]:
            same = at
            while later - same > timedelta(seconds=1):
                middle = same + timedelta(seconds=(later - same) // timedelta(seconds=2))
                same, later = (middle, later) if _offset(wall, middle) == changes[-1][1] else (same, middle)
            changes.append((to_milliseconds(later), _offset(wall, later)))
            at = later
        else:
            at += timedelta(days=1)
    return tuple(changes)


def _offset(wall: ZoneInfo, at: datetime) -> int:
    offset = at.astimezone(wall).utcoffset()
    return 0 if offset is None else offset // timedelta(milliseconds=1)


def _year(at: Milliseconds) -> int:
    try:
        year = from_milliseconds(at).year
    except OverflowError:
        year = LAST_YEAR if at > 0 else FIRST_YEAR
    return min(max(year, FIRST_YEAR), LAST_YEAR)
