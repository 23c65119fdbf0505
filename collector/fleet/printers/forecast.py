"""How long a supply lasts, from the course of its level. Pure: points and a time in, a forecast out.

A printer tells a level as a share of what is left, in steps of 1 %, or of 10 or 25 %. What is remembered of it are the
moments at which it fell by a step, and those at which it rose by so much that somebody must have changed the cartridge.
Between two steps the use is taken to be even, so a coarse level tells as much as a fine one, only later. Older use
counts less: half as much after three weeks.

What is foretold is when the level will be told as 0. Whether a printer rounds up or down makes no difference to that.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

DAY_SECONDS = 86_400.0
HALF_LIFE_SECONDS = 21 * DAY_SECONDS
MIN_STEP = 0.005  # smaller steps are added up
REFILL_RISE = 0.2  # a rise by this share, and by half as much again as the level's own steps, is another cartridge
NEARLY_EMPTY = 0.1  # from here a rise of as much is one: ink that was topped up
GLITCH_SECONDS = 6 * 3600.0  # one that ends so soon, where it began, was no change
GLITCH_APART = 0.05
COARSE_STEP = 0.04  # from here on the first step of a cartridge tells nothing: it may come at once, or late
MIN_USE = 0.05  # of a cartridge, in
MIN_INTERVALS = 2
MIN_SPAN_SECONDS = DAY_SECONDS
PAUSE_SECONDS = 7 * DAY_SECONDS  # what is used in a longer time, and in far longer than usual, was used around a pause
PAUSE_FACTOR = 4.0
LONGEST_PAUSE_SECONDS = 30 * DAY_SECONDS  # what goes on for longer is how it is used now
MAX_DAYS = 730.0
MAX_POINTS = 300
SAME_YIELD_USE = 0.1  # of a cartridge: less tells nothing about how many pages one makes


@dataclass(frozen=True, slots=True)
class Point:
    """A level as it was when it was first told."""

    at: float  # Unix seconds
    level: float  # from 0 to 1
    pages: float | None = None  # what the printer's page counter said

    def is_change(self, before: "Point", step: float) -> bool:
        return is_refill(before.level, self.level, step)


@dataclass(frozen=True, slots=True)
class Forecast:
    days_left: float
    used_per_day: float  # share of a cartridge


def is_refill(before: float, after: float, step: float) -> bool:
    """Whether a level rose because something was changed or filled, and not because the printer tells it badly."""
    rise = after - before
    return rise >= max(REFILL_RISE, 1.5 * step) or (before <= NEARLY_EMPTY and rise >= NEARLY_EMPTY)


def observe(points: tuple[Point, ...], point: Point) -> tuple[Point, ...]:
    """What is remembered after another reading: `points` itself where it says nothing new."""
    if not math.isfinite(point.level) or (points and point.at <= points[-1].at):
        return points
    point = Point(point.at, min(1.0, max(0.0, point.level)), point.pages)
    if not points:
        return (point,)
    last = points[-1]
    if point.level <= last.level - MIN_STEP or point.level <= 0 < last.level:
        return (*points, point)[-MAX_POINTS:]
    if not point.is_change(last, step_of(points)):
        return points
    return points[:-1] if _is_glitch_over(points, point) else (*points, point)[-MAX_POINTS:]


def _is_glitch_over(points: Sequence[Point], point: Point) -> bool:
    """Whether it is as before a fall that was none."""
    if len(points) < 2:
        return False
    earlier, last = points[-2:]
    is_short = point.at - last.at <= GLITCH_SECONDS and earlier.level - last.level >= REFILL_RISE
    return is_short and abs(point.level - earlier.level) <= GLITCH_APART


def step_of(points: Sequence[Point]) -> float:
    """By how much the level usually falls at once; 0 if it has not."""
    falls = [first.level - second.level for first, second in _falls(points)]
    return median(falls) if falls else 0.0


def forecast(points: Sequence[Point], now: float) -> Forecast | None:
    """None while too little is known."""
    if not points:
        return None
    last, step = points[-1], step_of(points)
    uses = _uses(points, step)
    is_little = sum(use.share for use in uses) < MIN_USE or sum(use.seconds for use in uses) < MIN_SPAN_SECONDS
    if is_little or len(uses) < (1 if step >= COARSE_STEP else MIN_INTERVALS):
        return Forecast(0.0, 0.0) if last.level <= 0 else None
    usual = median([use.seconds for use in uses])
    rate = _rate(uses, usual, now)
    since = max(0.0, now - last.at)
    if rate * since > step:  # the next step is overdue: by now it is used more slowly
        rate = _rate([*uses, _Use(last.at, since, step)], usual, now)
    left = max(0.0, last.level - min(step, rate * since))
    if rate <= 0:
        return None
    days = left / rate / DAY_SECONDS
    return Forecast(min(MAX_DAYS, days), rate * DAY_SECONDS)


def pages_of_a_cartridge(points: Sequence[Point]) -> float | None:
    """How many pages one makes, as it did so far; None while too little is known."""
    pages = used = 0.0
    for first, second in _falls(points):
        if first.pages is not None and second.pages is not None and second.pages >= first.pages:
            pages += second.pages - first.pages
            used += first.level - second.level
    return pages / used if used >= SAME_YIELD_USE and pages > 0 else None


def last_change(points: Sequence[Point]) -> float | None:
    """When something was last changed or filled."""
    step = step_of(points)
    pairs = itertools.pairwise(points)
    return next((after.at for before, after in reversed([*pairs]) if after.is_change(before, step)), None)


def used_between(points: Sequence[Point], start: float, end: float) -> tuple[float, int]:
    """In [start, end): what was used, as share of a cartridge, and how many times something was changed."""
    used, changes = 0.0, 0
    step = step_of(points)
    for first, second in itertools.pairwise(points):
        if not start <= second.at < end:
            continue
        if second.level < first.level:
            used += first.level - second.level
        elif second.is_change(first, step):
            changes += 1
    return used, changes


@dataclass(frozen=True, slots=True)
class _Use:
    """So much was used, evenly, from then on for so long."""

    start: float
    seconds: float
    share: float


def _falls(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    return [(first, second) for first, second in itertools.pairwise(points) if second.level < first.level]


def _uses(points: Sequence[Point], step: float) -> list[_Use]:
    """What was used from step to step. With a coarse level the first step after a change, or after the beginning, is
    left out, unless nothing else is known."""
    sure: list[_Use] = []
    unsure: list[_Use] = []
    before: Point | None = None
    for first, second in itertools.pairwise(points):
        if second.level < first.level:
            begins = before is None or before.level < first.level
            use = _Use(first.at, second.at - first.at, first.level - second.level)
            (unsure if begins and step >= COARSE_STEP else sure).append(use)
        before = first
    return sure or unsure


def _rate(uses: Sequence[_Use], usual: float, now: float) -> float:
    """Share of a cartridge a second. Of a time without use that is far longer than usual, a part counts as a pause."""
    longest = max(PAUSE_SECONDS, PAUSE_FACTOR * usual)
    used = weighed = 0.0
    for use in uses:
        seconds = min(use.seconds, longest) + max(0.0, use.seconds - LONGEST_PAUSE_SECONDS)
        weight = _weight(now - use.start - use.seconds, seconds)
        used += use.share / seconds * weight
        weighed += weight
    return used / weighed if weighed > 0 else 0.0


def _weight(age: float, seconds: float) -> float:
    """Of a time that ended `age` seconds ago and was `seconds` long: its length, as it fades."""
    decay = math.log(2) / HALF_LIFE_SECONDS
    return (math.exp(-decay * max(0.0, age)) - math.exp(-decay * (max(0.0, age) + seconds))) / decay
