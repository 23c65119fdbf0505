"""Which functions there are, and what is asked of their arguments beyond the types that the parser has checked."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.promql.kernels import KERNELS
from collector.promql.nodes import Call, Text
from collector.promql.operators import Ufunc
from collector.series.read import Mask, Values
from collector.series.regex import RegexError, compile_regex


def _check_label_replace(call: Call) -> str | None:
    _, target, _, _, pattern = call.args
    if isinstance(target, Text) and not target.value:
        return "label_replace: the destination label must have a name"
    if isinstance(pattern, Text):
        try:
            compile_regex(pattern.value)
        except RegexError as exc:
            return f"label_replace: {pattern.value!r} is no regular expression: {exc}"
    return None


def _check_label_join(call: Call) -> str | None:
    target = call.args[1]
    if isinstance(target, Text) and not target.value:
        return "label_join: the destination label must have a name"
    return None


@dataclass(frozen=True, slots=True)
class Function:
    returns_scalar: bool = False
    check: Callable[[Call], str | None] | None = None  # what is wrong with a call, None if nothing is


def _sign(values: Values) -> Values:
    return np.where(values > 0, 1.0, np.where(values < 0, -1.0, values))


ELEMENTWISE: dict[str, Ufunc] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "ln": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sgn": _sign,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "deg": np.degrees,
    "rad": np.radians,
}


def _calendar(unit: str) -> Callable[[Values], Values]:
    """The part of a UTC time in Unix seconds between `unit` and the next larger one; NaN for what is no time."""
    larger = {"h": "D", "m": "h", "D": "M", "M": "Y"}[unit]

    def part(seconds: Values) -> Values:
        instants, sound = _instants(seconds)
        found = (instants.astype(f"datetime64[{unit}]") - instants.astype(f"datetime64[{larger}]")).astype(np.int64)
        return np.where(sound, found + (unit in "DM"), np.nan)

    return part


def _instants(seconds: Values) -> tuple[NDArray[np.datetime64], Mask]:
    sound = np.abs(seconds) < 1e15
    return np.where(sound, seconds, 0).astype(np.int64).astype("datetime64[s]"), sound


def _year(seconds: Values) -> Values:
    instants, sound = _instants(seconds)
    return np.where(sound, instants.astype("datetime64[Y]").astype(np.int64) + 1970, np.nan)


def _day_of_week(seconds: Values) -> Values:
    instants, sound = _instants(seconds)
    days = instants.astype("datetime64[D]").astype(np.int64)
    return np.where(sound, (days + 4) % 7, np.nan)  # the epoch was a Thursday


def _day_of_year(seconds: Values) -> Values:
    instants, sound = _instants(seconds)
    days = instants.astype("datetime64[D]") - instants.astype("datetime64[Y]").astype("datetime64[D]")
    return np.where(sound, days.astype(np.int64) + 1, np.nan)


def _days_in_month(seconds: Values) -> Values:
    instants, sound = _instants(seconds)
    month = instants.astype("datetime64[M]")
    days = (month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")
    return np.where(sound, days.astype(np.int64), np.nan)


CALENDAR: dict[str, Ufunc] = {
    "minute": _calendar("m"),
    "hour": _calendar("h"),
    "day_of_month": _calendar("D"),
    "month": _calendar("M"),
    "year": _year,
    "day_of_week": _day_of_week,
    "day_of_year": _day_of_year,
    "days_in_month": _days_in_month,
}

FUNCTIONS: dict[str, Function] = {
    **dict.fromkeys((*KERNELS, *ELEMENTWISE, *CALENDAR), Function()),
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max", "round"), Function()),
    **dict.fromkeys(("absent", "absent_over_time", "timestamp", "vector", "sort", "sort_desc"), Function()),
    **dict.fromkeys(("time", "pi", "scalar"), Function(returns_scalar=True)),
    "label_replace": Function(check=_check_label_replace),
    "label_join": Function(check=_check_label_join),
    "histogram_quantile": Function(),
}

_NATIVE_HISTOGRAMS = frozenset(
    {"histogram_avg", "histogram_count", "histogram_sum", "histogram_stddev", "histogram_stdvar", "histogram_fraction"}
)


def refusal_of(name: str) -> str:
    """Why a function that the parser knows is not in FUNCTIONS."""
    if name in _NATIVE_HISTOGRAMS:
        return f"{name} needs native histograms, which are not supported; use histogram_quantile on classic buckets"
    return f"{name} is experimental in Prometheus and not supported"
