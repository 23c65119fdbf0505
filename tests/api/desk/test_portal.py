"""What a customer's own people see and do: their tickets, what is public of them, and nothing else."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert

from collector.db.tables import alerts
from tests.api.desk.conftest import ROOT, Answer, Desk

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20)
PUBLIC = {
    *("number", "title", "status", "kind", "priority", "site", "device", "opened_at", "resolved_at", "closed_at"),
    *("merged_into", "contact"),
}
SECRET = "he never remembers his password"  # what nobody at a customer may read


@pytest.fixture
async def portal(desk: Desk) -> Desk:
    """Piet of acme and Jansen of bakkerij sign in by tokens of their own."""
    for customer, user in (("acme", "piet"), ("bakkerij", "jansen")):
        contact = (await desk.ask("POST", "/contacts", {"customer": customer, "name": user})).json["id"]
        person = {"id": user, "name": user, "role": "contact", "customer": customer, "contact": contact}
        assert (await desk.ask("POST", "/users", person, who="admin")).status == 201
        made = await desk.ask("POST", "/tokens", {"role": "contact", "user": user}, who="admin")
        assert made.status == 201, made.text
        desk.life.tokens[user] = made.json["secret"]
    await desk.life.collector.upkeep["changes"].work()
    return desk


async def report(desk: Desk, who: str = "piet", **more: Any) -> Any:
    answer = await desk.ask("POST", "/portal/tickets", {"title": "The printer beeps"} | more, who=who)
    assert answer.status == 201, answer.text
    return answer.json


async def staff_says(desk: Desk, number: int, text: str, *, public: bool) -> None:
    answer = await desk.ask("POST", f"/tickets/{number}/comments", {"text": text, "public": public})
    assert answer.status == 201, answer.text


async def test_from_report_to_solution(portal: Desk) -> None:
    made = await report(portal, devices=["ws-1"], impact="high")
    number = made["number"]
    seen = await portal.get(f"/tickets/{number}")
    assert (seen["source"], seen["contact"], seen["site"], seen["priority"]) == ("customer", 1, "hq", "P2")
    assert seen["history"][0]["told"] == "opened by the customer as incident, P2"
    await staff_says(portal, number, "which tray?", public=True)
    await staff_says(portal, number, SECRET, public=False)
    await portal.ask("POST", f"/tickets/{number}/work", {"minutes": 20, "note": SECRET})
    await portal.ask("POST", f"/tickets/{number}/status", {"status": "waiting_customer"})
    answered = await portal.ask("POST", f"/portal/tickets/{number}/comments", {"text": "the lower"}, who="piet")
    assert (answered.status, answered.json["status"]) == (201, "in_progress")
    await portal.ask("POST", f"/tickets/{number}/resolve", {"cause": "a jam", "solution": "taken out"})
    shown = await portal.get(f"/portal/tickets/{number}", "piet")
    assert [(one["contact"], one["text"]) for one in shown["comments"]] == [(None, "which tray?"), (1, "the lower")]
    assert [one["status"] for one in shown["statuses"]] == ["waiting_customer", "in_progress", "resolved"]
    assert (shown["cause"], shown["solution"]) == ("a jam", "taken out")
    again = {"text": "it beeps again", "still_wrong": True}
    reopened = await portal.ask("POST", f"/portal/tickets/{number}/comments", again, who="piet")
    assert reopened.json["status"] == "new"
    assert ("piet", "tickets.comment") in await portal.actors()


async def test_nothing_internal_is_shown(portal: Desk) -> None:
    number = (await report(portal))["number"]
    await staff_says(portal, number, SECRET, public=False)
    for name, public in (("inside.png", False), ("outside.png", True)):
        params = {"name": name, "public": str(public).lower()}
        answer = await portal.ask("POST", f"/tickets/{number}/attachments", data=PNG, params=params)
        assert answer.status == 201, answer.text
    shown = await portal.get(f"/portal/tickets/{number}", "piet")
    told = json.dumps(shown)
    assert SECRET not in told and "token 1" not in told and "inside" not in told
    assert set(shown) == PUBLIC | {"summary", "description", "cause", "solution", "comments", "statuses", "attachments"}
    (file,) = shown["attachments"]
    path = f"/portal/tickets/{number}/attachments"
    headers = {"Authorization": f"Bearer {portal.life.tokens['piet']}"}
    async with portal.session.get(f"{portal.url}{ROOT}{path}/{file['id']}", headers=headers) as response:
        assert (response.status, await response.read()) == (200, PNG)
    assert await portal.refused("GET", f"{path}/{file['id'] - 1}", who="piet") == (404, "not_found")
    (listed,) = [one for one in (await portal.get("/portal/tickets", "piet"))["items"] if one["number"] == number]
    assert set(listed) == PUBLIC
    for inner in (f"/tickets/{number}", "/tickets", f"/tickets/{number}/work", "/alerts", "/technicians"):
        assert await portal.refused("GET", inner, who="piet") == (403, "forbidden")


async def test_what_an_alert_says_to_customers_is_told_in_both_languages(portal: Desk) -> None:
    number = (await report(portal))["number"]
    assert (await portal.get(f"/portal/tickets/{number}", "piet"))["summary"] == {"nl": None, "en": None}
    alert: dict[str, object] = {"rule_key": "r", "fingerprint": "f", "rule": "Full", "rule_version": "1", "labels": {}}
    alert |= {"annotations": {"customer_summary_nl": "De schijf is vol.", "customer_summary_en": "The disk is full."}}
    alert |= {"state": "firing", "active_since": NOW, "outcome": "ticket", "reason": "", "ticket": number}
    async with portal.life.opened() as database, database.begin() as connection:
        await connection.execute(insert(alerts).values(alert))
    told = (await portal.get(f"/portal/tickets/{number}", "piet"))["summary"]
    assert told == {"nl": "De schijf is vol.", "en": "The disk is full."}


async def test_another_customers_ticket_is_not_there(portal: Desk) -> None:
    theirs = (await report(portal, "jansen"))["number"]
    listed = (await portal.get("/portal/tickets", "piet"))["items"]
    assert theirs not in [one["number"] for one in listed]
    assert listed and all(one["site"] in ("hq", "ny") for one in listed)
    said = {"text": "let me in"}
    for method, path, body in (
        ("GET", f"/portal/tickets/{theirs}", None),
        ("POST", f"/portal/tickets/{theirs}/comments", said),
    ):
        assert await portal.refused(method, path, body, who="piet") == (404, "not_found")
    foreign = {"title": "x", "devices": ["srv-3"]}
    assert await portal.refused("POST", "/portal/tickets", foreign, who="piet") == (422, "refused")


async def test_who_writes_is_known(portal: Desk) -> None:
    """A contact's token without a user reads; who works here has operations of their own."""
    number = (await report(portal))["number"]
    assert (await portal.get(f"/portal/tickets/{number}", "contact"))["number"] == number
    for path, body in (("/portal/tickets", {"title": "x"}), (f"/portal/tickets/{number}/comments", {"text": "x"})):
        assert await portal.refused("POST", path, body, who="contact") == (403, "forbidden")
    for who in ("viewer", "technician", "admin", "acme"):
        assert await portal.refused("GET", "/portal/tickets", who=who) == (403, "forbidden")


