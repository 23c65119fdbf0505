"""The desk API as programs see it: over HTTP, each with the token that it has."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpClient

from collector.api.desk import frame
from collector.api.desk.customers import CustomerOperations
from collector.api.desk.frame import CALLER_RATE, DeskApi
from collector.api.desk.openapi import describe
from collector.api.desk.operations import MAX_BODY_BYTES
from collector.api.limits import Rate
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.fleet.roles import Role
from collector.fleet.tokens import Token
from tests.api.desk.conftest import ROOT, Desk
from tests.db.fixtures import counting_statements

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)

NIGHT = "mon-fri 22:00-02:00"


async def test_alerts_tickets_and_why(desk: Desk) -> None:
    alerts = (await desk.get("/alerts?state=firing"))["items"]
    assert [(one["rule"], one["customer"], one["device"], one["outcome"]) for one in alerts] == [
        ("DeviceGone", "bakkerij", "srv-3", "shadow"),
        ("DeviceGone", "acme", "srv-1", "ticket"),
    ]
    number = alerts[1]["ticket"]
    assert await desk.get(f"/alerts/{alerts[1]['id']}") == alerts[1]
    why = await desk.get(f"/alerts/{alerts[1]['id']}/why")
    assert why["decisions"][-1]["outcome"] == "ticket"
    assert any("srv-1" in line for line in why["told"])
    (ticket,) = (await desk.get("/tickets"))["items"]
    assert (ticket["number"], ticket["device"], ticket["status"]) == (number, "srv-1", "new")
    told = await desk.get(f"/tickets/{number}")
    assert told["history"][0]["type"] == "opened"
    assert {key: told[key] for key in ticket} == ticket
    assert (await desk.get("/alerts?device=srv-1&rule=DeviceGone"))["items"] == [alerts[1]]
    assert (await desk.get("/tickets?status=closed"))["items"] == []


async def test_a_list_is_walked_page_by_page(desk: Desk) -> None:
    for path, key in (("/devices", "id"), ("/alerts", "id"), ("/customers", "id")):
        whole = (await desk.get(path))["items"]
        walked, cursor = [], ""
        while cursor is not None:
            page = await desk.get(f"{path}?limit=1{cursor and '&cursor=' + cursor}")
            walked += page["items"]
            cursor = page["next_cursor"]
        assert [one[key] for one in walked] == [one[key] for one in whole]
        assert len(walked) > 1


async def test_a_token_sees_what_is_within_its_bounds(desk: Desk) -> None:
    alerts = {one["device"]: one["id"] for one in (await desk.get("/alerts"))["items"]}
    (ticket,) = (await desk.get("/tickets"))["items"]
    assert [one["device"] for one in (await desk.get("/alerts", "bakkerij"))["items"]] == ["srv-3"]
    assert [one["device"] for one in (await desk.get("/alerts", "acme"))["items"]] == ["srv-1"]
    assert (await desk.get("/alerts", "ny"))["items"] == []
    assert [one["number"] for one in (await desk.get("/tickets", "acme"))["items"]] == [ticket["number"]]
    assert [one["id"] for one in (await desk.get("/devices", "ny"))["items"]] == ["srv-2"]
    assert (await desk.get("/devices?customer=acme", "bakkerij"))["items"] == []
    assert (await desk.get("/devices?site=hq", "ny"))["items"] == []
    assert [one["id"] for one in (await desk.get("/customers", "acme"))["items"]] == ["acme"]
    assert [one["id"] for one in (await desk.get("/customers/acme", "acme"))["sites"]] == ["hq", "ny"]
    assert [one["id"] for one in (await desk.get("/customers/acme", "ny"))["sites"]] == ["ny"]
    for path in (
        f"/alerts/{alerts['srv-1']}",
        f"/alerts/{alerts['srv-1']}/why",
        f"/tickets/{ticket['number']}",
        "/devices/srv-1",
        "/devices/srv-1/thresholds",
        "/customers/acme",
        "/customers/nobody",
        "/alerts/999999",
        "/alerts/none",
    ):
        assert await desk.refused("GET", path, who="bakkerij") == (404, "not_found"), path
        if path != "/customers/acme":
            assert await desk.refused("GET", path, who="ny") == (404, "not_found"), path


async def test_who_may_do_what(desk: Desk) -> None:
    silence = {"matchers": ["device_id=srv-1"], "ends_at": "2026-03-03T08:00:00Z", "comment": "known"}
    assert await desk.refused("GET", "/alerts", who=None) == (401, "unauthorized")
    assert await desk.refused("GET", "/openapi.json", who=None) == (401, "unauthorized")
    assert await desk.refused("GET", "/alerts", who=None, headers={"Authorization": "Bearer x"}) == (
        401,
        "unauthorized",
    )
    assert await desk.refused("GET", "/alerts", who="sender") == (403, "forbidden")
    assert await desk.refused("POST", "/silences", silence, who="viewer") == (403, "forbidden")
    assert await desk.refused("DELETE", "/silences/1", who="viewer") == (403, "forbidden")
    assert (await desk.ask("GET", "/alerts", who="viewer")).status == 200


async def test_silences(desk: Desk) -> None:
    ends_at = (desk.life.now + timedelta(hours=2)).isoformat()
    wanted = {"matchers": ['alertname=~"Device.*"'], "ends_at": ends_at, "comment": "new disk on its way"}
    made = await desk.ask("POST", "/silences", wanted)
    assert made.status == 201
    silence = made.json
    assert (silence["matchers"], silence["state"]) == (['alertname=~"Device.*"'], "in_force")
    assert silence["author"] == "token 1 (technician)"
    assert (await desk.actors())[0] == ("token 1 (technician)", "silences.add")
    bound = (await desk.ask("POST", "/silences", wanted, who="ny")).json
    assert bound["matchers"] == ['alertname=~"Device.*"', 'customer="acme"', 'site="ny"']
    assert [one["id"] for one in (await desk.get("/silences"))["items"]] == [bound["id"], silence["id"]]
    assert [one["id"] for one in (await desk.get("/silences", "acme"))["items"]] == [bound["id"]]
    assert await desk.refused("DELETE", f"/silences/{silence['id']}", who="acme") == (404, "not_found")
    longer = (desk.life.now + timedelta(hours=4)).isoformat().replace("+00:00", "Z")
    changed = await desk.change("PATCH", f"/silences/{silence['id']}", {"ends_at": longer})
    assert (changed.json["ends_at"], changed.json["comment"]) == (longer, silence["comment"])
    for _ in range(2):
        ended = await desk.change("DELETE", f"/silences/{silence['id']}")
        assert (ended.status, ended.json["state"]) == (200, "ended")
    assert [action for _, action in await desk.actors()].count("silences.expire") == 1
    assert [one["id"] for one in (await desk.get("/silences?state=ended"))["items"]] == [silence["id"]]
    assert await desk.refused("POST", "/silences", wanted | {"matchers": ["no matcher"]}) == (422, "refused")
    assert await desk.refused("POST", "/silences", wanted | {"ends_at": "2026-01-01T00:00:00Z"}) == (422, "refused")


async def test_a_creation_is_repeated_by_its_key(desk: Desk) -> None:
    ends_at = (desk.life.now + timedelta(hours=2)).isoformat()
    wanted = {"matchers": ["device_id=srv-1"], "ends_at": ends_at, "comment": "known"}
    key = {"Idempotency-Key": "a-1"}
    first = await desk.ask("POST", "/silences", wanted, headers=key)
    again = await desk.ask("POST", "/silences", wanted, headers=key)
    assert (first.status, again.status, again.json) == (201, 201, first.json)
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert await desk.refused("POST", "/silences", wanted | {"comment": "other"}, headers=key) == (422, "key_reused")
    of_another = await desk.ask("POST", "/silences", wanted, headers=key, who="acme")
    assert of_another.json["id"] != first.json["id"]
    assert await desk.refused(
        "POST", "/silences", wanted | {"ends_at": "2020-01-01T00:00:00Z"}, headers={"Idempotency-Key": "a-2"}
    ) == (422, "refused")
    assert (await desk.ask("POST", "/silences", wanted, headers={"Idempotency-Key": "a-2"})).status == 201
    assert await desk.refused("POST", "/silences", wanted, headers={"Idempotency-Key": "x" * 201}) == (400, "malformed")
    desk.life.now += timedelta(hours=25)
    later = wanted | {"ends_at": (desk.life.now + timedelta(hours=2)).isoformat()}
    assert (await desk.ask("POST", "/silences", later, headers=key)).status == 201


async def test_windows(desk: Desk) -> None:
    wanted = {
        "customer": "acme",
        "starts_local": "2026-03-08T02:00",
        "minutes": 240,
        "recurrence": "FREQ=WEEKLY;BYDAY=SU",
        "reason": "patch round",
    }
    answer = await desk.ask("POST", "/windows", wanted, who="ny")
    assert answer.status == 201, answer.text
    made = answer.json
    assert (made["site"], made["time_zone"], made["next_start"]) == ("ny", "Europe/Amsterdam", "2026-03-08T01:00:00Z")
    of_device = (await desk.ask("POST", "/windows", wanted | {"device": "srv-1"}, who="acme")).json
    assert [one["id"] for one in (await desk.get("/windows", "ny"))["items"]] == [made["id"]]
    assert [one["id"] for one in (await desk.get("/windows"))["items"]] == [of_device["id"], made["id"]]
    assert await desk.refused("GET", f"/windows/{of_device['id']}", who="ny") == (404, "not_found")
    for more in ({"customer": "acme"}, {"device": "srv-1"}, {"device": "nothing"}):
        refused = await desk.refused("POST", "/windows", wanted | {"customer": "bakkerij"} | more, who="bakkerij")
        assert refused == (404, "not_found"), more
    assert await desk.refused("POST", "/windows", wanted | {"site": "hq"}, who="ny") == (404, "not_found")
    assert await desk.refused("POST", "/windows", wanted | {"recurrence": "FREQ=SECONDLY"}) == (422, "refused")
    changed = await desk.change("PATCH", f"/windows/{made['id']}", {"minutes": 60}, who="acme")
    assert (changed.json["minutes"], changed.json["reason"]) == (60, "patch round")
    for _ in range(2):
        ended = await desk.change("DELETE", f"/windows/{made['id']}", who="acme")
        assert ended.status == 200 and ended.json["ended_at"] is not None
    assert [action for _, action in await desk.actors()].count("windows.end") == 1
    assert [one["id"] for one in (await desk.get("/windows"))["items"]] == [of_device["id"]]
    assert len((await desk.get("/windows?all=true"))["items"]) == 2


async def test_thresholds(desk: Desk) -> None:
    of_device = {"name": "cpu_busy", "layer": "device", "subject": "srv-2", "value": 0.99, "hours": NIGHT.upper()}
    made = (await desk.ask("POST", "/thresholds", of_device, who="ny")).json
    assert (made["hours"], made["set_by"]) == (NIGHT, "token 5 (technician)")
    of_plan = {"name": "cpu_busy", "layer": "plan", "subject": "monthly", "value": 0.8}
    assert await desk.refused("POST", "/thresholds", of_plan, who="acme") == (403, "forbidden")
    assert (await desk.ask("POST", "/thresholds", of_plan)).status == 201
    for layer, subject in (("customer", "acme"), ("site", "acme/hq"), ("device", "srv-1"), ("customer", "bakkerij")):
        other = of_device | {"layer": layer, "subject": subject}
        assert await desk.refused("POST", "/thresholds", other, who="ny") == (404, "not_found"), subject
    await desk.life.collector.upkeep["changes"].work()
    (measure,) = (await desk.get("/devices/srv-2/thresholds?name=cpu_busy&at=2026-03-02T23:30:00%2B01:00", "ny"))[
        "items"
    ]
    assert measure["value"] == 0.99
    assert [(one["layer"], one["value"], one["hours"], one["counts"]) for one in measure["layers"]] == [
        (None, 0.9, None, False),
        ("plan", 0.8, None, False),
        ("device", 0.99, NIGHT, True),
    ]
    noon = await desk.get("/devices/srv-2/thresholds?at=2026-03-02T12:00:00Z")
    assert {one["name"]: one["value"] for one in noon["items"]}["cpu_busy"] == 0.8
    assert [one["subject"] for one in (await desk.get("/thresholds"))["items"]] == ["monthly", "srv-2"]
    assert [one["subject"] for one in (await desk.get("/thresholds", "ny"))["items"]] == ["srv-2"]
    assert await desk.refused("DELETE", f"/thresholds/{made['id']}", who="bakkerij") == (404, "not_found")
    for _ in range(2):
        ended = await desk.change("DELETE", f"/thresholds/{made['id']}", who="acme")
        assert ended.status == 200 and ended.json["valid_to"] is not None
    assert [action for _, action in await desk.actors()].count("thresholds.unset") == 1
    assert await desk.refused("POST", "/thresholds", of_plan | {"value": 95}) == (422, "refused")
    assert await desk.refused("POST", "/thresholds", of_plan | {"name": "cpu_bussy"}) == (422, "refused")
    assert await desk.refused("GET", "/devices/srv-2/thresholds?name=nothing") == (422, "refused")


@pytest.mark.parametrize(
    ("method", "path", "more", "refusal"),
    [
        ("GET", "/nothing", {}, (404, "not_found")),
        ("PUT", "/alerts", {}, (405, "method_not_allowed")),
        ("PUT", "/silences/1", {}, (405, "method_not_allowed")),
        ("POST", "/openapi.json", {}, (405, "method_not_allowed")),
        ("GET", "/alerts?limit=0", {}, (422, "invalid")),
        ("GET", "/alerts?limit=201", {}, (422, "invalid")),
        ("GET", "/alerts?stat=firing", {}, (422, "invalid")),
        ("GET", "/alerts?state=firing&state=pending", {}, (422, "invalid")),
        ("GET", "/alerts?cursor=x", {}, (422, "invalid")),
        ("GET", "/alerts?cursor=c3J2LTE=", {}, (422, "invalid")),  # a cursor of devices
        ("GET", "/alerts/1?id=2", {}, (422, "invalid")),
        ("GET", "/alerts?customer=a%00", {}, (422, "invalid")),
        ("GET", "/devices?cursor=AA==", {}, (422, "invalid")),  # a NUL
        ("POST", "/thresholds", {"body": {"subject": "a\0"}}, (422, "invalid")),
        ("POST", "/silences", {"data": b"{"}, (415, "unsupported_type")),
        ("POST", "/silences", {"data": b"{", "headers": {"Content-Type": "application/json"}}, (400, "malformed")),
        ("POST", "/silences", {"body": {"matchers": [], "typo": 1}}, (422, "invalid")),
        ("POST", "/silences", {"body": {"comment": "x" * MAX_BODY_BYTES}}, (413, "too_large")),
        ("POST", "/thresholds", {"body": {"value": "0.5"}}, (422, "invalid")),
    ],
)
async def test_refusals_are_problems(
    desk: Desk, method: str, path: str, more: dict[str, Any], refusal: tuple[int, str]
) -> None:
    assert await desk.refused(method, path, **more) == refusal


async def test_a_problem_names_its_fields(desk: Desk) -> None:
    answer = await desk.ask("POST", "/silences", {"matchers": [""], "comment": "x", "ends_at": "tomorrow", "typo": 1})
    assert answer.json["title"] in ("Unprocessable Entity", "Unprocessable Content")
    assert sorted(one["loc"] for one in answer.json["details"]) == ["ends_at", "matchers.0", "typo"]
    method = await desk.ask("PUT", "/silences")
    assert method.headers["Allow"] == "GET, POST"


def of_customers(database: Database, rate: Rate = CALLER_RATE) -> web.Application:
    """An API of customers alone; the tokens `a` and `b` may read."""
    tokens = {
        name: Token(place, Role.VIEWER, None, None, None, None, NOW, None, None) for place, name in enumerate("ab")
    }
    operations = CustomerOperations(load_service_models()).operations()
    application = web.Application()
    application.add_routes(DeskApi(operations, database, tokens.get, lambda: NOW, version="1", rate=rate).routes())
    return application


@pytest.fixture
def server_url(lend_postgresql: Callable[[], str]) -> str:
    return lend_postgresql()


async def test_lists_alone_are_planned_for_what_is_asked(server_url: str, aiohttp_client: AiohttpClient) -> None:
    """To say so costs PostgreSQL a round trip."""
    async with await Database.open(server_url) as database:
        client = await aiohttp_client(of_customers(database))
        for path, is_said in (("/customers", True), ("/customers/acme", False)):
            async with counting_statements(database) as begun:
                (await client.get(ROOT + path, headers={"Authorization": "Bearer a"})).release()
            assert begun and any("plan_cache_mode" in one for one in begun) is is_said


async def test_one_caller_cannot_ask_without_end(aiohttp_client: AiohttpClient, database: Database) -> None:
    client = await aiohttp_client(of_customers(database, Rate(per_second=0.001, burst=2)))

    async def asked(name: str) -> tuple[int, str | None]:
        headers = {"Authorization": f"Bearer {name}"}
        async with client.get(f"{ROOT}/customers", headers=headers) as response:
            return response.status, response.headers.get("Retry-After")

    assert [await asked("a") for _ in range(2)] == [(200, None)] * 2
    status, wait_seconds = await asked("a")
    assert status == 429 and 900 < int(wait_seconds or 0) <= 1000
    assert await asked("b") == (200, None)


async def test_it_is_described_when_somebody_asks_and_once(
    aiohttp_client: AiohttpClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the start: it takes longer than all else there."""
    made: list[object] = []

    def describe_and_count(*arguments: Any) -> dict[str, Any]:
        made.append(None)
        return describe(*arguments)

    monkeypatch.setattr(frame, "describe", describe_and_count)
    client = await aiohttp_client(of_customers(database))

    async def asked(path: str) -> bytes:
        async with client.get(ROOT + path, headers={"Authorization": "Bearer a"}) as response:
            assert response.status == 200
            return await response.read()

    await asked("/customers")
    assert made == []
    first, second, _ = await asyncio.gather(asked("/openapi.json"), asked("/openapi.json"), asked("/"))
    assert (first == second, len(made)) == (True, 1)


async def test_who_has_the_description_is_told_that_it_still_holds(desk: Desk) -> None:
    first = await desk.ask("GET", "/openapi.json", who="viewer")
    etag = first.headers["ETag"]
    again = await desk.ask("GET", "/openapi.json", who="viewer", headers={"If-None-Match": etag})
    assert (first.status, again.status, again.text, again.headers["ETag"]) == (200, 304, "", etag)
    other = await desk.ask("GET", "/openapi.json", who="viewer", headers={"If-None-Match": '"another"'})
    assert (other.status, other.text, other.headers["Cache-Control"]) == (200, first.text, "private, no-cache")


async def test_the_description_is_openapi_of_what_is_answered(desk: Desk) -> None:
    document = await desk.get("/openapi.json", "viewer")
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": ROOT}]
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))
    for path in ("/alerts", "/tickets", "/devices", "/customers", "/silences", "/windows", "/thresholds"):
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        whole = {"components": document["components"], **schema}
        jsonschema.Draft202012Validator(whole).validate(await desk.get(path))
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
