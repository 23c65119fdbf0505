"""What rule tests found, for people and for programs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import ndiff
from pathlib import Path

from collector.alerting.ruletest.testfile import RuleTest


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that is not as a test says. `expected` and `got` are lines, if there is anything to compare."""

    test: RuleTest | None  # None: of the file itself
    line: int
    what: str  # what was looked at, and when; or the trouble
    expected: tuple[str, ...] = ()
    got: tuple[str, ...] = ()
    file: str = ""  # where the line is, if it is another file than that of the tests
    note: str = ""


@dataclass(slots=True)
class FileReport:
    path: Path
    tests: int = 0
    passed: int = 0  # tests
    failures: list[Failure] = field(default_factory=list)
    skipped: list[Failure] = field(default_factory=list)  # what could not be looked at
    warnings: list[str] = field(default_factory=list)


def told(report: FileReport) -> Iterator[str]:
    """Lines for a technician: a line for the file, then what failed, expected lines with `-`, those got with `+`."""
    verdict = "FAILED" if report.failures else "passed"
    tests = f"{report.passed} of {report.tests} tests passed"
    skipped = f", {len(report.skipped)} expressions skipped" if report.skipped else ""
    yield f"{report.path}: {verdict} ({tests}{skipped})"
    for failure in report.failures:
        yield f"  {failure.file or report.path}:{failure.line}: {_name(failure)}{failure.what}"
        if failure.expected or failure.got:
            yield "    expected (-), got (+):"
            yield from (f"      {line.rstrip()}" for line in _differences(failure))
        if failure.note:
            yield f"    {failure.note}"
    for failure in report.skipped:
        yield f"  {report.path}:{failure.line}: skipped: {_name(failure)}{failure.what}: {failure.note}"


def as_row(report: FileReport) -> dict[str, object]:
    return {
        "file": str(report.path),
        "passed": not report.failures,
        "tests": report.tests,
        "tests_passed": report.passed,
        "failures": [_failure_row(report, one) for one in report.failures],
        "skipped": [_failure_row(report, one) for one in report.skipped],
        "warnings": report.warnings,
    }


def _failure_row(report: FileReport, failure: Failure) -> Mapping[str, object]:
    return {
        "file": failure.file or str(report.path),
        "line": failure.line,
        "test": None if failure.test is None else failure.test.number,
        "name": None if failure.test is None else failure.test.name,
        "what": failure.what,
        "expected": list(failure.expected),
        "got": list(failure.got),
        "note": failure.note,
    }


def _name(failure: Failure) -> str:
    if failure.test is None:
        return ""
    name = f" {failure.test.name!r}" if failure.test.name else ""
    return f"test {failure.test.number}{name}: "


def _differences(failure: Failure) -> Iterator[str]:
    if not failure.expected:
        yield "- nothing"
    if failure.expected and failure.got:
        yield from (line for line in ndiff(failure.expected, failure.got) if not line.startswith("?"))
        return
    yield from (f"- {line}" for line in failure.expected)
    yield from (f"+ {line}" for line in failure.got)
    if not failure.got:
        yield "+ nothing"