async def test_a_contact_that_ended_is_let_in_no_more(portal: Desk) -> None:
    number = (await report(portal))["number"]
    await portal.change("DELETE", "/contacts/1")
    await portal.life.collector.upkeep["changes"].work()
    assert await portal.refused("GET", f"/portal/tickets/{number}", who="piet") == (401, "unauthorized")
    assert (await portal.get(f"/portal/tickets/{number}", "contact"))["number"] == number


async def test_what_was_said_by_phone_is_taken_down(portal: Desk) -> None:
    number = (await report(portal))["number"]
    await portal.ask("POST", f"/tickets/{number}/status", {"status": "waiting_customer"})
    said = await portal.ask("POST", f"/tickets/{number}/comments", {"text": "the lower tray", "contact": 1})
    assert (said.json["contact"], said.json["public"]) == (1, True)
    assert (await portal.get(f"/tickets/{number}"))["status"] == "in_progress"
    other = {"text": "x", "contact": 2}
    assert await portal.refused("POST", f"/tickets/{number}/comments", other) == (422, "refused")


async def test_lists_have_pages_and_filters(portal: Desk) -> None:
    numbers = [(await report(portal, title=f"Title {place}"))["number"] for place in range(3)]
    seen: list[int] = []
    cursor = ""
    while True:
        page = await portal.get(f"/portal/tickets?limit=2&text=title{cursor}", "piet")
        seen += [one["number"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == sorted(numbers, reverse=True)
    assert (await portal.get("/portal/tickets?status=closed", "piet"))["items"] == []


async def test_a_repeat_opens_nothing_and_a_stale_etag_says_nothing(portal: Desk) -> None:
    key = {"Idempotency-Key": "one"}
    first, again = [
        await portal.ask("POST", "/portal/tickets", {"title": "x"}, who="piet", headers=key) for _ in range(2)
    ]
    assert first.json["number"] == again.json["number"]
    path = f"/portal/tickets/{first.json['number']}"
    stale = (await portal.ask("GET", path, who="piet")).headers["ETag"]

    async def says(etag: str) -> Answer:
        return await portal.ask("POST", f"{path}/comments", {"text": "x"}, who="piet", headers={"If-Match": etag})

    said = await says(stale)
    assert said.status == 201
    assert (await says(stale)).status == 412
    assert (await says(said.headers["ETag"])).status == 201
