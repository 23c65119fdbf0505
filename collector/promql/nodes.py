"""A query as the evaluator sees it: parentheses gone, constants folded, durations in milliseconds.

Nodes are values: two equal subexpressions are equal nodes, and may be evaluated once.
"""

from dataclasses import dataclass, field
from enum import Enum, StrEnum

from collector.series.read import Matcher, Milliseconds


class Edge(Enum):
    """`@ start()` and `@ end()`: the first and last instant of the whole query."""

    START = "start"
    END = "end"


class Cardinality(StrEnum):
    ONE_TO_ONE = "one-to-one"
    MANY_TO_ONE = "many-to-one"  # group_left
    ONE_TO_MANY = "one-to-many"  # group_right


@dataclass(frozen=True, slots=True)
class Shift:
    """Where a selector or subquery looks: at the evaluated instant, or at a fixed one, less an offset."""

    offset: Milliseconds = 0
    at: Milliseconds | Edge | None = None


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """An instant vector."""

    matchers: tuple[Matcher, ...]
    shift: Shift = Shift()


@dataclass(frozen=True, slots=True)
class RangeSelector:
    matchers: tuple[Matcher, ...]
    window: Milliseconds
    shift: Shift = Shift()


@dataclass(frozen=True, slots=True)
class Subquery:
    body: "Node"
    window: Milliseconds
    step: Milliseconds | None
    shift: Shift = Shift()


@dataclass(frozen=True, slots=True)
class Negate:
    body: "Node"


@dataclass(frozen=True, slots=True)
class Matching:
    """How the two sides of a binary operator find each other; without `on`, `labels` are those to ignore."""

    on: bool = False
    labels: tuple[str, ...] = ()
    cardinality: Cardinality = Cardinality.ONE_TO_ONE
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binary:
    op: str
    left: "Node"
    right: "Node"
    matching: Matching = Matching()
    returns_bool: bool = False


@dataclass(frozen=True, slots=True)
class Aggregate:
    op: str
    body: "Node"
    param: "Node | None" = None
    labels: tuple[str, ...] = ()
    without: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    args: tuple["Node", ...] = field(default=())


Node = Number | Text | Selector | RangeSelector | Subquery | Negate | Binary | Aggregate | Call
