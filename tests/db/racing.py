"""Runs one function in several processes at once: `python -m tests.db.racing MODULE FUNCTION CALLS`."""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

TIMEOUT_SECONDS = 60


def race(function: Callable[..., object], calls: Sequence[Sequence[object]]) -> list[Any]:
    """What `function` (of a module's top level) returns for each of `calls`, in processes of their own that begin at
    the same moment. Arguments and results travel as JSON."""
    command = [sys.executable, "-m", __name__, function.__module__, function.__name__, json.dumps(calls)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as runner:
        try:
            told, _ = runner.communicate(timeout=TIMEOUT_SECONDS)
        except BaseException:
            os.killpg(runner.pid, signal.SIGKILL)
            raise
    assert runner.returncode == 0
    results: list[Any] = json.loads(told)
    return results


def main(module: str, name: str, calls: str) -> None:
    """They are forked from this process, which has loaded the module: to load it takes longer than most calls."""
    function = getattr(import_module(module), name)
    gate = os.pipe()  # at whose end all begin
    runners = [_forked(function, arguments, gate) for arguments in json.loads(calls)]
    os.close(gate[1])
    results = []
    for pid, results_of in runners:
        with os.fdopen(results_of) as result:
            results.append(result.read())
        if os.waitpid(pid, 0)[1] != 0:
            raise SystemExit(1)  # it has said why
    sys.stdout.write(f"[{', '.join(results)}]")


def _forked(function: Callable[..., object], arguments: Sequence[object], gate: tuple[int, int]) -> tuple[int, int]:
    """Its process id, and what its result can be read from."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    try:
        os.close(gate[1])
        os.read(gate[0], 1)
        with os.fdopen(writing, "w") as result:
            json.dump(function(*arguments), result)
    except BaseException:  # noqa: BLE001 - it ends here, and must not go on as the process that it came from
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
