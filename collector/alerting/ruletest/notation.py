"""Series and their values as rule tests write them: `up{job="x"}` and `0+10x5 _ stale 1x3`.

The grammar is that of Prometheus's query tests (`promql/promqltest/README.md`).
"""

import math
import re
from collections.abc import Iterator

from collector.series.labels import NAME
from collector.series.read import STALE

MAX_SAMPLES = 2_000_000  # of one series: a week at 0.3 s
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_STRING = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`[^`]*`", re.DOTALL)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WORD = r"[iI][nN][fF]|[nN][aA][nN]"
# After a word no `x` may follow: it would be one word with it.
_ITEM = re.compile(
    rf"_(?:x(?P<gaps>\d+))?"
    rf"|(?P<first>[+-]?{_NUMBER}|[+-]?(?:{_WORD})(?![\w:])|stale(?![\w:]))"
    rf"(?:(?P<step>[+-]{_NUMBER})(?=x))?(?:x(?P<times>\d+))?"
)
_HISTOGRAM = re.compile(r"\{\{.*?\}\}(?:[+-]\{\{.*?\}\})?(?:x(?P<times>\d+))?")
_OCTAL = re.compile(r"0[0-7]+")


class NotationError(ValueError):
    """What is not in the notation; the message says where."""


def parse_labels(text: str) -> dict[str, str]:
    """The label set of a series, its metric's name as `__name__`; nothing is the empty one. Raises NotationError."""
    if not text.strip():
        return {}
    labels, end = _series(text, blank_before_braces=True)
    if text[end:].strip():
        raise NotationError(f"unexpected {text[end:].strip()[:20]!r} after the series")
    return labels


def parse_series(text: str) -> tuple[dict[str, str], list[float | None] | None]:
    """A line `series values`: the labels, and the values one interval apart, None where there is no sample; None in
    place of the list if the samples are native histograms. Raises NotationError."""
    labels, end = _series(text, blank_before_braces=False)
    rest = text[end:]
    if rest and not rest[0].isspace():
        raise NotationError(f"between the series and its values belongs a space, not {rest[:20]!r}")
    if "{{" in rest:
        _check_histograms(rest)
        return labels, None
    return labels, list(_values(rest))


def _values(text: str) -> Iterator[float | None]:
    count = 0
    for word in text.split():
        found = _ITEM.fullmatch(word)
        if found is None:
            raise NotationError(
                f"{word[:40]!r} is no value; write a number, 'stale', '_', or repeat one as 1x5, 0+10x5 or _x5"
            )
        repeats = int(found["gaps"] or found["times"] or 0)
        count += repeats + 1
        if count > MAX_SAMPLES:
            raise NotationError(f"{word[:40]!r} makes more than {MAX_SAMPLES} samples; shorten the series")
        if found["first"] is None:
            yield from [None] * (repeats if found["gaps"] else 1)
            continue
        value, step = _number(found["first"]), _number(found["step"] or "0")
        yield value
        for _ in range(repeats):
            value += step if found["step"] else 0.0
            yield value if found["step"] else _number(found["first"])


def _check_histograms(text: str) -> None:
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        found = _HISTOGRAM.match(text, place) or _ITEM.match(text, place)
        if found is None or (found.end() < len(text) and not text[found.end()].isspace()):
            raise NotationError(f"no value at {text[place:][:20]!r}")
        place = found.end()


def _number(text: str) -> float:
    if text == "stale":
        return float(STALE)
    sign, digits = (-1.0, text[1:]) if text[0] == "-" else (1.0, text.removeprefix("+"))
    if digits.lower() == "nan":
        return math.nan
    return sign * (int(digits, 8) if _OCTAL.fullmatch(digits) else float(digits))  # Go reads 010 as eight


def _series(text: str, *, blank_before_braces: bool) -> tuple[dict[str, str], int]:
    """The labels at the start of a text, and where they end."""
    labels: dict[str, str] = {}
    place = len(text) - len(text.lstrip())
    if name := _METRIC.match(text, place):
        labels[NAME] = name[0]
        place = name.end()
    inner = _skip_blanks(text, place) if blank_before_braces else place
    if text.startswith("{", inner):
        has_name = bool(labels)
        place = _braces(text, inner + 1, labels)
        if has_name:  # upstream empty labels go then, and then alone
            labels = {name: value for name, value in labels.items() if value}
    elif not labels:
        raise NotationError(f'no series at {text[place:][:20]!r}; write it as up{{job="x"}}')
    return labels, place


def _braces(text: str, place: int, labels: dict[str, str]) -> int:
    """Takes what stands within braces into `labels`; the place behind them."""
    while True:
        place = _skip_blanks(text, place)
        if text.startswith("}", place):
            return place + 1
        if quoted := _STRING.match(text, place):
            name, place = _unquoted(quoted[0]), _skip_blanks(text, quoted.end())
            if not text.startswith("=", place):  # a metric's name of any characters, as Prometheus 3 takes it
                _set(labels, NAME, name)
                place = _behind_comma(text, place)
                continue
        elif plain := _LABEL.match(text, place):
            name, place = plain[0], _skip_blanks(text, plain.end())
        else:
            raise NotationError(f"no label at {text[place:][:20]!r}" if place < len(text) else "the '{' is not closed")
        if not text.startswith("=", place):
            raise NotationError(f"behind the label {name[:40]!r} belongs '=', as in {name[:40]}=\"x\"")
        place = _skip_blanks(text, place + 1)
        value = _STRING.match(text, place)
        if value is None:
            raise NotationError(f"the value of the label {name[:40]!r} belongs in quotes")
        _set(labels, name, _unquoted(value[0]))
        place = _behind_comma(text, value.end())


def _behind_comma(text: str, place: int) -> int:
    place = _skip_blanks(text, place)
    if text.startswith(",", place):
        return place + 1
    if text.startswith("}", place):
        return place
    raise NotationError(
        f"expected ',' or '}}', got {text[place:][:20]!r}" if place < len(text) else "'{' is not closed"
    )


def _set(labels: dict[str, str], name: str, value: str) -> None:
    if name in labels:
        raise NotationError(f"the label {name[:40]!r} stands twice")
    labels[name] = value


def _skip_blanks(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _unquoted(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]

    def one(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] in "xuU" and len(code) > 1:
            number = int(code[1:], 16)
        elif len(code) == 3:
            number = int(code, 8)
        elif code in _ESCAPES:
            return _ESCAPES[code]
        elif code in ("\\", text[0]):
            return code
        else:
            raise NotationError(f"'\\{code}' is no escape; write '\\\\{code}' for a backslash")
        if number > 0x10FFFF or 0xD800 <= number < 0xE000:
            raise NotationError(f"'\\{code}' is no character")
        return chr(number)

    return _ESCAPE.sub(one, text[1:-1])
