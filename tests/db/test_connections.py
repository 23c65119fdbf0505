"""Connections that end, and callers that give up, leave nothing to whoever comes next."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError

from collector.db.database import Database
from collector.db.errors import DatabaseUnavailableError
from collector.db.tables import customers
from tests.db.fixtures import END_OTHERS, closed, counting_statements, run_sql
from tests.db.test_database import ACME

# Takes long enough that a caller can give up meanwhile.
SLOW = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000) SELECT max(x) FROM n"


@pytest.fixture
def server_url(lend_postgresql: Callable[[], str]) -> str:
    return lend_postgresql()


async def names_in(database: Database) -> list[str]:
    async with database.connect() as connection:
        return list(await connection.scalars(select(customers.c.name)))


def end_connections(url: str) -> None:
    """While the event loop stands still, so that it does not hear of it."""
    ending = Thread(target=lambda: asyncio.run(run_sql(url, END_OTHERS)))
    ending.start()
    ending.join()


async def test_a_connection_that_the_server_ended_is_replaced(server_url: str) -> None:
    async with await Database.open(server_url) as database:
        await run_sql(server_url, END_OTHERS)
        assert await names_in(database) == []


async def test_a_connection_that_nobody_used_for_long_is_asked_whether_it_is_there(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.db.database.ASK_AFTER_SECONDS", 0.0)
    async with await Database.open(server_url) as database:
        end_connections(server_url)
        assert await names_in(database) == []


async def test_what_may_pass_at_the_server_is_told_as_passing(server_url: str) -> None:
    async with await Database.open(server_url) as database:
        for code, passes in (("53100", True), ("57014", True), ("40P01", True), ("58030", True), ("22012", False)):
            raised = f"DO $$ BEGIN RAISE EXCEPTION 'it went wrong' USING ERRCODE = '{code}'; END $$"
            with pytest.raises(DatabaseUnavailableError if passes else DBAPIError, match="it went wrong"):
                async with database.connect() as connection:
                    await connection.execute(text(raised))


async def test_a_server_that_lets_nobody_in_is_told_as_passing(server_url: str) -> None:
    async with await Database.open(server_url) as database:
        with ExitStack() as kept:
            await asyncio.to_thread(kept.enter_context, closed(server_url))
            with pytest.raises(DatabaseUnavailableError, match="not currently accepting connections"):
                await names_in(database)
            await asyncio.to_thread(kept.close)
        assert await names_in(database) == []


async def gives_up(database: Database, work: Callable[[], Coroutine[None, None, None]], *, at: str) -> None:
    """Cancels the work once it has come to this statement."""
    async with counting_statements(database) as begun:
        task = asyncio.create_task(work())
        while at not in begun:  # noqa: ASYNC110 - a statement that begins sets no event
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_who_gives_up_leaves_no_transaction_behind(database: Database) -> None:
    async def read() -> None:
        async with database.connect() as connection:
            await connection.execute(text(SLOW))

    async def write() -> None:
        async with database.begin() as connection:
            await connection.execute(insert(customers).values({**ACME, "id": "other", "name": "Other BV"}))
            await connection.execute(text(SLOW))

    async with database.begin() as connection:
        await connection.execute(insert(customers).values(ACME))
    for work in (read, write):
        await gives_up(database, work, at=SLOW)
        async with database.begin() as connection:
            await connection.execute(update(customers).values(name=work.__name__))
        assert await names_in(database) == [work.__name__]


async def test_who_gives_up_waiting_for_another_process_keeps_no_lock(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/quarkpulse.db"
    async with await Database.open(url) as holder, await Database.open(url) as waiter:

        async def write() -> None:
            async with waiter.begin():
                pass

        async with holder.begin():
            giving_up = asyncio.create_task(gives_up(waiter, write, at="BEGIN IMMEDIATE"))
            await asyncio.wait([giving_up], timeout=0.05)
        await giving_up
        for one in (holder, waiter):
            async with one.begin() as connection:
                await connection.execute(update(customers).values(name="free"))
