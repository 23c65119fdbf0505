"""A database of its own for a backtest: the fleet, contracts, silences and windows as they are, and no alerts yet."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db import tables
from collector.db.database import Database

COPIED: Sequence[Table] = (
    tables.customers,
    tables.contracts,
    tables.sites,
    tables.devices,
    tables.device_tags,
    tables.silences,
    tables.maintenance_windows,
    tables.thresholds,
)
# What a backtest does not need, and what points elsewhere.
LEFT_EMPTY = {"devices": {"secret_hash": None, "enrolled_with": None, "inventory": None}}
ROWS_AT_ONCE = 1_000


@asynccontextmanager
async def replica_of(database: Database, folder: Path, name: str) -> AsyncIterator[AsyncConnection]:
    """One transaction on a copy in `folder`, which nobody else sees and nobody keeps."""
    async with await Database.open(f"sqlite+aiosqlite:///{folder / name}.db") as replica, replica.begin() as connection:
        async with database.connect() as source:
            for table in COPIED:
                await _copy(source, connection, table)
        yield connection


async def _copy(source: AsyncConnection, into: AsyncConnection, table: Table) -> None:
    rows = [dict(row._mapping) | LEFT_EMPTY.get(table.name, {}) for row in await source.execute(select(table))]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        await into.execute(insert(table), rows[start : start + ROWS_AT_ONCE])
