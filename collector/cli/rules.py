"""`rules`: look at rule files, check them, have `serve` read them again."""

import math
import os
import signal
from datetime import timedelta
from pathlib import Path

import click

from collector.alerting.pack import load_pack
from collector.alerting.rulefile import AlertRule, Problem, RecordingRule, RuleFileError
from collector.alerting.ruletest.report import as_row, told
from collector.alerting.ruletest.run import run_file
from collector.alerting.tenancy import THRESHOLD_METRIC
from collector.cli.common import Row, json_option, print_rows, printable, with_settings
from collector.config import Settings
from collector.pidfile import server_of
from collector.series.memory import footprint

paths_argument = click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))


@click.group()
def rules() -> None:
    """Rule files in Prometheus's format, e.g. `rules check rules/`.

    PATHS are files or folders of them; without any, the rules shipped with this version.
    """


@rules.command("check")
@paths_argument
@json_option
def check(paths: tuple[Path, ...], as_json: bool) -> None:
    """Tell every problem of every file with its line, e.g. `rules check rules/*.yaml`.

    Good files are followed by what each rule has the collector keep in memory. Exit code: 0 all good, 1 problems
    found, 2 wrong usage. A notice is worth a look, but no reason to refuse a file.
    """
    found: list[tuple[str, Problem]]
    memory: list[Row] = []
    try:
        loaded = load_pack(paths).rules
    except RuleFileError as exc:
        found = [("problem", problem) for problem in exc.problems]
    else:
        found = [("notice", notice) for notice in loaded.notices]
        memory = [row for group in loaded.groups for rule in group.rules for row in _memory_of(rule)]
    problems = sum(level == "problem" for level, _ in found)
    if as_json:
        told = [{"level": level, "file": one.file, "line": one.line, "message": one.message} for level, one in found]
        print_rows([*told, *memory], as_json=True)
    else:
        for level, one in found:
            click.echo(printable(f"{one}{' (notice)' if level == 'notice' else ''}"))
        if not problems:
            if memory:
                print_rows(memory, as_json=False, columns=["rule", "metric", "keeps", "bytes_per_series"])
            click.echo("no problems")
    raise SystemExit(1 if problems else 0)


def _memory_of(rule: AlertRule | RecordingRule) -> list[Row]:
    """What a rule by itself has the head keep of each metric; rules that read one metric share what is kept."""
    name = rule.alert if isinstance(rule, AlertRule) else rule.record
    rows: list[Row] = []
    for metric, seconds in sorted(rule.plan.windows.items(), key=lambda item: item[0] or ""):
        if metric == THRESHOLD_METRIC:  # made when it is asked for, never stored
            continue
        kept = footprint(seconds)
        keeps = f"ring of {kept.depth} samples" if kept.depth else "last value only"
        rows.append(
            {
                "level": "memory",
                "file": rule.file,
                "line": rule.line,
                "message": f"{name}: {metric or 'any metric'}: {keeps}, {kept.bytes_per_series} bytes a series",
                "rule": name,
                "metric": metric,
                "window_seconds": seconds if math.isfinite(seconds) else None,
                "keeps": keeps,
                "bytes_per_series": kept.bytes_per_series,
                "bytes_per_device": kept.bytes_per_device,
            }
        )
    return rows


@rules.command("list")
@paths_argument
@json_option
def list_command(paths: tuple[Path, ...], as_json: bool) -> None:
    """List the alerts that rule files define, e.g. `rules list --json`."""
    pack = load_pack(paths)
    rows = [
        {
            "alert": rule.alert,
            "severity": rule.severity,
            "category": rule.category,
            "scope": rule.scope,
            "incident": rule.incident,
            "ticket": "never" if rule.ticket_never else "by contract",
            "for_seconds": rule.hold_for / timedelta(seconds=1),
            "thresholds": sorted(rule.thresholds),
            "expr": rule.expr,
            "version": rule.version,
            "file": rule.file,
            "line": rule.line,
        }
        for rule in pack.rules.alert_rules
    ]
    print_rows(
        rows, as_json=as_json, columns=["alert", "severity", "category", "incident", "for_seconds", "thresholds"]
    )


@rules.command("test")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def test(files: tuple[Path, ...], as_json: bool) -> None:
    """Run unit tests of rules in promtool's format, e.g. `rules test rules/tests/*.test.yaml`.

    The rules run in the collector's own evaluator, on the test's series in memory. They may be any Prometheus rules:
    what a collector of several customers refuses is told by `rules check`. Exit code: 0 all passed, 1 some failed or a
    file is bad, 2 wrong usage.
    """
    reports = []
    for path in files:
        report = run_file(path)
        reports.append(report)
        for warning in report.warnings:
            click.echo(printable(f"{path}: warning: {warning}"), err=True)
        if not as_json:
            for line in told(report):
                click.echo(printable(line))
    if as_json:
        print_rows([as_row(report) for report in reports], as_json=True)
    raise SystemExit(1 if any(report.failures for report in reports) else 0)


@rules.command("reload")
@with_settings
def reload(settings: Settings) -> None:
    """Have the running `serve` read its rules again, e.g. `rules reload --data DIR`.

    Bad rules change nothing: serve keeps the old ones and its log names the problems. `rules check` tells them before.
    """
    server = server_of(settings.data)
    if server is None:
        raise click.ClickException(f"no serve runs on {settings.data}: start it, or name its folder with --data")
    try:
        os.kill(server.pid, signal.SIGHUP)
    except PermissionError as exc:
        raise click.ClickException(
            f"process {server.pid} is another user's: run this as the user that runs serve"
        ) from exc
    click.echo(f"process {server.pid} reads its rules again; its log tells whether they were good", err=True)
