"""What the desk takes: `python -m bench desk --json [--database postgresql] [--tickets 100000] [--customers 1000]`.

- opening: the ticket of one alert, and all that an evaluation does about one that fires, each in a transaction of its
  own, beside a bare insert and commit of one row on the same database, in turns.
- lists: every list of the API over HTTP, by every filter and in every order that it offers, first pages and pages
  further on, with the tickets, customers, devices and alerts of a large provider.
- sweep: the SLA clocks of 10,000 open tickets of the last week: reckoned from nothing, minute by minute for a working
  day, all at once, none, and after a restart.

The database is SQLite in a folder of its own, or a PostgreSQL that is started for it, both with all that makes a commit
last. Another PostgreSQL is named by --database-url, with a database in which nothing stands.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench._desk_data import fill, tidy
from bench._desk_lists import lists
from bench._desk_opening import opening
from bench._desk_sla import sweep
from bench._postgresql import find_program, running_postgresql
from collector.db.database import Database


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench desk", description=__doc__)
    parser.add_argument("--tickets", type=int, default=100_000)
    parser.add_argument("--customers", type=int, default=1_000)
    parser.add_argument("--opened", type=int, default=200, help="tickets that are opened one by one, in each round")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--database-url", help="an empty PostgreSQL database to use instead")
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, made(options.database, Path(folder)) as own:
        url = options.database_url or own
        report = asyncio.run(measure(url, Path(folder), options.tickets, options.customers, options.opened))
    if options.as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{name}: {value}\n" for name, value in report.items()))
    return 0


@contextlib.contextmanager
def made(database: str, folder: Path) -> Iterator[str]:
    """The URL of a database that lasts as long as this."""
    if database == "sqlite":
        yield f"sqlite:///{folder}/quarkpulse.db"
        return
    initdb = find_program("initdb")
    if initdb is None:
        raise SystemExit("there is no initdb here: install PostgreSQL's server, or name one with --database-url")
    with running_postgresql(initdb, {}) as server:
        yield f"{server}/postgres"


async def measure(url: str, folder: Path, tickets: int, customers: int, opened: int) -> dict[str, object]:
    async with await Database.open(url) as database:
        begun = time.perf_counter()
        async with database.begin() as connection:
            await fill(connection, tickets, customers)
        await tidy(database)
        filled = time.perf_counter() - begun
        return {
            "database": database.dialect,
            "tickets": tickets,
            "customers": customers,
            "filled_seconds": round(filled, 1),
            "opening": await opening(database, folder, customers, opened),
            "lists_ms": await lists(database),
            "sla_sweep": await sweep(database),
        }
