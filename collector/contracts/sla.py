"""The two SLA clocks of a ticket, response and resolution, reckoned from its events alone.

What counts is decided once, here, for whoever asks: the sweep, which writes down where the clocks stand, and the page
that explains every minute of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple

from collector.contracts.business_time import Place
from collector.contracts.course import BREACHED, CLOSED, RESOLVED, WAITING, WARNED, Course
from collector.contracts.priority import Priority
from collector.contracts.promises import Terms

_NOTHING = timedelta()
NOTHING_PROMISED = "nothing was promised"
WHILE_WAITING = "waiting for the customer"
WHILE_RESOLVED = "resolved"


class ClockName(StrEnum):
    RESPONSE = "response"
    RESOLUTION = "resolution"


class ClockState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    MET = "met"
    BREACHED = "breached"
    NONE = "none"  # nothing is promised, or the ticket was merged into another, whose clocks go on


class _Held(NamedTuple):
    """A stretch in which the same holds for both clocks."""

    start: datetime
    end: datetime
    why_not: str | None
    terms: Terms
    priority: Priority
    place: Place | None  # of the start; None: nothing counts
    counted: timedelta


class Segment(NamedTuple):
    """A stretch in which the same holds for a clock. Minutes of it count, `counted` in all, if `why_not` is None and
    the hours of `terms` are open."""

    start: datetime
    end: datetime
    why_not: str | None
    terms: Terms
    priority: Priority
    place: Place | None
    counted: timedelta
    target: timedelta | None


class Clock(NamedTuple):
    name: ClockName
    state: ClockState
    target: timedelta | None  # that it is judged by; None: nothing was promised
    used: timedelta
    due_at: datetime | None  # when the target is or was used up, if it runs on as it does; None while it stands still
    warned_at: datetime | None  # when the warning's share was first used up
    breached_at: datetime | None  # stays, whatever is promised later
    met_at: datetime | None
    next_at: datetime | None  # when time alone brings a warning or a breach
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A stretch of a clock for people, with what had counted at its end."""

    start: datetime
    end: datetime
    why_not: str | None  # None: it counts
    total: timedelta
    priority: Priority
    target: timedelta | None
    terms: Terms


def clocks_of(course: Course, now: datetime) -> tuple[Clock, Clock]:
    """Response and resolution, as of `now`, or of the last event if who wrote it had a clock that is ahead."""
    now = max(now, course.last_at)
    held = _held(course, now)
    return _reckon(course, ClockName.RESPONSE, held, now), _reckon(course, ClockName.RESOLUTION, held, now)


def lines_of(clock: Clock) -> Iterator[Line]:
    """Every stretch of the clock, cut where it begins or ceases to count. What counts adds up to `clock.used`."""
    total = timedelta()
    for one in clock.segments:
        if one.start == one.end:
            continue
        if one.why_not is not None:
            yield Line(one.start, one.end, one.why_not, total, one.priority, one.target, one.terms)
            continue
        for stretch in one.terms.calendar.stretches(one.start, one.end):
            if stretch.why_not is None:
                total += stretch.end - stretch.start
            yield Line(stretch.start, stretch.end, stretch.why_not, total, one.priority, one.target, one.terms)


def _reckon(course: Course, name: ClockName, held: Sequence[_Held], now: datetime) -> Clock:
    end, is_met = _end_of(course, name, now)
    segments = tuple(_segments(held, name, end, is_open=end == now and not is_met))
    last = segments[-1]
    runs = not is_met and course.merged_at is None and last.why_not is None
    used = _NOTHING
    over_at: datetime | None = None  # of the target that holds
    due_at: datetime | None = None
    warned_at = course.recorded.get((WARNED, name))
    breached_at = course.recorded.get((BREACHED, name))
    next_at: datetime | None = None
    for one in segments:
        if one.why_not is not None:
            continue
        goes_on = runs and one is last
        if one.target is None:
            over_at = None
        else:
            warn_at = None
            if warned_at is None:
                warn_at = _used_up(one, one.target * one.terms.warn_at - used, goes_on=goes_on)
                warned_at = warn_at if _is_reached(warn_at, one.end, goes_on=goes_on) else None
            if over_at is None or used < one.target:
                due_at = _used_up(one, one.target - used, goes_on=goes_on)
                over_at = due_at if _is_reached(due_at, one.end, goes_on=goes_on) else None
                breached_at = breached_at or over_at
            if goes_on:
                due_at = over_at or due_at
                next_at = warn_at if warned_at is None else due_at if breached_at is None else None
        used += one.counted
    target = last.target
    if course.merged_at is not None or target is None:
        state = ClockState.NONE
    elif over_at is not None:
        state = ClockState.BREACHED
    elif is_met:
        state = ClockState.MET
    else:
        state = ClockState.RUNNING if runs else ClockState.PAUSED
    is_running = runs and state is not ClockState.NONE
    return Clock(
        name,
        state,
        target,
        used,
        due_at if is_running else None,
        warned_at,
        breached_at,
        end if is_met else None,
        next_at if is_running else None,
        segments,
    )


