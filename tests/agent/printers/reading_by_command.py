"""`quarkpulse-agent printers read --json`, as it stands in a shell, without a process for each printer."""

import json
from typing import Any
from unittest.mock import patch

from click.testing import CliRunner

from agent.cli import cli
from agent.printers.connecting import connect_snmp


def read_by_command(port: int, community: str, *options: str) -> dict[str, Any]:
    """What it prints of a printer that is read whole."""
    arguments = ["printers", "read", "127.0.0.1", "--port", str(port), "--community", community, "--json", *options]
    # However long a busy machine takes to answer.
    with patch.dict(connect_snmp.__kwdefaults__ or {}, timeout_seconds=60.0):
        done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
