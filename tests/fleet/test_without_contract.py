"""A customer with devices and without a contract is told loudly: once in the log, and as a series with a rule."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession
from sqlalchemy import update

from collector.db.revisions import Topic, bump
from collector.db.tables import contracts
from collector.fleet.contracts import end_contract
from tests.fleet.living import Life, living

METRIC = "quarkpulse_customers_without_contract"


@pytest.fixture
async def life(tmp_path: Path, database_url: str) -> AsyncIterator[Life]:
    async with living(tmp_path, database_url) as made:
        await made.add("srv-1", "server")
        await made.start()
        yield made


async def count(life: Life) -> float:
    async with life.collector.listening() as url, ClientSession() as session, session.get(f"{url}/metrics") as answer:
        (line,) = [line for line in (await answer.text()).splitlines() if line.startswith(METRIC)]
    return float(line.split()[1])


async def test_it_is_told_once_and_counted(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if "without a contract" in record.getMessage()]

    caplog.set_level(logging.WARNING)
    await life.pass_(timedelta(minutes=3))
    assert (await count(life), told()) == (0, [])
    ends_at = life.now + timedelta(minutes=2)
    async with life.opened() as database, database.begin() as connection:
        await end_contract(connection, 1, ends_at=ends_at, actor="test", now=life.now)
    await life.pass_(timedelta(minutes=6))
    assert await count(life) == 1
    (line,) = told()
    assert "customer=acme;" in line and "contracts add acme" in line
    await life.leave("srv-1")
    await life.pass_(timedelta(minutes=12))
    assert await life.told() == []  # what fires there opens no ticket


async def test_a_plan_that_came_into_the_file_after_the_start_is_told_and_counted(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    async with life.opened() as database, database.begin() as connection:
        await connection.execute(update(contracts).where(contracts.c.id == 1).values(plan="by_the_hour"))
        await bump(connection, Topic.FLEET)
    await life.pass_(timedelta(minutes=3))
    assert await count(life) == 1
    (line,) = [one for record in caplog.records if "of a plan that" in (one := record.getMessage())]
    assert "customer=acme plan=by_the_hour; check the file, and restart serve" in line
