"""Printers over the API."""

from datetime import date
from typing import Any

import pytest

from collector.clock import to_milliseconds
from collector.fleet.printers.found import take_found
from collector.fleet.printers.pages import Counter
from collector.fleet.printers.supplies import PrinterDay, save_days
from collector.series.labels import Target
from protocol.models import Event
from tests.api.desk.conftest import Desk

PRINTER = {"customer": "acme", "site": "hq", "address": "192.0.2.31", "name": "Reception"}
V3 = {"version": "3", "user": "quark", "auth": "sha256", "auth_password": "auth-pass-1"}


async def add(desk: Desk, **changes: Any) -> dict[str, Any]:
    answer = await desk.ask("POST", "/printers", PRINTER | changes)
    assert answer.status == 201, answer.text
    return dict(answer.json)


async def find(desk: Desk, address: str, site: str = "hq") -> None:
    told = {
        "id": address,
        "t": to_milliseconds(desk.life.now),
        "type": "printer_found",
        "address": address,
        "snmp": True,
    }
    agent = Target("srv-1", "acme", site, "server")
    async with desk.life.opened() as database, database.begin() as connection:
        await take_found(connection, agent, [Event.model_validate(told)], lambda _: False, desk.life.now)


async def test_a_printer_from_beginning_to_end(desk: Desk) -> None:
    made = await add(desk, snmp=V3)
    assert made["id"].startswith("prn-reception-")
    assert made["snmp"] == {"version": "3", "port": 161, "user": "quark", "auth": "sha256", "privacy": None}
    path = f"/printers/{made['id']}"
    changed = await desk.change("PATCH", path, {"ipp": {"tls": True}, "reader": "ws-1", "interval_seconds": 60})
    assert changed.status == 200, changed.text
    assert (changed.json["reader"], changed.json["preferred_reader"]) == ("ws-1", "ws-1")
    assert changed.json["ipp"] == {"port": 631, "path": "/ipp/print", "tls": True}
    assert changed.json["snmp"] == made["snmp"]
    assert changed.json["supplies"] == []
    anew = await desk.change("PATCH", path, {"snmp": {"community": "c"}, "reader": None})
    assert (anew.json["snmp"]["version"], anew.json["preferred_reader"]) == ("2c", None)
    assert (await desk.change("PATCH", path, {"snmp": None, "ipp": None})).status == 422
    assert [one["id"] for one in (await desk.get("/printers"))["items"]] == [made["id"]]
    assert (await desk.change("DELETE", path)).status == 403
    assert (await desk.change("DELETE", path, who="manager")).json["ended_at"] is not None
    assert (await desk.get("/printers"))["items"] == []
    assert ("printers.add" in str(await desk.actors())) and "auth-pass-1" not in str(await desk.actors())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"address": "http://x/"}, 422),
        ({"site": "nowhere"}, 404),
        ({"customer": "nobody"}, 404),
        ({"reader": "srv-3"}, 422),
        ({"snmp": {"version": "3"}}, 422),
        ({"snmp": {"port": 0}}, 422),
        ({"snmp": {"comunity": "x"}}, 422),
        ({"snmp": None}, 422),
        ({"interval_seconds": 1}, 422),
    ],
)
async def test_what_makes_no_sense_is_refused(desk: Desk, body: dict[str, Any], status: int) -> None:
    assert (await desk.refused("POST", "/printers", PRINTER | body))[0] == status


async def test_an_address_is_taken_once(desk: Desk) -> None:
    await add(desk)
    assert await desk.refused("POST", "/printers", PRINTER) == (409, "conflict")


async def test_pages_and_tenants(desk: Desk) -> None:
    made = [await add(desk, address=f"192.0.2.{number}", name=f"p{number}") for number in range(3)]
    elsewhere = await add(desk, site="ny", address="192.0.2.9")
    first = await desk.get("/printers?limit=2&site=hq&customer=acme")
    rest = await desk.get(f"/printers?limit=2&site=hq&customer=acme&cursor={first['next_cursor']}")
    assert [one["id"] for one in (*first["items"], *rest["items"])] == sorted(one["id"] for one in made)
    assert (await desk.get("/printers", who="bakkerij"))["items"] == []
    assert (await desk.get("/printers?customer=acme", who="bakkerij"))["items"] == []
    assert [one["id"] for one in (await desk.get("/printers", who="ny"))["items"]] == [elsewhere["id"]]
    assert await desk.refused("GET", f"/printers/{made[0]['id']}", who="bakkerij") == (404, "not_found")
    assert await desk.refused("GET", f"/printers/{made[0]['id']}", who="ny") == (404, "not_found")
    assert await desk.refused("POST", "/printers", PRINTER | {"address": "x"}, who="bakkerij") == (404, "not_found")
    assert await desk.refused("GET", "/printers", who="contact") == (403, "forbidden")


async def test_what_was_found_is_accepted_or_dismissed(desk: Desk) -> None:
    for number in range(3):
        await find(desk, f"192.0.2.4{number}")
    one, two, three = (await desk.get("/found-printers"))["items"]
    assert (one["address"], one["ways"], one["found_by"]) == ("192.0.2.40", ["snmp"], "srv-1")
    accepted = await desk.ask("POST", f"/found-printers/{one['id']}/accept", {"name": "hall"})
    assert accepted.status == 200, accepted.text
    assert (accepted.json["name"], accepted.json["snmp"]["version"], accepted.json["ipp"]) == ("hall", "2c", None)
    dismissed = await desk.ask("POST", f"/found-printers/{two['id']}/dismiss")
    assert dismissed.json["dismissed_at"] is not None
    assert [each["id"] for each in (await desk.get("/found-printers"))["items"]] == [three["id"]]
    assert len((await desk.get("/found-printers?all=true"))["items"]) == 3
    assert (await desk.refused("POST", f"/found-printers/{one['id']}/accept", {}))[0] == 422
    for path in (f"/found-printers/{three['id']}/accept", "/found-printers/99/accept"):
        assert await desk.refused("POST", path, {}, who="bakkerij") == (404, "not_found")
    assert (await desk.get("/found-printers", who="bakkerij"))["items"] == []


async def test_a_months_use(desk: Desk) -> None:
    made = [await add(desk, address=f"192.0.2.{number}", name=f"p{number}") for number in range(2)]
    days = [
        PrinterDay(made[0]["id"], date(2026, 3, day), Counter(100.0 * day, 100.0 * day, 1e9), 100) for day in (1, 2)
    ]
    async with desk.life.opened() as database, database.begin() as connection:
        await save_days(connection, days)
    first = await desk.get("/printer-usage?month=2026-03&limit=1")
    rest = await desk.get(f"/printer-usage?month=2026-03&cursor={first['next_cursor']}")
    told = [(one["id"], one["pages"], one["days"]) for one in (*first["items"], *rest["items"])]
    assert told == [(made[0]["id"], 200, 2), (made[1]["id"], None, 0)]
    assert (await desk.get("/printer-usage?month=2026-03&customer=acme", who="bakkerij"))["items"] == []
    assert (await desk.get("/printer-usage?month=2026-03", who="ny"))["items"] == []
    assert (await desk.refused("GET", "/printer-usage?month=march"))[0] in (400, 422)
