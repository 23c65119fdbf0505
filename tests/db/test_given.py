"""Many rows as one parameter come out of the database as they went in."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from collector.db.database import Database
from collector.db.given import as_given, given
from collector.db.tables import ticket_clocks, ticket_events, tickets

AT = datetime(2026, 3, 2, 9, 30, 0, 250_000, tzinfo=UTC)


async def test_rows_come_out_as_they_went_in(database: Database) -> None:
    columns = (tickets.c.number, tickets.c.title, tickets.c.due_at, ticket_clocks.c.used_seconds, ticket_events.c.data)
    rows: list[tuple[object, ...]] = [
        (1, "één 'disk' is \"vol\" \U0001f5a8", AT, 0, {"a": [1, 0.75, None, "ü"]}),
        (2**40, "", AT.replace(microsecond=0).astimezone(ZoneInfo("Europe/Amsterdam")), None, {}),
        (3, None, None, 7, {"at": AT.isoformat()}),
    ]
    dialect = database.dialect
    async with database.connect() as connection:
        found = await connection.execute(select(given(dialect, columns)), as_given(dialect, columns, rows))
        assert [tuple(row) for row in found] == rows
        none = await connection.execute(select(given(dialect, columns)), as_given(dialect, columns, []))
        assert none.all() == []


def test_what_is_no_value_is_refused() -> None:
    for dialect in ("sqlite", "postgresql"):
        with pytest.raises(TypeError, match="no value of a row: set"):
            as_given(dialect, (tickets.c.number,), [({1},)])
