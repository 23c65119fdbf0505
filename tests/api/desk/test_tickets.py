"""Tickets over HTTP: opened, changed, merged, resolved, with files; and nobody sees what is another's."""

import asyncio
import io
from typing import Any, cast

import pytest

from collector.api.desk.tickets import ONE
from collector.app.operations import desk_operations
from collector.contracts import load_service_models
from collector.desk.technicians import Profile, add_technician
from tests.api.desk.conftest import ROOT, Answer, Desk

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20)
NEW = {"customer": "acme", "title": "Outlook is slow", "impact": "high", "devices": ["ws-1"]}


async def opened(desk: Desk, who: str = "technician", **more: Any) -> Any:
    answer = await desk.ask("POST", "/tickets", NEW | more, who=who)
    assert answer.status == 201, answer.text
    return answer.json


async def changed(desk: Desk, number: int, etag: str, **fields: Any) -> Answer:
    return await desk.ask("PATCH", f"/tickets/{number}", fields, headers={"If-Match": etag})


async def test_a_ticket_from_report_to_solution(desk: Desk) -> None:
    made = await opened(desk, by_customer=True, category="Software")
    number = made["number"]
    assert (made["priority"], made["site"], made["source"], made["rule"]) == ("P2", "hq", "customer", None)
    answer = await desk.ask("POST", f"/tickets/{number}/comments", {"text": "looking", "public": True})
    assert (answer.status, answer.json["public"]) == (201, True)
    working = await desk.ask("POST", f"/tickets/{number}/status", {"status": "in_progress"})
    assert working.json["status"] == "in_progress"
    assert await desk.refused("POST", f"/tickets/{number}/resolve", {}) == (422, "refused")
    told = {"cause": "mailbox full", "solution": "archived"}
    resolved = (await desk.ask("POST", f"/tickets/{number}/resolve", told)).json
    assert (resolved["status"], resolved["cause"], resolved["solution"]) == ("resolved", "mailbox full", "archived")
    assert (await desk.ask("POST", f"/tickets/{number}/reopen")).json["status"] == "new"
    await desk.ask("POST", f"/tickets/{number}/resolve", {})
    assert (await desk.ask("POST", f"/tickets/{number}/close", {})).json["status"] == "closed"
    assert await desk.refused("POST", f"/tickets/{number}/reopen") == (422, "refused")
    history = (await desk.get(f"/tickets/{number}"))["history"]
    assert [one["told"] for one in history[:3]] == [
        "opened by the customer as incident, P2",
        "wrote, for the customer too: looking",
        "new → in progress",
    ]
    assert ("token 1 (technician)", "tickets.open") in await desk.actors()


async def test_a_creation_is_repeated_by_its_key(desk: Desk) -> None:
    key = {"Idempotency-Key": "one"}
    first = await desk.ask("POST", "/tickets", NEW, headers=key)
    again = await desk.ask("POST", "/tickets", NEW, headers=key)
    assert first.json["number"] == again.json["number"]


async def test_a_change_of_what_somebody_else_changed_is_refused(desk: Desk) -> None:
    number = (await opened(desk))["number"]
    assert await desk.refused("PATCH", f"/tickets/{number}", {"title": "x"}) == (428, "precondition_required")
    etag = (await desk.ask("GET", f"/tickets/{number}")).headers["ETag"]
    answers = await asyncio.gather(
        changed(desk, number, etag, title="It is the network"), changed(desk, number, etag, title="It is the disk")
    )
    assert sorted(one.status for one in answers) == [200, 412]
    winner = next(one for one in answers if one.status == 200)
    assert (await desk.get(f"/tickets/{number}"))["title"] == winner.json["title"]
    etag = winner.headers["ETag"]
    await desk.ask("POST", f"/tickets/{number}/comments", {"text": "no reason to refuse a change"})
    assert (await changed(desk, number, etag, urgency="high", category=None)).json["priority"] == "P1"


