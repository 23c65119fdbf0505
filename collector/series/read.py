"""How series are read: the one interface that PromQL knows, kept by the head and by anything that stands beside it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from collector.series.labels import LabelFrame, Strings
from collector.series.regex import compile_regex

Milliseconds = int
Times = NDArray[np.int64]  # Unix milliseconds
Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
NEVER = np.iinfo(np.int64).min  # the time of no sample

# NaN with a meaning. STALE is Prometheus's staleness marker: the series ended here. ABSENT is ours and never leaves
# the store: this frame holds no value for the series (the probe was not read), so what came before still stands.
STALE_BITS = 0x7FF0000000000002
ABSENT_BITS = 0x7FF80000000ABE57
STALE = np.uint64(STALE_BITS).view(np.float64)
ABSENT = np.uint64(ABSENT_BITS).view(np.float64)


def is_stale(values: Values) -> Mask:
    return np.equal(values.view(np.uint64), np.uint64(STALE_BITS))


def is_absent(values: Values) -> Mask:
    return np.equal(values.view(np.uint64), np.uint64(ABSENT_BITS))


class MatchOp(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label, `__name__` included. Regular expressions are anchored and `.` matches a newline."""

    label: str
    op: MatchOp
    value: str

    def matches(self, text: str) -> bool:
        match self.op:
            case MatchOp.EQUAL:
                return text == self.value
            case MatchOp.NOT_EQUAL:
                return text != self.value
            case MatchOp.REGEX:
                return compile_regex(self.value).fullmatch(text) is not None
            case MatchOp.NOT_REGEX:
                return compile_regex(self.value).fullmatch(text) is None


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The series that some matchers picked. The same object comes back while the set of series does not change, so it
    may serve as a key for what is computed from the labels alone."""

    labels: LabelFrame  # with `__name__`
    handle: object  # the reader's own; nobody else looks inside

    def __len__(self) -> int:
        return self.labels.length


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of n series: `times` and `values` of shape (n, k), `counts` of shape (n,).

    Row i holds counts[i] samples in its first columns, oldest first, times strictly rising; what is beyond is
    undefined. STALE may stand among the values, ABSENT never does.
    """

    times: Times
    values: Values
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest sample of n series at an instant, each of shape (n,); undefined where not `present`."""

    times: Times
    values: Values
    present: Mask  # False where there was none within the lookback or the newest is STALE


def latest_of(samples: Samples) -> Latest:
    """The newest of the samples of each series."""
    size = len(samples.counts)
    if samples.times.shape[1] == 0:
        return Latest(np.full(size, NEVER, dtype=np.int64), np.zeros(size), np.zeros(size, dtype=np.bool_))
    rows, newest = np.arange(size), np.maximum(samples.counts - 1, 0)
    values = samples.values[rows, newest]
    return Latest(samples.times[rows, newest], values, (samples.counts > 0) & ~is_stale(values))


class SeriesReader(Protocol):
    """What PromQL asks of a store. Safe to call from another thread than the one that writes."""

    @property
    def strings(self) -> Strings: ...

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
        """The series that match all of `matchers` and may have samples in (start, end]."""
        ...

    def latest(self, selection: Selection, at: Milliseconds, lookback: Milliseconds) -> Latest:
        """Each series' newest sample in (at - lookback, at]."""
        ...

    def samples(self, selection: Selection, start: Milliseconds, end: Milliseconds) -> Samples:
        """All samples in (start, end]: open on the left, as in Prometheus 3."""
        ...
