"""What one evaluation carries along: limits, the clock, what is remembered of labels, and the conflicts it met."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar, cast

import numpy as np

from collector.promql.errors import EvaluationError, LimitError
from collector.promql.groups import METADATA, Groups, group_all
from collector.promql.nodes import Node
from collector.promql.result import Conflict
from collector.series.labels import Indexes, LabelFrame, ScratchStrings, Strings
from collector.series.read import Mask, Milliseconds, SeriesReader, Times, Values

T = TypeVar("T")

MAX_CONFLICTS = 1_000  # reported one by one; a pass with more has one cause
MAX_RENEWALS = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may ask for."""

    series: int = 1_000_000  # selected, all selectors together
    samples: int = 20_000_000  # read or made on the way, at once; 17 bytes each
    steps: int = 11_000  # of a range query, as in Prometheus
    seconds: float = 120.0


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Series over the steps of an evaluation: values and present of shape (n, steps); undefined where not present.

    Rows may be present at no step at all: an operator that filters only clears `present`, so that label sets, and all
    that is remembered about them, stay what they are from one evaluation to the next.
    """

    labels: LabelFrame
    values: Values
    present: Mask

    def __len__(self) -> int:
        return self.labels.length


@dataclass(slots=True, eq=False)
class Memory:
    """What is remembered of one plan between evaluations: results that depend on labels alone, by the label frames that
    they were made from, and the strings that the plan itself made."""

    strings: ScratchStrings
    slots: dict[tuple[int, str], tuple[tuple[object, ...], object]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)  # held while the plan is evaluated: one thread at a time
    renewals: int = 0  # how often strings were made; each may add some, so that a memory is given up in time

    @classmethod
    def on(cls, strings: Strings) -> "Memory":
        return cls(strings.scratch())

    @property
    def worn(self) -> bool:
        return self.renewals > MAX_RENEWALS


@dataclass(slots=True, eq=False)
class Shared:
    """Results of subexpressions that several plans have in common, for one instant: make a new one for each pass."""

    results: dict[tuple[Milliseconds, Node], object] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Context:
    reader: SeriesReader
    memory: Memory
    limits: Limits
    monotonic: Callable[[], float]
    lookback: Milliseconds
    subquery_step: Milliseconds
    start: Milliseconds
    end: Milliseconds
    drop_conflicts: bool
    deadline: float
    shared: Shared | None = None
    conflicts: list[Conflict] = field(default_factory=list)
    times: Times = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # the query's steps in hand
    # Of the subqueries that stand around what is evaluated, outermost first: their steps, and each window (start, end]
    # of the steps without.
    windows: list[tuple[Times, Times, Times]] = field(default_factory=list)
    series_left: int = 0
    samples_left: int = 0

    def __post_init__(self) -> None:
        self.series_left, self.samples_left = self.limits.series, self.limits.samples

    @property
    def strings(self) -> ScratchStrings:
        return self.memory.strings

    def remember(self, node: Node, part: str, made_from: tuple[object, ...], make: Callable[[], T]) -> T:
        """`make()`, or what it gave the last time if it was made from the very same objects."""
        key = (id(node), part)
        found = self.memory.slots.get(key)
        if found is not None and all(old is new for old, new in zip(found[0], made_from, strict=True)):
            return cast("T", found[1])
        made = make()
        self.memory.slots[key] = (made_from, made)
        return made

    def check_time(self) -> None:
        if self.monotonic() > self.deadline:
            raise LimitError("seconds", self.limits.seconds, "ask for fewer series or a shorter time")

    def charge_anew(self, kept: int) -> None:
        """Another slice of the query begins; of those before only `kept` cells are left."""
        self.series_left, self.samples_left = self.limits.series, self.limits.samples
        self.charge_samples(kept)

    def charge_series(self, series: int) -> None:
        self.series_left -= series
        if self.series_left < 0:
            raise LimitError("series", self.limits.series, "select fewer, with more label matchers")

    def charge_samples(self, samples: int) -> None:
        """Counts samples that were read, or cells about to be made."""
        self.samples_left -= samples
        if self.samples_left < 0:
            raise LimitError("samples", self.limits.samples, "ask for fewer series, a shorter range or longer steps")

    @contextmanager
    def within(self, inner: Times, starts: Times, ends: Times) -> Iterator[None]:
        """What is evaluated in here is evaluated at the steps `inner` of a subquery with these windows."""
        self.windows.append((inner, starts, ends))
        try:
            yield
        finally:
            self.windows.pop()

    def report(self, labels: LabelFrame, names: Iterable[str], rows: Indexes, where: Mask, reason: str) -> None:
        """A group of rows where one may stand: an error, or a conflict kept for the result. `where`: of shape (rows,
        steps), the cells that clash."""
        group = labels.only(names).take(rows[:1]).texts(self.strings, 0)
        if not self.drop_conflicts:
            shown = ", ".join(f"{name}={value!r}" for name, value in sorted(group.items()))
            raise EvaluationError(f"{reason} (match group {{{shown}}}, {len(rows)} series)")
        customers = labels.column("customer")[rows]
        for customer in np.unique(customers):
            if len(self.conflicts) < MAX_CONFLICTS:
                concerned = {"customer": self.strings.text(int(customer))} if customer else {}
                of_customer = customers == customer
                spans = self._spans(where[of_customer].any(axis=0))
                self.conflicts.append(Conflict(group | concerned, int(of_customer.sum()), reason, spans))

    def _spans(self, where: Mask) -> tuple[tuple[Milliseconds, Milliseconds], ...]:
        """The unbroken stretches of the query's steps that see one of these steps (steps,) of what is in hand."""
        for inner, starts, ends in reversed(self.windows):
            before = np.concatenate([[0], np.cumsum(where)])
            where = before[np.searchsorted(inner, ends, "right")] > before[np.searchsorted(inner, starts, "right")]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(np.int8)))
        firsts, lasts = self.times[edges[::2]], self.times[edges[1::2] - 1]
        return tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))

    def drop_name(self, node: Node, grid: Grid) -> Grid:
        """The grid without metric names, as every function that computes new values leaves it."""
        if not any(name in grid.labels.columns for name in METADATA):
            return grid
        labels = self.remember(node, "nameless", (grid.labels,), lambda: grid.labels.without(METADATA))
        return self.merge_equal(node, Grid(labels, grid.values, grid.present))

    def merge_equal(self, node: Node, grid: Grid) -> Grid:
        """Rows with equal label sets made one; where two are present at one step, they conflict."""
        groups = self.remember(node, "equal", (grid.labels,), lambda: group_all(grid.labels))
        if groups.singles:
            return grid
        labels = self.remember(node, "merged", (grid.labels,), lambda: grid.labels.take(groups.first))
        return self.merge(groups, grid, labels, "vector cannot contain metrics with the same labelset")

    def settle(self, groups: Groups, present: Mask, labels: LabelFrame, reason: str) -> Mask:
        """`present` without the cells of rows that clash: two of one group at one step. `labels` are the groups'."""
        counts = groups.count(present)
        clashing = np.flatnonzero((counts > 1).any(axis=1))
        for group in clashing[:MAX_CONFLICTS]:
            rows = np.full(int(counts[group].max()), group, dtype=np.intp)
            self.report(labels, labels.columns, rows, counts[rows] > 1, reason)
        return present & (counts <= 1)[groups.of] if len(clashing) else present

    def merge(self, groups: Groups, grid: Grid, labels: LabelFrame, reason: str) -> Grid:
        """The rows of each group made one row of `labels`."""
        present = self.settle(groups, grid.present, labels, reason)
        values = groups.reduce(np.add, np.where(present, grid.values, 0.0))
        return Grid(labels, values, groups.count(present) > 0)
