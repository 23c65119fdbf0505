"""The command line of `run`, parsed by hand: the process that stays loads nothing that it does not use."""

import sys
from pathlib import Path

RUN_HELP = """\
Usage: quarkpulse-agent run --state DIR [--interval 5s] [--once]

  Look at this machine and push what is seen, until SIGTERM or Ctrl-C.
  Example: quarkpulse-agent run --state /var/lib/quarkpulse-agent

Options:
  --state DIR      The state folder that `enroll` filled. Required.
  --interval TIME  Seconds between frames (5s, 1m); overrides what the collector says. 0.1s to 2m.
  --once           Make one frame, push it, and stop; exit code 1 if it was not acknowledged.
  --help           Show this message.
"""
UNITS_SECONDS = {"s": 1.0, "m": 60.0}


class UsageError(Exception):
    """The command line is wrong; the message says how."""


def run_command(arguments: list[str]) -> int:
    """Exit code: 0 stopped, 1 problem, 2 wrong usage."""
    if "--help" in arguments or "-h" in arguments:
        sys.stdout.write(RUN_HELP)
        return 0
    try:
        state, interval_seconds, once = parse_run_arguments(arguments)
    except UsageError as error:
        sys.stderr.write(f"Error: {error}\n\n{RUN_HELP}")
        return 2
    from agent.orphans import become_reaper  # noqa: PLC0415 - not needed to print help

    become_reaper()
    from agent.runner import RunOptions, run  # noqa: PLC0415 - what is loaded before is loaded twice
    from agent.service.owner import become_owner  # noqa: PLC0415 - likewise

    become_owner(state)
    return run(RunOptions(state, interval_seconds, once))


def parse_run_arguments(arguments: list[str]) -> tuple[Path, float | None, bool]:
    """State folder, interval in seconds or None, once. Raises UsageError."""
    values: dict[str, str] = {}
    once = False
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if name == "--once" and not equals:
            once = True
        elif name in ("--state", "--interval"):
            given = value if equals else next(waiting, None)
            if not given:
                raise UsageError(f"{name} needs a value")
            values[name] = given
        else:
            raise UsageError(f"no such option: {argument}")
    if "--state" not in values:
        raise UsageError("--state DIR is missing")
    interval = values.get("--interval")
    return Path(values["--state"]), None if interval is None else parse_interval_seconds(interval), once


def parse_interval_seconds(text: str) -> float:
    """`5s`, `1m` or plain seconds, 0.1 s to 2 min. Raises UsageError."""
    number, unit = (text[:-1], UNITS_SECONDS[text[-1]]) if text[-1:] in UNITS_SECONDS else (text, 1.0)
    try:
        seconds = float(number) * unit
    except ValueError:
        raise UsageError(f"--interval must look like 5s or 1m, got {text!r}") from None
    if not 0.1 <= seconds <= 120:
        raise UsageError(f"--interval must be 0.1s to 2m, got {text!r}")
    return seconds
