"""Runs scripts against the collector's own engine."""

import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from collector.promql import Engine, Matrix, ParseError, PromqlError, Result, Scalar, String, Vector, compile_expr
from collector.series.in_memory import InMemoryReader
from tests.promqltest.script import NAME, Clear, Eval, Labels, Load, read_script

TOLERANCE = 1e-6  # relative; Prometheus's own
NATIVE_HISTOGRAMS = "needs native histograms"
EXPERIMENTAL = "experimental upstream"
DELAYED_NAMES = "needs delayed name removal, a flag that a stock server has off"

_EXPERIMENTAL_FUNCTIONS = re.compile(
    r"\b(?:mad_over_time|double_exponential_smoothing|sort_by_label(?:_desc)?|ts_of_\w+_over_time|first_over_time"
    r"|min_of|max_of|start|end|range|step|info|histogram_quantiles)\s*\(|\b(?:limitk|limit_ratio)\b",
    re.IGNORECASE,
)
# Behind feature flags as well: arithmetic in durations, `anchored` and `smoothed`, `fill`.
_EXPERIMENTAL_SYNTAX = re.compile(
    r"\[[^]\"]*[-+*/%^(][^]\"]*\]|\boffset\s+-?\s*\(|[])}\w]\s+(?:anchored|smoothed)\b|\bfill(?:_left|_right)?\s*\(-?\w+\)"
)
_TRIM_HISTOGRAM = re.compile(r"</|>/")
# Evals whose expected result only a server with delayed name removal gives, by file and query.
_DELAYED = {
    "name_label_dropping.test": (
        'label_replace(rate({env="1"}[10m]), "my_name", "rate_$1", "__name__", "(.+)")',
        'label_replace(rate({env="1"}[10m]), "__name__", "rate_$1", "__name__", "(.+)")',
        'label_join(rate({env="1"}[10m]), "my_name", "_", "__name__")',
        'label_join(rate({env="1"}[10m]), "__name__", "_", "__name__", "env")',
        'sum(rate({env="1"}[10m])) by (env)',
        'label_replace(sum by (__name__) (rate(metric_total{env="2"}[5m])), "__name__", "$1", "__name__", "(.+)")',
        'sum by (__name__) (metric_total{env="1"} or rate(metric_total{env="2"}[5m]))',
        'sum by (__name__) (rate(metric_total{env="2"}[5m]) or metric_total{env="1"})',
    ),
    "type_and_unit.test": (
        '(http_requests_total{group="canary"} + 1) and http_requests_total{instance="0"}',
        '(http_requests_total{group="canary"} + 1) or http_requests_total{instance="1"}',
    ),
}
_SURROUNDINGS_MS = 60_000  # an instant eval is repeated as a range query from a minute before to a minute after

LabelKey = tuple[tuple[str, str], ...]
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Failure:
    line: int
    query: str
    reason: str


@dataclass(slots=True)
class Report:
    file: str
    passed: int = 0
    failures: list[Failure] = field(default_factory=list)
    skips: list[Failure] = field(default_factory=list)

    def summary(self) -> str:
        reasons = Counter(skip.reason for skip in self.skips)
        counts = f"{self.file}: {self.passed} passed, {len(self.failures)} failed, {len(self.skips)} skipped"
        lines = [counts]
        for reason, count in reasons.most_common():
            where = ", ".join(str(skip.line) for skip in self.skips if skip.reason == reason)
            lines.append(f"  {count} skipped: {reason} (lines {where})")
        lines += [f"  FAILED line {bad.line}: {bad.query}\n    {bad.reason}" for bad in self.failures]
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        def listed(items: Iterable[Failure]) -> list[dict[str, object]]:
            return [{"line": item.line, "query": item.query, "reason": item.reason} for item in items]

        return {
            "file": self.file,
            "passed": self.passed,
            "failed": len(self.failures),
            "skipped": len(self.skips),
            "failures": listed(self.failures),
            "skips": listed(self.skips),
        }


