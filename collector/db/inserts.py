"""An insert that a unique key makes harmless the second time; SQLite and PostgreSQL say it alike."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Insert, Row, Select, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


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


def replacing(dialect: str, table: Table, rows: Select[Any]) -> Insert:
    """Inserts what a query finds, all columns of the table in their order, in the place of the rows with the same
    primary keys. On SQLite the query must have a condition."""
    statement = _insert(dialect, table)
    values = {one.name: statement.excluded[one.name] for one in table.c if not one.primary_key}
    inserting = statement.from_select([one.name for one in table.c], rows)
    return inserting.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)


@cache
def _absent(dialect: str, table: Table) -> Insert:
    return _insert(dialect, table).on_conflict_do_nothing()


def _insert(dialect: str, table: Table) -> "sqlite.Insert | postgresql.Insert":
    if dialect == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - slow to load, and SQLite's commands are short

    return postgresql.insert(table)


@cache  # made once, it is compiled once
def _returning(dialect: str, table: Table, columns: tuple[ColumnElement[Any], ...]) -> ReturningInsert[Any]:
    return _absent(dialect, table).returning(*columns)
