"""The dashboard of printers: well formed, and what it asks for is what agents send and the collector makes."""

import json
from itertools import combinations
from typing import Any

import pytest

from collector.alerting.lint import COLLECTORS_OWN, sent_by_agents
from collector.promql import compile_expr
from collector.series.labels import NAME
from protocol.wire import RESERVED_LABELS
from tests.deploy.test_grafana import ROOT

DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/printers.json").read_text(encoding="utf-8"))
OTHER = json.loads((ROOT / "deploy/grafana/dashboards/quarkpulse.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
CHARTS = [panel for panel in PANELS if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in CHARTS for target in panel["targets"]]
KNOWN = {name: labels | set(RESERVED_LABELS) for name, labels in sent_by_agents().items()} | dict(COLLECTORS_OWN)


def test_it_stands_beside_the_other() -> None:
    assert DASHBOARD["uid"] != OTHER["uid"]
    assert DASHBOARD["schemaVersion"] == OTHER["schemaVersion"]
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_panels_lie_beside_each_other() -> None:
    def covers(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}

    assert [(one["id"], two["id"]) for one, two in combinations(PANELS, 2) if covers(one) & covers(two)] == []
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


@pytest.mark.parametrize("panel", CHARTS, ids=lambda panel: panel["title"])
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    for asked in (panel, *panel["targets"]):
        assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("query", QUERIES)
def test_every_series_exists_and_every_variable_is_heeded(query: str) -> None:
    for variable in ("$customer", "$site"):
        assert variable in query
    for name in ("customer", "site", "printer"):
        query = query.replace(f"${name}", ".*")
    for matchers in compile_expr(query).selectors:
        metric = next(one.value for one in matchers if one.label == NAME)
        assert {one.label for one in matchers} - {NAME} <= KNOWN[metric]
