"""A collector whose state is in PostgreSQL: enrolled, pushed to, killed and started again, it has the same tickets."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.db.fixtures import Cluster
from tests.e2e.harness import Collector, collector_in, eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def database_url(postgresql: Cluster) -> str:
    return asyncio.run(postgresql.make())


@pytest.fixture
def collector(tmp_path: Path, database_url: str) -> Iterator[Collector]:
    """Configured by DIR/config.toml, as an operator does it; the first command migrates."""
    with collector_in(tmp_path, start=False) as made:
        made.data.mkdir()
        (made.data / "config.toml").write_text(f'database_url = "{database_url}"\n')
        made.add_customers()
        made.start()
        yield made


async def counted(url: str) -> dict[str, int]:
    """Rows of what must neither be lost nor doubled."""
    connection = await asyncpg.connect(url)
    try:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - the names are ours
            for table in ("customers", "contracts", "devices", "tickets", "alerts", "shadow_tickets", "decisions")
        }
    finally:
        await connection.close()


def tickets(collector: Collector) -> list[dict[str, Any]]:
    return collector.rows("tickets", "list", "--all")


def test_over_a_kill_nothing_is_lost_and_nothing_doubled(collector: Collector, database_url: str) -> None:
    device, other = collector.enrol("acme"), collector.enrol("bakkerij")
    for sender in (device, other):
        assert sender.push_disk(0.95).json["acked"] == 1

    def opened() -> bool:
        for sender in (device, other):
            sender.push_disk(0.95)
        return bool(tickets(collector)) and bool(collector.rows("tickets", "list", "--shadow"))

    eventually(opened, "a ticket and a shadow")
    (ticket,) = tickets(collector)
    number = str(ticket["number"])
    collector.run("tickets", "comment", number, "on my way", "--public")

    def has_terms() -> bool:
        (shown,) = collector.rows("tickets", "show", number)
        return "terms" in {one["type"] for one in shown["history"]}

    eventually(has_terms, "its clocks to run")
    before, told = asyncio.run(counted(database_url)), collector.rows("tickets", "show", number)
    collector.kill()
    assert asyncio.run(counted(database_url)) == before
    collector.start()
    assert device.push_disk(0.95).json["acked"] == device.seq
    evaluated = len(collector.rows("tickets", "list"))
    assert (evaluated, asyncio.run(counted(database_url))) == (1, before)
    assert [one["number"] for one in tickets(collector)] == [ticket["number"]]
    after = collector.rows("tickets", "show", number)
    assert [one["history"] for one in after] == [one["history"] for one in told]
    assert {one["id"] for one in collector.rows("devices", "list")} == {device.device_id, other.device_id}
    # It goes on: the fault ends, and the comment keeps the ticket from resolving by itself.
    note = "the condition is gone; resolve the ticket when you are done"

    def over() -> bool:
        device.push_disk(0.5)
        (shown,) = collector.rows("tickets", "show", number)
        return any(one["data"].get("text") == note for one in shown["history"])

    eventually(over, "the end of the fault to be told")
    collector.run("tickets", "resolve", number, "--without")
    assert [one["status"] for one in tickets(collector)] == ["resolved"]
    assert not (collector.data / "quarkpulse.db").exists()
