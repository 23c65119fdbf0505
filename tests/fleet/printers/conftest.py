from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert

from collector.db.database import Database
from collector.db.tables import devices
from collector.fleet.customers import ensure_site
from tests.fleet.world import ACTOR, NOW, make_customer


async def add_agent(database: Database, name: str, *, customer: str = "acme", site: str = "hq") -> None:
    values = dict.fromkeys(("os", "arch", "agent_version", "instance"), "x")
    values |= {"id": name, "customer": customer, "site": site, "kind": "server", "hostname": name, "machine_id": name}
    async with database.begin() as connection:
        await ensure_site(connection, customer=customer, site=site, actor=ACTOR, now=NOW)
        await connection.execute(insert(devices).values(**values, secret_hash=name, enrolled_at=NOW))


@pytest.fixture
async def fleet(database: Database) -> AsyncIterator[Database]:
    """Acme with two agents at its head office and one at a branch, and a bakery with one."""
    async with database.begin() as connection:
        await make_customer(connection)
        await make_customer(connection, "bakkerij")
    await add_agent(database, "srv-1")
    await add_agent(database, "srv-2")
    await add_agent(database, "srv-ny", site="ny")
    await add_agent(database, "srv-oven", customer="bakkerij")
    yield database
