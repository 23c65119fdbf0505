"""Where queries are asked."""

import time
from collections.abc import Callable
from datetime import timedelta
from weakref import WeakKeyDictionary

import numpy as np

from collector.promql.aggregate import ranking
from collector.promql.calls import vector
from collector.promql.context import Context, Grid, Limits, Memory, Shared
from collector.promql.errors import EvaluationError, LimitError
from collector.promql.evaluate import evaluate, read_windows
from collector.promql.nodes import Aggregate, Call, Node, RangeSelector, Subquery
from collector.promql.plan import DEFAULT_LOOKBACK, Plan
from collector.promql.result import Matrix, Result, Scalar, String, Vector
from collector.promql.slices import slices_of, strung, without_empty_rows
from collector.series.labels import Indexes
from collector.series.read import Milliseconds, SeriesReader, Times, Values

SUBQUERY_STEP = timedelta(minutes=1)  # of a subquery that names none: Prometheus's default evaluation interval
_MILLISECOND = timedelta(milliseconds=1)


class Engine:
    """Evaluates plans on what a reader holds. May be used from several threads; keeps no samples itself."""

    def __init__(
        self,
        reader: SeriesReader,
        *,
        lookback: timedelta = DEFAULT_LOOKBACK,
        subquery_step: timedelta = SUBQUERY_STEP,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._lookback = lookback // _MILLISECOND
        self._subquery_step = subquery_step // _MILLISECOND
        self._limits = limits
        self._monotonic = monotonic
        self._memories: WeakKeyDictionary[Plan, Memory] = WeakKeyDictionary()

    def instant(
        self, plan: Plan, at: Milliseconds, *, drop_conflicts: bool = False, shared: Shared | None = None
    ) -> Result:
        """The query at one instant (Unix ms).

        With `drop_conflicts`, as rules are evaluated, duplicates in a match group drop that group alone and are
        reported in the result's `conflicts`; without, they are an error, as in Prometheus. Plans that are evaluated
        with one `shared` evaluate the subexpressions that they have in common once.

        Raises EvaluationError, and LimitError with the name of the limit.
        """
        context = self._context(plan, at, at, drop_conflicts=drop_conflicts, shared=shared)
        times = context.times = np.array([at], dtype=np.int64)
        with context.memory.lock, np.errstate(all="ignore"):
            if isinstance(plan.root, RangeSelector | Subquery):
                return _samples(context, plan.root, times)
            found = evaluate(context, plan.root, times)
            conflicts = tuple(context.conflicts)
            if isinstance(found, str):
                return String(found, conflicts)
            if not isinstance(found, Grid):
                return Scalar(float(found[0]), conflicts)
            rows = _in_order(plan.root, found)
            context.check_time()
            return Vector(found.labels.take(rows), found.values[rows, 0], context.strings, tuple(context.conflicts))

    def range(
        self, plan: Plan, start: Milliseconds, end: Milliseconds, step: Milliseconds, *, drop_conflicts: bool = False
    ) -> Matrix:
        """The query at start, start + step, … up to end (Unix ms). The steps are evaluated together, or in a few slices
        where they would read more samples than are allowed at once. `drop_conflicts` as in `instant`.

        Raises EvaluationError, and LimitError with the name of the limit.
        """
        if step <= 0 or end < start:
            raise EvaluationError(
                f"a range needs a positive step and an end after its start, got {start}..{end}/{step}"
            )
        if (end - start) // step + 1 > self._limits.steps:
            raise LimitError("steps", self._limits.steps, "take a longer step or a shorter range")
        if isinstance(plan.root, RangeSelector | Subquery):
            raise EvaluationError("a range query takes an instant vector or a scalar, not a range vector")
        context = self._context(plan, start, end, drop_conflicts=drop_conflicts)
        times = np.arange(start, end + 1, step, dtype=np.int64)
        grids: list[Grid] = []
        scalars: list[Values] = []
        with context.memory.lock, np.errstate(all="ignore"):
            for some in slices_of(context, plan, times):
                context.charge_anew(sum(grid.values.size for grid in grids))
                context.times = some
                found = evaluate(context, plan.root, some)
                if isinstance(found, str):
                    raise EvaluationError("a range query takes an instant vector or a scalar, not a string")
                if isinstance(found, Grid):
                    grids.append(without_empty_rows(found))
                else:
                    scalars.append(found)
        if scalars:
            return _constant(context, np.concatenate(scalars), times)
        whole = strung(grids)
        return Matrix(whole.labels, times, whole.values, whole.present, context.strings, tuple(context.conflicts))

    def _context(
        self,
        plan: Plan,
        start: Milliseconds,
        end: Milliseconds,
        *,
        drop_conflicts: bool = False,
        shared: Shared | None = None,
    ) -> Context:
        memory = self._memories.get(plan)
        if memory is None or memory.worn:
            memory = self._memories[plan] = Memory.on(self._reader.strings)
        return Context(
            reader=self._reader,
            memory=memory,
            limits=self._limits,
            monotonic=self._monotonic,
            lookback=self._lookback,
            subquery_step=self._subquery_step,
            start=start,
            end=end,
            drop_conflicts=drop_conflicts,
            deadline=self._monotonic() + self._limits.seconds,
            shared=shared,
        )


def _constant(context: Context, scalar: Values, times: Times) -> Matrix:
    grid = vector(scalar)
    return Matrix(grid.labels, times, grid.values, grid.present, context.strings, tuple(context.conflicts))


def _samples(context: Context, node: RangeSelector | Subquery, times: Times) -> Matrix:
    """A range vector as it is: every sample, on the times that any of the series has one."""
    labels, samples, _, _ = read_windows(context, node, times)
    valid = np.arange(samples.values.shape[1]) < samples.counts[:, None]
    every, columns = np.unique(samples.times[valid], return_inverse=True)
    context.charge_samples(labels.length * len(every))
    values = np.zeros((labels.length, len(every)))
    present = np.zeros(values.shape, dtype=np.bool_)
    rows = np.nonzero(valid)[0]
    values[rows, columns] = samples.values[valid]
    present[rows, columns] = True
    kept = np.flatnonzero(samples.counts > 0)
    return Matrix(labels.take(kept), every, values[kept], present[kept], context.strings)


def _in_order(root: Node, grid: Grid) -> Indexes:
    """The rows that are present, in the order that the query asks for."""
    rows = np.flatnonzero(grid.present[:, 0])
    values = grid.values[rows, 0]
    match root:
        case Call("sort"):
            return rows[np.lexsort((values, np.isnan(values)))]
        case Call("sort_desc"):
            return rows[np.lexsort((-values, np.isnan(values)))]
        case Aggregate("topk" | "bottomk"):
            groups, ranks = ranking(root, grid)
            return rows[np.lexsort((ranks[rows], groups.first[groups.of[rows]]))]
    return rows
