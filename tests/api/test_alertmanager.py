"""`/api/v2`: alerts are posted as to an Alertmanager; and `/metrics/devices`: what a ruler scrapes to make them."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from collector.api.alertmanager import api
from collector.api.alertmanager.shapes import silence_id, silence_number
from collector.fleet.roles import Role
from tests.db.copies import Copies
from tests.fleet.living import Life, resumed

MINUTE = timedelta(minutes=1)


@dataclass
class Served:
    life: Life
    url: str
    session: ClientSession

    async def ask(self, method: str, path: str, body: object = None, *, who: str | None = "ruler") -> tuple[int, Any]:
        """`body` is sent as it is if bytes, else as JSON. The answer's status, and its JSON or else its text."""
        headers = {"Authorization": f"Bearer {self.life.tokens[who]}"} if who is not None else {"Via": "a proxy"}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with self.session.request(method, self.url + path, data=data, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if "json" in response.content_type else text

    def alert(self, name: str = "DiskFull", device: str = "srv-1", **times: str) -> dict[str, object]:
        where = {"customer": "acme", "site": "hq", "device_id": device, "kind": "server"}
        return {
            "labels": {"alertname": name, "severity": "major", **where},
            "annotations": {"summary": "full"},
            "generatorURL": "http://prometheus/graph",
            "startsAt": self.life.now.isoformat(),
            **times,
        }

    async def scrape(self, query: str = "", *, who: str | None = "viewer") -> dict[str, list[Any]]:
        status, text = await self.ask("GET", f"/metrics/devices{query}", who=who)
        assert status == 200, text
        return {family.name: family.samples for family in text_string_to_metric_families(text)}


async def two_servers_report(life: Life) -> None:
    (life.folder / "rules" / "disk.yaml").write_text(
        "groups:\n  - name: disk\n    rules:\n      - alert: DiskFull\n        expr: >-\n"
        '          (x - 5) > on (device_id) group_left () quarkpulse_threshold{name="filesystem_full"}\n'
    )
    for name, at in (("srv-1", "acme"), ("srv-2", "bakkerij")):
        await life.add(name, "server", customer=at)
    for who, role, customer in (
        ("ruler", Role.RULER, None),
        ("viewer", Role.VIEWER, None),
        ("technician", Role.TECHNICIAN, None),
        ("acme", Role.TECHNICIAN, "acme"),
        ("sender", Role.SENDER, "acme"),
    ):
        await life.add_token(who, role, customer=customer)
    await life.start()
    await life.pass_(2 * MINUTE)


@pytest.fixture
async def served(copies: Copies) -> AsyncIterator[Served]:
    async with (
        resumed(copies, two_servers_report) as life,
        life.collector.listening() as url,
        ClientSession() as session,
    ):
        yield Served(life, url, session)


async def test_what_is_posted_becomes_a_ticket_and_is_told(served: Served) -> None:
    now = served.life.now
    assert await served.ask("POST", "/api/v2/alerts", [served.alert()]) == (200, "")
    await served.life.pass_(timedelta(seconds=10), step=timedelta(seconds=5))
    assert ("DiskFull", "srv-1") in await served.life.told()
    status, alerts = await served.ask("GET", '/api/v2/alerts?filter=alertname="DiskFull"')
    (alert,) = alerts
    assert (status, alert["labels"]["device_id"], alert["status"]["state"]) == (200, "srv-1", "active")
    assert (alert["startsAt"], alert["generatorURL"]) == (
        now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "http://prometheus/graph",
    )
    assert (await served.ask("GET", '/api/v2/alerts?filter=alertname="Other"'))[1] == []
    assert (await served.ask("GET", "/api/v2/alerts?active=false"))[1] == []
    over = served.alert(endsAt=served.life.now.isoformat(), startsAt=now.isoformat())
    assert (await served.ask("POST", "/api/v2/alerts", [over]))[0] == 200
    await served.life.pass_(timedelta(seconds=10), step=timedelta(seconds=5))
    assert all(one.resolved_at for one in await served.life.tickets() if one.rule == "DiskFull")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "EOF"),
        ({"labels": {"alertname": "A"}}, "array"),
        ([1], "alert 0: "),
        ([{"labels": {}}], "alert 0: labels"),
        ([{"labels": {"customer": "acme"}}], "alert 0: the label alertname is missing"),
        ([{"labels": {"alertname": ""}}], "alert 0: the label alertname is missing"),
        ([{"labels": {"alertname": "A" * 201}}], "at most 200"),
        ([{"labels": {"alertname": "A", "x": "y" * 1025}}], "at most 1024"),
        ([{"labels": {"alertname": "A", **{f"l{n}": "1" for n in range(64)}}}], "at most 64"),
        ([{"labels": {"alertname": "A\0"}}], "NUL"),
        ([{"labels": {"alertname": "A"}, "startsAt": "yesterday"}], "alert 0: startsAt"),
        ([{"labels": {"alertname": "A"}, "startsAt": "2026-03-02T09:00:00"}], "timezone"),
        (
            [{"labels": {"alertname": "A"}, "startsAt": "2026-03-02T09:00:00Z", "endsAt": "2026-03-02T08:00:00Z"}],
            "start time must be before end time",
        ),
    ],
)
async def test_what_is_wrong_is_told_as_alertmanager_does(served: Served, body: object, told: str) -> None:
    status, text = await served.ask("POST", "/api/v2/alerts", body)
    assert (status, told in text) == (400, True), text


