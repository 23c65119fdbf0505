"""`quarkpulse-agent`: what runs always or every hour goes its own way past click, which all other commands use."""

import sys

from agent.run_command import run_command


def main() -> None:
    """The console script."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["run"]:
        sys.exit(run_command(arguments[1:]))
    if arguments[:1] == ["read-hardware"]:
        from agent.hardware import read_hardware_command  # noqa: PLC0415 - `run` has no use for it

        sys.exit(read_hardware_command(arguments[1:]))
    from agent.cli import cli  # noqa: PLC0415 - click and pydantic must not be loaded by these

    cli(prog_name="quarkpulse-agent")
