"""Customers with their sites, contracts and contacts, devices, users and tokens, over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from tests.api.desk.conftest import Desk


async def made(desk: Desk, path: str, body: object, who: str = "manager") -> Any:
    answer = await desk.ask("POST", path, body, who=who)
    assert answer.status == 201, answer.text
    return answer.json


async def changed(desk: Desk, path: str, body: object, who: str = "manager") -> Any:
    answer = await desk.change("PATCH", path, body, who=who)
    assert answer.status == 200, answer.text
    return answer.json


async def test_a_customer_with_its_sites(desk: Desk) -> None:
    new = {"id": "delta", "name": "Delta BV", "plan": "monthly"}
    assert (await made(desk, "/customers", new))["plan"] == "monthly"
    assert await desk.refused("POST", "/customers", new, who="manager") == (409, "conflict")
    assert await desk.refused("POST", "/customers", new | {"id": "x"}) == (403, "forbidden")
    assert await desk.refused("POST", "/customers", new | {"id": "x"}, who="other admin") == (403, "forbidden")
    answer = await desk.ask(
        "POST", "/customers", new | {"id": "x", "valid_from": "1900-01-01T00:00:00Z"}, who="manager"
    )
    assert (answer.status, answer.json["detail"]) == (422, "valid_from: is not between 1970 and 2200")
    old = {"valid_from": "2024-05-01T00:00:00+02:00", "term_months": 36, "fee": "250.00"}
    await made(desk, "/customers", new | {"id": "echo"} | old)
    (contract,) = (await desk.get("/contracts?customer=echo", "manager"))["items"]
    assert (contract["valid_from"], contract["fee"]) == ("2024-04-30T22:00:00Z", "250.00")
    named = await changed(desk, "/customers/delta", {"name": "Delta NV", "silent_days": 20})
    assert (named["name"], named["silent_days"], named["retire_automatically"]) == ("Delta NV", 20, False)
    site = {"id": "port", "time_zone": "Europe/London", "office_hours": "Mon-Fri 07:00-16:00"}
    assert (await made(desk, "/customers/delta/sites", site))["holidays"] == "NL"
    quiet = await changed(desk, "/customers/delta/sites/port", {"holidays": "none"})
    assert (quiet["office_hours"], quiet["holidays"]) == ("Mon-Fri 07:00-16:00", "none")
    assert [one["id"] for one in (await desk.get("/customers/delta/sites"))["items"]] == ["port"]
    wrong = await desk.change("PATCH", "/customers/delta/sites/port", {"office_hours": "always"}, who="manager")
    assert wrong.status == 422
    assert await desk.refused("POST", "/customers/nobody/sites", site, who="manager") == (404, "not_found")


async def test_a_contract_from_beginning_to_end(desk: Desk) -> None:
    now = desk.life.now
    (first,) = (await desk.get("/contracts?customer=acme&holding=true", "manager"))["items"]
    ends_at = (now + timedelta(days=10)).isoformat().replace("+00:00", "Z")
    ended = await desk.change("DELETE", f"/contracts/{first['id']}", who="manager")
    assert ended.status == 200
    new = {
        "customer": "acme",
        "plan": "monthly",
        "fee": "250.00",
        "sla": "critical",
        "support_level": "24x7",
        "scope": {"sites": ["hq"], "kinds": ["server"]},
        "monitoring_consent": {"by": "J. Jansen", "on": "2026-03-01"},
    }
    contract = await made(desk, "/contracts", new)
    assert (contract["fee"], contract["scope"]["kinds"], contract["currency"]) == ("250.00", ["server"], None)
    assert contract["monitoring_consent"] == new["monitoring_consent"]
    assert await desk.refused("POST", "/contracts", new, who="manager") == (422, "refused")
    for wrong in (
        {"fee": 250},
        {"fee": "-1"},
        {"fee": "1.234"},
        {"currency": "euro"},
        {"valid_to": "0001-01-01T00:00:00Z"},
    ):
        assert await desk.refused("POST", "/contracts", new | wrong, who="manager") == (422, "invalid"), wrong
    later = await changed(desk, f"/contracts/{contract['id']}", {"starts_at": ends_at, "fee": None, "scope": None})
    assert (later["id"] != contract["id"], later["fee"], later["sla"], later["scope"]) == (True, None, "critical", None)
    assert (await desk.get(f"/contracts/{contract['id']}"))["valid_to"] == later["valid_from"]
    listed = (await desk.get("/contracts?customer=acme", "manager"))["items"]
    assert [one["id"] for one in listed] == [later["id"], contract["id"], first["id"]]
    assert later["charge"] == first["charge"] and first["charge"]["monthly_fee"] == "75.00"
    assert (later["term_ends_at"], later["renews_for_months"]) == (None, None)
    term = {"starts_at": ends_at, "term_months": 12, "current_prices": True}
    agreed = await changed(desk, f"/contracts/{later['id']}", term)
    assert (agreed["id"], agreed["renews_for_months"]) == (later["id"], 12)
    assert agreed["term_ends_at"].startswith("2027-03-12")
    before = await desk.get(f"/contracts/{contract['id']}")
    assert (before["term_ends_at"], before["followed_by"]) == (later["valid_from"], later["id"])
    assert await desk.refused("PATCH", f"/contracts/{later['id']}", {"fee": "1"}) == (403, "forbidden")
    assert (await desk.actors())[0] == ("token 7 (manager)", "contracts.change")


async def test_a_customer_is_taken_on_once(desk: Desk) -> None:
    (contract,) = (await desk.get("/contracts?customer=acme&holding=true"))["items"]
    path, key = f"/contracts/{contract['id']}/onboard", {"Idempotency-Key": "one"}
    assert await desk.refused("POST", path) == (403, "forbidden")
    first, again = [await desk.ask("POST", path, who="manager", headers=key) for _ in range(2)]
    assert (first.status, again.json) == (201, first.json)
    checklist = await desk.get(f"/tickets/{first.json['ticket']}/checklist")
    assert (checklist["plan"], checklist["items"][0]["en"], checklist["left"]) == (None, "Intake", 8)
    assert await desk.refused("POST", path, who="manager") == (409, "conflict")
    assert await desk.refused("POST", "/contracts/4711/onboard", who="manager") == (404, "not_found")


async def test_contacts(desk: Desk) -> None:
    new = {"customer": "acme", "name": "J. Jansen", "email": "j.jansen@acme.example", "is_main": True}
    jansen = await made(desk, "/contacts", new, "technician")
    assert (jansen["language"], jansen["phone"]) == ("nl", None)
    assert await desk.refused("POST", "/contacts", new | {"email": "nowhere"}) == (422, "refused")
    assert await desk.refused("POST", "/contacts", new, who="bakkerij") == (404, "not_found")
    assert await desk.refused("POST", "/contacts", new, who="ny") == (404, "not_found")
    named = await changed(desk, f"/contacts/{jansen['id']}", {"phone": "+31 20 123 4567", "language": "en"}, "acme")
    assert (named["name"], named["phone"], named["language"]) == ("J. Jansen", "+31 20 123 4567", "en")
    ended = await desk.change("DELETE", f"/contacts/{jansen['id']}")
    assert (ended.json["name"], ended.json["email"]) == ("erased", None)
    assert (await desk.get("/contacts?customer=acme"))["items"] == []
    assert len((await desk.get("/contacts?customer=acme&all=true"))["items"]) == 1


async def test_devices(desk: Desk) -> None:
    device = await changed(desk, "/devices/ws-1", {"policy": "roaming", "tags": ["till", "vip"]}, "technician")
    assert (device["policy"], device["tags"]) == ("roaming", ["till", "vip"])
    device = await changed(desk, "/devices/ws-1", {"policy": None, "tags": ["vip"]}, "technician")
    assert (device["policy"], device["tags"]) == (None, ["vip"])
    seen = await desk.ask("GET", "/devices/ws-1")
    await desk.life.pass_(timedelta(minutes=3))  # it reports, which is no change of somebody's
    ended = await desk.ask("DELETE", "/devices/ws-1", who="manager", headers={"If-Match": seen.headers["ETag"]})
    assert (ended.status, ended.json["status"]) == (200, "ended")


async def test_users_and_their_tokens(desk: Desk) -> None:
    new = {"id": "anna", "name": "Anna de Vries", "role": "technician", "email": "anna@provider.example"}
    assert await desk.refused("POST", "/users", new, who="manager") == (403, "forbidden")
    assert await desk.refused("POST", "/users", new, who="other admin") == (403, "forbidden")
    assert not (await made(desk, "/users", new, "admin"))["has_password"]
    asked = {"role": "technician", "user": "anna"}
    key = {"Idempotency-Key": "t-1"}
    first = await desk.ask("POST", "/tokens", asked, who="admin", headers=key)
    again = await desk.ask("POST", "/tokens", asked, who="admin", headers=key)
    assert again.json == first.json | {"secret": None}  # kept nowhere
    desk.life.tokens["anna"] = first.json["secret"]
    await desk.life.collector.upkeep["changes"].work()
    silence = {"matchers": ["device_id=srv-1"], "ends_at": "2026-03-03T08:00:00Z", "comment": "known"}
    assert (await made(desk, "/silences", silence, "anna"))["author"] == "anna"
    assert (await desk.actors())[0] == ("anna", "silences.add")
    assert [one["user"] for one in (await desk.get("/tokens?user=anna", "admin"))["items"]] == ["anna"]
    assert first.json["secret"] not in (await desk.ask("GET", "/tokens", who="admin")).text
    assert (await changed(desk, "/users/anna", {"disabled": True}, "admin"))["disabled_at"] is not None
    await desk.life.collector.upkeep["changes"].work()
    assert await desk.refused("GET", "/alerts", who="anna") == (401, "unauthorized")
    assert (await changed(desk, "/users/anna", {"disabled": False, "role": "viewer"}, "admin"))["role"] == "viewer"
    await desk.life.collector.upkeep["changes"].work()
    assert await desk.refused("GET", "/alerts", who="anna") == (401, "unauthorized")  # it reached further than a viewer


async def test_a_token_makes_none_that_reaches_further(desk: Desk) -> None:
    for asked, refusal in (
        ({"role": "viewer"}, (403, "forbidden")),
        ({"role": "viewer", "customer": "acme"}, (404, "not_found")),
        ({"role": "enroll", "customer": "bakkerij", "site": "hq"}, (422, "refused")),
        ({"role": "viewer", "customer": "bakkerij", "uses": 3}, (422, "refused")),
    ):
        assert await desk.refused("POST", "/tokens", asked, who="other admin") == refusal, asked
    enrolment = {"role": "enroll", "customer": "bakkerij", "site": "hq", "kind": "server", "uses": 2}
    token = await made(desk, "/tokens", enrolment, "other admin")
    assert (token["uses_left"], token["kind"]) == (2, "server")
    revoked = await desk.change("DELETE", f"/tokens/{token['id']}", who="other admin")
    assert revoked.json["revoked_at"] is not None
    assert await desk.refused("GET", "/tokens/1", who="other admin") == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/customers/acme", 200),
        ("/customers/acme/sites", 200),
        ("/devices", 200),
        ("/devices/srv-1", 200),
        ("/devices/srv-3", 404),
        ("/customers/bakkerij", 404),
        ("/alerts", 403),
        ("/contracts", 403),
        ("/silences", 403),
    ],
)
async def test_a_contact_sees_what_is_its_customers(desk: Desk, path: str, status: int) -> None:
    assert (await desk.ask("GET", path, who="contact")).status == status
