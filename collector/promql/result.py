"""What a query gives."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from collector.series.labels import LabelFrame, ScratchStrings
from collector.series.read import Mask, Milliseconds, Times, Values


@dataclass(frozen=True, slots=True)
class Conflict:
    """A match group that held duplicates and was left out of the result."""

    labels: Mapping[str, str]  # of the group, with the `customer` of the series concerned
    series: int  # how many series stood where one may
    reason: str
    spans: tuple[tuple[Milliseconds, Milliseconds], ...] = ()  # first and last instant of each time that it stood

    def shifted(self, milliseconds: int) -> "Conflict":
        """The same so much later."""
        return replace(self, spans=tuple((first + milliseconds, last + milliseconds) for first, last in self.spans))


@dataclass(frozen=True, slots=True)
class Vector:
    """Series with one value each: values of shape (n,), in the order in which `sort` and `topk` put them."""

    labels: LabelFrame
    values: Values
    strings: ScratchStrings  # gives the codes in `labels` their text
    conflicts: tuple[Conflict, ...] = ()

    def __len__(self) -> int:
        return self.labels.length

    def label_sets(self) -> list[dict[str, str]]:
        return [self.labels.texts(self.strings, row) for row in range(self.labels.length)]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Series over time: times (steps,), values and present of shape (n, steps); undefined where not present."""

    labels: LabelFrame
    times: Times
    values: Values
    present: Mask
    strings: ScratchStrings
    conflicts: tuple[Conflict, ...] = ()

    def __len__(self) -> int:
        return self.labels.length

    def shifted(self, milliseconds: int) -> "Matrix":
        """The same so much later."""
        if milliseconds == 0:
            return self
        conflicts = tuple(one.shifted(milliseconds) for one in self.conflicts)
        return replace(self, times=self.times + milliseconds, conflicts=conflicts)

    def label_sets(self) -> list[dict[str, str]]:
        return [self.labels.texts(self.strings, row) for row in range(self.labels.length)]


@dataclass(frozen=True, slots=True)
class Scalar:
    value: float
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True, slots=True)
class String:
    text: str
    conflicts: tuple[Conflict, ...] = ()


Result = Vector | Matrix | Scalar | String
