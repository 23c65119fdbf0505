"""Runs one function in several processes at once: `python -m tests.db.racing MODULE FUNCTION ARGUMENTS`."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import Any

TIMEOUT_SECONDS = 60
READY = "ready\n"


def race(function: Callable[..., object], calls: Sequence[Sequence[object]]) -> list[Any]:
    """What `function` (of a module's top level) returns for each of `calls`, in processes of their own that begin at
    the same moment. Arguments and results travel as JSON."""
    command = [sys.executable, "-m", __name__, function.__module__, function.__name__]
    with ExitStack() as stack:
        runners = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, json.dumps(arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for arguments in calls
        ]
        for runner in runners:
            stack.callback(runner.kill)
            assert runner.stdout is not None and runner.stdout.readline() == READY
        for runner in runners:
            assert runner.stdin is not None
            runner.stdin.write("go\n")
            runner.stdin.flush()
        return [json.loads(runner.communicate(timeout=TIMEOUT_SECONDS)[0]) for runner in runners]


def main(module: str, name: str, arguments: str) -> None:
    function = getattr(import_module(module), name)
    sys.stdout.write(READY)
    sys.stdout.flush()
    sys.stdin.readline()
    json.dump(function(*json.loads(arguments)), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
