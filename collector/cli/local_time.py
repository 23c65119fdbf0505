"""Days and times as people write and read them: by the clock on the wall of some time zone."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

SECONDS = "%Y-%m-%d %H:%M:%S"
_MOMENT = re.compile(r"\b([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2})(:[0-9]{2})? UTC\b")
_DAYS = ("%Y-%m-%d",)
_MOMENTS = ("%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M")


class Written(click.ParamType[datetime]):
    """A day, a time of a day, or both, without a zone."""

    def __init__(self, name: str, shapes: Sequence[str], wanted: str) -> None:
        self.name, self._shapes, self._wanted = name, shapes, wanted

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        found = _read(str(value), self._shapes)
        return found[0] if found else self.fail(_unreadable(str(value), self._shapes, self._wanted), param, ctx)


DAY = Written("day", _DAYS, "a day like 2026-03-02")
MOMENT = Written("time", _MOMENTS, "a day and time like '2026-03-02 09:00'")
CLOCK = Written("clock", ["%H:%M"], "a time of the day like 09:00")


@dataclass(frozen=True, slots=True)
class LocalTime:
    at: datetime  # without a zone
    is_day: bool  # no time was named: all of it

    def begins(self, zone: str) -> datetime:
        """UTC. Raises click.UsageError for an unknown zone."""
        return self.at.replace(tzinfo=_zone(zone)).astimezone(UTC)

    def is_over(self, zone: str) -> datetime:
        """UTC; of a whole day its end. Raises click.UsageError for an unknown zone."""
        at = self.at + timedelta(days=1) if self.is_day else self.at
        return at.replace(tzinfo=_zone(zone)).astimezone(UTC)


class DayOrTime(click.ParamType[LocalTime]):
    """2026-03-02, or 2026-03-02 09:00."""

    name = "day or time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> LocalTime:
        found = _read(str(value), (*_DAYS, *_MOMENTS))
        if found:
            return LocalTime(found[0], found[1] in _DAYS)
        wanted = "a day like 2026-03-02, or a time like '2026-03-02 09:00'"
        return self.fail(_unreadable(str(value), (*_DAYS, *_MOMENTS), wanted), param, ctx)


DAY_OR_TIME = DayOrTime()


def in_own_zone(text: str) -> str:
    """A message whose times are in UTC, as the API gives it, with times by this machine's clock."""

    def local(moment: re.Match[str]) -> str:
        try:
            at = datetime.strptime(f"{moment[1]}{moment[2] or ':00'}", SECONDS).replace(tzinfo=UTC).astimezone()
        except (ValueError, OverflowError):  # a time that is none, or at the end of all
            return moment[0]
        return at.strftime(f"{SECONDS if moment[2] else SECONDS.removesuffix(':%S')} %Z")

    return _MOMENT.sub(local, text)


def _read(value: str, shapes: Sequence[str]) -> tuple[datetime, str] | None:
    """With the first of the shapes in which it is written; None if it is written in none."""
    for shape in shapes:
        with suppress(ValueError):
            return datetime.strptime(value, shape), shape  # noqa: DTZ007 - its zone comes later
    return None


def _unreadable(value: str, shapes: Sequence[str], wanted: str) -> str:
    """Tells what is written well and stands in no calendar from what is written otherwise."""
    if _figures(value) in {_figures(datetime(2000, 1, 1, tzinfo=UTC).strftime(shape)) for shape in shapes}:
        return f"there is no {value}: look at the calendar, or the clock"
    return f"write {wanted}, not {value!r}"


def _figures(text: str) -> str:
    return re.sub("[0-9]", "0", text)


def _zone(zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.UsageError(f"there is no time zone {zone[:80]!r}; name one like Europe/Amsterdam") from error
