"""Regular maintenance over HTTP: planned, its rounds looked at, their checklists ticked."""

from datetime import timedelta
from typing import Any

import pytest

from collector.fleet.roles import Role
from tests.api.desk.conftest import Desk

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20)
PLAN = {
    "customer": "acme",
    "site": "hq",
    "task": "restore_test",
    "starts_local": "2026-03-05T10:00",
    "recurrence": "FREQ=WEEKLY",
}


@pytest.fixture
async def plan(desk: Desk) -> Any:
    made = await desk.ask("POST", "/maintenance-plans", PLAN, who="manager")
    assert made.status == 201, made.text
    return made.json


@pytest.fixture
async def round_(desk: Desk, plan: Any) -> Any:
    """The first one, whose ticket has opened."""
    desk.life.now += timedelta(hours=1)
    await desk.life.collector.upkeep["maintenance"].work()
    (found,) = (await desk.get(f"/maintenance-plans/{plan['id']}/rounds"))["items"]
    return found


async def test_a_plan_is_made_read_and_ended(desk: Desk, plan: Any) -> None:
    path = f"/maintenance-plans/{plan['id']}"
    assert (plan["time_zone"], plan["next_due"], plan["window"]) == ("Europe/Amsterdam", "2026-03-05T09:00:00Z", None)
    assert await desk.get(path) == plan
    assert (await desk.get("/maintenance-plans?customer=acme"))["items"] == [plan]
    assert await desk.refused("DELETE", path, who="manager") == (428, "precondition_required")
    ended = await desk.change("DELETE", path, who="manager")
    assert (ended.status, ended.json["next_due"]) == (200, None)
    again = await desk.change("DELETE", path, who="manager")
    assert (again.status, again.json) == (200, ended.json)
    assert (await desk.get("/maintenance-plans"))["items"] == []
    assert [one["id"] for one in (await desk.get("/maintenance-plans?all=true"))["items"]] == [plan["id"]]
    actions = [action for _, action in await desk.actors()]
    assert actions[:2] == ["maintenance.end", "maintenance.add"]


async def test_a_month_is_reported(desk: Desk, round_: Any) -> None:
    await desk.life.add_token("of hq", Role.VIEWER, customer="acme", site="hq")
    await desk.life.collector.upkeep["changes"].work()
    path = "/reports/maintenance?month=2026-03"
    for who in ("viewer", "manager"):
        (acme,) = (await desk.get(path, who))["items"]
        assert (acme["customer"], acme["planned"], acme["done"]) == ("acme", 4, 0)
        assert [one["state"] for one in acme["rounds"]] == ["open", *["coming"] * 3]
        first = acme["rounds"][0]
        assert (first["ticket"], first["due"], first["due_at"]) == (
            round_["ticket"],
            "2026-03-05 10:00",
            "2026-03-05T09:00:00Z",
        )
    assert (await desk.get(path, "bakkerij"))["items"] == []
    assert (await desk.get(f"{path}&customer=acme", "bakkerij"))["items"] == []
    assert await desk.refused("GET", path, who="of hq") == (404, "not_found")
    assert (await desk.get("/reports/maintenance?month=2020-01"))["items"] == []


async def test_a_repeat_plans_nothing_twice(desk: Desk) -> None:
    key = {"Idempotency-Key": "one"}
    first, again = [await desk.ask("POST", "/maintenance-plans", PLAN, who="manager", headers=key) for _ in range(2)]
    assert (first.status, again.json) == (201, first.json)
    assert len((await desk.get("/maintenance-plans"))["items"]) == 1


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"task": "magic"}, "there is no task 'magic'"),
        ({"recurrence": "FREQ=SOMETIMES"}, "RFC 5545"),
        ({"time_zone": "Mars/Base"}, "time zone"),
        ({"customer": "bakkerij"}, "maintains nothing"),
        ({"contract": 4711}, "has no contract 4711"),
    ],
)
async def test_what_cannot_be_planned_is_refused(desk: Desk, wrong: dict[str, Any], why: str) -> None:
    answer = await desk.ask("POST", "/maintenance-plans", PLAN | wrong, who="manager")
    assert answer.status == 422 and why in answer.json["detail"], answer.text


