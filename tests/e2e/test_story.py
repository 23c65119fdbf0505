"""The main job from end to end, through the public interfaces only."""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench._ports import free_port
from tests.conftest import require
from tests.e2e.harness import (
    DEADLINE_SECONDS,
    PROGRAMS,
    Collector,
    Sender,
    agent_process,
    collector_in,
    enrol_agent,
    eventually,
)

pytestmark = pytest.mark.slow


def alerts_of(collector: Collector, customer: str, state: str) -> list[dict[str, Any]]:
    return [row for row in collector.rows("alerts", "list") if row["state"] == state and row["customer"] == customer]


def presences(collector: Collector) -> list[str | None]:
    return [row["presence"] for row in collector.rows("devices", "list")]


def push_until(senders: list[Sender], ratio: float, collector: Collector, *command: str, rows: int) -> None:
    """Keeps pushing, as agents do, until a listing has so many rows that are not resolved."""

    def pushed() -> bool:
        for sender in senders:
            assert sender.push_disk(ratio).status == 200
        return sum(row["resolved_at"] is None for row in collector.rows(*command)) == rows

    eventually(pushed, f"{rows} open rows of {command}")


def test_one_incident_is_one_ticket_for_monthly_and_a_shadow_for_break_fix(tmp_path: Path, database_url: str) -> None:
    with collector_in(tmp_path, database_url=database_url) as collector:
        collector.add_customers()
        monthly, break_fix = collector.enrol("acme"), collector.enrol("bakkerij")
        both = [monthly, break_fix]

        push_until(both, 0.95, collector, "tickets", "list", rows=1)
        push_until(both, 0.95, collector, "tickets", "list", "--shadow", rows=1)
        (ticket,) = collector.rows("tickets", "list")
        assert (ticket["customer"], ticket["device"], ticket["rule"]) == ("acme", monthly.device_id, "DiskFull")
        assert ticket["status"] in ("new", "assigned")
        (shadow,) = collector.rows("tickets", "list", "--shadow")
        assert (shadow["customer"], shadow["device"]) == ("bakkerij", break_fix.device_id)
        (alert,) = alerts_of(collector, "bakkerij", "firing")
        assert (alert["outcome"], alert["ticket"]) == ("shadow", None)
        assert "break_fix" in alert["reason"]
        (alert,) = alerts_of(collector, "acme", "firing")
        assert (alert["outcome"], alert["ticket"]) == ("ticket", ticket["number"])

        push_until(both, 0.5, collector, "alerts", "list", rows=0)
        (ticket,) = collector.rows("tickets", "list", "--all")
        assert ticket["status"] == "resolved"
        assert ticket["resolved_at"] > ticket["opened_at"] >= ticket["began_at"]


def test_a_device_that_is_no_longer_seen_is_not_healthy(tmp_path: Path, database_url: str) -> None:
    with collector_in(tmp_path, database_url=database_url) as collector:
        collector.add_customers()
        sender = collector.enrol("acme")
        push_until([sender], 0.95, collector, "tickets", "list", rows=1)

        goodbye = {"id": "4c1b7b62-8a52-4d4e-b9a2-0d0a7f5a6c11", "t": int(time.time() * 1000), "type": "goodbye"}
        assert sender.push([], events=[{**goodbye, "reason": "shutdown"}]).status == 200
        eventually(lambda: alerts_of(collector, "acme", "unknown"), "the alert to become unknown")
        (ticket,) = collector.rows("tickets", "list")
        assert ticket["resolved_at"] is None
        eventually(lambda: presences(collector) == ["shut_down"], "it to be seen as shut down")

        push_until([sender], 0.5, collector, "tickets", "list", rows=0)
        (ticket,) = collector.rows("tickets", "list", "--all")
        assert ticket["status"] == "resolved"


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_real_agents_measure_this_machine(tmp_path: Path, database_url: str) -> None:
    with collector_in(tmp_path, database_url=database_url) as collector:
        collector.add_customers()
        for customer in ("acme", "bakkerij"):
            enrol_agent(collector, customer, tmp_path / customer)
        with (
            agent_process(tmp_path / "acme", "--interval", "1s"),
            agent_process(tmp_path / "bakkerij", "--interval", "1s"),
        ):
            eventually(
                lambda: presences(collector) == ["online"] * 2,
                "both devices to be online",
            )
        # Both said goodbye when they were stopped.
        eventually(lambda: "online" not in presences(collector), "both devices to be gone")
        assert len(presences(collector)) == 2


@contextmanager
def prometheus(folder: Path, target: Collector) -> Iterator[str]:
    """Debian's Prometheus, scraping the collector every second; its address."""
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        f"  - {{job_name: quarkpulse, static_configs: [{{targets: ['127.0.0.1:{target.port}']}}]}}\n"
    )
    command = [
        require("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


def ask(prometheus_url: str, query: str) -> list[dict[str, Any]]:
    """An instant query; nothing while Prometheus is not up yet."""
    url = f"{prometheus_url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as response:  # noqa: S310 - our own address
            result: list[dict[str, Any]] = json.load(response)["data"]["result"]
            return result
    except OSError:
        return []


def test_a_real_prometheus_counts_the_tickets(tmp_path: Path) -> None:
    with collector_in(tmp_path) as collector, prometheus(tmp_path, collector) as server:
        collector.add_customers()
        both = [collector.enrol("acme"), collector.enrol("bakkerij")]
        push_until(both, 0.95, collector, "tickets", "list", rows=1)
        push_until(both, 0.95, collector, "tickets", "list", "--shadow", rows=1)

        def counted() -> bool:
            opened = ask(server, 'quarkpulse_tickets_opened_total{customer="acme"}')
            return bool(opened) and opened[0]["value"][1] == "1"

        eventually(counted, "Prometheus to see the ticket")
        assert [row["value"][1] for row in ask(server, "sum(quarkpulse_tickets)")] == ["1"]
        (shadows,) = ask(server, 'quarkpulse_shadow_tickets{customer="bakkerij"}')
        assert shadows["value"][1] == "1"
        (none,) = ask(server, 'quarkpulse_tickets_opened_total{customer="bakkerij"}')
        assert none["value"][1] == "0"
        scraped = collector.request("GET", "/metrics")
        checked = subprocess.run(
            [require("promtool"), "check", "metrics"], input=scraped.body, capture_output=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_demo_tells_the_whole_story_and_ends_well() -> None:
    done = subprocess.run(
        [PROGRAMS / "quarkpulse-collector", "demo", "--exit"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "one incident, one ticket, one shadow ticket" in done.stdout