async def test_every_step_with_a_ticket_honours_the_etag_that_is_sent(desk: Desk) -> None:
    async with desk.life.opened() as state, state.begin() as connection:
        await add_technician(connection, "anna", Profile("anna"), actor="test", now=desk.life.now)
    number, other = [(await opened(desk))["number"] for _ in range(2)]
    path = f"/tickets/{number}"
    stale = (await desk.ask("GET", path)).headers["ETag"]
    taken = await desk.ask("POST", f"{path}/take", {"technician": "anna"}, headers={"If-Match": stale})
    assert taken.status == 200, taken.text
    steps: list[tuple[str, str, Any]] = [
        ("POST", "/take", {"technician": "anna"}),
        ("POST", "/assign", {"technician": "anna"}),
        ("POST", "/hand-over", {"technician": "anna", "note": "x"}),
        ("POST", "/status", {"status": "in_progress"}),
        ("POST", "/resolve", {"without": True}),
        ("POST", "/close", {}),
        ("POST", "/reopen", None),
        ("POST", "/merge", {"into": other}),
        ("POST", "/links", {"other": other}),
        ("DELETE", f"/links/{other}", None),
        ("PUT", "/parent", {"parent": other}),
        ("POST", "/devices", {"add": ["srv-1"]}),
        ("POST", "/watchers", {"watcher": "anna"}),
        ("DELETE", "/watchers/anna", None),
        ("POST", "/comments", {"text": "x"}),
    ]
    before = await desk.get(path)
    for method, step, body in steps:
        answer = await desk.ask(method, path + step, body, headers={"If-Match": stale})
        assert (answer.status, answer.json["error"]) == (412, "precondition_failed"), (step, answer.text)
    assert await desk.get(path) == before
    etag = (await desk.ask("GET", path)).headers["ETag"]
    working = await desk.ask("POST", f"{path}/status", {"status": "in_progress"}, headers={"If-Match": etag})
    headers = {"If-Match": working.headers["ETag"]}
    assert (await desk.ask("POST", f"{path}/resolve", {"without": True}, headers=headers)).status == 200
    assert (await desk.ask("POST", f"{path}/reopen", headers={"If-Match": "*"})).status == 200


def test_every_change_of_a_ticket_takes_an_etag() -> None:
    about_one = [one for one in OPERATIONS if one.writes and one.path.startswith("/tickets/{number}")]
    assert [one.path for one in about_one if one.thing is None] == []
    assert [one.method for one in about_one if one.changes is ONE] == ["PATCH"]


async def test_two_take_one_ticket_and_one_is_told_who_has_it(desk: Desk) -> None:
    number = (await opened(desk))["number"]
    async with desk.life.opened() as state, state.begin() as connection:
        for name in ("anna", "bob"):
            await add_technician(connection, name, Profile(name), actor="test", now=desk.life.now)
    answers = await asyncio.gather(
        *(desk.ask("POST", f"/tickets/{number}/take", {"technician": name}) for name in ("anna", "bob"))
    )
    assert sorted(one.status for one in answers) == [200, 409]
    winner, other = sorted(answers, key=lambda one: one.status)
    assert f"{winner.json['assignee']}'s" in other.json["detail"]
    back = await desk.ask("POST", f"/tickets/{number}/assign", {"technician": None})
    assert back.json == {"number": number, "assignee": None, "lacks": None}
    assert (await desk.get(f"/tickets/{number}"))["status"] == "new"


async def test_merging_links_devices_and_watchers(desk: Desk) -> None:
    first, second, third = [(await opened(desk))["number"] for _ in range(3)]
    linked = await desk.ask("POST", f"/tickets/{first}/links", {"other": third, "kind": "blocked_by"})
    assert linked.json["links"] == [{"other": third, "kind": "blocked_by"}]
    assert (await desk.ask("DELETE", f"/tickets/{third}/links/{first}")).json["links"] == []
    assert (await desk.ask("PUT", f"/tickets/{third}/parent", {"parent": first})).json["parent"] == first
    merged = await desk.ask("POST", f"/tickets/{second}/merge", {"into": first})
    assert (merged.json["status"], merged.json["merged_into"]) == ("closed", first)
    assert await desk.refused("POST", f"/tickets/{first}/merge", {"into": second}) == (422, "refused")
    assert (await desk.get(f"/tickets/{first}"))["children"] == [third]
    with_devices = await desk.ask("POST", f"/tickets/{first}/devices", {"add": ["srv-1"]})
    assert with_devices.json["devices"] == ["srv-1"]
    watched = await desk.ask("POST", f"/tickets/{first}/watchers", {"watcher": "piet@acme.example"})
    assert watched.json["watchers"] == ["piet@acme.example"]
    assert (await desk.ask("DELETE", f"/tickets/{first}/watchers/piet@acme.example")).json["watchers"] == []


async def test_files(desk: Desk) -> None:
    number = (await opened(desk))["number"]
    path = f"/tickets/{number}/attachments"
    answer = await desk.ask("POST", f"{path}?name=..%2Fsch%C3%A9rm%22.png&public=true", data=PNG)
    assert answer.status == 201, answer.text
    kept = answer.json
    assert (kept["name"], kept["media_type"], kept["is_public"]) == ("sch\u00e9rm_.png", "image/png", True)
    assert (await desk.get(path))["items"] == [kept]
    async with desk.session.get(
        f"{desk.url}{ROOT}{path}/{kept['id']}", headers={"Authorization": f"Bearer {desk.life.tokens['viewer']}"}
    ) as response:
        assert await response.read() == PNG
        assert response.headers["Content-Disposition"].startswith("attachment; filename=")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in response.headers["Content-Security-Policy"]
    assert await desk.refused("POST", f"{path}?name=x.png", data=b"MZ" + bytes(60)) == (422, "refused")
    assert await desk.refused("POST", f"{path}?name=x.exe", data=b"MZ" + bytes(60)) == (422, "refused")
    assert await desk.refused("POST", f"{path}?name=x.txt", data=io.BytesIO(b"x" * (10 * 2**20 + 1))) == (
        413,
        "too_large",
    )
    packed = {"Content-Encoding": "gzip"}
    assert (await desk.refused("POST", f"{path}?name=x.txt", data=b"x", headers=packed))[0] in (400, 415)
    assert (await desk.ask("DELETE", f"{path}/{kept['id']}")).status == 200
    assert await desk.refused("GET", f"{path}/{kept['id']}") == (404, "not_found")