async def test_plans_are_their_customers_and_a_managers(desk: Desk, plan: Any) -> None:
    path = f"/maintenance-plans/{plan['id']}"
    assert await desk.refused("POST", "/maintenance-plans", PLAN) == (403, "forbidden")
    for who in ("bakkerij", "ny"):  # of another customer, of another site
        assert (await desk.get("/maintenance-plans", who))["items"] == []
        for below in ("", "/rounds"):
            assert await desk.refused("GET", path + below, who=who) == (404, "not_found")
    assert (await desk.get("/maintenance-plans", "acme"))["items"] == [plan]
    foreign = PLAN | {"site": "ny"}
    await desk.ask("POST", "/maintenance-plans", foreign, who="manager")
    assert [one["site"] for one in (await desk.get("/maintenance-plans", "ny"))["items"]] == ["ny"]


async def test_a_checklist_is_ticked_with_what_shows_it(desk: Desk, round_: Any) -> None:
    path = f"/tickets/{round_['ticket']}/checklist"
    seen = await desk.get(path)
    assert (seen["plan"], seen["left"]) == (round_["plan"], round_["items"])
    needs = next(one["item"] for one in seen["items"] if one["needs_evidence"])
    plain = next(one["item"] for one in seen["items"] if not one["needs_evidence"])
    for nothing in ({}, {"evidence": "  "}):
        assert await desk.refused("POST", f"{path}/{needs}/tick", nothing) == (422, "refused")
    ticked = await desk.ask("POST", f"{path}/{needs}/tick", {"evidence": "report of 5 March"})
    assert (ticked.status, ticked.json["left"]) == (200, seen["left"] - 1)
    item = ticked.json["items"][needs - 1]
    assert (item["evidence"], item["done_by"]) == ("report of 5 March", "token 1 (technician)")
    stale = {"If-Match": '"0"'}
    assert await desk.refused("POST", f"{path}/{plain}/tick", {}, headers=stale) == (412, "precondition_failed")
    assert (await desk.ask("POST", f"{path}/{plain}/tick", {})).json["left"] == seen["left"] - 2
    back = await desk.ask("POST", f"{path}/{plain}/untick")
    assert back.json["items"][plain - 1]["done_at"] is None
    assert await desk.refused("POST", f"/tickets/{round_['ticket']}/resolve", {"without": True}) == (422, "refused")
    rest = await desk.ask("POST", f"{path}/leave-out", {"reason": "closed for the holidays"})
    assert rest.json["left"] == 0
    assert (await desk.ask("POST", f"/tickets/{round_['ticket']}/resolve", {"without": True})).status == 200
    assert await desk.refused("POST", f"{path}/4711/leave-out", {"reason": "x"}) == (422, "refused")
    assert await desk.refused("GET", path, who="bakkerij") == (404, "not_found")
    assert await desk.refused("GET", "/tickets/1001/checklist") == (404, "not_found")  # no round


async def test_what_shows_that_it_was_done_stays(desk: Desk, round_: Any) -> None:
    ticket = f"/tickets/{round_['ticket']}"
    file = (await desk.ask("POST", f"{ticket}/attachments", data=PNG, params={"name": "log.png"})).json
    needs = next(one["item"] for one in (await desk.get(f"{ticket}/checklist"))["items"] if one["needs_evidence"])
    ticked = await desk.ask("POST", f"{ticket}/checklist/{needs}/tick", {"attachment": file["id"]})
    assert ticked.json["items"][needs - 1]["attachment"] == file["id"]
    path = f"{ticket}/attachments/{file['id']}"
    assert await desk.refused("DELETE", path) == (409, "conflict")
    await desk.ask("POST", f"{ticket}/checklist/{needs}/untick")
    assert (await desk.ask("DELETE", path)).status == 200


async def test_there_are_tasks_to_plan(desk: Desk) -> None:
    first = await desk.get("/maintenance-tasks?limit=1")
    rest = await desk.get(f"/maintenance-tasks?cursor={first['next_cursor']}")
    names = [one["name"] for one in (*first["items"], *rest["items"])]
    assert names == sorted(names) and "patch_round" in names
    assert all(one["checklist"] for one in rest["items"])
