"""An insert that a unique key makes harmless the second time; SQLite and PostgreSQL say it alike."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Insert, Row, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert


async def insert_if_absent(connection: AsyncConnection, table: Table, values: Mapping[str, object]) -> bool:
    """Inserts the row unless one of its unique keys is taken; says whether it did."""
    return await insert_absent(connection, table, [values]) == 1


async def insert_absent(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, object]]) -> int:
    """Inserts those of `rows`, which may be none, whose unique keys are not taken, and returns how many that were."""
    if not rows:
        return 0  # or SQL would insert a row of defaults
    statement = _absent(connection.dialect.name, table).values([dict(row) for row in rows])
    return (await connection.execute(statement)).rowcount


async def insert_absent_returning(
    connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, object]], *columns: ColumnElement[Any]
) -> Sequence[Row[Any]]:
    """The same; returns these columns of the rows that were inserted. All rows name the same columns."""
    if not rows:
        return []
    statement = _returning(connection.dialect.name, table, columns)
    added: Sequence[Row[Any]] = (await connection.execute(statement, [dict(row) for row in rows])).all()
    return added


@cache
def _absent(dialect: str, table: Table) -> Insert:
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - slow to load, and SQLite's commands are short

    return postgresql.insert(table).on_conflict_do_nothing()


@cache  # made once, it is compiled once
def _returning(dialect: str, table: Table, columns: tuple[ColumnElement[Any], ...]) -> ReturningInsert[Any]:
    return _absent(dialect, table).returning(*columns)
