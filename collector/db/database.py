"""The state database: SQLite in the data folder, or PostgreSQL when it is shared."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from collector.db import migrate, postgresql, sqlite
from collector.db.errors import DatabaseError, DatabaseUnavailableError

BUSY_TIMEOUT_SECONDS = 15.0  # how long a writer waits for another process's transaction
CONNECT_TIMEOUT_SECONDS = 15.0
POOL_SIZE = 8
# A connection that the server has ended is noticed at once. One that nobody used for so long is asked whether it is
# still there, which takes three round trips.
ASK_AFTER_SECONDS = 10.0

# How a transaction of SQLite begins. A writer takes its lock at once: one that read first and wanted to write later
# would fail as soon as somebody else wrote in between.
_BEGIN = "sqlite_begin"
_SHORT = "sqlite_short"  # whether its statements are, see sqlite.py

_USED_AT = "quarkpulse_used_at"  # monotonic seconds, of a connection to PostgreSQL

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgres": "postgresql+asyncpg", "postgresql": "postgresql+asyncpg"}


class Database:
    """Hands out connections. One object per event loop: open it with `await Database.open(url)`, close it at the end,
    or use it as `async with await Database.open(url) as database`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writers = engine.execution_options(**{_BEGIN: "IMMEDIATE"})
        self._short_writers = engine.execution_options(**{_BEGIN: "IMMEDIATE", _SHORT: True})
        # Writers of one process queue here, in order; SQLite's own way of waiting is to try again and again.
        self._turn = asyncio.Lock() if self.dialect == "sqlite" else None

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connects, and brings the schema up to date: the first to arrive migrates, others wait for it.

        `url` is SQLAlchemy's, such as `sqlite:////var/lib/quarkpulse/quarkpulse.db` or
        `postgresql://quarkpulse@db/quarkpulse`. Raises DatabaseError if it cannot be used as it is, such as after a
        newer Quarkpulse has used it or with a wrong password, and DatabaseUnavailableError if it does not answer.
        """
        parsed = _with_driver(url)
        file = Path(parsed.database) if parsed.drivername == _DRIVERS["sqlite"] and parsed.database else None
        if file is not None:
            _make_file(file)
        async with migrate.only_one(file.parent) if file else nullcontext():
            database = cls(_make_engine(parsed))
            try:
                await migrate.upgrade(database)
            except BaseException:
                await database.close()
                raise
        return database

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @asynccontextmanager
    async def begin(self, *, short: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write: committed at the end, rolled back on an exception. Wait for nothing else in it.

        `short`: each of its statements touches few rows. They cost less then, and the event loop waits for them.

        Raises DatabaseUnavailableError if another process keeps the database for longer than the busy timeout.
        """
        async with self._turn or nullcontext():
            writers = self._short_writers if short else self._writers
            async with _connected(writers) as connection, connection.begin():
                yield connection

    @asynccontextmanager
    async def connect(self, *, asks_anything: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection for reading; on SQLite all that it reads is of one moment.

        `asks_anything`: what people look for may be common or rare. PostgreSQL then plans each statement for the very
        values; after five times it would take one plan for all of them, and read every row for a rare one. This takes a
        round trip.
        """
        async with _connected(self._engine) as connection:
            if asks_anything and self.dialect == "postgresql":
                await connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")
            yield connection

    async def close(self) -> None:
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _with_driver(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise DatabaseError("database_url is no URL; write it like postgresql://user:password@host/database") from exc
    scheme = parsed.drivername.partition("+")[0]
    if scheme not in _DRIVERS:
        raise DatabaseError(f"database_url: {scheme} is not supported; use sqlite or postgresql")
    if scheme == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise DatabaseError("database_url: a database in memory would be lost at the end; name a file")
    return parsed.set(drivername=_DRIVERS[scheme])


def _make_file(path: Path) -> None:
    """Makes the folder and an empty file that only their owner can read; SQLite's side files take its rights over.

    What root makes belongs to the folder's owner: an administrator's first command must not lock the service out.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.chown(path, owner.st_uid, owner.st_gid)
    except OSError as exc:
        raise DatabaseError(f"{path}: cannot be made or written: {exc.strerror}; choose another --data") from exc


def _make_engine(url: URL) -> AsyncEngine:
    if url.drivername == _DRIVERS["sqlite"]:
        # Without a level of its own, Python's sqlite3 would begin transactions behind SQLAlchemy's back.
        options = {"timeout": BUSY_TIMEOUT_SECONDS, "isolation_level": None, "async_creator_fn": sqlite.connect}
        engine = create_async_engine(url, connect_args=options, pool_size=POOL_SIZE)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    engine = create_async_engine(url, connect_args={"timeout": CONNECT_TIMEOUT_SECONDS}, pool_size=POOL_SIZE)
    event.listen(engine.sync_engine, "checkin", _note_use)
    event.listen(engine.sync_engine, "checkout", partial(_make_sure, engine.dialect))
    return engine


def _note_use(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    record.info[_USED_AT] = time.monotonic()


def _make_sure(
    dialect: Dialect, connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    """Has the pool connect anew instead of handing out a connection that is no more."""
    used_at = record.info.get(_USED_AT)
    if record.driver_connection is not None and record.driver_connection.is_closed():
        raise InvalidatePoolError
    if used_at is not None and time.monotonic() - used_at >= ASK_AFTER_SECONDS:
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as exc:
            raise InvalidatePoolError from exc


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    options, driver = connection.get_execution_options(), connection.connection.driver_connection
    assert isinstance(driver, sqlite.OneTurnConnection)  # noqa: S101 - as `_make_engine` made it
    driver.is_reading = driver.is_short = _BEGIN not in options  # who writes may have to wait for another's lock
    connection.exec_driver_sql(f"BEGIN {options.get(_BEGIN, 'DEFERRED')}")
    driver.is_short = options.get(_SHORT, False)


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    try:
        connection = await engine.connect()
    except Exception as exc:
        raise _not_connected(engine.url, exc) from exc
    with _explained(engine.url):
        try:
            yield connection
        finally:
            await connection.close()


def _not_connected(url: URL, error: Exception) -> DatabaseError | DatabaseUnavailableError:
    reason = error.orig if isinstance(error, DBAPIError) else error
    if url.drivername == _DRIVERS["sqlite"]:
        if isinstance(error, DBAPIError) and not isinstance(error, (OperationalError, InterfaceError)):
            return DatabaseError(f"{url.database}: cannot be used as a database: {reason}")
    elif todo := postgresql.remedy_to_connect(error):
        return _refused(url, reason, todo)
    return DatabaseUnavailableError(f"cannot connect to the state database: {reason}")


@contextmanager
def _explained(url: URL) -> Iterator[None]:
    try:
        yield
    except DBAPIError as exc:
        if todo := postgresql.remedy(exc):
            raise _refused(url, exc.orig, todo) from exc
        if postgresql.passes(exc):
            raise DatabaseUnavailableError(f"the state database did not answer as it should: {exc.orig}") from exc
        raise


def _refused(url: URL, reason: BaseException | None, todo: str) -> DatabaseError:
    where = url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)
    return DatabaseError(f"{where}: {reason}; waiting does not mend that: {todo}")
