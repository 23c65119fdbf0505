"""Runs rule tests: steps through time with the evaluator of production, on series in memory, and looks.

As promtool does, all groups are evaluated at every evaluation interval, whatever their own; an alert test sees the last
evaluation at or before its time; expressions are asked when all is evaluated. PromQL is Prometheus 3's.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from collector.alerting.durations import duration_text
from collector.alerting.evaluation import (
    ALERTNAME,
    Pass,
    advance_alerts,
    alert_samples,
    elements,
    recorded_samples,
)
from collector.alerting.rulefile import load_rules
from collector.alerting.ruleset import AlertRule, Group, RuleSet
from collector.alerting.ruletest.notation import NotationError, parse_labels, parse_series
from collector.alerting.ruletest.report import Failure, FileReport
from collector.alerting.ruletest.testfile import AlertTest, ExprTest, RuleTest, TestFile, load_test_file
from collector.alerting.ruletest.words import (
    LabelKey,
    alert_lines,
    any_nan,
    key_of,
    sample_line,
    series_text,
    shortened,
)
from collector.alerting.state import Alert, Phase
from collector.alerting.template import Surroundings
from collector.alerting.yamlfile import Problem, RuleFileError
from collector.clock import to_milliseconds
from collector.promql import Engine, Plan, PromqlError, Shared, compile_expr
from collector.promql.emptiness import is_empty
from collector.series.in_memory import InMemoryReader
from collector.series.labels import NAME
from collector.series.read import STALE

MAX_EVALUATIONS = 1_000_000  # of one test: two years by the minute
MAX_INPUT_SAMPLES = 10_000_000  # of one test


def run_file(path: Path) -> FileReport:
    """Runs the tests of one file."""
    report = FileReport(path)
    try:
        file = load_test_file(path)
    except RuleFileError as exc:
        report.failures += _problems(None, exc.problems, path)
        return report
    report.tests = len(file.tests)
    report.warnings += [f"no file is named {pattern!r}" for pattern in file.unmatched]
    loader = _Loader(file)
    for test in file.tests:
        run = _Run(file, test, loader)
        run.all()
        report.failures += run.failures
        report.skipped += run.skipped
        report.warnings += run.warnings
        report.passed += not run.failures
    return report


class _Loader:
    """Reads the rule files once for the tests that have the same surroundings: most have none."""

    def __init__(self, file: TestFile) -> None:
        self._file = file
        self._last: tuple[Surroundings, RuleSet] | None = None

    def load(self, surroundings: Surroundings) -> RuleSet:
        """Raises RuleFileError."""
        if self._last is None or self._last[0] != surroundings:
            rules = load_rules(self._file.rule_files, single_tenant=True, surroundings=surroundings)
            self._last = surroundings, rules
        return self._last[1]


class _HistogramError(Exception):
    """What was asked reads native histograms."""


class _Run:
    """One test."""

    def __init__(self, file: TestFile, test: RuleTest, loader: _Loader) -> None:
        self.file = file
        self.loader = loader
        self.test = test
        self.failures: list[Failure] = []
        self.skipped: list[Failure] = []
        self.warnings: list[str] = []
        self.reader = InMemoryReader()
        self.engine = Engine(self.reader, subquery_step=file.evaluation_interval)
        self.active: dict[str, dict[str, Alert]] = {}
        self.groups: list[Group] = []
        self.inputs: list[_Input] = []
        self.histograms: list[dict[str, str]] = []
        self.given: dict[tuple[str, int], dict[LabelKey, None]] = {}  # by group and rule: series at the last evaluation
        self.idle: dict[tuple[str, int], int] = {}  # rules that have nothing to read while so many series are known

    def all(self) -> None:
        if self._read_series() and self._load_rules() and self._check_alert_tests() and self._evaluate():
            for expr_test in self.test.exprs:
                self._look_at_expression(expr_test)

    # Before the first evaluation

    def _read_series(self) -> bool:
        series: dict[LabelKey, tuple[dict[str, str], list[float | None] | None]] = {}
        samples = 0
        for given in self.test.series:
            # Each line of the text stands for a series; what stands behind an empty one is not read: promtool's way.
            for line in given.text.split("\n"):
                if not line.strip() or line.strip().startswith("#"):
                    self.warnings.append(f"line {given.line}: an empty series; it and those behind it are not read")
                    return self._take(series.values())
                try:
                    labels, values = parse_series(line.strip())
                except NotationError as exc:
                    self._fail(given.line, f"the input series {line.strip()[:80]!r}: {exc}")
                    return False
                samples += len(values or ())
                if samples > MAX_INPUT_SAMPLES:
                    self._fail(given.line, f"the input series hold more than {MAX_INPUT_SAMPLES} samples; shorten them")
                    return False
                series[key_of(labels)] = labels, values  # a series that stands twice counts as it stands last
        return self._take(series.values())

    def _take(self, series: Iterable[tuple[dict[str, str], list[float | None] | None]]) -> bool:
        interval = self.test.interval or timedelta()
        start = to_milliseconds(self.test.start)
        step = interval // timedelta(milliseconds=1)
        for labels, values in series:
            if values is None:
                self.histograms.append(labels)
                continue
            if not step and len(values) > 1:
                self.warnings.append(
                    f"line {self.test.line}: the test has no 'interval', so the first sample of {series_text(labels)} "
                    "counts alone, as in Prometheus 2; Prometheus 3 takes the evaluation interval"
                )
            points = [(start + i * step, value) for i, value in enumerate(values) if value is not None]
            self.inputs.append(_Input(labels, points))
        return True

    def _load_rules(self) -> bool:
        if not self.file.rule_files:
            return True
        try:
            rules = self.loader.load(self.test.surroundings)
        except RuleFileError as exc:
            self.failures += _problems(self.test, exc.problems, None)
            return False
        # Groups that are not listed come as if they were first, in the order of the files.
        self.groups = sorted(rules.groups, key=lambda group: self.file.group_order.get(group.name, 0))
        for group in self.groups:
            for rule in group.rules:
                if self._reads_histograms(rule.plan):
                    name = rule.alert if isinstance(rule, AlertRule) else rule.record
                    self._fail(rule.line, f"{name} reads native histograms, which are not kept here", file=rule.file)
                    return False
        return True

    def _check_alert_tests(self) -> bool:
        for alert_test in self.test.alerts:
            if not alert_test.alert:
                self._fail(alert_test.line, "an alert test needs an 'alertname'")
                return False
        steps = self.test.length // self.file.evaluation_interval
        if steps > MAX_EVALUATIONS:
            self._fail(
                self.test.line,
                f"the test takes {steps} evaluations, more than {MAX_EVALUATIONS}; set a longer evaluation_interval",
            )
            return False
        return True

    # Through time

    def _evaluate(self) -> bool:
        interval, at = self.file.evaluation_interval, timedelta()
        open_tests = sorted(self.test.alerts, key=lambda one: one.at)
        while at <= self.test.length:
            now = self.test.start + at
            for given in self.inputs:
                given.give(self.reader, to_milliseconds(now))
            errors = [error for group in self.groups for error in self._evaluate_group(group, now)]
            for name, error in errors:
                self._fail(self.test.line, f"the rule {name} failed at {duration_text(at)}: {error}")
            if errors:
                return False
            while open_tests and open_tests[0].at < at + interval:
                self._look_at_alerts(open_tests.pop(0))
            at += interval
        return True

    def _evaluate_group(self, group: Group, now: datetime) -> list[tuple[str, str]]:
        """Evaluates the rules of a group in turn, and records what they give. The rules that failed, and why."""
        done = Pass.of(group, now, as_prometheus=True)
        errors: list[tuple[str, str]] = []
        for index, rule in enumerate(group.rules):
            samples: list[tuple[dict[str, str], float]]
            if self.idle.get((group.key, index)) == len(self.reader):
                continue  # most of a pack's rules read nothing of what one test is about
            done.errors.clear()
            if isinstance(rule, AlertRule):
                name = rule.alert
                advance_alerts(rule, self.active.get(rule.key, {}), self.engine, done)
                self.active[rule.key] = done.active[rule.key]
                told = alert_samples(done.active[rule.key])
                samples = [(labels | {NAME: metric}, value) for metric, labels, value in told]
            else:
                name = rule.record
                recorded = recorded_samples(rule, self.engine, done)
                samples = [(labels | {NAME: rule.record}, value) for labels, value in recorded]
            if not done.errors:
                done.errors |= self._record((group.key, index), name, samples, to_milliseconds(done.read_at))
                done.shared = Shared()
                if not samples and is_empty(rule.plan.root, self.reader.has_none):
                    self.idle[group.key, index] = len(self.reader)
            errors += done.errors.items()
        return errors

    def _record(
        self, source: tuple[str, int], name: str, samples: Sequence[tuple[dict[str, str], float]], at: int
    ) -> dict[str, str]:
        """Adds samples; the series that the rule gave before and gives no more end. The trouble there was, by rule."""
        errors: dict[str, str] = {}
        given: dict[LabelKey, None] = {}
        for labels, value in samples:
            series = self.reader.series(labels)
            stands = series.add(at, value)
            if stands != value and not (math.isnan(stands) and math.isnan(value)):
                errors[name] = f"{series_text(labels)} has another sample at that time already; rename what is recorded"
            given[series.labels] = None
        for key in self.given.get(source, {}).keys() - given.keys():
            self.reader.series(dict(key)).add(at, float(STALE))
        self.given[source] = given
        return errors

    # Looking

    def _look_at_alerts(self, alert_test: AlertTest) -> None:
        got = [
            (key_of(alert.labels), key_of(alert.annotations, keep_empty=True))
            for group in self.groups
            for rule in group.alert_rules
            if rule.alert == alert_test.alert
            for alert in self.active.get(rule.key, {}).values()
            if alert.phase is Phase.FIRING
        ]
        expected = [
            (
                key_of({**one.labels, ALERTNAME: alert_test.alert}, keep_empty=True),
                key_of(one.annotations, keep_empty=True),
            )
            for one in alert_test.expected
        ]
        if sorted(got) == sorted(expected):
            return
        self.failures.append(
            Failure(
                self.test,
                alert_test.line,
                f"alert {alert_test.alert} at {duration_text(alert_test.at)}",
                tuple(line for one in sorted(expected) for line in alert_lines(one)),
                tuple(line for one in sorted(got) for line in alert_lines(one)),
                note=self._why_not_firing(alert_test, len(got), len(expected)),
            )
        )

    def _why_not_firing(self, alert_test: AlertTest, got: int, expected: int) -> str:
        """What else could be said of an alert that does not fire as expected."""
        rules = [rule for group in self.groups for rule in group.alert_rules if rule.alert == alert_test.alert]
        if not rules:
            return "no rule has this alertname; check 'rule_files' and the name"
        pending = [
            alert for rule in rules for alert in self.active.get(rule.key, {}).values() if alert.phase is Phase.PENDING
        ]
        if got < expected and pending:
            since = ", ".join(sorted({duration_text(alert.active_since - self.test.start) for alert in pending}))
            return f"{len(pending)} pending, since {since}; 'for' is {duration_text(rules[0].hold_for)}"
        return ""

    def _look_at_expression(self, expr_test: ExprTest) -> None:
        what = f"expr {shortened(expr_test.expr)} at {duration_text(expr_test.at)}"
        try:
            got = self._ask(expr_test)
            expected = [(key_of(parse_labels(one.labels), keep_empty=True), one.value) for one in expr_test.expected]
        except PromqlError as exc:
            self._fail(expr_test.line, f"{what}: {exc}")
        except NotationError as exc:
            self._fail(expr_test.line, f"{what}: 'labels': {exc}")
        except _HistogramError:
            note = "reads native histograms, which are not kept here"
            self.skipped.append(Failure(self.test, expr_test.line, what, note=note))
        else:
            got.sort(key=lambda one: one[0])
            expected.sort(key=lambda one: one[0])
            if not self._agree(expected, got):
                nan = "NaN equals nothing, itself included; test it by `expr != expr`" if any_nan(expected) else ""
                lines = tuple(map(sample_line, expected)), tuple(map(sample_line, got))
                self.failures.append(Failure(self.test, expr_test.line, what, *lines, note=nan))

    def _ask(self, expr_test: ExprTest) -> list[tuple[LabelKey, float]]:
        if any(one.is_histogram for one in expr_test.expected):
            raise _HistogramError
        plan = compile_expr(expr_test.expr)
        if self._reads_histograms(plan):
            raise _HistogramError
        result = self.engine.instant(plan, to_milliseconds(self.test.start + expr_test.at))
        return [(key_of(labels), value) for labels, value in elements(result)]

    def _reads_histograms(self, plan: Plan) -> bool:
        return any(
            all(one.matches(labels.get(one.label, "")) for one in matchers)
            for matchers in plan.selectors
            for labels in self.histograms
        )

    def _agree(self, expected: Sequence[tuple[LabelKey, float]], got: Sequence[tuple[LabelKey, float]]) -> bool:
        if [key for key, _ in expected] != [key for key, _ in got]:
            return False
        return all(self._equal(wanted, value) for (_, wanted), (_, value) in zip(expected, got, strict=True))

    def _equal(self, wanted: float, value: float) -> bool:
        if wanted == value:
            return True
        return self.file.fuzzy_compare and value in (
            math.nextafter(wanted, -math.inf),
            math.nextafter(wanted, math.inf),
        )

    def _fail(self, line: int, what: str, *, file: str = "") -> None:
        self.failures.append(Failure(self.test, line, what, file=file))


class _Input:
    """A series' samples, given away up to an instant."""

    def __init__(self, labels: Mapping[str, str], points: Sequence[tuple[int, float]]) -> None:
        self.labels = labels
        self.points = points
        self.next = 0

    def give(self, reader: InMemoryReader, until: int) -> None:
        first = self.next
        while self.next < len(self.points) and self.points[self.next][0] <= until:
            self.next += 1
        if self.next > first:
            reader.add(self.labels, self.points[first : self.next])


def _problems(test: RuleTest | None, problems: Iterable[Problem], own: Path | None) -> list[Failure]:
    return [
        Failure(test, one.line, one.message, file="" if own is not None and one.file == str(own) else one.file)
        for one in problems
    ]
