"""`kill -9` in the middle of a stream of pushes: what was acknowledged is there, once, and one incident stays one
ticket."""

import http.client
import random
import urllib.parse
from pathlib import Path

import pytest

from protocol import wire
from tests.e2e.harness import DISK_RULES, Collector, Sender, collector_in, disk_series, eventually, now_ms

pytestmark = pytest.mark.slow

KILLS = 4

# Reads an hour back, so that the head holds every sample of the test.
HOUR_RULE = """\
      - alert: EverFull
        expr: min_over_time(system_filesystem_utilization_ratio[1h]) > 2
"""


def push_acked(sender: Sender, frame: wire.Frame, layout: wire.Layout) -> bool:
    """Pushes one frame as an agent does, layout and all; whether it was acknowledged."""
    try:
        answer = sender.push([frame], [layout])
    except (OSError, http.client.HTTPException):
        return False
    return answer.status == 200 and answer.json["acked"] == sender.seq


def test_nothing_acknowledged_is_lost_and_no_second_ticket_opens(tmp_path: Path) -> None:
    series = disk_series()
    layout: wire.Layout = {"id": wire.layout_id([series]), "series": [series]}
    choose = random.Random(20260105)  # noqa: S311 - when to kill, not a secret
    with collector_in(tmp_path, DISK_RULES + HOUR_RULE) as collector:
        collector.add_customers()
        sender = collector.enrol("acme")
        acked: dict[int, float] = {}

        def stream(frames: int) -> None:
            for _ in range(frames):
                t = now_ms()
                value = 0.95 + (t % 1000) / 100_000
                frame: wire.Frame = {"layout": layout["id"], "t": t, "v": [value]}
                # An unanswered push is repeated, as the spool would: the same frame twice must not count twice.
                for _attempt in range(2):
                    if push_acked(sender, frame, layout):
                        acked.setdefault(t, value)

        for _ in range(KILLS):
            stream(choose.randrange(20, 60))
            collector.kill()
            collector.start()

        def ticketed() -> bool:
            stream(5)
            return bool(collector.rows("tickets", "list"))

        eventually(ticketed, "the ticket")
        for _ in range(KILLS):
            stream(choose.randrange(5, 20))
            collector.kill()
            collector.start()
        stream(5)
        tickets = collector.rows("tickets", "list", "--all")
        assert len(tickets) == 1
        stored = stored_samples(collector, sender.device_id)
    assert len(acked) > 100
    assert {t: stored[t] for t in acked} == acked


def stored_samples(collector: Collector, device_id: str) -> dict[int, float]:
    """Every sample of the device's one series, as the query API tells them; a time told twice fails."""
    query = urllib.parse.quote(f'system_filesystem_utilization_ratio{{device_id="{device_id}"}}[1h]')
    (found,) = collector.request("GET", f"/api/v1/query?query={query}").json["data"]["result"]
    told = [(round(t * 1000), float(value)) for t, value in found["values"]]
    assert len(dict(told)) == len(told)
    return dict(told)
