"""A fresh, migrated state database per test, on SQLite and on a PostgreSQL that the tests start themselves."""

import asyncio
import io
import os
import pwd
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import event

from bench._postgresql import HASTY, USER, running_postgresql
from collector.db.database import Database
from tests.conftest import require, skip_or_fail

BACKENDS = ("sqlite", "postgresql")

# Roles that the tests' server does not simply let in; a test that needs one makes it.
DOORS = """
host all with_password all scram-sha-256
host all kept_out all reject
"""


async def migrate(url: str) -> None:
    async with await Database.open(url):
        pass


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "quarkpulse.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgresql() -> Iterator["Cluster"]:
    """A cluster of our own, with nothing on its disk that has to last."""
    initdb = require("initdb")
    if os.geteuid() == 0 and USER not in {entry.pw_name for entry in pwd.getpwall()}:
        skip_or_fail(f"needs the user {USER}, since PostgreSQL does not run as root")
    with running_postgresql(initdb, HASTY, doors=DOORS) as server:
        yield asyncio.run(Cluster.begin(server))


# What a table's columns and indices are; a database in which a test has changed them is not used again.
_SHAPE = """
SELECT md5(string_agg(concat_ws(' ', relname, relkind, attname, atttypid, attnotnull), ',' ORDER BY relname, attnum))
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid WHERE relnamespace = 'public'::regnamespace
"""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
_SEQUENCES = "SELECT sequencename, start_value, last_value FROM pg_sequences WHERE schemaname = 'public'"
END_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """What is in a database of PostgreSQL: the rows of the tables that have some, and where its sequences are."""

    of: dict[str, bytes]  # by table, as COPY writes them
    sequences: str  # statements that set them

    @classmethod
    async def read(cls, connection: asyncpg.Connection) -> "Rows":
        of = {}
        for (table,) in await connection.fetch(_TABLES):
            rows = io.BytesIO()
            await connection.copy_from_table(table, output=rows)
            if rows.getvalue():
                of[table] = rows.getvalue()
        sequences = [
            f"SELECT setval('{name}', {last or start}, {last is not None})"
            for name, start, last in await connection.fetch(_SEQUENCES)
        ]
        return cls(of, "; ".join(sequences))


@dataclass
class Cluster:
    """Makes databases. A migrated one is used by many tests in turn, emptied before each: making it costs more."""

    server: str  # its URL, without a database
    shape: str  # of a migrated database
    fresh: Rows  # of a migrated database
    emptying: str
    spare: list[str] = field(default_factory=list)
    made: int = 0

    @classmethod
    async def begin(cls, server: str) -> "Cluster":
        await run_sql(f"{server}/postgres", "CREATE DATABASE template")
        await migrate(f"{server}/template")
        async with connected(f"{server}/template") as connection:
            # Without triggers the order of tables does not matter.
            emptying = [
                "SET session_replication_role = replica",
                *(f'DELETE FROM "{table}"' for (table,) in await connection.fetch(_TABLES)),  # noqa: S608 - its own names
            ]
            shape = await connection.fetchval(_SHAPE)
            return cls(server, shape, await Rows.read(connection), "; ".join(emptying))

    async def take(self, rows: Rows | None = None) -> str:
        """The URL of a migrated database with nothing in it, or with these rows."""
        while self.spare:
            url = self.spare.pop()
            async with connected(url) as connection:
                await connection.execute(END_OTHERS)
                if await connection.fetchval(_SHAPE) == self.shape:
                    await self._fill(connection, rows or self.fresh)
                    return url
        url = await self.make("template")
        if rows is not None:
            async with connected(url) as connection:
                await self._fill(connection, rows)
        return url

    async def _fill(self, connection: asyncpg.Connection, rows: Rows) -> None:
        await connection.execute(f"{self.emptying}; {rows.sequences}")
        for table, content in rows.of.items():
            await connection.copy_to_table(table, source=io.BytesIO(content))

    async def read(self, url: str) -> Rows:
        async with connected(url) as connection:
            return await Rows.read(connection)

    async def make(self, template: str = "template1") -> str:
        """The URL of a new database, by default without tables."""
        self.made += 1
        name = f"test_{self.made}"
        await run_sql(f"{self.server}/postgres", f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return f"{self.server}/{name}"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def run_sql(url: str, statement: str) -> None:
    async with connected(url) as connection:
        await connection.execute(statement)


@contextmanager
def closed(url: str) -> Iterator[None]:
    """The server ends the connections to a database, and lets nobody in."""
    server, _, name = url.rpartition("/")
    asyncio.run(run_sql(f"{server}/postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
    asyncio.run(run_sql(f"{server}/postgres", END_OTHERS.replace("current_database()", f"'{name}'")))
    yield
    asyncio.run(run_sql(f"{server}/postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lend_postgresql(postgresql: Cluster) -> Iterator[Callable[[], str]]:
    """Lends migrated databases of the cluster, by URL, for as long as the test runs."""
    lent: list[str] = []

    def lend() -> str:
        lent.append(asyncio.run(postgresql.take()))
        return lent[-1]

    yield lend
    postgresql.spare += lent


@pytest.fixture
def make_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bool], str]:
    """Makes the URL of a fresh database, migrated or empty."""
    if backend == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql")
        lend: Callable[[], str] = request.getfixturevalue("lend_postgresql")
        return lambda migrated: lend() if migrated else asyncio.run(cluster.make())

    def make(migrated: bool) -> str:
        path = tmp_path / f"{uuid4().hex}.db"
        if migrated:
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"

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
