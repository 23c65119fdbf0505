"""Storms: many incidents at one customer at once are one ticket, with a line for each."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from enum import Enum, auto

from collector.desk.incident_names import STORM
from collector.incidents.decision import TicketKey
from collector.incidents.settings import IncidentSettings


class Course(Enum):
    """What becomes of the new incidents of one customer in one pass."""

    EACH_ITS_OWN = auto()
    NEW_STORM = auto()  # a storm opens, takes them in, and those of the last minutes become its children
    SAME_STORM = auto()  # one is under way and takes them in


def storm_key(customer: str) -> TicketKey:
    return TicketKey(customer, "customer", STORM)


def course(
    new: Collection[str],
    recent: Collection[str],
    *,
    last_line_at: datetime | None,
    limit_exceeded: bool,
    now: datetime,
    settings: IncidentSettings,
) -> Course:
    """`new`: the keys of this pass's incidents that have no open ticket; `recent`: of those that opened a ticket of
    their own lately. `last_line_at`: when the open storm last took one in, None if no storm is open.

    A rule group beyond its `limit` makes a storm of its new incidents however few they are: upstream would drop them.
    """
    if last_line_at is not None and now - last_line_at <= settings.storm_within:
        return Course.SAME_STORM
    if len({*new, *recent}) > settings.storm_incidents or (limit_exceeded and len(new) > 1):
        return Course.NEW_STORM
    return Course.EACH_ITS_OWN


def most_common(rules: Sequence[str]) -> str:
    return Counter(rules).most_common(1)[0][0]


def title(rules: Sequence[str], count: int) -> str:
    """`rules`: the rule of each of the storm's alerts."""
    (most, times), *others = Counter(rules).most_common()
    share = f"all {most}" if not others else f"{times} {most}, then {', '.join(name for name, _ in others[:3])}"
    return f"{count} incidents at once: {share}"
