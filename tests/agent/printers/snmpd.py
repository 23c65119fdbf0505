"""Debian's snmpd with users of SNMP version 3, made to look like a printer."""

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.printers import mibs
from bench._ports import free_port
from tests.agent.printers.snmpsim import once_it_says
from tests.conftest import require

READY = "NET-SNMP version"
PRINTER = (
    (f"{mibs.HR_DEVICE_DESCR}.1", "octet_str", '"A printer with secrets"'),
    (f"{mibs.HR_PRINTER_ERRORS}.1", "octet_str", '"@"'),  # 0x40: noPaper
    (f"{mibs.SUPPLY_TYPE}.1.1", "integer", "3"),
    (f"{mibs.SUPPLY_DESCRIPTION}.1.1", "octet_str", '"Black Toner"'),
    (f"{mibs.SUPPLY_MAX_CAPACITY}.1.1", "integer", "100"),
    (f"{mibs.SUPPLY_LEVEL}.1.1", "integer", "42"),
)


@contextmanager
def running_snmpd(folder: Path, users: Sequence[str]) -> Iterator[int]:
    """Its port. `users` are lines as `createUser` takes them, each may read all."""
    port = free_port(socket.SOCK_DGRAM)
    lines = [f"createUser {user}" for user in users]
    lines += [f"rouser {user.split()[0]} {'authpriv' if len(user.split()) > 3 else 'authnopriv'}" for user in users]
    lines += [f"override {oid} {kind} {value}" for oid, kind, value in PRINTER]
    config = folder / "snmpd.conf"
    config.write_text("\n".join(lines) + "\n")
    config.chmod(0o600)
    server = subprocess.Popen(
        [require("snmpd"), "-f", "-Le", "-C", "-c", str(config), "-I", "-smux", f"udp:127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"SNMP_PERSISTENT_DIR": str(folder), "PATH": "/usr/sbin:/usr/bin"},
    )
    assert server.stderr is not None
    with once_it_says(READY, server, server.stderr):
        yield port
