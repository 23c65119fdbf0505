"""PromQL, with the semantics of Prometheus 3, evaluated for a whole fleet at once.

`compile_expr(text)` gives a `Plan` (or raises `ParseError`); an `Engine` on a `SeriesReader` evaluates it, at one
instant or over a range. Keep plans: what depends on labels alone is remembered with them. Everything of PromQL is
there save native histograms and what is experimental upstream; `compile_expr` refuses either, with its column.
"""

from collector.promql.context import MAX_CONFLICTS, Limits, Shared
from collector.promql.engine import Engine
from collector.promql.errors import EvaluationError, LimitError, ParseError, PromqlError
from collector.promql.plan import DEFAULT_LOOKBACK, Plan, compile_expr
from collector.promql.result import Conflict, Matrix, Result, Scalar, String, Vector

__all__ = [
    "DEFAULT_LOOKBACK",
    "MAX_CONFLICTS",
    "Conflict",
    "Engine",
    "EvaluationError",
    "LimitError",
    "Limits",
    "Matrix",
    "ParseError",
    "Plan",
    "PromqlError",
    "Result",
    "Scalar",
    "Shared",
    "String",
    "Vector",
    "compile_expr",
]
