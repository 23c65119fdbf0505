"""Installs the agent as a service of this machine, and takes it away again, whatever kind of service that is."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from agent.service.base import Say, Service, ServiceError
from agent.state import StateFolder

TOKEN_VARIABLE = "QUARKPULSE_TOKEN"  # noqa: S105 - its name
ENROLMENT_TIMEOUT_SECONDS = 120.0


class Enrolment(NamedTuple):
    """What `enroll` is to be given. The token goes by the environment: command lines are everybody's to read."""

    collectors: Sequence[str]
    token: str
    options: Sequence[str] = ()

    def __repr__(self) -> str:
        return f"Enrolment({self.collectors!r})"


def install(service: Service, program: Path, enrolment: Enrolment | None, say: Say) -> None:
    """Make the agent a service that runs. Done again, it mends what is missing. Raises ServiceError."""
    service.check_rights()
    folder = StateFolder(service.state)
    if enrolment is None and not folder.is_enrolled():
        raise ServiceError(
            f"no agent is enrolled in {service.state}; give --collector ADDRESS, and the token in {TOKEN_VARIABLE} or"
            " --token-file FILE"
        )
    if folder.ended_path.exists():
        raise ServiceError(
            f"the collector has ended the device in {service.state}; ask the provider for a token, and enrol it again:"
            " `quarkpulse-agent enroll --force --collector ADDRESS --token-file FILE`"
        )
    if not program.exists():
        raise ServiceError(f"{program} is not there, so no service can start it; install the agent anew")
    service.prepare(program)
    if folder.is_enrolled():
        say(f"enrolled as {folder.load_identity().device_id}")
    elif enrolment is not None:
        say(f"enrolled as {enroll_apart(enrolment, service.state)}")
    service.start(program)


def uninstall(service: Service, *, purge: bool, say: Say) -> None:
    """Stop the service and take it away; with `purge` also all that it kept. Raises ServiceError."""
    service.check_rights()
    service.remove()
    if purge:
        service.purge()
    elif service.state.exists():
        say(f"kept {service.state}: the identity, and what is not yet sent; --purge removes it")


def enroll_apart(enrolment: Enrolment, state: Path) -> str:
    """The device's id. In a process of its own, which gives up root's rights. Raises ServiceError."""
    python = [sys.executable, "-I", "-B"]  # root leaves no compiled module beside the program
    command: list[str | Path] = [*python, "-m", "agent", "enroll", "--state", state, *enrolment.options]
    for collector in enrolment.collectors:
        command += ["--collector", collector]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, TOKEN_VARIABLE: enrolment.token},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ENROLMENT_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"this machine could not be enrolled ({error})") from error
    if done.returncode != 0:
        raise ServiceError(done.stderr.strip().removeprefix("Error: "))
    return done.stdout.strip()


def find_program() -> Path:
    """What starts this very agent: beside the interpreter, which on Windows starts it by itself."""
    interpreter = Path(sys.executable)
    return interpreter if sys.platform == "win32" else interpreter.with_name("quarkpulse-agent")
