"""A graph of a metric that no rule looks back upon, asked of a real collector over HTTP, before and after `kill -9`."""

from pathlib import Path

import pytest

from protocol import wire
from tests.e2e.harness import collector_in, now_ms

HOURS = 5
STEP_MS = 60_000


@pytest.mark.slow
def test_a_graph_reaches_back_behind_memory_and_outlives_a_kill(tmp_path: Path) -> None:
    with collector_in(tmp_path) as collector:
        collector.add_customers()
        sender = collector.enrol("acme")
        series: list[wire.Series] = [{"name": "room_temperature_celsius", "labels": {"room": "1"}}]
        layout: wire.Layout = {"id": wire.layout_id(series), "series": series}
        newest = now_ms() // STEP_MS * STEP_MS
        times = [newest - STEP_MS * back for back in range(HOURS * 60, -1, -1)]
        frames: list[wire.Frame] = [
            {"layout": layout["id"], "t": t, "v": [20.0 + place % 7]} for place, t in enumerate(times)
        ]
        assert sender.push(frames, [layout]).status == 200
        path = (
            "/api/v1/query_range?query=room_temperature_celsius"
            f"&start={times[0] / 1000}&end={newest / 1000}&step={STEP_MS / 1000}"
        )
        expected = [[t / 1000, str(20 + place % 7)] for place, t in enumerate(times)]
        for _ in range(2):
            answer = collector.request("GET", path)
            assert answer.status == 200, answer.text
            (found,) = answer.json["data"]["result"]
            assert found["values"] == expected
            collector.kill()
            collector.start()
