"""What could not be told outside, on the command line."""

import asyncio
import json
from pathlib import Path

import pytest

from collector.clock import system_clock
from collector.config import load_settings
from collector.db.database import Database
from collector.desk import outbox
from tests.cli.test_technicians import run
from tests.cli.test_ticket_assignment import open_ticket

pytestmark = pytest.mark.usefixtures("state")


async def give_up(data: Path) -> None:
    now = system_clock()
    async with await Database.open(load_settings(data).database) as database, database.begin() as connection:
        for entry in await outbox.list_entries(connection):
            await outbox.put_off(connection, entry, None, "status 422")
        await outbox.use_connectors(connection, ["webhook"], now)


def test_what_was_given_up_is_listed_and_tried_again(tmp_path: Path) -> None:
    run(tmp_path, "customers", "add", "acme", "--name", "Acme", "--plan", "monthly")
    assert json.loads(run(tmp_path, "outbox", "list", "--json")) == []
    asyncio.run(give_up(tmp_path))  # only puts the webhook to use
    asyncio.run(open_ticket(tmp_path))
    asyncio.run(give_up(tmp_path))
    (parked,) = json.loads(run(tmp_path, "outbox", "list", "--parked", "--json"))
    assert (parked["state"], parked["kind"], parked["last_error"]) == ("parked", "opened", "status 422")
    assert "name one" in run(tmp_path, "outbox", "retry", fails=True)
    assert "nothing of number 99" in run(tmp_path, "outbox", "retry", "99", fails=True)
    run(tmp_path, "outbox", "retry", "--all")
    assert "waiting" in run(tmp_path, "outbox", "list")
    assert json.loads(run(tmp_path, "outbox", "list", "--parked", "--json")) == []
