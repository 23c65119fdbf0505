"""Days and times as people write and read them: by the clock on the wall of some time zone."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

DAY = "%Y-%m-%d"
SECONDS = "%Y-%m-%d %H:%M:%S"
_MOMENT = re.compile(r"\b([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2})(:[0-9]{2})? UTC\b")
CLOCK = click.DateTime(["%H:%M"])


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
        shapes = {DAY: True, "%Y-%m-%d %H:%M": False, "%Y-%m-%dT%H:%M": False}
        for shape, is_day in shapes.items():
            with suppress(ValueError):
                return LocalTime(datetime.strptime(str(value), shape), is_day)  # noqa: DTZ007 - its zone comes later
        return self.fail(f"write a day like 2026-03-02, or a time like '2026-03-02 09:00', not {value!r}", param, ctx)


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


def _zone(zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.UsageError(f"there is no time zone {zone[:80]!r}; name one like Europe/Amsterdam") from error
