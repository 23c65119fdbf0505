"""SQLite's connections, so that a statement costs what SQLite takes for it and little more.

aiosqlite runs everything in a thread of the connection, and takes a turn of it each to make a cursor, to execute, to
fetch and to close. A turn costs far more than a small statement. Here the four are one turn; and in a transaction that
is said to be short, statements run where they are called: nobody can hold them up, since the transaction has its lock.
A transaction that reads begins and ends there too: it takes no lock. To begin one that writes, to commit, and to
execute one statement with many sets of parameters stay the thread's work.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Self

import aiosqlite

CHUNK_ROWS = 64  # of aiosqlite's own iteration, which nobody uses


def connect(path: str, **options: object) -> "OneTurnConnection":
    """As aiosqlite.connect; the options are sqlite3.connect's. The thread does not keep the process from ending."""
    opened: Callable[..., sqlite3.Connection] = sqlite3.connect
    connection = OneTurnConnection(partial(opened, path, **options | {"check_same_thread": False}), CHUNK_ROWS)
    connection._thread.daemon = True  # aiosqlite has no setting for it
    return connection


class OneTurnConnection(aiosqlite.Connection):
    is_short = False  # whether the transaction that has begun is: set after its beginning
    is_reading = False  # whether it only reads

    def cursor(self) -> "OneTurnCursor":  # type: ignore[override]  # what SQLAlchemy asks of a cursor, and no more
        return OneTurnCursor(self)

    def here(self) -> sqlite3.Cursor:
        """A cursor to use in the thread of the caller, while the connection's own has nothing to do."""
        return self._conn.cursor()

    async def in_its_thread(self, work: Callable[[sqlite3.Cursor], None]) -> None:
        """Raises what `work` raises."""

        def turn() -> None:
            cursor = self._conn.cursor()
            try:
                work(cursor)
            finally:
                cursor.close()

        future = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((future, turn))
        await future

    async def rollback(self) -> None:
        """Also called whenever a connection goes back to the pool, committed or not. Its thread has nothing to do then:
        a connection whose caller was cancelled in between is thrown away."""
        if self._conn.in_transaction and not self.is_reading:
            await super().rollback()
        elif self._conn.in_transaction:
            self._conn.rollback()


class OneTurnCursor:
    """What SQLAlchemy asks of a cursor of an asyncio driver."""

    arraysize = 1

    def __init__(self, connection: OneTurnConnection) -> None:
        self._connection = connection
        self._open: sqlite3.Cursor | None = None  # that of a short transaction: rows are still to be fetched from it
        self._rows: deque[Any] = deque()
        self.description: object = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, operation: str, parameters: Any = ()) -> Self:  # noqa: ANN401 - a row or a mapping
        if self._connection.is_short:
            self._open = self._connection.here()
            self._open.execute(operation, parameters)
            self._tell(self._open)
        else:
            await self._connection.in_its_thread(lambda cursor: self._take(cursor.execute(operation, parameters)))
        return self

    async def executemany(self, operation: str, parameters: Iterable[Any]) -> Self:
        await self._connection.in_its_thread(lambda cursor: self._take(cursor.executemany(operation, parameters)))
        return self

    async def fetchall(self) -> list[Any]:
        if self._open is not None:
            return self._open.fetchall()
        return await self.fetchmany(len(self._rows))

    async def fetchmany(self, size: int = 1) -> list[Any]:
        if self._open is not None:
            return self._open.fetchmany(size)
        return [self._rows.popleft() for _ in range(min(size, len(self._rows)))]

    async def close(self) -> None:
        self._rows.clear()
        if self._open is not None:
            self._open.close()

    def _take(self, cursor: sqlite3.Cursor) -> None:
        self._tell(cursor)
        if cursor.description:
            self._rows.extend(cursor.fetchall())

    def _tell(self, cursor: sqlite3.Cursor) -> None:
        self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
