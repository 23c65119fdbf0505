"""What it takes to reckon the SLA clocks of many open tickets."""

import time
from datetime import datetime, timedelta
from statistics import median

from sqlalchemy import bindparam, select, update

from bench._desk_data import NOW, tidy
from collector.contracts import load_service_models
from collector.contracts.promises import load_sla_book
from collector.db import tables
from collector.db.database import Database
from collector.desk.clocks import ClockKeeper
from collector.fleet.directory import load_directory
from collector.incidents.promised import Promised

WORKING_DAY = 8 * 60  # minutes
_OPENED_AT = update(tables.tickets).where(tables.tickets.c.number == bindparam("of")).values(opened_at=bindparam("at"))


async def sweep(database: Database) -> dict[str, float]:
    """Seconds of the first turn, in which every open ticket gets its clocks; of the turns of a working day, one a
    minute, each with the tickets whose warning or breach it brings; of one in which the time of every ticket has come;
    of one in which nothing happened; and of the first after a restart."""
    open_ones = select(tables.tickets.c.number).where(tables.tickets.c.resolved_at.is_(None))
    async with database.begin() as connection:
        numbers = list(await connection.scalars(open_ones))
        # Of the last week, as far apart from each other.
        moments = [NOW - timedelta(days=7) * place / len(numbers) for place in range(len(numbers))]
        rows = [{"of": number, "at": at} for number, at in zip(numbers, moments, strict=True)]
        await connection.execute(_OPENED_AT, rows)
    keeper = ClockKeeper(database, await promised(database))
    first, _ = await _turn(keeper, NOW)
    minutes = [await _turn(keeper, NOW + timedelta(minutes=minute)) for minute in range(1, WORKING_DAY)]
    evening = NOW + timedelta(minutes=WORKING_DAY)
    async with database.begin() as connection:
        of_open = tables.ticket_clocks.c.ticket.in_(open_ones)
        await connection.execute(update(tables.ticket_clocks).where(of_open).values(next_at=evening))
    all_due, reckoned = await _turn(keeper, evening)
    idle, _ = await _turn(keeper, evening + timedelta(minutes=1))
    await tidy(database)  # nobody starts it again within that minute
    restart, again = await _turn(ClockKeeper(database, await promised(database)), evening + timedelta(minutes=2))
    return {
        "open_tickets": len(numbers),
        "first_turn": first,
        "of_a_day_median": median(seconds for seconds, _ in minutes),
        "of_a_day_longest": max(seconds for seconds, _ in minutes),
        "reckoned_in_a_day": sum(reckoned for _, reckoned in minutes),
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
