"""Rule test files as promtool takes them, read whole: a file is good, or all its problems are told with their lines."""

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from collector.alerting.durations import parse_duration
from collector.alerting.template import Surroundings
from collector.alerting.yamlfile import Entry, YamlFile, is_null, raise_problems
from collector.clock import EPOCH

DEFAULT_INTERVAL = timedelta(minutes=1)

FILE_KEYS = frozenset({"rule_files", "evaluation_interval", "group_eval_order", "tests", "fuzzy_compare"})
TEST_KEYS = frozenset(
    {
        "interval",
        "input_series",
        "alert_rule_test",
        "promql_expr_test",
        "external_labels",
        "external_url",
        "name",
        "start_timestamp",
    }
)
SERIES_KEYS = frozenset({"series", "values"})
ALERT_TEST_KEYS = frozenset({"eval_time", "alertname", "exp_alerts"})
ALERT_KEYS = frozenset({"exp_labels", "exp_annotations"})
EXPR_TEST_KEYS = frozenset({"expr", "eval_time", "exp_samples"})
SAMPLE_KEYS = frozenset({"labels", "value", "histogram"})

_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"})


@dataclass(frozen=True, slots=True)
class InputSeries:
    text: str  # `series values` as it is written; read when its test runs
    line: int


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AlertTest:
    at: timedelta
    alert: str
    expected: tuple[ExpectedAlert, ...]
    line: int


@dataclass(frozen=True, slots=True)
class ExpectedSample:
    labels: str  # as it is written
    value: float
    is_histogram: bool


@dataclass(frozen=True, slots=True)
class ExprTest:
    at: timedelta
    expr: str
    expected: tuple[ExpectedSample, ...]
    line: int


@dataclass(frozen=True, slots=True)
class RuleTest:
    number: int  # its place in the file, from 1
    name: str
    interval: timedelta | None  # of the samples of the input series
    series: tuple[InputSeries, ...]
    alerts: tuple[AlertTest, ...]
    exprs: tuple[ExprTest, ...]
    surroundings: Surroundings
    start: datetime
    line: int

    @property
    def length(self) -> timedelta:
        """Up to the last thing that it looks at."""
        return max([timedelta(), *[one.at for one in self.alerts], *[one.at for one in self.exprs]])


@dataclass(frozen=True, slots=True)
class TestFile:
    __test__ = False  # for pytest: no class of tests

    path: Path
    rule_files: tuple[Path, ...]
    unmatched: tuple[str, ...]  # patterns of rule files that name none
    evaluation_interval: timedelta
    group_order: Mapping[str, int]
    fuzzy_compare: bool
    tests: tuple[RuleTest, ...] = field(default=())


def find_test_files(folder: Path) -> list[Path]:
    """The files right in `folder` whose names say that they are tests."""
    return [*sorted(folder.glob("*.test.yaml")), *sorted(folder.glob("*.test.yml"))]


def load_test_file(path: Path) -> TestFile:
    """Raises RuleFileError with every problem of the file."""
    reader = _Reader(path)
    raise_problems([reader.yaml])
    return reader.file


