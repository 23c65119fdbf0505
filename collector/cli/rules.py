"""`rules`: look at rule files, check them, have `serve` read them again."""

import asyncio
import math
import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import click

from collector.alerting.lint import find_notices
from collector.alerting.pack import load_pack
from collector.alerting.records import AlertState, count_open
from collector.alerting.rulefile import load_rules
from collector.alerting.ruleset import AlertRule, Group, Notice, RecordingRule
from collector.alerting.ruletest.report import as_row, told
from collector.alerting.ruletest.run import run_file
from collector.alerting.ruletest.testfile import find_test_files
from collector.alerting.tenancy import THRESHOLD_METRIC
from collector.alerting.yamlfile import Problem, RuleFileError
from collector.cli.common import DURATION, Row, json_option, print_rows, with_database, with_settings
from collector.cli.tables import printable
from collector.clock import system_clock
from collector.config import ENVIRONMENT_PREFIX, Settings, load_settings
from collector.db.database import Database
from collector.pidfile import server_of
from collector.promql import DEFAULT_LOOKBACK
from collector.series.keeping import HeadLimits
from collector.series.memory import footprint, slab_samples
from collector.series.slab import BYTES_PER_SAMPLE

SHOWN_AT_ONCE = 8  # lines and names of one kind of notice

paths_argument = click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))


@click.group()
def rules() -> None:
    """Rule files in Prometheus's format. E.g. `rules check rules/`.

    PATHS are files or folders of them; without any, the rules shipped with this version.
    """


@rules.command("check")
@paths_argument
@click.option("--strict", is_flag=True, help="Exit code 1 for notices too.")
@click.option("--single-tenant", is_flag=True, help="Take rules that mix customers: for an engine that serves one.")
@json_option
@click.option(
    "--lookback",
    "lookback_seconds",
    type=click.FloatRange(1, 3600),
    default=DEFAULT_LOOKBACK.total_seconds(),
    envvar=f"{ENVIRONMENT_PREFIX}LOOKBACK_SECONDS",
    help="lookback_seconds, where the collector's configuration sets it.  [default: 300]",
)
def check(paths: tuple[Path, ...], strict: bool, single_tenant: bool, as_json: bool, lookback_seconds: float) -> None:
    """Tell every problem of every file with its line. E.g. `rules check rules/*.yaml`.

    Good files are followed by what each rule has the collector keep in memory, and by notices: what is worth a look,
    but no reason to refuse a file, such as a metric that no probe sends, a label that nothing can match, a rule
    without a test. Exit code: 0 all good, 1 problems found, 2 wrong usage.
    """
    problems: Sequence[Problem] = ()
    notices: Sequence[Notice] = ()
    memory: list[Row] = []
    lookback = timedelta(seconds=lookback_seconds)
    try:
        if single_tenant and paths:
            loaded = load_rules(paths, single_tenant=True, lookback=lookback)
        else:
            loaded = load_pack(paths, lookback=lookback).rules
    except RuleFileError as exc:
        problems = exc.problems
    else:
        notices = find_notices(loaded)
        memory = [row for group in loaded.groups for rule in group.rules for row in _memory_of(rule, lookback)]
    if as_json:
        told = [{"level": "problem", "file": one.file, "line": one.line, "message": one.message} for one in problems]
        told += [{"level": "notice", "file": one.file, "line": one.line, "message": one.text} for one in notices]
        print_rows([*told, *memory], as_json=True)
    else:
        if memory:
            print_rows(memory, as_json=False, columns=["rule", "metric", "keeps", "bytes_per_series"])
        for line in [*map(str, problems), *_grouped(notices)]:
            click.echo(printable(line))
        if not problems:
            click.echo("no problems")
    raise SystemExit(1 if problems or (strict and notices) else 0)


def _grouped(notices: Iterable[Notice]) -> Iterator[str]:
    """A line for each message of a file, with the lines and names that it is about: forty rules from elsewhere have
    few kinds of trouble between them."""
    alike: dict[tuple[str, str], list[Notice]] = {}
    for notice in notices:
        alike.setdefault((notice.file, notice.message), []).append(notice)
    for (file, message), members in alike.items():
        lines = _some([str(line) for line in sorted({one.line for one in members})], ",")
        subjects = _some(list(dict.fromkeys(one.subject for one in members if one.subject)), ", ")
        yield f"{file}:{lines}: {message}{f': {subjects}' if subjects else ''} (notice)"


def _some(words: Sequence[str], between: str) -> str:
    more = f"{between}… {len(words) - SHOWN_AT_ONCE} more" if len(words) > SHOWN_AT_ONCE else ""
    return between.join(words[:SHOWN_AT_ONCE]) + more


