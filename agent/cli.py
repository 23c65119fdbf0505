"""The short-lived commands."""

import json
import sys
from pathlib import Path

import click

from agent import VERSION
from agent.cli_service import install_command, status_command, uninstall_command
from agent.config import AgentConfig
from agent.configuration import load_config
from agent.doctor import examine
from agent.enrolment import enroll, find_probes, refresh
from agent.exposition import to_json, to_prometheus, to_table
from agent.hardware import read_hardware_command
from agent.inspection import declared_metrics, inspect, load_probes
from agent.inventory.reading import read_inventory
from agent.options import COLLECTOR_HELP, enrolment_options, read_token, state_option, work_as_owner
from agent.printers.commands import printers
from agent.run_command import run_command
from agent.settings import load_settings
from agent.state import StateFolder
from protocol.errors import QuarkpulseError
from protocol.wire import Kind, PrivacyConfig


class OneSentence(click.Group):
    """Says what went wrong in one sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except QuarkpulseError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=OneSentence, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="quarkpulse-agent")
def cli() -> None:
    """Looks at this machine for its IT service provider. E.g. `quarkpulse-agent probe`."""


@cli.command("enroll")
@click.option(
    "--collector",
    "collectors",
    required=True,
    multiple=True,
    help=COLLECTOR_HELP,
)
@enrolment_options
@state_option
@click.option("--force", is_flag=True, help="Enrol again a folder that is already enrolled.")
def enroll_command(  # noqa: PLR0917 - click hands them in by name
    collectors: tuple[str, ...],
    token: str | None,
    token_file: Path | None,
    state: Path,
    kind: str | None,
    ca: Path | None,
    allow_plain_http: bool,
    client_certificate: Path | None,
    client_key: Path | None,
    force: bool,
) -> None:
    """Make this machine a device. E.g. `quarkpulse-agent enroll --collector https://c.example --token-file FILE`.

    Prints the device's id. Exit code: 0 enrolled, 1 not enrolled, 2 wrong usage.
    """
    device_id = enroll(
        state,
        collectors[0],
        read_token(token, token_file),
        others=collectors[1:],
        kind=None if kind is None else Kind(kind),
        ca=ca,
        allow_plain_http=allow_plain_http,
        certificate=client_certificate,
        key=client_key,
        force=force,
    )
    click.echo(device_id)


@cli.command("refresh")
@state_option
def refresh_command(state: Path) -> None:
    """Look anew for installed probes, after an upgrade. E.g. `quarkpulse-agent refresh --state DIR`; then restart.

    Prints how many there are. Exit code: 0 found, 1 not enrolled, 2 wrong usage.
    """
    click.echo(refresh(state))


@cli.command("run", add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_from_click(arguments: tuple[str, ...]) -> None:
    """Look and push until stopped. E.g. `quarkpulse-agent run --state DIR --interval 60s`."""
    sys.exit(run_command(list(arguments)))


@cli.command(
    "read-hardware", add_help_option=False, context_settings={"ignore_unknown_options": True}, short_help="For a timer."
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def read_hardware_from_click(arguments: tuple[str, ...]) -> None:
    """Read what only root may and leave it for the agent; a timer does. E.g. `quarkpulse-agent read-hardware`."""
    sys.exit(read_hardware_command(list(arguments)))


@cli.command("probe")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "prometheus"]),
    default="table",
    show_default=True,
    help="How to print it.",
)
@click.option(
    "--state",
    type=click.Path(exists=True, file_okay=False, readable=False, path_type=Path),
    callback=work_as_owner,
    help="Use agent.toml and the configuration in this state folder; without it nothing is configured.",
)
def probe_command(names: tuple[str, ...], form: str, state: Path | None) -> None:
    """Read this machine now and print it. E.g. `quarkpulse-agent probe cpu memory --format json`.

    Without names, everything. Exit code: 0 read (what this machine lacks is noted), 1 a probe failed, 2 wrong usage.
    """
    places = find_probes()
    unknown = sorted(set(names) - places.keys())
    if unknown:
        raise click.UsageError(f"no such probe: {', '.join(unknown)}; there are {', '.join(sorted(places))}")
    chosen = {name: place for name, place in sorted(places.items()) if not names or name in names}
    probes = load_probes(chosen, None if state is None else load_settings(state))
    found = inspect(probes, AgentConfig() if state is None else load_config(StateFolder(state)))
    metrics = declared_metrics(probes)
    if form == "json":
        click.echo(to_json(found.samples))
    else:
        click.echo((to_table if form == "table" else to_prometheus)(found.samples, metrics))
    for name, reason in found.lacking.items():
        click.echo(f"{name}: {reason}", err=True)
    for name, reason in found.failed.items():
        click.echo(f"{name} failed: {reason}", err=True)
    sys.exit(1 if found.failed else 0)


@cli.command("inventory")
@click.option(
    "--state",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Show what this agent may send: user names and software only where allowed. Without it, all there is.",
)
def inventory_command(state: Path | None) -> None:
    """Print what this machine is made of, as JSON. E.g. `quarkpulse-agent inventory --state DIR`.

    Exit code: 0 read, 1 it cannot be read, 2 wrong usage.
    """
    everything = PrivacyConfig(user_names=True, software=True)
    allowed = everything if state is None else load_config(StateFolder(state)).privacy
    click.echo(json.dumps(read_inventory(allowed), ensure_ascii=False, indent=1))


@cli.command("doctor")
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON array.")
def doctor_command(state: Path, as_json: bool) -> None:
    """Look for what keeps the agent from working. E.g. `quarkpulse-agent doctor`.

    Exit code: 0 all well, 1 something is wrong, 2 wrong usage.
    """
    findings = []
    for finding in examine(state):
        findings.append(finding)
        if not as_json:
            mark = "WRONG" if not finding.is_well else "note " if finding.is_notice else "ok   "
            stop = "" if finding.detail.endswith("?") else ";"
            advice = "" if mark == "ok   " else f"{stop} {finding.advice}"
            click.echo(f"{mark}  {finding.check}: {finding.detail}{advice}")
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings], ensure_ascii=False, indent=1))
    sys.exit(0 if all(finding.is_well for finding in findings) else 1)


for command in (printers, install_command, uninstall_command, status_command):
    cli.add_command(command)
