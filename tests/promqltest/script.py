"""The script language in which Prometheus tests its query engine, read into commands.

Described in https://github.com/prometheus/prometheus/blob/main/promql/promqltest/README.md.
"""

import ast
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from collector.series.read import STALE

NAME = "__name__"
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")
_COMMAND = re.compile(r"(?:load|clear|eval)(?:_\w+)?\b")
_INSTANT = re.compile(r"eval(?:_(?P<mode>\w+))?\s+instant\s+(?:at\s+(?P<at>\S+)\s+)?(?P<query>.*)")
_RANGE = re.compile(
    r"eval(?:_(?P<mode>\w+))?\s+range\s+from\s+(?P<start>\S+)\s+to\s+(?P<end>\S+)\s+step\s+(?P<step>\S+)\s+(?P<query>.*)"
)
_NUMBER = r"(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI]nf|[nN]a[nN])"
_POINTS = re.compile(rf"(?P<first>[+-]?{_NUMBER}|_|stale)(?:(?P<step>[+-]{_NUMBER}))?(?:x(?P<times>\d+))?")
_HISTOGRAM = re.compile(r"\{\{.*?\}\}(?:[+-]\{\{.*?\}\})?(?:x(?P<times>\d+))?")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_STRING = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`"
_LABEL = re.compile(
    rf"\s*(?:(?P<name>[a-zA-Z_]\w*)|(?P<quoted>{_STRING}))\s*(?:=\s*(?P<value>{_STRING}))?\s*(?P<comma>,?)\s*"
)

Labels = dict[str, str]
Values = list[float | None]  # None: no sample


class ScriptError(Exception):
    """The script is not in the language; the message begins with the line."""


@dataclass(frozen=True, slots=True)
class SeriesLine:
    labels: Labels
    values: Values
    has_histograms: bool  # native ones, whose points stand as None in `values`
    has_start_times: bool = False  # the line gives those of the series' samples, not their values


@dataclass(frozen=True, slots=True)
class Clear:
    line: int


@dataclass(frozen=True, slots=True)
class Load:
    line: int
    interval: int  # ms
    series: list[SeriesLine]
    makes_histograms: bool  # load_with_nhcb


@dataclass(slots=True)
class Eval:
    line: int
    query: str
    start: int  # ms; of an instant: start == end
    end: int
    step: int  # ms, 0 for an instant
    fails: bool = False
    ordered: bool = False
    scalar: float | None = None
    text: str | None = None
    series: list[SeriesLine] = field(default_factory=list)
    range_vector: tuple[int, int, int] | None = None  # start, end, step of the samples expected, ms

    @property
    def name(self) -> str:
        return f"{self.line}: {self.query}"


Command = Clear | Load | Eval


def read_script(text: str) -> Iterator[Command]:
    """The commands of a script, in order. Raises ScriptError."""
    lines = [line.strip() for line in text.splitlines()]
    lines = ["" if line.startswith("#") else line for line in lines]
    number = 0
    while number < len(lines):
        head, first = lines[number], number + 1
        number += 1
        if not head:
            continue
        if _COMMAND.match(head) is None:
            raise ScriptError(f"{first}: neither load, clear nor eval: {head!r}")
        body = []
        while not head.startswith("clear") and number < len(lines) and lines[number]:
            body.append((number + 1, lines[number]))
            number += 1
        if head.startswith("clear"):
            yield Clear(first)
        elif head.startswith("load"):
            yield _load(first, head, body)
        else:
            yield _eval(first, head, body)


def milliseconds(text: str) -> int:
    """A duration (`1m30s`) or plain seconds, either with a sign."""
    digits = text.lstrip("+-")
    sign = -1 if text.startswith("-") else 1
    parts = _DURATION.findall(digits)
    if parts and "".join(number + unit for number, unit in parts) == digits:
        return sign * sum(int(number) * _UNITS_MS[unit] for number, unit in parts)
    return sign * round(float(digits) * 1000)


def _load(line: int, head: str, body: list[tuple[int, str]]) -> Load:
    words = head.split()
    if len(words) != 2:
        raise ScriptError(f"{line}: load takes an interval: {head!r}")
    series = [_series(number, text) for number, text in body]
    return Load(line, milliseconds(words[1]), series, makes_histograms=words[0] == "load_with_nhcb")


def _eval(line: int, head: str, body: list[tuple[int, str]]) -> Eval:
    if found := _INSTANT.fullmatch(head):
        at = milliseconds(found["at"] or "0")
        command = Eval(line, found["query"], at, at, 0)
    elif found := _RANGE.fullmatch(head):
        start, end, step = (milliseconds(found[name]) for name in ("start", "end", "step"))
        command = Eval(line, found["query"], start, end, step)
    else:
        raise ScriptError(f"{line}: eval takes 'instant at …' or 'range from … to … step …': {head!r}")
    command.fails, command.ordered = found["mode"] == "fail", found["mode"] == "ordered"
    for number, text in body:
        if re.match(r"expect(ed)?[_ ]", text):
            _expectation(number, text, command)
        elif re.fullmatch(rf"[+-]?{_NUMBER}", text):
            command.scalar = _number(text)
        else:
            command.series.append(_series(number, text))
    return command


def _expectation(line: int, text: str, command: Eval) -> None:
    """Warnings and infos are Prometheus's own affair, and so is the wording of errors: neither is compared."""
    words = text.split(maxsplit=2)
    if words[0].startswith(("expect_fail", "expected_fail")) or words[1] in {"fail", "fail:"}:
        command.fails = True
    elif words[1] == "ordered":
        command.ordered = True
    elif words[1] == "string":
        command.text = _unquoted(words[2])
    elif words[1] == "range":
        found = re.fullmatch(r"expect range vector from (\S+) to (\S+) step (\S+)", text)
        if found is None:
            raise ScriptError(f"{line}: {text!r}")
        start, end, step = (milliseconds(word) for word in found.groups())
        command.range_vector = start, end, step
    elif words[1] not in {"warn", "info", "no_warn", "no_info"}:
        raise ScriptError(f"{line}: unknown expectation: {text!r}")


def _series(line: int, text: str) -> SeriesLine:
    labels: Labels = {}
    place = 0
    if found := _METRIC.match(text):
        labels[NAME] = found[0]
        place = found.end()
    if text.startswith("{", place) and not text.startswith("{{", place):
        place += 1
        while not text.startswith("}", place):
            label = _LABEL.match(text, place)
            if label is None or label.end() == place:
                raise ScriptError(f"{line}: no label at {text[place:]!r}")
            if label["value"] is None:
                labels[NAME] = _unquoted(label["quoted"])
            else:
                labels[label["name"] or _unquoted(label["quoted"])] = _unquoted(label["value"])
            place = label.end()
        place += 1
    if place == 0:
        raise ScriptError(f"{line}: no series: {text!r}")
    labels = {name: value for name, value in labels.items() if value}
    if text.startswith("@st", place):
        return SeriesLine(labels, [], has_histograms=False, has_start_times=True)
    values, has_histograms = _values(line, text[place:].strip())
    return SeriesLine(labels, values, has_histograms)


def _values(line: int, text: str) -> tuple[Values, bool]:
    values: Values = []
    has_histograms = False
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        found = _HISTOGRAM.match(text, place)
        if found:
            has_histograms = True
            values += [None] * (int(found["times"] or 0) + 1)
        else:
            found = _POINTS.match(text, place)
            if found is None:
                raise ScriptError(f"{line}: no value at {text[place:]!r}")
            values += _expanded(found)
        place = found.end()
        if place < len(text) and not text[place].isspace():
            raise ScriptError(f"{line}: no value at {text[place:]!r}")
    return values, has_histograms


def _expanded(found: re.Match[str]) -> Values:
    times = int(found["times"]) if found["times"] else 0
    if found["first"] == "_":
        return [None] * (times if found["times"] else 1)
    value = float(STALE) if found["first"] == "stale" else _number(found["first"])
    values: Values = [value]
    for _ in range(times):
        value += _number(found["step"]) if found["step"] else 0.0
        values.append(value if found["step"] else values[0])
    return values


def _number(text: str) -> float:
    return math.nan if text.lstrip("+-").lower() == "nan" else float(text)


def _unquoted(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    return str(ast.literal_eval(text))
