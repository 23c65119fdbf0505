"""Labels of a rule that are probably typing errors: names that nothing on that side has, kinds that no device is of."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from collector.alerting.labels_of import Labels, labels_of
from collector.promql.nodes import Aggregate, Binary, Call, Cardinality, Matching, Negate, Node, Subquery
from collector.series.read import Matcher, MatchOp
from protocol.wire import Kind

_ALTERNATIVES = re.compile(r"[\w-]+(\|[\w-]+)*")

LabelsOf = Callable[[Sequence[Matcher]], Labels]  # of the series that some matchers select


def words_that_are_no_kind(matcher: Matcher) -> Iterator[str]:
    """The words of a matcher of the label `kind` that name none; of a regular expression that is no list of words the
    whole, if it matches no kind."""
    text = matcher.value
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        words = [text] if text else []
    elif _ALTERNATIVES.fullmatch(text.removeprefix("(").removesuffix(")")):
        words = text.removeprefix("(").removesuffix(")").split("|")
    else:
        positive = Matcher(matcher.label, MatchOp.REGEX, text)
        words = [] if any(positive.matches(kind) for kind in ("", *Kind)) else [text]
    return (word for word in words if word not in [*Kind])


def labels_that_are_missing(node: Node, known: LabelsOf) -> Iterator[tuple[str, str]]:
    """For each label that a clause names in vain: what is wrong with it, and the label."""
    for child in _children(node):
        yield from labels_that_are_missing(child, known)
    if isinstance(node, Aggregate):
        yield from _of_aggregate(node, labels_of(node.body, known))
    if isinstance(node, Binary):
        yield from _of_matching(node.matching, labels_of(node.left, known), labels_of(node.right, known))


def _of_aggregate(node: Aggregate, body: Labels) -> Iterator[tuple[str, str]]:
    if body is None:
        return
    clause = _clause("without" if node.without else "by", node.labels)
    for label in node.labels:
        if label not in body:
            yield f"{clause}: nothing that is aggregated here ever has this label", label


def _of_matching(matching: Matching, left: Labels, right: Labels) -> Iterator[tuple[str, str]]:
    clause = _clause("on" if matching.on else "ignoring", matching.labels)
    sides = {"left": left, "right": right}
    for label in matching.labels:
        lacking = [side for side, labels in sides.items() if labels is not None and label not in labels]
        if len(lacking) == len(sides):
            yield f"{clause}: neither side ever has this label", label
        elif lacking and matching.on:
            nothing = "" if None in sides.values() else ", so nothing matches"
            yield f"{clause}: the {lacking[0]} side never has this label{nothing}", label
    is_left = matching.cardinality is Cardinality.MANY_TO_ONE
    one, side = (right, "right") if is_left else (left, "left")
    clause = _clause("group_left" if is_left else "group_right", matching.include)
    for label in matching.include:
        if one is not None and label not in one:
            yield f"{clause}: the {side} side never has this label, so it is always empty", label


def _clause(word: str, labels: Sequence[str]) -> str:
    return f"{word} ({', '.join(labels)})"


def _children(node: Node) -> Iterable[Node]:
    match node:
        case Negate(body) | Subquery(body):
            return (body,)
        case Binary(_, left, right):
            return left, right
        case Aggregate(_, body, param):
            return (body,) if param is None else (body, param)
        case Call(_, arguments):
            return arguments
    return ()
