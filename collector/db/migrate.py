"""Brings the schema up to date. The migrations are Alembic's; each is frozen once released."""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection, column, func, inspect, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.errors import DatabaseError, DatabaseUnavailableError

if TYPE_CHECKING:  # loaded only when there is something to migrate: it is slow, and commands are short
    from alembic.config import Config

HEAD = "0023"  # the newest of the migrations; a test compares
MIGRATIONS = Path(__file__).with_name("migrations")

LOCK_TIMEOUT_SECONDS = 120.0
LOCK_POLL_SECONDS = 0.05
POSTGRESQL_LOCK = 0x5155_4152_4B50  # any number that nobody else takes: 'QUARKP'

_VERSIONS = table("alembic_version", column("version_num"))


class Migratable(Protocol):
    """What is needed of a Database."""

    @property
    def dialect(self) -> str: ...

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]: ...

    def connect(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


@asynccontextmanager
async def only_one(folder: Path) -> AsyncIterator[None]:
    """Lets one process at a time open the SQLite database in `folder`; the lock falls when its holder dies.

    Raises DatabaseUnavailableError after LOCK_TIMEOUT_SECONDS.
    """
    descriptor = os.open(
        folder, os.O_RDONLY | os.O_CLOEXEC
    )  # the folder itself: no lock file to own or to leave behind
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise DatabaseUnavailableError(f"{folder}: another process has been migrating for too long; look at it")
            await asyncio.sleep(LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def upgrade(database: Migratable) -> None:
    """Applies what is missing, in one transaction. Raises DatabaseError if a newer Quarkpulse has been here."""
    async with database.connect() as connection:
        found = await connection.run_sync(revision)
    if found == HEAD:
        return
    async with database.begin() as connection:
        if database.dialect == "postgresql":
            await connection.execute(select(func.pg_advisory_xact_lock(POSTGRESQL_LOCK)))
        await connection.run_sync(_upgrade)


def revision(connection: Connection) -> str | None:
    """The migration that the database stands at, None if it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(select(_VERSIONS.c.version_num))


def make_config(connection: Connection) -> "Config":
    """Alembic's configuration, working on `connection`."""
    from alembic.config import Config  # noqa: PLC0415 - see the note above

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - see the note above
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = make_config(connection)
    found = revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise DatabaseError(
            f"a newer Quarkpulse has used this database (schema {found}, this version knows up to {HEAD}): "
            "install that version, or restore a backup from before"
        )
    command.upgrade(config, "head")
