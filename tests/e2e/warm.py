"""Programs of the collector without the two seconds that each takes to load: forked from a process that has done so.

What runs is the same program in a process of its own, with the arguments, the environment and the folder of who asks.
"""

import contextlib
import functools
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn

LOAD_TIMEOUT_SECONDS = 60.0
MAX_REQUEST_BYTES = 1 << 20


class Program:
    """`quarkpulse-collector` with arguments; what it prints goes into two open files."""

    def __init__(self, arguments: Sequence[str | Path], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        asked = {"arguments": list(map(str, arguments)), "environment": dict(os.environ), "folder": str(Path.cwd())}
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._told.connect(str(_loaded()))
        socket.send_fds(self._told, [json.dumps(asked).encode()], [stdout.fileno(), stderr.fileno()])
        self.pid = int(self._told.recv(100))
        self.returncode: int | None = None

    def send_signal(self, how: signal.Signals) -> None:
        os.kill(self.pid, how)

    def poll(self) -> int | None:
        """Its exit code once it has ended, or the signal that ended it, negative."""
        if self.returncode is None:
            with contextlib.suppress(BlockingIOError):
                self.returncode = int(self._told.recv(100, socket.MSG_DONTWAIT))
                self._told.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises TimeoutError."""
        self._told.settimeout(timeout)
        if self.returncode is None:
            self.returncode = int(self._told.recv(100))
            self._told.close()
        return self.returncode


def run(arguments: Sequence[str | Path], *, timeout: float) -> subprocess.CompletedProcess[str]:
    """As subprocess.run does, its output captured."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        program = Program(arguments, stdout, stderr)
        try:
            code = program.wait(timeout)
        except TimeoutError:
            program.send_signal(signal.SIGKILL)
            raise
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(list(arguments), code, stdout.read().decode(), stderr.read().decode())


@functools.cache
def _loaded() -> Path:
    """The socket of the process that has loaded it, started with the first program; it ends with this one."""
    at = Path(tempfile.mkdtemp(prefix="quarkpulse-warm-")) / "socket"
    # Not a child of this process, which looks for those that tests leave behind.
    command: list[str | Path] = [sys.executable, "-m", "tests.e2e.warm", at, str(os.getpid())]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=LOAD_TIMEOUT_SECONDS)
    return at


def _serve(at: Path, of: int) -> NoReturn:
    """Until process `of` is gone."""
    from collector.cli import NOUNS  # noqa: PLC0415 - who only asks loads none of it

    for noun in NOUNS:
        import_module(f"collector.cli.{noun}")
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(at))
    listener.listen(100)
    if os.fork():
        os._exit(0)  # who waits may ask now
    os.setsid()
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    listener.settimeout(1.0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while Path(f"/proc/{of}").exists():
        with contextlib.suppress(TimeoutError):
            asking, _ = listener.accept()
            if not os.fork():
                listener.close()
                _answer(asking)
            asking.close()
    at.unlink()
    at.parent.rmdir()
    os._exit(0)


def _answer(asking: socket.socket) -> NoReturn:
    """Starts one program and tells its id, waits for it and tells how it ended."""
    asking.setblocking(True)
    request, files, _, _ = socket.recv_fds(asking, MAX_REQUEST_BYTES, 2)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if not pid:
        asking.close()
        _become(json.loads(request), *files)
    asking.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):  # nobody waits for it any more
        asking.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(asked: dict[str, Any], stdout: int, stderr: int) -> NoReturn:
    from collector.cli import main  # noqa: PLC0415 - who only asks loads none of it

    os.setsid()
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = ["quarkpulse-collector", *asked["arguments"]]
    code = 1
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - as the interpreter does at the end of a program
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
