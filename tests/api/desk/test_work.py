from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from collector.fleet.roles import Role
from tests.api.desk.conftest import Desk

pytestmark = pytest.mark.slow


@pytest.fixture
async def ticket(desk: Desk) -> AsyncIterator[int]:
    """One at acme/hq."""
    found = await desk.get("/tickets?customer=acme")
    yield found["items"][0]["number"]


async def changed(desk: Desk, method: str, path: str, body: object = None, of: str | None = None) -> Any:
    """What a change leads to, made by who saw the thing as it is."""
    seen = await desk.ask("GET", of or path)
    answer = await desk.ask(method, path, body, headers={"If-Match": seen.headers["ETag"]})
    assert answer.status == 200, answer.text
    return answer.json


async def test_a_work_log(desk: Desk, ticket: int) -> None:
    log = f"/tickets/{ticket}/work"
    running = await desk.ask("POST", log, {"author": "anna", "note": "look"})
    assert (running.status, running.json["minutes"]) == (201, None)
    assert await desk.refused("POST", log, {"author": "anna"}) == (422, "refused")
    one = f"{log}/{running.json['id']}"
    desk.life.now += timedelta(minutes=9, seconds=30)
    assert (await changed(desk, "POST", f"{one}/stop", of=one))["minutes"] == 10
    assert (await changed(desk, "PATCH", one, {"minutes": 12, "kind": "travel"}))["kind"] == "travel"
    by_hand = await desk.ask("POST", log, {"minutes": 40, "is_billable": False})
    assert by_hand.json["author"].startswith("token ")
    listed = await desk.get(f"{log}?limit=1")
    assert (listed["minutes"], len(listed["items"])) == (52, 1)
    assert len((await desk.get(f"{log}?cursor={listed['next_cursor']}"))["items"]) == 1
    voided = await changed(desk, "DELETE", f"{log}/{by_hand.json['id']}?reason=wrong", of=f"{log}/{by_hand.json['id']}")
    assert voided["voided_at"] and (await desk.get(log))["minutes"] == 12
    assert (await desk.actors())[0][1] == "work.void"
    assert [one["type"] for one in (await desk.get(f"/tickets/{ticket}"))["history"]][-2:] == ["work", "work_voided"]


async def test_parts(desk: Desk, ticket: int) -> None:
    log = f"/tickets/{ticket}/parts"
    made = await desk.ask("POST", log, {"description": "fuser unit", "unit_price": "189.10", "quantity": "1.5"})
    assert (made.status, made.json["unit_price"], made.json["quantity"]) == (201, "189.10", "1.5")
    one = f"{log}/{made.json['id']}"
    assert (await changed(desk, "DELETE", f"{one}?reason=wrong", of=one))["voided_at"]
    assert len((await desk.get(log))["items"]) == 1
    for wrong in ({"unit_price": 189.1}, {"unit_price": "1.005"}, {"unit_price": "-1"}, {"unit_price": "1e3"}):
        assert await desk.refused("POST", log, {"description": "x", **wrong}) == (422, "invalid")


async def test_someone_elses_ticket_has_no_work_log(desk: Desk, ticket: int) -> None:
    for path in (f"/tickets/{ticket}/work", f"/tickets/{ticket}/parts", f"/tickets/{ticket}/work/1"):
        assert await desk.refused("GET", path, who="bakkerij") == (404, "not_found")
    assert await desk.refused("POST", f"/tickets/{ticket}/work", {"minutes": 5}, who="ny") == (404, "not_found")
    assert await desk.refused("POST", f"/tickets/{ticket}/work", {"minutes": 5}, who="viewer") == (403, "forbidden")
    assert await desk.refused("GET", f"/tickets/{ticket}/work/77") == (404, "not_found")


async def test_bills_are_a_managers(desk: Desk, ticket: int) -> None:
    for who, site in (("of acme", None), ("of hq", "hq")):
        await desk.life.add_token(who, Role.MANAGER, customer="acme", site=site)
    await desk.life.collector.upkeep["changes"].work()
    await desk.ask("POST", f"/tickets/{ticket}/work", {"minutes": 5})
    path = "/reports/billing?month=2026-03"
    assert await desk.refused("GET", path) == (403, "forbidden")
    page = await desk.get(path, who="manager")
    assert [bill["customer"] for bill in page["items"]] == ["acme", "bakkerij"]
    acme = page["items"][0]
    assert acme["minutes"] == 5 and acme["contracts"][0]["uncharged"][0]["ticket"] == ticket
    net = sum(Decimal(line["amount"]) for one in acme["contracts"] for line in one["lines"])
    assert Decimal(acme["totals"][0]["net"]) == net > 0
    assert [bill["customer"] for bill in (await desk.get(path, who="of acme"))["items"]] == ["acme"]
    assert (await desk.get(f"{path}&customer=bakkerij", who="of acme"))["items"] == []
    assert await desk.refused("GET", path, who="of hq") == (404, "not_found")
    assert await desk.refused("GET", "/reports/billing?month=march", who="manager") == (422, "invalid")
    assert await desk.refused("GET", f"{path}&limit=26", who="manager") == (422, "invalid")
    first = await desk.get(f"{path}&limit=1", who="manager")
    second = await desk.get(f"{path}&limit=1&cursor={first['next_cursor']}", who="manager")
    assert [one["customer"] for one in second["items"]] == ["bakkerij"]
