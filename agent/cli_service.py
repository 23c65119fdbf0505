"""The commands that make the agent a service of this machine, and tell how it is."""

import json
import sys
import time
from pathlib import Path

import click

from agent.options import COLLECTOR_HELP, enrolment_options, read_token, state_option
from agent.service.base import Condition, ServiceError
from agent.service.here import find_service
from agent.service.installing import Enrolment, find_program, install, uninstall
from agent.state import StateFolder
from agent.status_report import read_status, to_json, to_lines


@click.command("install")
@click.option("--collector", "collectors", multiple=True, help=f"{COLLECTOR_HELP} Not needed if already enrolled.")
@enrolment_options
def install_command(  # noqa: PLR0917 - click hands them in by name
    collectors: tuple[str, ...],
    token: str | None,
    token_file: Path | None,
    kind: str | None,
    ca: Path | None,
    client_certificate: Path | None,
    client_key: Path | None,
    allow_plain_http: bool,
) -> None:
    """Make the agent a service that starts with the machine. E.g. `quarkpulse-agent install --collector https://c.example`.

    Enrols the machine first if it is not, makes user and folders, and says what it did. Done again, it mends what is
    missing. As root, or as administrator of Windows. Exit code: 0 it runs, 1 it does not, 2 wrong usage.
    """
    enrolment = None
    if collectors:
        files = {"--ca": ca, "--client-certificate": client_certificate, "--client-key": client_key}
        options = [word for name, file in files.items() if file is not None for word in (name, str(file.resolve()))]
        if kind is not None:
            options += ["--kind", kind]
        if allow_plain_http:
            options.append("--allow-plain-http")
        enrolment = Enrolment(collectors, read_token(token, token_file), options)
    install(find_service(click.echo), find_program(), enrolment, click.echo)


@click.command("uninstall")
@click.option("--purge", is_flag=True, help="Remove identity, spool, settings and user as well.")
def uninstall_command(purge: bool) -> None:
    """Stop the service and take it away. E.g. `quarkpulse-agent uninstall --purge`.

    Without --purge the state folder stays, and `install` goes on with it. Exit code: 0 gone, 1 not, 2 wrong usage.
    """
    uninstall(find_service(click.echo), purge=purge, say=click.echo)


@click.command("status")
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print it as a JSON object; times are Unix seconds.")
def status_command(state: Path, as_json: bool) -> None:
    """How the agent is: running or not, its last push, what waits. E.g. `quarkpulse-agent status`.

    Exit code: 0 it runs and its last push was acknowledged, 1 it does not, 2 wrong usage.
    """
    now = time.time()
    status = read_status(StateFolder(state), now)
    service = ask_service(state)
    if as_json:
        click.echo(json.dumps({**to_json(status), "service": service}, ensure_ascii=False, indent=1))
    else:
        lines = [*to_lines(status, now), *((("service", service),) if service else ())]
        width = max(len(name) for name, _ in lines)
        for name, text in lines:
            click.echo(f"{name:<{width}}  {text}")
    sys.exit(0 if status.is_well else 1)


def ask_service(state: Path) -> Condition | None:
    """What the system says of the service; None if this is another agent's folder, or no system that has services."""
    service = find_service(click.echo)
    if service.state != state.absolute():
        return None
    try:
        return service.condition()
    except ServiceError:
        return None
