"""Lists of few among very many rows are read by an index, on both databases."""

from typing import Any

import pytest
from sqlalchemy import Select, select, text

from collector.alerting.records import AlertState, Outcome, has_outcome
from collector.db.database import Database
from collector.db.tables import alerts, maintenance_windows

ASKED = select(alerts.c.id).where(has_outcome(Outcome.ASKED)).order_by(alerts.c.id.desc()).limit(101)
OF_CUSTOMER = (
    select(maintenance_windows.c.id)
    .where(maintenance_windows.c.customer == "acme")
    .order_by(maintenance_windows.c.id.desc())
    .limit(101)
)

OVER_AT_CUSTOMER = (
    select(alerts.c.id)
    .where(alerts.c.state == AlertState.RESOLVED, alerts.c.customer == "acme")
    .order_by(alerts.c.id.desc())
    .limit(101)
)
BY_RULE = (
    select(alerts.c.id)
    .where(alerts.c.state == AlertState.FIRING, alerts.c.rule == "X")
    .order_by(alerts.c.id.desc())
    .limit(101)
)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (ASKED, "ix_alerts_asked"),
        (OF_CUSTOMER, "ix_maintenance_windows_customer"),
        (OVER_AT_CUSTOMER, "ix_alerts_customer"),
        (BY_RULE, "ix_alerts_list"),
    ],
)
async def test_the_index_is_used(database: Database, query: Select[Any], index: str) -> None:
    async with database.connect() as connection:
        if database.dialect == "postgresql":
            await connection.execute(text("SET enable_seqscan = off"))  # of an empty table it reads all else
            await connection.execute(text("SET enable_sort = off"))
        written = query.compile(connection.sync_connection, compile_kwargs={"literal_binds": True})
        how = "EXPLAIN" if database.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
        told = [str(tuple(row)) for row in await connection.execute(text(f"{how} {written}"))]
    assert any(index in line for line in told), told
