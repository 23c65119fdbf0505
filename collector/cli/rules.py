"""`rules`: look at rule files, check them, have `serve` read them again."""

import os
import signal
from datetime import timedelta
from pathlib import Path

import click

from collector.alerting.pack import load_pack
from collector.alerting.rulefile import Problem, RuleFileError
from collector.cli.common import json_option, print_rows, printable, with_settings
from collector.config import Settings
from collector.pidfile import server_of

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

    Exit code: 0 all good, 1 problems found, 2 wrong usage. A notice is worth a look, but no reason to refuse a file.
    """
    found: list[tuple[str, Problem]]
    try:
        found = [("notice", notice) for notice in load_pack(paths).rules.notices]
    except RuleFileError as exc:
        found = [("problem", problem) for problem in exc.problems]
    if as_json:
        rows = [{"level": level, "file": one.file, "line": one.line, "message": one.message} for level, one in found]
        print_rows(rows, as_json=True)
    else:
        for level, one in found:
            click.echo(printable(f"{one}{' (notice)' if level == 'notice' else ''}"))
    problems = sum(level == "problem" for level, _ in found)
    if not as_json and not problems:
        click.echo("no problems")
    raise SystemExit(1 if problems else 0)


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
