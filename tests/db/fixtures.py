"""A fresh, migrated state database per test, on SQLite and on a PostgreSQL that the tests start themselves."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import event

from collector.db.database import Database
from tests.conftest import free_port, require, skip_or_fail

BACKENDS = ("sqlite", "postgresql")


async def migrate(url: str) -> None:
    async with await Database.open(url):
        pass


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "quarkpulse.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL, without a database, of a cluster of our own; it holds the migrated database `template`."""
    programs = Path(require("initdb")).parent
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL does not run as root
    if user and user not in {entry.pw_name for entry in pwd.getpwall()}:
        skip_or_fail("needs the user postgres, since PostgreSQL does not run as root")
    with tempfile.TemporaryDirectory(prefix="quarkpulse-postgresql-", ignore_cleanup_errors=True) as folder:
        if user:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", f"{folder}/data", *arguments]
            subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, timeout=60)

        port = free_port()
        run("initdb", "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            server = f"postgresql://postgres@127.0.0.1:{port}"
            asyncio.run(run_sql(server, "CREATE DATABASE template"))
            asyncio.run(migrate(f"{server}/template"))
            yield server
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")


async def run_sql(server: str, statement: str) -> None:
    connection = await asyncpg.connect(f"{server}/postgres")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def database_names() -> Iterator[int]:
    return count(1)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_url(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path, database_names: Iterator[int]
) -> Callable[[bool], str]:
    """Makes the URL of a fresh database, migrated or empty."""

    def make(migrated: bool) -> str:
        number = next(database_names)
        if backend == "sqlite":
            path = tmp_path / f"{number}.db"
            if migrated:
                shutil.copy(request.getfixturevalue("sqlite_template"), path)
            return f"sqlite:///{path}"
        server: str = request.getfixturevalue("postgresql_server")
        template = "template" if migrated else "template1"
        asyncio.run(run_sql(server, f"CREATE DATABASE test_{number} TEMPLATE {template}"))
        return f"{server}/test_{number}"

    return make


@pytest.fixture
def empty_url(make_url: Callable[[bool], str]) -> str:
    return make_url(False)


@pytest.fixture
def database_url(make_url: Callable[[bool], str]) -> str:
    return make_url(True)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with await Database.open(database_url) as opened:
        yield opened


@asynccontextmanager
async def counting_statements(database: Database) -> AsyncIterator[list[str]]:
    """The statements that are run while this is entered, one for each call of the driver."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    async with database.connect() as connection:
        engine = connection.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)
