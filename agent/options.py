"""Options that several commands share."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from agent.service.here import default_state
from agent.service.owner import become_owner
from protocol.wire import Kind

Command = TypeVar("Command", bound=Callable[..., object])

KINDS = [kind.value for kind in Kind if kind is not Kind.PRINTER]
COLLECTOR_HELP = (
    "Address of the collector, e.g. https://collector.example.com. Several times: the next is asked when one fails."
)
MAX_TOKEN_CHARS = 4096


def work_as_owner(context: click.Context, parameter: click.Parameter, state: Path | None) -> Path | None:  # noqa: ARG001 - click's signature
    """What root wrote into the state folder of the service's user, the service could not read."""
    if state is None:
        return None
    become_owner(state)
    try:
        is_closed = state.is_dir() and not os.access(state, os.R_OK | os.X_OK)
    except OSError:  # a folder above it
        is_closed = True
    if is_closed:
        raise click.ClickException(f"{state} is open to the agent's user and root alone; run it as root, with sudo")
    return state


state_option = click.option(
    "--state",
    default=default_state,
    show_default="the service's",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    callback=work_as_owner,
    help="The agent's state folder. Root works in it as the folder's owner.",
)
token_option = click.option(
    "--token",
    envvar="QUARKPULSE_TOKEN",
    help="Enrolment token from the provider. On a command line it is everybody's to read: better give it in"
    " QUARKPULSE_TOKEN or --token-file.",
)
token_file_option = click.option(
    "--token-file",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="File that holds the token; - reads it from stdin.",
)
kind_option = click.option(
    "--kind", type=click.Choice(KINDS), help="What this machine is; guessed if absent, and the token's kind wins."
)
ca_option = click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trust only the certificates in this file.",
)
certificate_option = click.option(
    "--client-certificate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="This machine's own certificate in PEM, where the collector asks for one.",
)
key_option = click.option(
    "--client-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its key, without a password, unless that is in the same file.",
)
plain_http_option = click.option(
    "--allow-plain-http",
    is_flag=True,
    help="Allow http to another machine. The credential is then readable on the way.",
)


def enrolment_options(command: Command) -> Command:
    """What `enroll` and `install` ask to know beside the collector."""
    for option in (
        plain_http_option,
        key_option,
        certificate_option,
        ca_option,
        kind_option,
        token_file_option,
        token_option,
    ):
        command = option(command)
    return command


def read_token(token: str | None, token_file: Path | None) -> str:
    """The token that was given either way. Raises UsageError."""
    if token_file is not None:
        try:
            found = sys.stdin.read(MAX_TOKEN_CHARS) if str(token_file) == "-" else read_file(token_file)
        except (OSError, ValueError) as error:
            raise click.UsageError(f"cannot read the token from {token_file} ({error})") from error
        if not found.strip():
            raise click.UsageError(f"there is no token in {token_file}")
        return found.strip()
    if not token:
        raise click.UsageError("a token is missing: set QUARKPULSE_TOKEN, or give --token-file or --token")
    return token


def read_file(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(MAX_TOKEN_CHARS)
