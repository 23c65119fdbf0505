"""An insert that a unique key makes harmless the second time; SQLite and PostgreSQL say it alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Insert, Row, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_if_absent(connection: AsyncConnection, table: Table, values: Mapping[str, object]) -> bool:
    """Inserts the row unless one of its unique keys is taken; says whether it did."""
    return await insert_absent(connection, table, [values]) == 1


async def insert_absent(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, object]]) -> int:
    """Inserts those of `rows` whose unique keys are not taken, and returns how many that were."""
    return (await connection.execute(_unless_taken(connection, table, rows))).rowcount


async def insert_absent_returning(
    connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, object]], *columns: ColumnElement[Any]
) -> Sequence[Row[Any]]:
    """The same; returns these columns of the rows that were inserted."""
    statement = _unless_taken(connection, table, rows)
    return (await connection.execute(statement.returning(*columns))).all()


def _unless_taken(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, object]]) -> Insert:
    values = [dict(row) for row in rows]
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).values(values).on_conflict_do_nothing()
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - slow to load, and SQLite's commands are short

    return postgresql.insert(table).values(values).on_conflict_do_nothing()
