"""What a plan leaves to a technician is a queue: listed, counted, made tickets or declined; and shadows are read."""

from datetime import timedelta
from typing import Any

import pytest

from tests.api.desk.conftest import Desk

ASKED = "/alerts?outcome=asked&state=firing"


@pytest.fixture
async def asking(desk: Desk) -> Desk:
    """A server of acme's is gone, under a plan that leaves alerts to a technician."""
    (contract,) = (await desk.get("/contracts?customer=acme&holding=true"))["items"]
    hybrid = await desk.change("PATCH", f"/contracts/{contract['id']}", {"plan": "hybrid"}, who="manager")
    assert hybrid.status == 200, hybrid.text
    await desk.life.leave("srv-2")
    await desk.life.pass_(timedelta(minutes=12))
    return desk


async def queue(desk: Desk, who: str = "technician") -> list[Any]:
    items: list[Any] = (await desk.get(ASKED, who))["items"]
    return items


async def test_it_is_a_queue_that_can_be_counted(asking: Desk) -> None:
    (waiting,) = await queue(asking)
    assert (waiting["device"], waiting["ticket"]) == ("srv-2", None)
    async with asking.session.get(asking.url + "/metrics") as response:
        told = await response.text()
    assert 'quarkpulse_alerts_asked{customer="acme"} 1.0' in told
    assert 'quarkpulse_alerts_asked{customer="bakkerij"} 0.0' in told
    assert (await queue(asking, "bakkerij"), len(await queue(asking, "acme"))) == ([], 1)


async def test_it_becomes_a_ticket_once(asking: Desk) -> None:
    (waiting,) = await queue(asking)
    path, key = f"/alerts/{waiting['id']}/convert", {"Idempotency-Key": "one"}
    made, again = [await asking.ask("POST", path, headers=key) for _ in range(2)]
    assert (made.status, again.status, again.json["ticket"]) == (201, 201, made.json["ticket"])
    assert made.json["outcome"] == "ticket"
    assert (await asking.get(f"/tickets/{made.json['ticket']}"))["device"] == "srv-2"
    assert await asking.refused("POST", path) == (409, "conflict")
    assert await queue(asking) == []
    assert ("token 1 (technician)", "alerts.convert") in await asking.actors()


async def test_it_is_declined_for_a_reason(asking: Desk) -> None:
    (waiting,) = await queue(asking)
    path = f"/alerts/{waiting['id']}/decline"
    assert await asking.refused("POST", path, {}) == (422, "invalid")
    declined = await asking.ask("POST", path, {"reason": "sold to the neighbour"})
    assert (declined.status, declined.json["outcome"]) == (200, "declined")
    assert "sold to the neighbour" in declined.json["reason"]
    await asking.life.pass_(timedelta(minutes=3))
    assert await queue(asking) == []
    assert await asking.refused("POST", path, {"reason": "twice"}) == (409, "conflict")
    (found,) = (await asking.get("/alerts?outcome=declined"))["items"]
    assert found["id"] == waiting["id"]
    assert (await asking.ask("POST", f"/alerts/{waiting['id']}/convert")).status == 201


async def test_only_who_may_decides(asking: Desk) -> None:
    (waiting,) = await queue(asking)
    for step, body in (("convert", None), ("decline", {"reason": "x"})):
        path = f"/alerts/{waiting['id']}/{step}"
        assert await asking.refused("POST", path, body, who="viewer") == (403, "forbidden")
        assert await asking.refused("POST", path, body, who="bakkerij") == (404, "not_found")
        assert await asking.refused("POST", path, body, headers={"If-Match": '"0"'}) == (412, "precondition_failed")


async def test_shadows_are_read(desk: Desk) -> None:
    (shadow,) = (await desk.get("/shadow-tickets"))["items"]
    assert (shadow["customer"], shadow["device"], shadow["rule"]) == ("bakkerij", "srv-3", "DeviceGone")
    path = f"/shadow-tickets/{shadow['id']}"
    assert await desk.get(path) == shadow
    assert await desk.refused("GET", path, who="acme") == (404, "not_found")
    assert (await desk.get("/shadow-tickets", "acme"))["items"] == []
    assert (await desk.get("/shadow-tickets?open=false"))["items"] == []
    (alert,) = (await desk.get("/alerts?outcome=shadow"))["items"]
    made = await desk.ask("POST", f"/alerts/{alert['id']}/convert")
    assert (made.status, made.json["shadow_ticket"]) == (201, None)
    assert [one["id"] for one in (await desk.get("/shadow-tickets?open=false"))["items"]] == [shadow["id"]]