async def test_lists_go_on_where_they_ended_in_every_order(desk: Desk) -> None:
    for priority in ("P3", "P1", "P3"):
        await opened(desk, priority=priority)
    for sort in ("number", "priority", "due"):
        whole = [one["number"] for one in (await desk.get(f"/tickets?sort={sort}"))["items"]]
        walked, cursor = [], ""
        while cursor is not None:
            page = await desk.get(f"/tickets?sort={sort}&limit=1{cursor and '&cursor=' + cursor}")
            walked += [one["number"] for one in page["items"]]
            cursor = page["next_cursor"]
        assert walked == whole and len(whole) == 4
    assert [one["priority"] for one in (await desk.get("/tickets?sort=priority"))["items"]][:1] == ["P1"]
    cursor = (await desk.get("/tickets?limit=1"))["next_cursor"]
    assert await desk.refused("GET", f"/tickets?sort=due&cursor={cursor}") == (422, "invalid")
    for query, count in (("priority=P1", 2), ("text=OUTLOOK", 3), ("open=false", 0), ("device=ws-1&kind=incident", 3)):
        assert len((await desk.get(f"/tickets?{query}"))["items"]) == count, query
    assert (await desk.get("/tickets?customer=acme", "bakkerij"))["items"] == []
    assert (await desk.get("/tickets", "ny"))["items"] == []


BODIES: dict[str, Any] = {
    "add_comment": {"text": "x"},
    "change_ticket": {"title": "x"},
    "set_ticket_status": {"status": "in_progress"},
    "resolve_ticket": {"without": True},
    "close_ticket": {},
    "merge_ticket": {"into": 1},
    "link_ticket": {"other": 1},
    "set_ticket_parent": {"parent": None},
    "change_ticket_devices": {},
    "watch_ticket": {"watcher": "a@b.example"},
    "take_ticket": {"technician": "anna"},
    "assign_ticket": {"technician": "anna"},
    "hand_over_ticket": {"technician": "anna", "note": "x"},
    "add_work": {"minutes": 5},
    "change_work": {"minutes": 5},
    "add_part": {"description": "x", "unit_price": "1.00"},
}
# They are only looked at.
OPERATIONS = cast("Any", desk_operations)(
    dict, dict, load_service_models(), None, tasks=None, book=None, escalate_to="", max_devices=1
)
OF_ONE = sorted((one.method, one.path, one.name) for one in OPERATIONS if one.path.startswith("/tickets/{number}"))


@pytest.mark.parametrize("who", ["bakkerij", "ny"])
async def test_someone_elses_ticket_is_not_there_whatever_is_asked(desk: Desk, who: str) -> None:
    number = (await opened(desk))["number"]
    before = await desk.get(f"/tickets/{number}")
    seen = set()
    for method, path, name in OF_ONE:
        at = path.format(number=number, id=1, other=number, watcher="a@b.example", position=1, entry=1, item=1)
        more: dict[str, Any] = {"headers": {"If-Match": '"x"'}}
        if name == "add_attachment":
            more |= {"data": PNG}
            at += "?name=x.png"
        body = BODIES.get(name)
        if body is None and method in ("POST", "PATCH", "PUT") and name not in ("reopen_ticket", "add_attachment"):
            body = {}
        answer = await desk.ask(method, at, body, who=who, **more)
        assert answer.status == 404 or (answer.status == 422 and name not in BODIES), (method, path, answer.text)
        seen.add(answer.status)
    assert 404 in seen and len(OF_ONE) > 20
    assert await desk.get(f"/tickets/{number}") == before
    own = (await desk.ask("POST", "/tickets", {"customer": "acme", "title": "x", "devices": ["ws-1"]}, who=who)).status
    assert own == 404


async def test_who_only_reads_changes_nothing(desk: Desk) -> None:
    number = (await opened(desk))["number"]
    for method, path, name in OF_ONE:
        if method == "GET":
            continue
        at = path.format(number=number, id=1, other=number, watcher="a@b.example", position=1, entry=1, item=1)
        status = (await desk.ask(method, at, BODIES.get(name), who="viewer")).status
        assert status == 403, (method, path)