class _Reader:
    def __init__(self, path: Path) -> None:
        self.yaml = YamlFile(path, may_be_empty=True)
        self.file = TestFile(path, (), (), DEFAULT_INTERVAL, {}, fuzzy_compare=False)
        if self.yaml.root is not None:
            self.file = self._file(path, self.yaml.root)

    def _file(self, path: Path, root: yaml.Node) -> TestFile:
        top = self.yaml.mapping(root, "a rule test file", FILE_KEYS)
        files: dict[Path, None] = {}
        unmatched: list[str] = []
        for pattern in self._texts(top, "rule_files"):
            found = _matching(path.parent, pattern)
            files |= dict.fromkeys(found)
            if not found:
                unmatched.append(pattern)
        order: dict[str, int] = {}
        for index, name in enumerate(self._texts(top, "group_eval_order")):
            if name in order:
                self.yaml.refuse(
                    top["group_eval_order"].value, f"the group {name[:80]!r} stands twice in 'group_eval_order'"
                )
            order[name] = index
        tests = [self._test(node, number) for number, node in enumerate(self._items(top, "tests"), start=1)]
        return TestFile(
            path,
            tuple(files),
            tuple(unmatched),
            self._duration(top, "evaluation_interval") or DEFAULT_INTERVAL,
            order,
            self._truth(top, "fuzzy_compare"),
            tuple(tests),
        )

    def _test(self, node: yaml.Node, number: int) -> RuleTest:
        entries = self.yaml.mapping(node, "a test", TEST_KEYS)
        labels = self._map(entries, "external_labels")
        return RuleTest(
            number=number,
            name=self._text(entries, "name"),
            interval=self._duration(entries, "interval") or None,
            series=tuple(self._series(item) for item in self._items(entries, "input_series")),
            alerts=tuple(self._alert_test(item) for item in self._items(entries, "alert_rule_test")),
            exprs=tuple(self._expr_test(item) for item in self._items(entries, "promql_expr_test")),
            surroundings=Surroundings(labels, self._text(entries, "external_url")),
            start=self._start(entries),
            line=node.start_mark.line + 1,
        )

    def _series(self, node: yaml.Node) -> InputSeries:
        entries = self.yaml.mapping(node, "an input series", SERIES_KEYS)
        text = f"{self._text(entries, 'series')} {self._text(entries, 'values')}"
        return InputSeries(text, node.start_mark.line + 1)

    def _alert_test(self, node: yaml.Node) -> AlertTest:
        entries = self.yaml.mapping(node, "an alert test", ALERT_TEST_KEYS)
        expected = []
        for item in self._items(entries, "exp_alerts"):
            alert = self.yaml.mapping(item, "an expected alert", ALERT_KEYS)
            expected.append(ExpectedAlert(self._map(alert, "exp_labels"), self._map(alert, "exp_annotations")))
        return AlertTest(
            self._duration(entries, "eval_time"),
            self._text(entries, "alertname"),
            tuple(expected),
            node.start_mark.line + 1,
        )

    def _expr_test(self, node: yaml.Node) -> ExprTest:
        entries = self.yaml.mapping(node, "a test of an expression", EXPR_TEST_KEYS)
        expected = []
        for item in self._items(entries, "exp_samples"):
            sample = self.yaml.mapping(item, "an expected sample", SAMPLE_KEYS)
            has_histogram = bool(self._text(sample, "histogram"))
            expected.append(ExpectedSample(self._text(sample, "labels"), self._number(sample, "value"), has_histogram))
        return ExprTest(
            self._duration(entries, "eval_time"),
            self._text(entries, "expr"),
            tuple(expected),
            node.start_mark.line + 1,
        )

    def _items(self, entries: Mapping[str, Entry], key: str) -> list[yaml.Node]:
        return list(self.yaml.items(entries[key].value, f"{key!r}")) if key in entries else []

    def _text(self, entries: Mapping[str, Entry], key: str) -> str:
        return (self.yaml.text(entries[key].value, f"{key!r}") or "") if key in entries else ""

    def _texts(self, entries: Mapping[str, Entry], key: str) -> list[str]:
        return [self.yaml.text(item, f"an item of {key!r}") or "" for item in self._items(entries, key)]

    def _map(self, entries: Mapping[str, Entry], key: str) -> dict[str, str]:
        if key not in entries:
            return {}
        named = self.yaml.mapping(entries[key].value, f"{key!r}")
        return {name: self.yaml.text(entry.value, f"{name!r}") or "" for name, entry in named.items()}

    def _duration(self, entries: Mapping[str, Entry], key: str) -> timedelta:
        if key not in entries or is_null(entries[key].value):
            return timedelta()
        text = self.yaml.text(entries[key].value, f"{key!r}")
        if text is not None:
            try:
                return parse_duration(text)
            except ValueError as exc:
                self.yaml.refuse(entries[key].value, f"{key!r} {exc}")
        return timedelta()

    def _truth(self, entries: Mapping[str, Entry], key: str) -> bool:
        if key not in entries or is_null(entries[key].value):
            return False
        text = self._text(entries, key)
        if text not in _TRUE | _FALSE:
            self.yaml.refuse(entries[key].value, f"{key!r} must be true or false, got {text[:40]!r}")
        return text in _TRUE

    def _number(self, entries: Mapping[str, Entry], key: str) -> float:
        """A number as YAML writes it: `1`, `2.5e3`, `0x1f`, `.inf`, `.nan`."""
        if key not in entries or is_null(entries[key].value):
            return 0.0
        node = entries[key].value
        text = self.yaml.text(node, f"{key!r}")
        if text is None:
            return 0.0
        if not getattr(node, "style", None):  # in quotes it would be text
            number = _yaml_number(text)
            if number is not None:
                return number
        self.yaml.refuse(node, f"{key!r} must be a number such as 1.5, .inf or .nan, got {text[:40]!r}")
        return 0.0

    def _start(self, entries: Mapping[str, Entry]) -> datetime:
        """When a test begins: RFC 3339, or seconds since 1970; else then."""
        if "start_timestamp" not in entries or is_null(entries["start_timestamp"].value):
            return EPOCH
        text = self._text(entries, "start_timestamp")
        try:
            if re.fullmatch(_FLOAT, text):
                return EPOCH + timedelta(milliseconds=round(float(text) * 1000))
            found = datetime.fromisoformat(text)
            if found.tzinfo is not None:
                return found.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        self.yaml.refuse(
            entries["start_timestamp"].value,
            f"'start_timestamp' must be seconds since 1970 or a time such as 2024-01-01T00:00:00Z, got {text[:40]!r}",
        )
        return EPOCH


def _matching(folder: Path, pattern: str) -> list[Path]:
    """The files that a pattern names; `Path.glob` takes no absolute one, and nothing of the shell's hidden files."""
    found = glob.glob(pattern, root_dir=folder, include_hidden=True) if pattern else []  # noqa: PTH207 - see above
    return [folder / one for one in sorted(found)]


def _yaml_number(text: str) -> float | None:
    special = _SPECIAL.get(text.lower())
    if special is not None:
        return float(special)
    plain = text.replace("_", "")
    if _FLOAT.fullmatch(plain) and not re.fullmatch(r"[-+]?0[0-7]+", plain):
        return float(plain)
    try:
        return float(int(plain, 8) if re.fullmatch(r"[-+]?0[0-7]+", plain) else int(plain, 0))
    except ValueError:
        return None
