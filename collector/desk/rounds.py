"""When the rounds of a plan of regular maintenance are due, and which of them to open: pure functions."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from collector.contracts.recurrence import next_start, starts_between
from collector.desk.maintenance import Plan

LOOK_AGAIN = timedelta(days=1)  # at plans that have no round within a year


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at a plan finds: the rounds to open, those that were missed, and when to look again."""

    to_open: tuple[datetime, ...]
    missed: tuple[datetime, ...]
    next_look: datetime


def due(plan: Plan, latest: datetime | None, lead: timedelta, now: datetime) -> Due:
    """`latest`: when the plan's latest round is, or was, due. One round at a time is ahead of its time."""
    if latest is not None and latest > now:
        return Due((), (), latest)
    past = _starts(plan, plan.created_at if latest is None else latest, now)
    coming = next_start(plan.starts_local, plan.recurrence, plan.time_zone, now)
    if coming is None:
        return Due(tuple(past[-1:]), tuple(past[:-1]), now + LOOK_AGAIN)
    if coming - lead > now:
        return Due(tuple(past[-1:]), tuple(past[:-1]), coming - lead)
    return Due((*past[-1:], coming), tuple(past[:-1]), coming)


def rounds_between(plan: Plan, first: datetime, end: datetime) -> list[datetime]:
    """When the plan's rounds are due from `first` until just before `end`, made and ended as it was."""
    ended = end if plan.ended_at is None else min(end, plan.ended_at)
    last = ended - timedelta(microseconds=1)
    return _starts(plan, max(first - timedelta(microseconds=1), plan.created_at), last)


def _starts(plan: Plan, after: datetime, until: datetime) -> list[datetime]:
    """After a time, up to another, which is included; UTC."""
    if until <= after:
        return []
    zone = ZoneInfo(plan.time_zone)
    first, last = (at.astimezone(zone).replace(tzinfo=None) for at in (after, until))
    hour = timedelta(hours=1)  # on either side, for the change of summer time
    local = starts_between(plan.recurrence, plan.starts_local, plan.time_zone, first - hour, last + hour)
    starts = (one.replace(tzinfo=zone).astimezone(UTC) for one in local)
    return [one for one in starts if after < one <= until]