def _used_up(one: Segment, left: timedelta, *, goes_on: bool) -> datetime | None:
    """When what is left will be used up, if the segment has that much or goes on. Not in hours that do not count: what
    a change of priority uses up at night is told when the hours begin."""
    if one.place is None or (left > one.counted and not goes_on):
        return None
    return one.terms.calendar.after_place(one.place, max(_NOTHING, left))


def _is_reached(at: datetime | None, end: datetime, *, goes_on: bool) -> bool:
    """What is used up at the very end of a segment was done in time, unless the clock goes on."""
    return at is not None and (at < end or (goes_on and at == end))


def _end_of(course: Course, name: ClockName, now: datetime) -> tuple[datetime, bool]:
    """Until when the clock is reckoned, and whether what it waits for has been done."""
    if name is ClockName.RESPONSE and course.answered_at is not None:
        return course.answered_at, True
    if course.merged_at is not None:
        return course.merged_at, False
    if course.status == CLOSED or (course.status == RESOLVED and name is ClockName.RESOLUTION):
        # A closed ticket that nobody had answered: the fault was gone before anybody was needed.
        return next(
            (at for at, status in reversed(course.statuses) if status == RESOLVED), course.statuses[-1][0]
        ), True
    return now, False


def _target(terms: Terms, priority: Priority, name: ClockName) -> timedelta | None:
    for of, response, resolution in terms.targets:
        if of is priority:
            return response if name is ClockName.RESPONSE else resolution
    return None


def _segments(held: Sequence[_Held], name: ClockName, end: datetime, *, is_open: bool) -> Iterator[Segment]:
    """At least one. The last is what holds now, however short, or, of a clock that has ended, what held then."""
    for number, one in enumerate(held):
        if number and one.start >= end and not is_open:
            return
        within = one if one.end <= end else _holding(one.start, end, one.why_not, one.terms, one.priority)
        yield Segment(*within, _target(one.terms, one.priority, name))


def _held(course: Course, now: datetime) -> list[_Held]:
    """What held from the opening until now, without a gap; the last is what holds now, however short."""
    changes: list[tuple[datetime, int, Terms | Priority | str]] = [
        *((at, 0, terms) for at, terms in course.terms),
        *((at, 1, priority) for at, priority in course.priorities),
        *((at, 2, status) for at, status in course.statuses),
    ]
    changes.sort(key=itemgetter(0))  # of those at one time the last written holds
    terms, priority, status = Terms(), course.priorities[0][1], course.statuses[0][1]
    start = course.opened_at
    held: list[_Held] = []
    before = (_why_not(terms, status), terms, priority)
    for at, _, change in changes:
        match change:
            case Terms():
                terms = change
            case Priority():
                priority = change
            case _:
                status = change
        holds = (_why_not(terms, status), terms, priority)
        if at > start and holds != before:
            held.append(_holding(start, at, *before))
            start = at
        if at == start:
            before = holds
    held.append(_holding(start, now, *before))
    return held


def _holding(start: datetime, end: datetime, why_not: str | None, terms: Terms, priority: Priority) -> _Held:
    if why_not is not None:
        return _Held(start, end, why_not, terms, priority, None, _NOTHING)
    place = terms.calendar.place(start)
    return _Held(start, end, None, terms, priority, place, terms.calendar.counted_since(place, end))


def _why_not(terms: Terms, status: str) -> str | None:
    """Why clocks stand still; None: they do not."""
    if terms.sla is None:
        return NOTHING_PROMISED
    if status == WAITING:
        return WHILE_WAITING
    return WHILE_RESOLVED if status in (RESOLVED, CLOSED) else None
