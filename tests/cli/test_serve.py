"""`serve` that cannot start says so in one line."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from collector.cli.serve import _explain
from collector.config import load_settings


def refused(*arguments: str) -> str:
    command = [sys.executable, "-c", "from collector.cli import main; main()", "serve", *arguments]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    assert "Traceback" not in ended.stderr
    assert "leaked" not in ended.stderr  # as DuckDB's binding calls objects that nobody took away at the end
    (line,) = (line for line in ended.stderr.splitlines() if line.startswith("Error: "))
    return line


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        listen = f"127.0.0.1:{holder.getsockname()[1]}"
        told = refused("--data", str(tmp_path), "--listen", listen)
    assert told == f"Error: another program listens on {listen}: stop it, or name another port with --listen"


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = refused("--data", str(tmp_path / "file" / "data"), "--listen", "127.0.0.1:0")
    assert told.startswith(f"Error: {tmp_path}/file") and "--data" in told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EADDRNOTAVAIL, "x"), "no address of this machine"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "no address of this machine"),
        (PermissionError(errno.EACCES, "x"), "from 1024 on"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
    ],
)
def test_other_reasons(tmp_path: Path, error: OSError, told: str) -> None:
    assert told in _explain(error, load_settings(tmp_path))
