"""Days and times as people write them: by the clock on the wall of some time zone."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

DAY = "%Y-%m-%d"
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


def _zone(zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.UsageError(f"there is no time zone {zone[:80]!r}; name one like Europe/Amsterdam") from error
