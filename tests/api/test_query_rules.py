from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from collector.alerting.rulefile import load_rules
from collector.alerting.state import Alert, Phase
from collector.api.query import QueryApi
from collector.api.query_rules import EvaluatedGroup
from tests.api.query_fixtures import NOW, Client, Query, application, query_api, small_store

RULES = """
groups:
  - name: hosts
    interval: 30s
    limit: 7
    rules:
      - alert: WebDown
        expr: up{job="web"} == 0
        for: 5m
        keep_firing_for: 1m
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.instance }} is down"}
      - alert: DbDown
        expr: up{job="db"} == 0
        for: 10m
        labels: {severity: minor}
      - record: job:up:sum
        expr: sum by (job, customer) (up)
        labels: {team: ops}
  - name: idle
    rules:
      - alert: Odd
        expr: odd_ratio > 1
        labels: {severity: info}
"""

FIRING = Alert(
    labels={"alertname": "WebDown", "instance": "b"},
    phase=Phase.FIRING,
    active_since=NOW - timedelta(minutes=9, microseconds=500),
    value=0.25,
    annotations={"summary": "b is down"},
    fired_at=NOW - timedelta(minutes=4),
    clear_since=NOW,
)
PENDING = Alert({"alertname": "WebDown", "instance": "a"}, Phase.PENDING, NOW, 1e21)

FIRING_JSON = {
    "labels": {"alertname": "WebDown", "instance": "b"},
    "annotations": {"summary": "b is down"},
    "state": "firing",
    "activeAt": "2026-01-05T11:50:59.999500Z",
    "keepFiringSince": "2026-01-05T12:00:00Z",
    "value": "2.5e-01",
}
PENDING_JSON = {
    "labels": {"alertname": "WebDown", "instance": "a"},
    "annotations": {},
    "state": "pending",
    "activeAt": "2026-01-05T12:00:00Z",
    "value": "1e+21",
}


@pytest.fixture(name="api")
def api_fixture(tmp_path: Path) -> QueryApi:
    path = tmp_path / "hosts.yaml"
    path.write_text(RULES)
    hosts, idle = load_rules([path]).groups
    active = {hosts.alert_rules[0].key: {"f": FIRING, "p": PENDING}}
    groups = [
        EvaluatedGroup(hosts, timedelta(seconds=30), active, NOW, 0.125, {"DbDown": "the query exceeds the limit"}),
        EvaluatedGroup(idle, timedelta(seconds=15), {}),
    ]
    return query_api(small_store(), alerting=lambda: groups)


@pytest.fixture(name="client")
async def client_fixture(aiohttp_client: AiohttpClient, api: QueryApi) -> Client:
    return await aiohttp_client(application(api))


async def groups_of(client: Client, params: Query | None = None) -> Any:
    response = await client.get("/api/v1/rules", params=params)
    assert response.status == 200
    return (await response.json())["data"]["groups"]


async def test_rules_are_told_as_prometheus_tells_them(client: Client, tmp_path: Path) -> None:
    evaluated = {"evaluationTime": 0.125, "lastEvaluation": "2026-01-05T12:00:00Z"}
    hosts, idle = await groups_of(client)
    assert hosts == {
        "name": "hosts",
        "file": str(tmp_path / "hosts.yaml"),
        "interval": 30,
        "limit": 7,
        **evaluated,
        "rules": [
            {
                "type": "alerting",
                "name": "WebDown",
                "query": 'up{job="web"} == 0',
                "state": "firing",
                "duration": 300,
                "keepFiringFor": 60,
                "labels": {"severity": "critical"},
                "annotations": {"summary": "{{ $labels.instance }} is down"},
                "alerts": [FIRING_JSON, PENDING_JSON],
                "health": "ok",
                **evaluated,
            },
            {
                "type": "alerting",
                "name": "DbDown",
                "query": 'up{job="db"} == 0',
                "state": "inactive",
                "duration": 600,
                "keepFiringFor": 0,
                "labels": {"severity": "minor"},
                "annotations": {},
                "alerts": [],
                "health": "err",
                "lastError": "the query exceeds the limit",
                **evaluated,
            },
            {
                "type": "recording",
                "name": "job:up:sum",
                "query": "sum by (job, customer) (up)",
                "labels": {"team": "ops"},
                "health": "ok",
                **evaluated,
            },
        ],
    }
    assert idle["rules"][0]["health"] == "unknown"
    assert idle["lastEvaluation"] == idle["rules"][0]["lastEvaluation"] == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["WebDown", "DbDown", "job:up:sum", "Odd"]),
        ({"type": "alert"}, ["WebDown", "DbDown", "Odd"]),
        ({"type": "record"}, ["job:up:sum"]),
        ([("rule_name[]", "Odd"), ("rule_name[]", "DbDown")], ["DbDown", "Odd"]),
        ({"rule_group[]": "idle"}, ["Odd"]),
        ({"file[]": "other.yaml"}, []),
    ],
)
async def test_rules_can_be_narrowed_down(client: Client, params: Query, names: list[str]) -> None:
    assert [rule["name"] for group in await groups_of(client, params) for rule in group["rules"]] == names


async def test_rules_can_come_without_their_alerts(client: Client) -> None:
    hosts = (await groups_of(client, {"exclude_alerts": "true"}))[0]
    assert (hosts["rules"][0]["state"], hosts["rules"][0]["alerts"]) == ("firing", [])
    refused = await client.get("/api/v1/rules", params={"exclude_alerts": "maybe"})
    assert (refused.status, (await refused.json())["errorType"]) == (400, "bad_data")


async def test_alerts_are_those_pending_or_firing(client: Client) -> None:
    response = await client.get("/api/v1/alerts")
    assert await response.json() == {"status": "success", "data": {"alerts": [FIRING_JSON, PENDING_JSON]}}
