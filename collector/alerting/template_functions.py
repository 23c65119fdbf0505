"""The functions of rule templates, each checked against the kinds of its arguments when the template is compiled."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, cast

import re2

from collector.alerting import gotext
from collector.alerting.gotext import Value
from collector.series.regex import expand

Evaluate = Callable[[Mapping[str, str], float], Value]

_RE2_OPTIONS = re2.Options()
_RE2_OPTIONS.log_errors = False

MAX_FIELD_CHARS = 200  # width and precision of a printf field: wider is padding for no reader


class Kind(StrEnum):
    """What an expression yields, in words for messages."""

    NUMBER = "a number"  # float64
    WHOLE = "a whole number"  # int
    TEXT = "text"
    TRUTH = "true or false"
    LABELS = "labels"
    ANY = "one of several kinds"


class RefusalError(ValueError):
    """Arguments that a function does not take."""


@dataclass(frozen=True, slots=True)
class Operand:
    kind: Kind
    evaluate: Evaluate
    known: Value | None = None  # if it is a constant

    @classmethod
    def constant(cls, kind: Kind, value: Value) -> "Operand":
        return cls(kind, lambda _labels, _value: value, value)


Function = Callable[[Sequence[Operand]], Operand]


def _expect(arguments: Sequence[Operand], *accepted: tuple[Kind, ...]) -> None:
    if len(arguments) != len(accepted):
        raise RefusalError(f"takes {len(accepted)} values, got {len(arguments)}")
    for argument, kinds in zip(arguments, accepted, strict=True):
        if argument.kind not in kinds:
            raise RefusalError(f"takes {' or '.join(kinds)}, got {argument.kind}")


NUMERIC = (Kind.NUMBER, Kind.WHOLE, Kind.TEXT)  # text that is a number, such as a label's value
COMPARABLE = (Kind.NUMBER, Kind.WHOLE, Kind.TEXT)


def _of_one(apply: Callable[[Value], Value], accepted: tuple[Kind, ...], result: Kind) -> Function:
    def build(arguments: Sequence[Operand]) -> Operand:
        _expect(arguments, accepted)
        only = arguments[0].evaluate
        return Operand(result, lambda labels, value: apply(only(labels, value)))

    return build


def _of_text(apply: Callable[[str], str]) -> Function:
    return _of_one(cast("Callable[[Value], Value]", apply), (Kind.TEXT,), Kind.TEXT)


def _compare(holds: Callable[[object, object], bool]) -> Function:
    def build(arguments: Sequence[Operand]) -> Operand:
        _expect(arguments, COMPARABLE, COMPARABLE)
        left, right = arguments
        _check_comparable(left, right)
        return Operand(
            Kind.TRUTH, lambda labels, value: holds(left.evaluate(labels, value), right.evaluate(labels, value))
        )

    return build


def _check_comparable(left: Operand, right: Operand) -> None:
    if left.kind == right.kind:
        return
    whole = next((one for one in (left, right) if one.kind == Kind.WHOLE and one.known is not None), None)
    if whole and Kind.NUMBER in (left.kind, right.kind):
        raise RefusalError(f"cannot compare $value with a whole number; write {whole.known}.0")
    raise RefusalError(f"cannot compare {left.kind} with {right.kind}")


def _equal(arguments: Sequence[Operand]) -> Operand:
    if len(arguments) < 2:
        raise RefusalError(f"takes two values or more, got {len(arguments)}")
    first, *others = arguments
    for one in arguments:
        if one.kind not in (*COMPARABLE, Kind.TRUTH):
            raise RefusalError(f"cannot compare {one.kind}")
        _check_comparable(first, one)

    def evaluate(labels: Mapping[str, str], value: float) -> Value:
        wanted = first.evaluate(labels, value)
        return any(wanted == other.evaluate(labels, value) for other in others)

    return Operand(Kind.TRUTH, evaluate)


def _not_equal(arguments: Sequence[Operand]) -> Operand:
    if len(arguments) != 2:
        raise RefusalError(f"takes 2 values, got {len(arguments)}")
    equal = _equal(arguments).evaluate
    return Operand(Kind.TRUTH, lambda labels, value: not equal(labels, value))


def _first_that(*, holds: bool) -> Function:
    """`or` yields its first true argument, `and` its first false one, both their last if there is none."""

    def build(arguments: Sequence[Operand]) -> Operand:
        if not arguments:
            raise RefusalError("takes one value or more, got 0")
        kinds = {one.kind for one in arguments}

        def evaluate(labels: Mapping[str, str], value: float) -> Value:
            result: Value = False
            for one in arguments:
                result = one.evaluate(labels, value)
                if bool(result) is holds:
                    break
            return result

        return Operand(kinds.pop() if len(kinds) == 1 else Kind.ANY, evaluate)

    return build


def _index(arguments: Sequence[Operand]) -> Operand:
    _expect(arguments, (Kind.LABELS,), (Kind.TEXT,))
    all_labels, name = arguments[0].evaluate, arguments[1].evaluate

    def evaluate(labels: Mapping[str, str], value: float) -> Value:
        return cast("Mapping[str, str]", all_labels(labels, value)).get(cast("str", name(labels, value)), "")

    return Operand(Kind.TEXT, evaluate)


def _pattern(argument: Operand) -> Any:  # noqa: ANN401 - re2 has no types
    if not isinstance(argument.known, str):
        raise RefusalError('the pattern must be a constant, such as "[0-9]+"')
    try:
        return re2.compile(argument.known, options=_RE2_OPTIONS)
    except re2.error as exc:
        raise RefusalError(f"{argument.known!r} is no regular expression that RE2 takes") from exc


def _match(arguments: Sequence[Operand]) -> Operand:
    _expect(arguments, (Kind.TEXT,), (Kind.TEXT,))
    pattern, text = _pattern(arguments[0]), arguments[1].evaluate
    return Operand(Kind.TRUTH, lambda labels, value: pattern.search(text(labels, value)) is not None)


def _replace_all(arguments: Sequence[Operand]) -> Operand:
    _expect(arguments, (Kind.TEXT,), (Kind.TEXT,), (Kind.TEXT,))
    pattern, replacement, text = _pattern(arguments[0]), arguments[1].known, arguments[2].evaluate
    if not isinstance(replacement, str):
        raise RefusalError('the replacement must be a constant, such as "$1"')
    substitute = partial(expand, replacement, pattern)
    return Operand(Kind.TEXT, lambda labels, value: pattern.sub(substitute, text(labels, value)))


# A verb with flags, width and precision; `*`, `#` and argument indexes are not taken.
VERB = re.compile(r"%(?P<flags>[-+ 0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<verb>.?)", re.DOTALL)
VERB_KINDS: dict[str, tuple[Kind, ...]] = {
    "v": tuple(Kind),
    "s": (Kind.TEXT, Kind.LABELS),
    "q": (Kind.TEXT,),
    "d": (Kind.WHOLE,),
    "t": (Kind.TRUTH,),
} | dict.fromkeys("eEfFgG", (Kind.NUMBER,))
BETTER_VERB = {Kind.NUMBER: "%.2f", Kind.WHOLE: "%d", Kind.TRUTH: "%t"}


def _printf(arguments: Sequence[Operand]) -> Operand:
    if not arguments or not isinstance(arguments[0].known, str):
        raise RefusalError('the first value must be a constant format, such as "%.1f"')
    layout, values = arguments[0].known, list(arguments[1:])
    parts: list[str | Evaluate] = []
    position = 0
    for found in VERB.finditer(layout):
        parts.append(layout[position : found.start()])
        position = found.end()
        if found["verb"] == "%":
            parts.append("%")
            continue
        if found["verb"] not in VERB_KINDS or not found["verb"]:
            raise RefusalError(
                f"{found[0]!r} is not taken; known are {' '.join('%' + verb for verb in VERB_KINDS)} and %%"
            )
        if not values:
            raise RefusalError(f"no value is left for {found[0]!r}")
        parts.append(_field(found, values.pop(0)))
    if values:
        raise RefusalError(f"has {len(values)} more values than verbs")
    parts.append(layout[position:])

    def evaluate(labels: Mapping[str, str], value: float) -> Value:
        return "".join([part if isinstance(part, str) else cast("str", part(labels, value)) for part in parts])

    return Operand(Kind.TEXT, evaluate)


def _field(found: re.Match[str], argument: Operand) -> Evaluate:
    verb, flags = found["verb"], found["flags"]
    width = int(found["width"] or 0)
    precision = None if found["precision"] is None else int(found["precision"] or 0)
    if max(width, precision or 0) > MAX_FIELD_CHARS:
        raise RefusalError(f"{found[0]!r} is wider than {MAX_FIELD_CHARS} characters")
    if argument.kind not in VERB_KINDS[verb]:
        better = BETTER_VERB.get(argument.kind, "%s" if argument.kind == Kind.TEXT else "%v")
        raise RefusalError(f"{found[0]!r} does not print {argument.kind}; write {better}")
    if precision is not None and argument.kind not in (Kind.NUMBER, Kind.TEXT):
        raise RefusalError(f"{found[0]!r} has a precision, which {argument.kind} does not take")
    inner = argument.evaluate
    return lambda labels, value: gotext.formatted(inner(labels, value), verb, flags, width, precision)


def _length(value: Value) -> Value:
    # Go counts bytes.
    return len(value.encode()) if isinstance(value, str) else len(cast("Mapping[str, str]", value))


FUNCTIONS: dict[str, Function] = {
    "and": _first_that(holds=False),
    "or": _first_that(holds=True),
    "not": _of_one(lambda value: not value, tuple(Kind), Kind.TRUTH),
    "eq": _equal,
    "ne": _not_equal,
    "lt": _compare(cast("Callable[[object, object], bool]", operator.lt)),
    "le": _compare(cast("Callable[[object, object], bool]", operator.le)),
    "gt": _compare(cast("Callable[[object, object], bool]", operator.gt)),
    "ge": _compare(cast("Callable[[object, object], bool]", operator.ge)),
    "humanize": _of_one(gotext.humanize, NUMERIC, Kind.TEXT),
    "humanize1024": _of_one(gotext.humanize1024, NUMERIC, Kind.TEXT),
    "humanizeDuration": _of_one(gotext.humanize_duration, NUMERIC, Kind.TEXT),
    "humanizePercentage": _of_one(gotext.humanize_percentage, NUMERIC, Kind.TEXT),
    "humanizeTimestamp": _of_one(gotext.humanize_timestamp, NUMERIC, Kind.TEXT),
    "index": _index,
    "len": _of_one(_length, (Kind.TEXT, Kind.LABELS), Kind.WHOLE),
    "match": _match,
    "printf": _printf,
    "reReplaceAll": _replace_all,
    "stripPort": _of_text(gotext.strip_port),
    "title": _of_text(gotext.title),
    "toLower": _of_text(str.lower),
    "toUpper": _of_text(str.upper),
}

_NO_QUERIES = "a template sees only its own alert; put what it needs into the expression"
REFUSED_FUNCTIONS = dict.fromkeys(("query", "first", "value", "label", "strvalue", "sortByLabel"), _NO_QUERIES) | {
    "print": "write printf with a format",
    "println": "write printf with a format",
    "externalURL": "links are added to every ticket; remove it",
    "pathPrefix": "links are added to every ticket; remove it",
    "graphLink": "links are added to every ticket; remove it",
    "tableLink": "links are added to every ticket; remove it",
    "safeHtml": "the text is escaped where it is shown; remove it",
    "html": "the text is escaped where it is shown; remove it",
}
