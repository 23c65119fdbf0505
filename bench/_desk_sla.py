"""What it takes to reckon the SLA clocks of many open tickets."""

import time
from datetime import datetime, timedelta

from sqlalchemy import func, select, update

from bench._desk_data import NOW, tidy
from collector.contracts import load_service_models
from collector.contracts.promises import load_sla_book
from collector.db import tables
from collector.db.database import Database
from collector.desk.clocks import ClockKeeper
from collector.fleet.directory import load_directory
from collector.incidents.promised import Promised


async def sweep(database: Database) -> dict[str, float]:
    """Seconds of the first turn, in which every open ticket gets its clocks; of one in which the time of each has come;
    of one in which nothing happened; and of the first after a restart."""
    async with database.connect() as connection:
        open_ones = select(tables.tickets.c.number).where(tables.tickets.c.resolved_at.is_(None))
        count = await connection.scalar(select(func.count()).select_from(open_ones.subquery())) or 0
    keeper = ClockKeeper(database, await promised(database))
    first, _ = await _turn(keeper, NOW)
    async with database.begin() as connection:
        of_open = tables.ticket_clocks.c.ticket.in_(open_ones)
        await connection.execute(update(tables.ticket_clocks).where(of_open).values(next_at=NOW))
    all_due, reckoned = await _turn(keeper, NOW + timedelta(minutes=1))
    idle, _ = await _turn(keeper, NOW + timedelta(minutes=2))
    await tidy(database)  # nobody starts it again within that minute
    restart, again = await _turn(ClockKeeper(database, await promised(database)), NOW + timedelta(minutes=3))
    return {
        "open_tickets": count,
        "first_turn": first,
        "all_due": all_due,
        "reckoned": reckoned,
        "idle": idle,
        "restart": restart,
        "reckoned_after_restart": again,
    }


async def _turn(keeper: ClockKeeper, now: datetime) -> tuple[float, int]:
    begun = time.perf_counter()
    reckoned = await keeper.turn(now)
    return round(time.perf_counter() - begun, 3), reckoned


async def promised(database: Database) -> Promised:
    async with database.connect() as connection:
        directory = await load_directory(connection)
    models = load_service_models()
    return Promised(lambda: directory.contracts, directory.kind_and_tags, models, load_sla_book())
