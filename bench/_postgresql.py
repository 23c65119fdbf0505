"""A PostgreSQL server of one's own, from Debian's package: made, started, and gone afterwards."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench._ports import free_port

USER = "postgres"  # whose the server is when root starts it: PostgreSQL does not run as root
# Nothing on its disk has to last.
HASTY = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


def find_program(name: str) -> str | None:
    """Its path. Debian keeps PostgreSQL's server programs out of PATH."""
    folders = os.pathsep.join(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin"))))
    return shutil.which(name) or shutil.which(name, path=folders)


@contextlib.contextmanager
def running_postgresql(initdb: str, settings: Mapping[str, str], *, doors: str = "") -> Iterator[str]:
    """Its URL without a database; everybody on this machine may come in, save as `doors` says in lines of pg_hba.conf.
    `initdb` is the path of that program."""
    programs = Path(initdb).parent
    user = USER if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="quarkpulse-postgresql-", ignore_cleanup_errors=True) as folder:
        if user:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", f"{folder}/data", *arguments]
            subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, timeout=120)

        run("initdb", "-A", "trust", "-U", USER, "-N", "-E", "UTF8", "--locale=C")
        rules = Path(folder, "data", "pg_hba.conf")
        rules.write_text(doors + rules.read_text())
        own = {"listen_addresses": "127.0.0.1", "port": str(port := free_port()), "unix_socket_directories": folder}
        options = " ".join(f"-c {name}={value}" for name, value in (own | dict(settings)).items())
        run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql://{USER}@127.0.0.1:{port}"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
