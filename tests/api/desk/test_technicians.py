"""Technicians, shifts and who works on a ticket, through the API."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from collector.db.tables import users
from tests.api.desk.conftest import Desk

ANNA = {"id": "anna", "name": "Anna", "skills": ["network"], "serves": ["acme"]}
ALWAYS = {"hours": "Mon-Sun 00:00-24:00", "holidays": "none"}


async def change(desk: Desk, method: str, path: str, body: object = None, *, of: str) -> object:
    """With the ETag of the thing that it changes."""
    etag = (await desk.ask("GET", of, who="manager")).headers["ETag"]
    answer = await desk.ask(method, path, body, who="manager", headers={"If-Match": etag})
    assert answer.status == 200, answer.text
    return answer.json


async def test_technicians_are_added_changed_and_leave(desk: Desk) -> None:
    assert await desk.refused("POST", "/technicians", ANNA) == (403, "forbidden")  # a manager's
    added = await desk.ask("POST", "/technicians", ANNA, who="manager")
    assert (added.status, added.json["skills"], added.json["max_open"]) == (201, ["network"], 20)
    assert await desk.refused("POST", "/technicians", ANNA, who="manager") == (409, "conflict")
    wrong = {**ANNA, "id": "bob", "serves": ["nobody"]}
    assert await desk.refused("POST", "/technicians", wrong, who="manager") == (422, "refused")
    path = "/technicians/anna"
    assert await desk.refused("PATCH", path, {"max_open": 3}, who="manager") == (428, "precondition_required")
    changed = await change(desk, "PATCH", path, {"max_open": 3, "skills": []}, of=path)
    assert isinstance(changed, dict) and (changed["max_open"], changed["skills"], changed["name"]) == (3, [], "Anna")
    assert [one["id"] for one in (await desk.get("/technicians"))["items"]] == ["anna"]
    left = await change(desk, "POST", f"{path}/leave", {}, of=path)
    empty = ("tickets", "gaps", "escalated", "slas", "accounts", "emptied_groups")
    assert left == {"escalated_to": None, "stopped_on": None, **{name: [] for name in empty}}
    assert (await desk.get("/technicians"))["items"] == []
    assert [one["id"] for one in (await desk.get("/technicians?all=true"))["items"]] == ["anna"]
    actors = [actor for actor, action in await desk.actors() if action.startswith("technicians.")]
    assert len(actors) == 3 and all("manager" in actor for actor in actors)


async def test_absences_and_shifts(desk: Desk) -> None:
    await desk.ask("POST", "/technicians", ANNA, who="manager")
    now = desk.life.now
    span = {"starts_at": now.isoformat(), "ends_at": (now + timedelta(days=1)).isoformat()}
    absence = await desk.ask("POST", "/technicians/anna/absences", {**span, "reason": "ill"})
    assert absence.status == 201, absence.text
    assert absence.json.pop("unanswered") == []
    assert (await desk.get("/technicians/anna/absences"))["items"] == [absence.json]
    shift = await desk.ask("POST", "/on-call", {"technician": "anna", **span}, who="manager")
    assert shift.status == 201, shift.text
    assert (await desk.get("/on-call"))["items"] == [shift.json]
    later = {"starts_at": "2026-04-01T00:00:00Z", "ends_at": "2026-04-02T00:00:00Z"}
    again = await desk.ask("POST", "/on-call", {"technician": "anna", **later}, who="manager")
    days = {"starts_at": "2026-03-20T00:00:00Z", "ends_at": "2026-04-01T06:00:00Z"}
    away = await desk.ask("POST", "/technicians/anna/absences", {**days, "reason": "holiday"})
    unanswered = {"shift": again.json["id"], "technician": "anna", **later, "ends_at": days["ends_at"]}
    assert away.json.pop("unanswered") == [unanswered]
    for listed, pages in (
        ("/on-call", [shift.json, again.json]),
        ("/technicians/anna/absences", [absence.json, away.json]),
    ):
        first = await desk.get(f"{listed}?limit=1")
        last = await desk.get(f"{listed}?limit=1&cursor={first['next_cursor']}")
        assert [*first["items"], *last["items"]] == pages
        assert last["next_cursor"] is None
    path = f"/on-call/{shift.json['id']}"
    await change(desk, "DELETE", path, of=path)
    assert await desk.refused("GET", path) == (404, "not_found")
    assert await desk.refused("GET", "/technicians/bob/absences") == (404, "not_found")


async def test_who_is_back_sooner_ends_the_absence(desk: Desk) -> None:
    await desk.ask("POST", "/technicians", ANNA, who="manager")
    await desk.ask("POST", "/technicians", {**ANNA, "id": "bob"}, who="manager")
    now = desk.life.now
    paths = []
    for begins in (timedelta(), timedelta(days=7)):
        span = {"starts_at": (now + begins).isoformat(), "ends_at": (now + begins + timedelta(days=1)).isoformat()}
        made = await desk.ask("POST", "/technicians/anna/absences", {**span, "reason": "holiday"})
        paths.append(f"/technicians/anna/absences/{made.json['id']}")
    desk.life.now += timedelta(hours=1)
    assert await desk.refused("DELETE", paths[0]) == (428, "precondition_required")
    ended = await desk.change("DELETE", paths[0])
    assert (
        ended.json["ends_at"]
        == (await desk.get(paths[0]))["ends_at"]
        == desk.life.now.isoformat().replace("+00:00", "Z")
    )
    called_off = (await desk.change("DELETE", paths[1])).json
    assert called_off["ends_at"] == called_off["starts_at"]
    again = await desk.change("DELETE", paths[0])
    assert (again.status, again.json) == (200, ended.json)
    assert [action for _, action in await desk.actors()][:2] == ["technicians.back"] * 2
    assert await desk.refused("GET", paths[0].replace("anna", "bob")) == (404, "not_found")
    assert await desk.refused("GET", paths[0], who="acme") == (403, "forbidden")


async def test_a_rota_hands_over_at_a_local_time(desk: Desk) -> None:
    for name in ("anna", "bob"):
        await desk.ask("POST", "/technicians", {**ANNA, "id": name}, who="manager")
    rota = {"technicians": ["anna", "bob"], "first_day": "2026-03-23", "turns": 3}
    assert await desk.refused("POST", "/on-call-rotas", rota) == (403, "forbidden")
    key = {"Idempotency-Key": "one"}
    made, again = [await desk.ask("POST", "/on-call-rotas", rota, who="manager", headers=key) for _ in range(2)]
    assert (made.status, again.json) == (201, made.json)
    assert [(one["technician"], one["starts_at"]) for one in made.json["shifts"]] == [
        ("anna", "2026-03-23T08:00:00Z"),
        ("bob", "2026-03-30T07:00:00Z"),
        ("anna", "2026-04-06T07:00:00Z"),
    ]
    later = {**rota, "first_day": "2026-04-20", "turns": 1}
    away = {"starts_at": "2026-04-05T00:00:00Z", "ends_at": "2026-04-07T00:00:00Z", "reason": "ill"}
    assert (await desk.ask("POST", "/technicians/bob/absences", away)).status == 201
    second = (await desk.ask("POST", "/on-call-rotas", later, who="manager")).json
    assert second["gaps"] == [{"starts_at": "2026-04-13T07:00:00Z", "ends_at": "2026-04-20T07:00:00Z"}]
    assert second["absent"] == [
        {"shift": 2, "technician": "bob", "starts_at": "2026-04-05T00:00:00Z", "ends_at": "2026-04-06T07:00:00Z"}
    ]
    unknown = {**rota, "technicians": ["nobody"]}
    assert await desk.refused("POST", "/on-call-rotas", unknown, who="manager") == (422, "refused")


@pytest.mark.parametrize("path", ["/technicians", "/technicians/anna", "/on-call", "/on-call/1"])
async def test_a_customers_token_learns_nothing_of_technicians(desk: Desk, path: str) -> None:
    assert await desk.refused("GET", path, who="acme") == (403, "forbidden")


async def test_a_ticket_is_taken_assigned_and_handed_over(desk: Desk) -> None:
    for name in ("anna", "bob"):
        await desk.ask("POST", "/technicians", {**ANNA, **ALWAYS, "id": name}, who="manager")
    number = next(one["number"] for one in (await desk.get("/tickets"))["items"] if one["customer"] == "acme")
    told = await desk.get(f"/tickets/{number}/assignment")
    assert (told["verdict"], told["assignee"], set(told["why_not"])) == ("assign", "anna", {"bob"})
    path = f"/tickets/{number}"
    assert await desk.refused("POST", f"{path}/take", {"technician": "anna"}, who="bakkerij") == (404, "not_found")
    assert await desk.refused("POST", f"{path}/take", {"technician": "anna"}, who="viewer") == (403, "forbidden")
    taken = await desk.ask("POST", f"{path}/take", {"technician": "anna"})
    assert (taken.status, taken.json["assignee"]) == (200, "anna")
    late = await desk.ask("POST", f"{path}/take", {"technician": "bob"})
    assert late.status == 409 and "is anna's" in late.json["detail"]
    assert await desk.refused("POST", f"{path}/hand-over", {"technician": "bob"}) == (422, "invalid")
    handed = await desk.ask("POST", f"{path}/hand-over", {"technician": "bob", "note": "on site tomorrow"})
    assert handed.status == 200, handed.text
    assigned = await desk.ask("POST", f"{path}/assign", {"technician": "anna"})
    assert (assigned.status, assigned.json["lacks"]) == (200, None)
    history = (await desk.get(path))["history"]
    assert [event["data"]["to"] for event in history if event["type"] == "assigned"] == ["anna", "bob", "anna"]


async def test_who_left_can_no_longer_sign_in(desk: Desk) -> None:
    await desk.ask("POST", "/technicians", ANNA, who="manager")
    async with desk.life.opened() as state, state.begin() as connection:
        user = {"id": "anna@desk", "name": "Anna", "role": "technician", "technician": "anna"}
        await connection.execute(insert(users).values(**user, created_at=desk.life.now))
    left = await change(desk, "POST", "/technicians/anna/leave", {}, of="/technicians/anna")
    assert isinstance(left, dict) and left["accounts"] == ["anna@desk"]
