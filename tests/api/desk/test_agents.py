"""What agents are told, over the API."""

from tests.api.desk.conftest import Desk

DISK = {
    "command": ["/usr/lib/nagios/plugins/check_disk", "-p", "/"],
    "interval_seconds": 300.0,
    "timeout_seconds": 30.0,
}


async def test_agents_are_told_something_and_no_longer(desk: Desk) -> None:
    async def tell(layer: str, subject: str, key: str, value: object, who: str = "technician") -> int:
        body = {"layer": layer, "subject": subject, "key": key, "value": value}
        return (await desk.ask("POST", "/agent-settings", body, who=who)).status

    assert await tell("customer", "acme", "interval.smart", 21_600) == 201
    assert await tell("site", "acme/hq", "probe.temperature", False) == 201
    assert await tell("device", "srv-1", "interval.smart", 43_200) == 201
    assert await tell("device", "srv-2", "check.root", DISK, who="ny") == 201
    items = (await desk.get("/devices/srv-1/agent-settings"))["items"]
    assert [
        (one["setting"]["key"], one["setting"]["value"], one["setting"]["layer"], one["counts"]) for one in items
    ] == [
        ("interval.smart", 21_600, "customer", False),
        ("interval.smart", 43_200, "device", True),
        ("probe.temperature", False, "site", True),
    ]
    assert (await desk.get("/devices/srv-2/agent-settings"))["items"][0]["setting"]["value"] == DISK
    first = await desk.get("/agent-settings?limit=3")
    second = await desk.get(f"/agent-settings?limit=3&cursor={first['next_cursor']}")
    assert [one["subject"] for one in first["items"] + second["items"]] == ["acme", "srv-1", "srv-2", "acme/hq"]
    assert second["next_cursor"] is None
    assert [one["subject"] for one in (await desk.get("/agent-settings", "ny"))["items"]] == ["srv-2"]
    assert (await desk.get("/agent-settings", "bakkerij"))["items"] == []
    place = "layer=device&subject=srv-1&key=interval.smart"
    assert (await desk.ask("DELETE", f"/agent-settings?{place}")).json["value"] == 43_200
    assert await desk.refused("DELETE", f"/agent-settings?{place}") == (404, "not_found")
    assert next(actor for actor, action in await desk.actors() if action == "agents.set") == "token 5 (technician)"


async def test_what_may_not_be_told(desk: Desk) -> None:
    async def refused(who: str = "technician", **changes: object) -> tuple[int, str]:
        body = {"layer": "customer", "subject": "acme", "key": "interval.smart", "value": 21_600} | changes
        return await desk.refused("POST", "/agent-settings", body, who=who)

    assert await refused(who="viewer") == (403, "forbidden")
    assert await refused(who="bakkerij") == (404, "not_found")
    assert await refused(who="ny") == (404, "not_found")
    assert await refused(who="ny", layer="device", subject="srv-1") == (404, "not_found")
    assert (await refused(key="interval.smrt"))[0] == 422
    assert (await refused(value="6h"))[0] == 422
    assert (await refused(layer="plan", subject="monthly"))[0] == 422
    assert (await refused(key="check.x", value={"command": ["check_disk"]}))[0] == 422
    assert await desk.refused("GET", "/devices/srv-1/agent-settings", who="bakkerij") == (404, "not_found")


async def test_a_customer_allows_what_inventories_hold(desk: Desk) -> None:
    answer = await desk.change("PATCH", "/customers/acme", {"privacy": {"software": True}}, who="manager")
    assert answer.json["privacy"] == {"user_names": False, "software": True}
    assert (await desk.get("/customers/acme"))["privacy"] == {"user_names": False, "software": True}
    assert (await desk.actors())[0] == ("token 7 (manager)", "customers.set-privacy")