async def test_what_is_right_beside_something_wrong_is_taken(served: Served) -> None:
    status, _ = await served.ask("POST", "/api/v2/alerts", [{"labels": {}}, served.alert()])
    await served.life.pass_(timedelta(seconds=10), step=timedelta(seconds=5))
    assert (status, ("DiskFull", "srv-1") in await served.life.told()) == (400, True)


@pytest.mark.parametrize("ends_at", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
async def test_the_zero_time_of_go_says_nothing(served: Served, ends_at: str) -> None:
    assert (await served.ask("POST", "/api/v2/alerts", [served.alert(endsAt=ends_at, startsAt=ends_at)]))[0] == 200
    await served.life.pass_(timedelta(seconds=10), step=timedelta(seconds=5))
    assert ("DiskFull", "srv-1") in await served.life.told()


async def test_many_at_once_are_read_beside_the_loop_and_bounded(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [served.alert(f"Alert{number}") for number in range(600)]
    assert len(json.dumps(many)) > api.IN_LOOP_BYTES
    assert (await served.ask("POST", "/api/v2/alerts", many))[0] == 200
    monkeypatch.setattr(api, "MAX_ALERTS_AT_ONCE", 1)
    status, text = await served.ask("POST", "/api/v2/alerts", many[:2])
    assert (status, text) == (400, "2 alerts at once; only the first 1 are taken")
    monkeypatch.setattr(api, "MAX_BODY_BYTES", 10)
    assert (await served.ask("POST", "/api/v2/alerts", many[:1]))[0] == 413


@pytest.mark.parametrize(
    ("method", "path", "who", "status"),
    [
        ("POST", "/api/v2/alerts", None, 401),
        ("POST", "/api/v2/alerts", "viewer", 403),
        ("POST", "/api/v2/alerts", "technician", 403),
        ("GET", "/api/v2/alerts", None, 401),
        ("GET", "/api/v2/alerts", "acme", 403),  # it would see other customers'
        ("GET", "/api/v2/alerts", "sender", 403),
        ("GET", "/api/v2/status", "ruler", 200),
        ("GET", "/api/v2/receivers", "viewer", 200),
        ("GET", "/api/v2/silences", "viewer", 200),
        ("POST", "/api/v2/silences", "viewer", 403),
        ("POST", "/api/v2/silences", "acme", 403),
        ("DELETE", "/api/v2/silence/1", "ruler", 403),
        ("DELETE", "/api/v2/silence/1", "technician", 404),
        ("GET", "/api/v2/silence/nothing", "viewer", 404),
        ("GET", "/metrics/devices", None, 401),
        ("GET", "/metrics/devices", "sender", 403),
        ("GET", "/metrics/devices", "ruler", 403),
    ],
)
async def test_who_may_do_what(served: Served, method: str, path: str, who: str | None, status: int) -> None:
    assert (await served.ask(method, path, b"[]" if method == "POST" else None, who=who))[0] == status


async def test_silences_are_ours(served: Served) -> None:
    now = served.life.now
    asked = {
        "matchers": [{"name": "alertname", "value": "Disk.*", "isRegex": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "anna",
        "comment": "known",
    }
    status, made = await served.ask("POST", "/api/v2/silences", asked, who="technician")
    assert (status, silence_number(made["silenceID"])) == (200, 1)
    await served.ask("POST", "/api/v2/alerts", [served.alert()])
    await served.life.pass_(timedelta(seconds=10), step=timedelta(seconds=5))
    (alert,) = (await served.ask("GET", "/api/v2/alerts"))[1]
    assert alert["status"] == {"state": "suppressed", "silencedBy": [silence_id(1)], "inhibitedBy": [], "mutedBy": []}
    assert await served.life.told() == []
    status, longer = await served.ask(
        "POST", "/api/v2/silences", {**asked, "id": made["silenceID"], "comment": "still known"}, who="technician"
    )
    assert status == 200
    found = (await served.ask("GET", "/api/v2/silences"))[1]
    assert [(one["status"]["state"], one["comment"]) for one in found] == [
        ("expired", "known"),
        ("active", "still known"),
    ]
    assert found[1]["createdBy"].startswith("anna, token")
    assert (await served.ask("DELETE", f"/api/v2/silence/{longer['silenceID']}", who="technician"))[0] == 200
    assert (await served.ask("GET", f"/api/v2/silence/{longer['silenceID']}"))[1]["status"]["state"] == "expired"
    assert (await served.ask("POST", "/api/v2/silences", {**asked, "id": "x"}, who="technician"))[0] == 404
    changes: list[dict[str, object]] = [{"comment": ""}, {"endsAt": asked["startsAt"]}, {"matchers": []}]
    for wrong in changes:
        assert (await served.ask("POST", "/api/v2/silences", asked | wrong, who="technician"))[0] == 400


async def test_a_ruler_scrapes_the_newest_samples_presence_and_thresholds(served: Served) -> None:
    found = await served.scrape()
    at = {one.labels["device_id"]: one for one in found["x"]}
    assert (at["srv-1"].value, at["srv-1"].timestamp) == (1.0, served.life.now.timestamp())
    assert at["srv-1"].labels == {"customer": "acme", "site": "hq", "device_id": "srv-1", "kind": "server"}
    assert {one.labels["device_id"] for one in found["quarkpulse_device_up"]} == {"srv-1", "srv-2"}
    (online,) = [
        one for one in found["quarkpulse_device_presence"] if one.value == 1 and one.labels["device_id"] == "srv-1"
    ]
    assert online.labels["state"] == "online"
    assert {one.labels["device_id"]: one.value for one in found["quarkpulse_threshold"]} == {"srv-1": 0.9, "srv-2": 0.9}
    assert not [name for name in found if name.startswith("quarkpulse_ingest")]


@pytest.mark.parametrize("who", ["viewer", "acme"])
async def test_a_scrape_is_bounded_by_parameters_and_by_the_token(served: Served, who: str) -> None:
    found = await served.scrape("?customer=acme" if who == "viewer" else "?customer=bakkerij", who=who)
    assert {one.labels["device_id"] for name in ("x", "quarkpulse_threshold") for one in found[name]} == {"srv-1"}


async def test_selectors_pick_what_is_scraped_and_each_series_comes_once(served: Served) -> None:
    assert set(await served.scrape("?match[]=x")) == {"x"}
    assert set(await served.scrape("?match[]=quarkpulse_threshold")) == {"quarkpulse_threshold"}
    found = await served.scrape('?match[]={device_id="srv-1"}&match[]=x')
    assert len(found["x"]) == 2
    status, text = await served.ask("GET", "/metrics/devices?match[]=rate(x[5m])", who="viewer")
    assert (status, text["errorType"]) == (400, "bad_data")
