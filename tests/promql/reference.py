"""PromQL's functions over time written down one sample after the other, to compare the array versions with."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

Point = tuple[int, float]  # Unix milliseconds, value
OverTime = Callable[[Sequence[Point], int, int], float | None]  # samples, start and end of the window in ms


def growth(points: Sequence[Point], start: int, end: int, *, is_counter: bool) -> float | None:
    if len(points) < 2:
        return None
    (first_time, first), (last_time, last) = points[0], points[-1]
    result = last - first
    if is_counter:
        for (_, before), (_, after) in pairwise(points):
            if after < before:
                result += before
    sampled = (last_time - first_time) / 1000
    average = sampled / (len(points) - 1)
    to_start, to_end = (first_time - start) / 1000, (end - last_time) / 1000
    if to_start >= average * 1.1:
        to_start = average / 2
    if is_counter and result > 0 and first >= 0:
        to_start = min(to_start, sampled * (first / result))
    if to_end >= average * 1.1:
        to_end = average / 2
    return result * ((sampled + to_start + to_end) / sampled)


def rate(points: Sequence[Point], start: int, end: int) -> float | None:
    result = growth(points, start, end, is_counter=True)
    return None if result is None else result / ((end - start) / 1000)


def last_two(points: Sequence[Point], *, is_counter: bool) -> float | None:
    if len(points) < 2:
        return None
    (older_time, older), (newer_time, newer) = points[-2:]
    change = newer if is_counter and newer < older else newer - older
    return change / ((newer_time - older_time) / 1000) if is_counter else change


def line(points: Sequence[Point], origin: int) -> tuple[float, float] | None:
    """Slope per second and value at `origin`."""
    if len(points) < 2:
        return None
    if all(value == points[0][1] for _, value in points):
        return (math.nan, math.nan) if math.isinf(points[0][1]) else (0.0, points[0][1])
    seconds = [(at - origin) / 1000 for at, _ in points]
    values = [value for _, value in points]
    mean_seconds, mean_value = math.fsum(seconds) / len(points), math.fsum(values) / len(points)
    rise = math.fsum((x - mean_seconds) * (y - mean_value) for x, y in zip(seconds, values, strict=True))
    slope = rise / math.fsum((x - mean_seconds) ** 2 for x in seconds)
    return slope, mean_value - slope * mean_seconds


def predicted(points: Sequence[Point], at: int, seconds: float) -> float | None:
    found = line(points, at)
    return None if found is None else found[0] * seconds + found[1]


def variance(points: Sequence[Point]) -> float:
    mean = math.fsum(value for _, value in points) / len(points)
    return math.fsum((value - mean) ** 2 for _, value in points) / len(points)


def quantile(share: float, values: Sequence[float]) -> float:
    ordered = sorted(values)
    rank = share * (len(ordered) - 1)
    lower = math.floor(rank)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] * (1 - (rank - lower)) + ordered[upper] * (rank - lower)


def pairs(points: Sequence[Point]) -> list[tuple[float, float]]:
    return [(before, after) for (_, before), (_, after) in pairwise(points)]


FUNCTIONS: dict[str, OverTime] = {
    "rate(x[WINDOW])": rate,
    "increase(x[WINDOW])": lambda points, start, end: growth(points, start, end, is_counter=True),
    "delta(x[WINDOW])": lambda points, start, end: growth(points, start, end, is_counter=False),
    "irate(x[WINDOW])": lambda points, *_: last_two(points, is_counter=True),
    "idelta(x[WINDOW])": lambda points, *_: last_two(points, is_counter=False),
    "deriv(x[WINDOW])": lambda points, *_: (line(points, points[0][0]) or [None])[0],
    "predict_linear(x[WINDOW], 60)": lambda points, _, end: predicted(points, end, 60.0),
    "changes(x[WINDOW])": lambda points, *_: float(sum(a != b for a, b in pairs(points))),
    "resets(x[WINDOW])": lambda points, *_: float(sum(b < a for a, b in pairs(points))),
    "sum_over_time(x[WINDOW])": lambda points, *_: math.fsum(value for _, value in points),
    "avg_over_time(x[WINDOW])": lambda points, *_: math.fsum(value for _, value in points) / len(points),
    "min_over_time(x[WINDOW])": lambda points, *_: min(value for _, value in points),
    "max_over_time(x[WINDOW])": lambda points, *_: max(value for _, value in points),
    "count_over_time(x[WINDOW])": lambda points, *_: float(len(points)),
    "last_over_time(x[WINDOW])": lambda points, *_: points[-1][1],
    "stdvar_over_time(x[WINDOW])": lambda points, *_: variance(points),
    "quantile_over_time(0.7, x[WINDOW])": lambda points, *_: quantile(0.7, [value for _, value in points]),
}
