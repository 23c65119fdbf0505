"""Debian's snmpsim with recordings of real printers; a recording's name is its community."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bench._ports import free_port
from tests.conftest import require

RECORDINGS = Path("tests/data/printers")
MADE_UP = Path("tests/data/printers_made_up")
READY = "Listening at UDP/IPv4 endpoint"


@contextmanager
def running_simulator(cache: Path, data: Path = RECORDINGS, options: Sequence[str] = ()) -> Iterator[int]:
    """Its port. `cache` takes its index."""
    port = free_port(socket.SOCK_DGRAM)
    command = [
        require("snmpsimd"),
        f"--data-dir={data.absolute()}",
        f"--cache-dir={cache}",
        f"--agent-udpv4-endpoint=127.0.0.1:{port}",
        *options,
    ]
    if os.geteuid() == 0:
        command += ["--process-user=root", "--process-group=root"]
    simulator = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert simulator.stdout is not None
    with once_it_says(READY, simulator, simulator.stdout):
        yield port


@contextmanager
def once_it_says(ready: str, server: "subprocess.Popen[str]", output: IO[str]) -> Iterator[None]:
    """Entered when the server has printed this; it is ended afterwards."""
    try:
        said = []
        for line in output:
            said.append(line)
            if ready in line:
                break
        else:
            raise AssertionError("".join(said))
        drain = threading.Thread(target=output.read)
        drain.start()
        yield
    finally:
        server.kill()
        server.wait()
    drain.join()
    output.close()