def _memory_of(rule: AlertRule | RecordingRule, lookback: timedelta) -> list[Row]:
    """What a rule by itself has the collector keep of each metric; rules that read one metric share what is kept."""
    name = rule.alert if isinstance(rule, AlertRule) else rule.record
    rows: list[Row] = []
    limits = HeadLimits(lookback_ms=lookback // timedelta(milliseconds=1))
    for metric, seconds in sorted(rule.plan.windows.items(), key=lambda item: item[0] or ""):
        if metric == THRESHOLD_METRIC:  # made when it is asked for, never stored
            continue
        kept = footprint(seconds, limits)
        keeps = f"ring of {kept.depth} samples" if kept.depth else "last value only"
        stretches = [read for read in rule.plan.reads if read.metric == metric]
        beside = sum(slab_samples(read.newest, read.oldest, limits) for read in stretches)
        if beside:
            keeps += f", and {beside} samples of the hours before"
        bytes_per_series = kept.bytes_per_series + beside * BYTES_PER_SAMPLE
        rows.append(
            {
                "level": "memory",
                "file": rule.file,
                "line": rule.line,
                "message": f"{name}: {metric or 'any metric'}: {keeps}, {bytes_per_series} bytes a series",
                "rule": name,
                "metric": metric,
                "window_seconds": seconds if math.isfinite(seconds) else None,
                "keeps": keeps,
                "bytes_per_series": bytes_per_series,
                "bytes_per_device": kept.bytes_per_device,
            }
        )
    return rows


@rules.command("list")
@paths_argument
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the collector's state: tells how many alerts of each rule are pending and firing now.",
)
@json_option
def list_command(paths: tuple[Path, ...], data: Path | None, as_json: bool) -> None:
    """List the alerts that rule files define. E.g. `rules list --json`."""
    settings = None if data is None else load_settings(data)
    if settings is not None and settings.rules_dir is not None and not paths:
        paths = (settings.rules_dir,)
    lookback = DEFAULT_LOOKBACK if settings is None else settings.lookback
    counts = None if settings is None else asyncio.run(_open_alerts(settings))
    rows = [
        _described(group, rule, lookback) | _counted(rule, counts)
        for group in load_pack(paths, lookback=lookback).rules.groups
        for rule in group.alert_rules
    ]
    shown = ["group", "alert", "severity", "category", "scope", "incident", "for_seconds", "thresholds"]
    print_rows(rows, as_json=as_json, columns=[*shown, *(() if counts is None else ("pending", "firing")), "place"])


def _described(group: Group, rule: AlertRule, lookback: timedelta) -> dict[str, object]:
    return {
        "group": group.name,
        "alert": rule.alert,
        "severity": rule.severity,
        "category": rule.category,
        "scope": rule.scope,
        "incident": rule.incident,
        "ticket": "never" if rule.ticket_never else "by contract",
        "for_seconds": rule.hold_for / timedelta(seconds=1),
        "keep_firing_for_seconds": rule.keep_firing_for / timedelta(seconds=1),
        "interval_seconds": None if group.interval is None else group.interval / timedelta(seconds=1),
        "limit": group.limit,
        "thresholds": sorted(rule.thresholds),
        "memory": [
            {key: row[key] for key in ("metric", "keeps", "bytes_per_series")} for row in _memory_of(rule, lookback)
        ],
        "expr": rule.expr,
        "version": rule.version,
        "file": rule.file,
        "line": rule.line,
        "place": f"{rule.file}:{rule.line}",
    }


def _counted(rule: AlertRule, counts: Mapping[tuple[str, str], int] | None) -> dict[str, object]:
    if counts is None:
        return {}
    return {str(state): counts.get((rule.key, state), 0) for state in (AlertState.PENDING, AlertState.FIRING)}


async def _open_alerts(settings: Settings) -> Mapping[tuple[str, str], int]:
    async with await Database.open(settings.database) as database, database.connect() as connection:
        return await count_open(connection)


@rules.command("test")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@json_option
def test(paths: tuple[Path, ...], as_json: bool) -> None:
    """Run unit tests of rules in promtool's format. E.g. `rules test rules/tests/*.test.yaml`.

    Of a folder its files named *.test.yaml or *.test.yml are run, and those of the folder `tests` in it.
    The rules run in the collector's own evaluator, on the test's series in memory. They may be any Prometheus rules:
    what a collector of several customers refuses is told by `rules check`. Exit code: 0 all passed, 1 some failed or a
    file is bad, 2 wrong usage.
    """
    reports = []
    for path in [file for given in paths for file in _tests_in(given)]:
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


def _tests_in(path: Path) -> list[Path]:
    """A test file itself, or those of a folder. Raises click.UsageError where there is none."""
    if not path.is_dir():
        return [path]
    found = [file for folder in (path, path / "tests") for file in find_test_files(folder)]
    if not found:
        raise click.UsageError(f"{path} holds no test: name a file, or a folder of files named *.test.yaml")
    return found


@rules.command("reload")
@with_settings
def reload(settings: Settings) -> None:
    """Have the running `serve` read its rules again. E.g. `rules reload --data DIR`.

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


@rules.command("backtest")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--since", type=DURATION, default="30d", show_default=True, help="How far back, such as 30d.")
@click.option("--customer", help="Only this one.")
@click.option(
    "--against",
    type=click.Path(exists=True, path_type=Path),
    help="Rules to compare with.  [default: the rules of the same names that are in force]",
)
@click.option("--step", type=DURATION, default="1m", show_default=True, help="How often rules are evaluated.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Write a timeline to this SVG file.")
@json_option
@with_database
async def backtest(
    database: Database,
    settings: Settings,
    *,
    file: Path,
    since: timedelta,
    customer: str | None,
    against: Path | None,
    step: timedelta,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Tell what rules would have done: which alerts, and how many tickets each customer would have had.

    Stored history goes through the rules of FILE and through silences, windows, inhibition, storms and contracts as
    they are. Nothing is changed; `serve` may run meanwhile. E.g. `rules backtest new.yaml --picture new.svg`.
    """
    from collector.backtest import report  # noqa: PLC0415 - only this command needs all of it

    rows, drawn = await report.compare(
        settings, database, file=file, against=against, since=since, step=step, customer=customer, now=system_clock()
    )
    if picture is not None:
        await asyncio.to_thread(picture.write_text, drawn, encoding="utf-8")
    print_rows(rows, as_json=as_json)
