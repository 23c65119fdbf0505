"""Many rows as one parameter: both databases take JSON apart themselves, and faster than drivers bind row by row."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Column, Label, Subquery, TableValuedAlias, Text, bindparam, cast, column, func, select

ROWS = "given_rows"  # the parameter's name


def given(dialect: str, columns: Iterable[Column[Any]]) -> Subquery | TableValuedAlias:
    """What `as_given` made, as a table with these columns' names and types."""
    rows = bindparam(ROWS, type_=Text)
    if dialect == "sqlite":
        each = func.json_each(rows).table_valued("value").alias("each")
        return select(*(_taken(each, number, one) for number, one in enumerate(columns))).subquery("given")
    typed = [column(one.name, one.type) for one in columns]
    return func.json_to_recordset(cast(rows, JSON)).table_valued(*typed).render_derived(name="given", with_types=True)


def _taken(each: TableValuedAlias, number: int, one: Column[Any]) -> Label[Any]:
    return func.json_extract(each.c.value, f"$[{number}]", type_=one.type).label(one.name)


def as_given(dialect: str, columns: Sequence[Column[Any]], rows: Iterable[Sequence[object]]) -> Mapping[str, str]:
    """The parameter: each row has a value for each column, in their order; text, numbers, times and None."""
    if dialect == "sqlite":
        return {ROWS: json.dumps(list(rows), default=_plain_time)}
    names = [one.name for one in columns]
    return {ROWS: json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=_time)}


def _time(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(" ", "microseconds")
    raise TypeError(f"no value of a row: {type(value).__name__}")


def _plain_time(value: object) -> str:
    """As SQLAlchemy keeps times in SQLite: UTC, and it is not said."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(" ", "microseconds")[:_ZONE]
    raise TypeError(f"no value of a row: {type(value).__name__}")


_ZONE = len("2026-03-02 10:00:00.000000")
