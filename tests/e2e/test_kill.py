"""`kill -9` at any moment, while pushes are under way: what was acknowledged is there, once and unchanged, and one
incident stays one ticket.

The moments are drawn from a seeded generator. Waiting for such a moment is what these tests are about, not a way to
wait for something else.
"""

import random
import threading
import urllib.parse
from pathlib import Path

import pytest

from tests.e2e.harness import DISK_RULES, Collector, agent_process, collector_in, enrol_agent, eventually
from tests.e2e.streams import streaming, witnessed

pytestmark = pytest.mark.slow

DEVICES = 4  # fewer than make a storm, which would be one ticket
KILLS = 2  # before the tickets are open, and as many after; on each database
LIVES = 2  # of the agent
INTERVAL_SECONDS = 0.2

DISK = "system_filesystem_utilization_ratio"
OWN = "agent_memory_bytes"  # in every frame, while a probe may be late with its first reading


def reading_an_hour(metric: str) -> str:
    """A rule that never fires, but has the head hold every sample of the test."""
    return f"      - {{alert: Never, expr: 'min_over_time({metric}[1h]) < -1'}}\n"


class Moments:
    """Lets a random time pass."""

    def __init__(self, seed: int) -> None:
        self._choose = random.Random(seed)  # noqa: S311 - when to kill, not a secret

    def wait(self, low_seconds: float, high_seconds: float) -> None:
        threading.Event().wait(self._choose.uniform(low_seconds, high_seconds))

    def toss(self) -> bool:
        return self._choose.random() < 0.5


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


def test_nothing_acknowledged_is_lost_and_no_second_ticket_opens(tmp_path: Path, database_url: str) -> None:
    """Devices push all the time; the collector is killed under them before and after their tickets are open."""
    moments = Moments(20260105)
    in_flight = 0
    with collector_in(tmp_path, DISK_RULES + reading_an_hour(DISK), database_url=database_url) as collector:
        collector.add_customers()
        senders = [collector.enrol("acme", hostname=f"ws-{number}") for number in range(DEVICES)]
        with streaming(collector, senders) as streams:

            def kill_and_start() -> int:
                moments.wait(0.1, 1.0)
                under_way = sum(stream.is_in_flight for stream in streams)
                collector.kill()
                collector.start()
                return under_way

            for _ in range(KILLS):
                in_flight += kill_and_start()
            eventually(lambda: len(collector.told("tickets")) == DEVICES, "a ticket for each device")
            for _ in range(KILLS):
                in_flight += kill_and_start()
            while not in_flight or not any(stream.repeated for stream in streams):
                in_flight += kill_and_start()  # not at that moment
            eventually(lambda: all(len(one.acked) > 10 * KILLS for one in streams), "more to be acknowledged")
        tickets = collector.rows("tickets", "list", "--all")
        assert sorted(ticket["device"] for ticket in tickets) == sorted(stream.device_id for stream in streams)
        for stream in streams:
            # None missing, none changed; and none besides, since the last push of each was acknowledged too.
            assert stored_samples(collector, stream.device_id, DISK) == stream.acked


def spooled_times(state: Path) -> set[int]:
    """The times of what the agent has measured and not yet had acknowledged."""
    return {int(file.name.split("-")[1].split(".")[0]) for file in (state / "spool").glob("[0-9]*.json.gz")}


def test_what_an_agent_got_acknowledged_is_stored_however_both_die(tmp_path: Path, database_url: str) -> None:
    """A real agent, five frames a second, through a witness that notes what goes by. Agent and collector are killed at
    random. In the end each frame is stored, or still in the spool: those that went out, those that were acknowledged
    and those that lay in the spool in an outage and when the agent died."""
    moments = Moments(20260106)
    with (
        collector_in(tmp_path, DISK_RULES + reading_an_hour(OWN), database_url=database_url) as collector,
        witnessed(collector) as witness,
    ):
        collector.add_customers()
        state = tmp_path / "agent"
        enrol_agent(collector, "acme", state, through=witness.url)
        (device,) = collector.rows("devices", "list")
        left_behind: set[int] = set()

        def more_acked() -> None:
            before = len(witness.acked)
            eventually(lambda: len(witness.acked) > before + 10, "more frames to be acknowledged")

        for life in range(LIVES + 1):
            with agent_process(state, "--interval", f"{INTERVAL_SECONDS}s") as agent:
                more_acked()
                if life < LIVES:
                    moments.wait(0.0, 0.5)
                    collector.kill()
                    before = len(spooled_times(state))
                    eventually(lambda: len(spooled_times(state)) > before + 2, "the agent to spool")  # noqa: B023
                    left_behind |= spooled_times(state)
                    if moments.toss():  # else the agent dies while the collector is dead
                        collector.start()
                    moments.wait(0.0, 0.5)
                else:
                    eventually(lambda: len(spooled_times(state)) <= 2, "the agent to catch up")
                agent.kill()
                agent.wait()
            left_behind |= spooled_times(state)
            if collector.process is None:
                collector.start()
        still_spooled = spooled_times(state)
        stored = set(stored_samples(collector, device["id"], OWN))
    assert len(witness.acked) > 10 * LIVES
    assert witness.acked - stored == set()
    assert (witness.pushed | left_behind) - stored - still_spooled == set()
    assert stored - witness.pushed == set()
