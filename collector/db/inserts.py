"""An insert that a unique key makes harmless the second time; SQLite and PostgreSQL say it alike."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_if_absent(connection: AsyncConnection, table: Table, values: Mapping[str, object]) -> bool:
    """Inserts the row unless one of its unique keys is taken; says whether it did."""
    return await insert_absent(connection, table, [values]) == 1


async def insert_absent(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, object]]) -> int:
    """Inserts those of `rows` whose unique keys are not taken, and returns how many that were."""
    values = [dict(row) for row in rows]
    if connection.dialect.name == "sqlite":
        inserted = await connection.execute(sqlite.insert(table).values(values).on_conflict_do_nothing())
    else:
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - slow to load, and SQLite's commands are short

        inserted = await connection.execute(postgresql.insert(table).values(values).on_conflict_do_nothing())
    return inserted.rowcount
