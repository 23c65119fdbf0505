"""An insert that a unique key makes harmless the second time; SQLite and PostgreSQL say it alike."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_if_absent(connection: AsyncConnection, table: Table, values: Mapping[str, object]) -> bool:
    """Inserts the row unless one of its unique keys is taken; says whether it did."""
    return await insert_absent(connection, table, [values]) == 1


async def insert_absent(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, object]]) -> int:
    """Inserts those of `rows` whose unique keys are not taken, and returns how many that were."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    inserted = await connection.execute(insert(table).values([dict(row) for row in rows]).on_conflict_do_nothing())
    return inserted.rowcount
