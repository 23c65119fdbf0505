"""When a maintenance window is open: once, or again and again by an RRULE of RFC 5545, by the clock on the site's wall.

A window starts at its local time, whatever summer time does, and lasts its exact length. A start that the spring change
skips is an hour later by the clock; of one that the autumn change doubles, the first counts.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from protocol.errors import PermanentError

MAX_LENGTH = timedelta(days=31)
MAX_RULE_CHARS = 500
MUST_COME_WITHIN = timedelta(days=5 * 366)  # a leap day comes within
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
# BYHOUR and its like would open a window at other times than the one that is named.
PARTS = frozenset(
    {
        "FREQ",
        "INTERVAL",
        "COUNT",
        "UNTIL",
        "BYDAY",
        "BYMONTHDAY",
        "BYYEARDAY",
        "BYWEEKNO",
        "BYMONTH",
        "BYSETPOS",
        "WKST",
    }
)
A_YEAR = timedelta(days=366)
EVERY_MONTH_HAS = 28  # days
STARTS_AHEAD = 4  # yesterday's at 23:00, today's, tomorrow's, and one more
_UNTIL = re.compile(r"(?<=UNTIL=)(\d{8}T\d{6})Z")
_ISO = "%Y%m%dT%H%M%S"


class RecurrenceError(PermanentError):
    """Not a recurrence that a window can have; the message says what to write instead."""


def checked_recurrence(text: str, starts_local: datetime, time_zone: str) -> str:
    """The rule as it is stored. Raises RecurrenceError."""
    rule = text.strip().removeprefix("RRULE:").upper()
    parts = dict(part.partition("=")[::2] for part in rule.split(";"))
    example = "write it like FREQ=WEEKLY;BYDAY=SU (RFC 5545)"
    if len(rule) > MAX_RULE_CHARS or not all(re.fullmatch(r"[-+,A-Z0-9]+", value) for value in parts.values()):
        raise RecurrenceError(f"{text[:80]!r} is no recurrence: {example}")
    if unknown := sorted(parts.keys() - PARTS):
        raise RecurrenceError(f"a window's recurrence has no {', '.join(unknown)[:80]}: {example}")
    if parts.get("FREQ") not in FREQUENCIES:
        raise RecurrenceError(f"FREQ is {', '.join(FREQUENCIES)}, not {parts.get('FREQ', 'missing')}: {example}")
    if parts.get("INTERVAL", "1").strip("0") == "":
        raise RecurrenceError("INTERVAL is 1 or more")
    try:
        starts = starts_between(rule, starts_local, time_zone, starts_local, starts_local + MUST_COME_WITHIN)
    except (ValueError, TypeError) as exc:
        raise RecurrenceError(f"{text[:80]!r} is no recurrence: {exc}; {example}") from exc
    if not starts:
        raise RecurrenceError(f"{text[:80]!r} never comes after {starts_local:%Y-%m-%d}: {example}")
    return rule


def occurrence_at(
    starts_local: datetime, length: timedelta, recurrence: str | None, time_zone: str, at: datetime
) -> tuple[datetime, datetime] | None:
    """Start and end (UTC, the end not included) of the window that is open at `at`; None if none is."""
    zone = ZoneInfo(time_zone)
    today = at.astimezone(zone).replace(tzinfo=None).date()
    for start in reversed(_starts_near(starts_local, length, recurrence, time_zone, today.toordinal())):
        begins = start.replace(tzinfo=zone).astimezone(UTC)
        if begins <= at < begins + length:
            return begins, begins + length
    return None


def next_start(starts_local: datetime, recurrence: str | None, time_zone: str, after: datetime) -> datetime | None:
    """The first start after a time (UTC); None if it has passed, or comes again but not within a year."""
    zone = ZoneInfo(time_zone)
    if recurrence is None:
        begins = starts_local.replace(tzinfo=zone).astimezone(UTC)
        return begins if begins > after else None
    today = after.astimezone(zone).replace(tzinfo=None).date()
    starts = _starts_from(starts_local, recurrence, time_zone, today.toordinal())
    at = (one.replace(tzinfo=zone).astimezone(UTC) for one in starts)
    return next((begins for begins in at if after < begins <= after + A_YEAR), None)


def starts_between(
    recurrence: str | None, starts_local: datetime, time_zone: str, first: datetime, last: datetime
) -> list[datetime]:
    """The local starts from `first` to `last`, both included."""
    if recurrence is None:
        return [starts_local] if first <= starts_local <= last else []
    found: list[datetime] = _rule(recurrence, starts_local, time_zone, first).between(first, last, inc=True)
    return found


def _rule(recurrence: str, starts_local: datetime, time_zone: str, first: datetime) -> rrule:
    """The rule as it is from `first` on: it begins a little before, since a rule counts from where it begins."""
    zone = ZoneInfo(time_zone)

    def local(until: re.Match[str]) -> str:
        return datetime.strptime(until[1], _ISO).replace(tzinfo=UTC).astimezone(zone).strftime(_ISO)

    begins = _begun_near(recurrence, starts_local, first)
    rule = rrulestr(_UNTIL.sub(local, recurrence), dtstart=begins)
    assert isinstance(rule, rrule)  # noqa: S101 - a set of rules takes several lines
    return rule


def _begun_near(recurrence: str, starts_local: datetime, first: datetime) -> datetime:
    """As late a begin as leaves the starts from `first` on as they are: some whole intervals later."""
    parts = dict(part.partition("=")[::2] for part in recurrence.split(";"))
    interval = int(parts.get("INTERVAL", "1"))
    if "COUNT" in parts or first <= starts_local:
        return starts_local
    match parts["FREQ"]:
        case "DAILY" | "WEEKLY":
            each = timedelta(days=interval if parts["FREQ"] == "DAILY" else 7 * interval)
            return starts_local + ((first - starts_local) // each) * each
        case _ if starts_local.day > EVERY_MONTH_HAS:
            return starts_local
        case "MONTHLY":
            months = (first.year - starts_local.year) * 12 + first.month - starts_local.month
            year, month = divmod(starts_local.month - 1 + max(months // interval - 1, 0) * interval, 12)
            return starts_local.replace(year=starts_local.year + year, month=month + 1)
        case _:
            years = (first.year - starts_local.year) // interval - 1
            return starts_local.replace(year=starts_local.year + max(years, 0) * interval)


@lru_cache(maxsize=4096)
def _starts_near(
    starts_local: datetime, length: timedelta, recurrence: str | None, time_zone: str, day: int
) -> tuple[datetime, ...]:
    """The starts from which a window may reach into a day (a proleptic Gregorian ordinal)."""
    midnight = datetime.fromordinal(day)
    # An hour on either side, for the change of summer time.
    first, last = midnight - length - timedelta(hours=1), midnight + timedelta(days=1, hours=1)
    return tuple(starts_between(recurrence, starts_local, time_zone, first, last))


@lru_cache(maxsize=4096)
def _starts_from(starts_local: datetime, recurrence: str, time_zone: str, day: int) -> tuple[datetime, ...]:
    """The first starts from shortly before a day on (a proleptic Gregorian ordinal), within a year: one at least is
    after any time of that day, since no rule starts more than once a day."""
    first = datetime.fromordinal(day) - timedelta(hours=2)  # for the change of summer time
    last = datetime.fromordinal(day) + A_YEAR + timedelta(days=2)
    rule = _rule(recurrence, starts_local, time_zone, first)
    return tuple(takewhile(lambda one: one <= last, rule.xafter(first, count=STARTS_AHEAD, inc=True)))
