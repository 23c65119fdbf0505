"""`kill -9` in the middle of a stream of pushes: what was acknowledged is there, once, and one incident stays one
ticket."""

import http.client
import random
import urllib.parse
from itertools import pairwise
from pathlib import Path

import pytest

from protocol import wire
from tests.e2e.harness import (
    DISK_RULES,
    Collector,
    Sender,
    agent_process,
    collector_in,
    disk_series,
    enrol_agent,
    eventually,
    now_ms,
)

pytestmark = pytest.mark.slow

KILLS = 4

DISK = "system_filesystem_utilization_ratio"
UPTIME = "system_uptime_seconds"


def reading_an_hour(metric: str) -> str:
    """A rule that never fires, but has the head hold every sample of the test."""
    return f"      - {{alert: Never, expr: 'min_over_time({metric}[1h]) < -1'}}\n"


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
    with collector_in(tmp_path, DISK_RULES + reading_an_hour(DISK)) as collector:
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
        stored = stored_samples(collector, sender.device_id, DISK)
    assert len(acked) > 100
    assert {t: stored[t] for t in acked} == acked


def spooled(state: Path) -> list[Path]:
    """What the agent has measured and not yet delivered."""
    return list((state / "spool").glob("[0-9]*"))


def stored_samples(collector: Collector, device_id: str, metric: str) -> dict[int, float]:
    """Every sample of the device's one series of this metric, as the query API tells; a time told twice fails."""
    query = urllib.parse.quote(f'{metric}{{device_id="{device_id}"}}[1h]')
    result = collector.request("GET", f"/api/v1/query?query={query}").json["data"]["result"]
    if not result:
        return {}
    (found,) = result
    told = [(round(t * 1000), float(value)) for t, value in found["values"]]
    assert len(dict(told)) == len(told)
    return dict(told)


def test_killed_agents_and_collectors_leave_no_gap_but_their_own(tmp_path: Path) -> None:
    """A real agent at one frame a second. While the collector is dead the agent spools; what it spooled before it was
    itself killed comes in after its restart."""
    with collector_in(tmp_path, DISK_RULES + reading_an_hour(UPTIME)) as collector:
        collector.add_customers()
        state = tmp_path / "agent"
        enrol_agent(collector, "acme", state)
        (device,) = collector.rows("devices", "list")

        def newest() -> int:
            return max(stored_samples(collector, device["id"], UPTIME), default=0)

        def wait_for_more() -> None:
            before = newest()
            eventually(lambda: newest() > before + 2_000, "more frames")

        for _ in range(KILLS):
            with agent_process(state, "--interval", "1s") as agent:
                wait_for_more()
                collector.kill()
                eventually(lambda: len(spooled(state)) >= 3, "the agent to spool some frames")
                agent.kill()
                agent.wait()
            collector.start()
        with agent_process(state, "--interval", "1s"):
            wait_for_more()
            eventually(lambda: not spooled(state), "the agent to catch up")
            times = sorted(stored_samples(collector, device["id"], UPTIME))
        gaps = [later - earlier for earlier, later in pairwise(times) if later - earlier > 1_900]
        # Only while the agent itself was dead is anything missing.
        assert len(gaps) <= KILLS, gaps
