"""What all kinds of services have in common."""

import subprocess
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from protocol.errors import PermanentError

COMMAND_TIMEOUT_SECONDS = 120.0  # systemd waits up to 90 s for a service that starts
MAX_REASON_CHARS = 500


class ServiceError(PermanentError):
    """The service could not be set up or taken away; the message says what to do."""


class Condition(StrEnum):
    """What the system says about the service."""

    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"  # it ended, and is not started again or waits for that
    ABSENT = "absent"


class Ran(NamedTuple):
    """How a program of the system ended."""

    exit_code: int
    output: str  # stdout and stderr


Run = Callable[[Sequence[str]], Ran]
Say = Callable[[str], None]  # is told each thing that was done, in one sentence


class Service(Protocol):
    """One way to keep the agent running. Everything may be done again and does then nothing."""

    @property
    def state(self) -> Path:
        """The state folder of the agent that is the service."""
        ...

    def check_rights(self) -> None:
        """Raises ServiceError unless services may be installed."""
        ...

    def prepare(self, program: Path) -> None:
        """User and folders. Raises ServiceError."""
        ...

    def start(self, program: Path) -> None:
        """Register, start, and start at each boot. Raises ServiceError."""
        ...

    def remove(self) -> None:
        """Stop and unregister. Raises ServiceError."""
        ...

    def purge(self) -> None:
        """Remove the state folder, the settings and the user. Raises ServiceError."""
        ...

    def condition(self) -> Condition: ...


def run_program(command: Sequence[str]) -> Ran:
    """Raises ServiceError if it is not there or takes too long."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
    except OSError as error:
        raise ServiceError(f"{command[0]} cannot be run ({error.strerror})") from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{command[0]} did not end within {COMMAND_TIMEOUT_SECONDS:.0f} s") from error
    return Ran(done.returncode, done.stdout)


def must(run: Run, *command: str) -> str:
    """The program's output. Raises ServiceError with what it said if it fails."""
    ran = run(command)
    if ran.exit_code != 0:
        said = " ".join(ran.output.split())[:MAX_REASON_CHARS]
        raise ServiceError(f"`{' '.join(command)}` failed ({ran.exit_code}): {said or 'without a word'}")
    return ran.output
