"""The operators: names, and what each does to arrays. Arithmetic is float64 as in Go, division by zero included."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ufunc = Callable[..., NDArray[Any]]

ARITHMETIC: dict[str, Ufunc] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,  # the sign of the dividend, as Go's math.Mod
    "^": np.power,
    "atan2": np.arctan2,
}
COMPARISONS: dict[str, Ufunc] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
SET_OPERATORS = frozenset({"and", "or", "unless"})

AGGREGATIONS = frozenset(
    {"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile", "topk", "bottomk", "count_values"}
)


def compute(op: str, left: float, right: float) -> float:
    """One operator on two numbers; a comparison gives 1 or 0."""
    with np.errstate(all="ignore"):
        function = ARITHMETIC.get(op) or COMPARISONS[op]
        return float(function(np.float64(left), np.float64(right)))