def run_file(path: Path) -> Report:
    """Runs one script. Raises ScriptError where the file is not in the language."""
    report = Report(str(path))
    store = _Store()
    for command in read_script(path.read_text(encoding="utf-8")):
        match command:
            case Clear():
                store = _Store()
            case Load():
                store.load(command)
            case Eval():
                skip = _reason_to_skip(command, path)
                problem = None if skip is not None else _problem_with(command, store)
                if skip is None and (problem is not None or not command.series):
                    skip = store.beyond(command)  # a result that is empty, as expected, would prove nothing
                if skip is not None:
                    report.skips.append(Failure(command.line, command.query, skip))
                elif problem is None:
                    report.passed += 1
                else:
                    report.failures.append(Failure(command.line, command.query, problem))
    return report


class _Store:
    """What is loaded, and which series have more than the reader holds: what is left out of them, and why."""

    def __init__(self) -> None:
        self.reader = InMemoryReader()
        self.engine = Engine(self.reader)
        self._left_out: list[tuple[Labels, str]] = []

    def load(self, command: Load) -> None:
        series = [line for line in command.series if not line.has_start_times]
        # A series that stands in one load twice counts as it stands last.
        for line in {_key(line.labels): line for line in series}.values():
            points = [(i * command.interval, value) for i, value in enumerate(line.values) if value is not None]
            if points:
                self.reader.add(line.labels, points)
        for line in command.series:
            if line.has_start_times:
                self._left_out.append((line.labels, EXPERIMENTAL))
            if line.has_histograms:
                self._left_out.append((line.labels, NATIVE_HISTOGRAMS))
            if command.makes_histograms and line.labels.get(NAME, "").endswith("_bucket"):
                base = {name: value for name, value in line.labels.items() if name != "le"}
                self._left_out.append((base | {NAME: base[NAME].removesuffix("_bucket")}, NATIVE_HISTOGRAMS))

    def beyond(self, command: Eval) -> str | None:
        """Why the result may not be what the script expects: the query selects series that lost something."""
        try:
            selectors = compile_expr(command.query).selectors
        except ParseError:
            return None
        for labels, reason in self._left_out:
            if any(all(m.matches(labels.get(m.label, "")) for m in matchers) for matchers in selectors):
                return reason
        return None


def _reason_to_skip(command: Eval, path: Path) -> str | None:
    if any(series.has_histograms for series in command.series) or _TRIM_HISTOGRAM.search(command.query):
        return NATIVE_HISTOGRAMS
    query = re.sub(r"@\s*(?:start|end)\s*\(", "", command.query)
    if _EXPERIMENTAL_FUNCTIONS.search(query) or _EXPERIMENTAL_SYNTAX.search(query):
        return EXPERIMENTAL
    if command.query in _DELAYED.get(path.name, ()):
        return DELAYED_NAMES
    try:
        compile_expr(command.query)
    except ParseError as exc:
        if "native histograms" in str(exc):
            return NATIVE_HISTOGRAMS
        return EXPERIMENTAL if "experimental in Prometheus" in str(exc) else None
    return None


def _problem_with(command: Eval, store: _Store) -> str | None:
    """What is wrong with the result, None if nothing is."""
    try:
        plan = compile_expr(command.query)
        result: Result
        if command.step:
            result = store.engine.range(plan, command.start, command.end, command.step)
        else:
            result = store.engine.instant(plan, command.start)
    except PromqlError as exc:
        return None if command.fails else f"failed: {exc}"
    if command.fails:
        return "should have failed"
    if command.step:
        return _compare_matrix(command, result, command.start, command.end, command.step)
    problem = _compare_instant(command, result)
    if problem is None and isinstance(result, Vector | Scalar) and not command.ordered:
        return _compare_as_range(command, store)
    return problem


