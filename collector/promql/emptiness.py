"""Whether a query can give series at all, told from which of its selectors have any."""

from collections.abc import Callable

from collector.promql.nodes import Aggregate, Binary, Call, Negate, Node, RangeSelector, Selector, Subquery
from collector.promql.plan import is_scalar
from collector.series.read import Matcher

FROM_NOTHING = frozenset({"absent", "absent_over_time", "vector"})  # these give series where there are none


def is_empty(node: Node, selects_nothing: Callable[[tuple[Matcher, ...]], bool]) -> bool:
    """Whether a node gives no series at any instant, as there are none that these matchers of it select."""
    match node:
        case Selector(matchers) | RangeSelector(matchers):
            return selects_nothing(matchers)
        case Negate(body) | Subquery(body) | Aggregate(_, body):
            return is_empty(body, selects_nothing)
        case Binary(op, left, right):
            sides = is_empty(left, selects_nothing), is_empty(right, selects_nothing)
            return {"or": all(sides), "unless": sides[0]}.get(op, any(sides))
        case Call(name, args) if name not in FROM_NOTHING and not is_scalar(node):
            return any(is_empty(arg, selects_nothing) for arg in args)
    return False
