"""Made-up printers whose use is known: what a forecast says is compared with what then happens."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from collector.fleet.printers.forecast import Point, forecast, observe

HOUR, DAY = 3600.0, 86_400.0
START = 1_767_571_200.0  # a Monday, 2026-01-05, 00:00 UTC


@dataclass(frozen=True, slots=True)
class Office:
    """How a printer is used: `per_day` is the share of a cartridge on a working day, give or take `spread`."""

    per_day: float
    spread: float = 0.5
    step: float = 0.01
    noise: float = 0.0  # a level that is told wrong by so much
    is_told_up: bool = False  # rounded up to the next step; else down
    pause: tuple[int, int] | None = None  # days without use, from and until
    seed: int = 1

    def levels(self, days: int) -> Iterator[tuple[float, float, float]]:
        """Every four hours: the time, the true level and the one told. An empty cartridge is changed at once."""
        random = Random(self.seed)  # noqa: S311 - no secret
        level = random.uniform(0.5, 1.0)
        for day in range(days):
            is_off = day % 7 >= 5 or (self.pause is not None and self.pause[0] <= day < self.pause[1])
            used = 0.0 if is_off else self.per_day * max(0.0, random.gauss(1, self.spread))
            for hour in range(0, 24, 4):
                if 8 <= hour < 20:
                    level -= used / 3
                if level <= 0:
                    level = 1.0
                yield START + day * DAY + hour * HOUR, level, self._told(level, random)

    def _told(self, level: float, random: Random) -> float:
        seen = level + random.uniform(-self.noise, self.noise)
        steps = seen / self.step
        whole = math.ceil(steps - 1e-9) if self.is_told_up else math.floor(steps + 1e-9)
        return min(1.0, max(0.0, whole * self.step))


@dataclass(frozen=True, slots=True)
class Judged:
    """A forecast that was made when so many days were left in truth."""

    foretold: float
    true: float

    @property
    def error(self) -> float:
        """As a share of what was true; of the last days, of three days."""
        return abs(self.foretold - self.true) / max(3.0, self.true)


def judged(
    office: Office, *, days: int = 200, wanted: Callable[[float], bool] = lambda left: left <= 30
) -> list[Judged]:
    """Once a day, what is foretold of a cartridge against when it was told as empty, or changed."""
    points: tuple[Point, ...] = ()
    told: list[tuple[float, float]] = []
    ends: list[float] = []
    before = 1.0
    for at, _, level in office.levels(days):
        if level <= 0 < before or (level - before > 0.4 and before > 0):
            ends.append(at)
        before = level
        points = observe(points, Point(at, level))
        if (at - START) % DAY == 12 * HOUR and (found := forecast(points, at)) is not None:
            told.append((at, found.days_left))
    pairs = []
    for at, left in told:
        end = next((one for one in ends if one > at), None)
        if end is not None and wanted((end - at) / DAY):
            pairs.append(Judged(left, (end - at) / DAY))
    return pairs