def _compare_as_range(command: Eval, store: _Store) -> str | None:
    """The same again as one step of a range query, unless the query asks where its range begins and ends."""
    if re.search(r"\b(?:start|end)\s*\(\s*\)", command.query):
        return None
    start, end = command.start - _SURROUNDINGS_MS, command.start + _SURROUNDINGS_MS
    try:
        result = store.engine.range(compile_expr(command.query), start, end, _SURROUNDINGS_MS)
    except PromqlError as exc:
        return f"failed as a range query: {exc}"
    assert isinstance(result, Matrix)
    found = {key: row[1] for key, row in _matrix(result).items() if row[1] is not None}
    expected = _expected_instant(command)
    if command.scalar is not None:
        expected[()] = command.scalar
    problem = _difference(expected, found)
    return None if problem is None else f"as a range query: {problem}"


def _compare_instant(command: Eval, result: Result) -> str | None:
    match result:
        case String(text):
            return None if text == command.text else f"expected {command.text!r}, got the string {text!r}"
        case Scalar(value):
            same = command.scalar is not None and almost_equal(command.scalar, value)
            return None if same else f"expected {command.scalar}, got the scalar {value}"
        case Matrix():
            if command.range_vector is None:
                return "got a range vector"
            return _compare_matrix(command, result, *command.range_vector)
        case Vector():
            return _compare_vector(command, result)


def _compare_vector(command: Eval, result: Vector) -> str | None:
    if command.scalar is not None or command.text is not None:
        return f"expected {command.text or command.scalar}, got series"
    keys = [_key(labels) for labels in result.label_sets()]
    if len(set(keys)) != len(keys):
        return "two series with equal labels"
    if command.ordered and keys != [_key(series.labels) for series in command.series]:
        return f"wrong order: {keys}"
    return _difference(_expected_instant(command), dict(zip(keys, result.values.tolist(), strict=True)))


def _expected_instant(command: Eval) -> dict[LabelKey, float | None]:
    return {_key(series.labels): series.values[0] for series in command.series}


def _compare_matrix(command: Eval, result: Result, start: int, end: int, step: int) -> str | None:
    if not isinstance(result, Matrix):
        return f"expected series over time, got {type(result).__name__}"
    steps = range(start, end + 1, step)
    found = {
        (key, at): value
        for key, row in _matrix(result).items()
        for at, value in zip(result.times.tolist(), row, strict=True)
        if value is not None
    }
    expected = {
        (_key(series.labels), at): value
        for series in command.series
        for at, value in zip(steps, series.values, strict=False)
        if value is not None
    }
    return _difference(expected, found)


def _matrix(result: Matrix) -> dict[LabelKey, list[float | None]]:
    cells = np.where(result.present, result.values, 0.0).tolist()
    rows = {}
    for labels, values, present in zip(result.label_sets(), cells, result.present.tolist(), strict=True):
        rows[_key(labels)] = [value if there else None for value, there in zip(values, present, strict=True)]
    return rows


def _difference(expected: Mapping[Key, float | None], found: Mapping[Key, float | None]) -> str | None:
    for key in [*expected, *found]:
        if key not in found:
            return f"missing {key} = {expected[key]}"
        if key not in expected:
            return f"unexpected {key} = {found[key]}"
        wanted, got = expected[key], found[key]
        if wanted is None or got is None or not almost_equal(wanted, got):
            return f"expected {wanted}, got {got} for {key}"
    return None


def almost_equal(wanted: float, got: float) -> bool:
    if math.isnan(wanted) or math.isnan(got):
        return math.isnan(wanted) and math.isnan(got)
    if wanted == got:
        return True
    if math.isinf(wanted) or math.isinf(got):
        return False
    smallest, largest = sys.float_info.min, sys.float_info.max
    magnitude, distance = min(abs(wanted) + abs(got), largest), abs(wanted - got)
    if wanted == 0 or got == 0 or magnitude < smallest:
        return distance < TOLERANCE * smallest
    return distance / magnitude < TOLERANCE


def _key(labels: Labels) -> LabelKey:
    return tuple(sorted(labels.items()))
