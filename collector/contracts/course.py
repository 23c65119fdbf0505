"""What the events of a ticket say that matters to its SLA clocks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from collector.contracts.priority import Priority
from collector.contracts.promises import Terms

SYSTEM = "system"  # the actor of what no person did

# As the ticket's events name them.
WAITING, RESOLVED, CLOSED = "waiting_customer", "resolved", "closed"
# A person who moves a ticket to one of these has looked at it. An assignment may be automatic, and helps nobody yet.
HUMAN_MOVES = frozenset({"in_progress", WAITING, RESOLVED})

TERMS, WARNED, BREACHED, ESCALATED = "terms", "sla_warned", "sla_breached", "escalated"


class LoggedEvent(NamedTuple):
    """An event of a ticket. `terms`: what the data of a `terms` event say, if that was read before."""

    at: datetime
    actor: str
    type: str
    data: Mapping[str, object]
    terms: Terms | None = None


@dataclass(slots=True)
class Course:
    """What a ticket's events say that matters to its clocks. Each list is in the order of time, and those of priorities
    and statuses begin with what held when the ticket opened."""

    opened_at: datetime
    last_at: datetime  # when the last event was written
    terms: list[tuple[datetime, Terms]] = field(default_factory=list)
    priorities: list[tuple[datetime, Priority]] = field(default_factory=list)
    statuses: list[tuple[datetime, str]] = field(default_factory=list)
    answered_at: datetime | None = None  # the first sign of a human
    merged_at: datetime | None = None
    recorded: dict[tuple[str, str], datetime] = field(default_factory=dict)  # (type, clock) of warnings and breaches
    escalated_to: str | None = None  # the last, since it was opened or reopened
    has_reopened: bool = False

    @property
    def status(self) -> str:
        return self.statuses[-1][1]

    @property
    def priority(self) -> Priority:
        return self.priorities[-1][1]

    @property
    def is_over(self) -> bool:
        """Resolved, closed or merged: no clock runs."""
        return self.merged_at is not None or self.status in (RESOLVED, CLOSED)


def course_of(opened_at: datetime, priority: Priority, events: Sequence[LoggedEvent]) -> Course:
    """`events` in the order in which they were written; `priority` stands for a ticket whose opening tells none.

    Clocks start at `opened_at`, never when the fault began: late data start no clock in the past."""
    last_at = max((event.at for event in events), default=opened_at)
    course = Course(
        opened_at, max(opened_at, last_at), priorities=[(opened_at, priority)], statuses=[(opened_at, "new")]
    )
    for event in events:
        _take(course, event)
    return course


def _take(course: Course, event: LoggedEvent) -> None:
    reader = _READERS.get(event.type)
    if reader is not None:
        reader(course, event, max(event.at, course.opened_at))


def _opened(course: Course, event: LoggedEvent, _at: datetime) -> None:
    told = event.data.get("priority")
    if isinstance(told, str):
        course.priorities[0] = (course.opened_at, Priority(told))


def _priority(course: Course, event: LoggedEvent, at: datetime) -> None:
    course.priorities.append((at, Priority(str(event.data["to"]))))


def _status(course: Course, event: LoggedEvent, at: datetime) -> None:
    to = str(event.data["to"])
    if course.status in (RESOLVED, CLOSED) and to not in (RESOLVED, CLOSED):
        course.escalated_to, course.has_reopened = None, True
    _set_status(course, _time(event.data.get("at"), course) or at, to)
    if event.actor != SYSTEM and to in HUMAN_MOVES:
        _answer(course, at)


def _comment(course: Course, event: LoggedEvent, at: datetime) -> None:
    """What the customer says is public as well, and no answer to it."""
    is_ours = event.actor != SYSTEM and event.data.get("contact") is None
    if is_ours and event.data.get("public") is True:
        _answer(course, at)


def _corrected(course: Course, event: LoggedEvent, _at: datetime) -> None:
    resolved_at = _time(event.data.get("resolved_at"), course)
    if resolved_at is not None and course.status in (RESOLVED, CLOSED):
        closed = [course.statuses.pop()] if course.status == CLOSED else []
        _set_status(course, resolved_at, RESOLVED)
        course.statuses += closed


def _merged(course: Course, _event: LoggedEvent, at: datetime) -> None:
    course.merged_at = at


def _terms(course: Course, event: LoggedEvent, at: datetime) -> None:
    since = at if course.terms else course.opened_at
    course.terms.append((_time(event.data.get("from"), course) or since, event.terms or Terms.of_data(event.data)))


def _record(course: Course, event: LoggedEvent, at: datetime) -> None:
    key = event.type, str(event.data.get("clock"))
    course.recorded.setdefault(key, _time(event.data.get("at"), course) or at)


def _escalated(course: Course, event: LoggedEvent, _at: datetime) -> None:
    course.escalated_to = str(event.data.get("to"))


def _set_status(course: Course, at: datetime, status: str) -> None:
    """Late data tell of a status since earlier: what was noted for the time after that did not happen."""
    while len(course.statuses) > 1 and course.statuses[-1][0] > at:
        course.statuses.pop()
    course.statuses.append((at, status))


def _answer(course: Course, at: datetime) -> None:
    if course.answered_at is None:
        course.answered_at = at


def _time(value: object, course: Course) -> datetime | None:
    """A time in an event's data; none of them lies before the ticket opened."""
    if not isinstance(value, str):
        return None
    return max(datetime.fromisoformat(value).astimezone(UTC), course.opened_at)


_READERS: Mapping[str, Callable[[Course, LoggedEvent, datetime], None]] = {
    "opened": _opened,
    "status": _status,
    "priority": _priority,
    "comment": _comment,
    "corrected": _corrected,
    "merged": _merged,
    "changed": lambda _course, _event, _at: None,  # its device or site may be, and so what is promised
    TERMS: _terms,
    WARNED: _record,
    BREACHED: _record,
    ESCALATED: _escalated,
}
# What a clock is reckoned from; other events change nothing.
READ_TYPES = tuple(_READERS)
