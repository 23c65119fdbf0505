"""What a technician sets reaches a real agent, and what the agent finds becomes a ticket."""

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.harness import Collector, agent_process, collector_in, enrol_agent, eventually

RULES = """\
groups:
  - name: checks
    interval: 1s
    rules:
      - alert: CheckCritical
        expr: check_status == 2
        labels: {severity: critical}
        annotations: {summary: "The check {{ $labels.check }} of {{ $labels.device_id }} is critical"}
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_check_that_the_collector_asks_for_and_the_machine_allows_opens_a_ticket(
    tmp_path: Path, database_url: str
) -> None:
    state, plugin, verdict = tmp_path / "agent", tmp_path / "check_it", tmp_path / "verdict"
    tell(verdict, 0)
    plugin.write_text(f'#!/bin/sh\nread code < {verdict}\necho "it is $code|used=$code%;80;90"\nexit $code\n')
    plugin.chmod(0o755)
    with collector_in(tmp_path, RULES, database_url=database_url) as collector:
        collector.add_customers()
        viewer = collector.run("tokens", "create", "--role", "viewer").strip()
        enrol_agent(collector, "acme", state)
        (state / "agent.toml").write_text(f'[checks]\nallow = ["{plugin}"]\n')
        (device,) = [one["id"] for one in collector.rows("devices", "list") if one["customer"] == "acme"]

        def values(series: str) -> list[str] | None:
            answer = collector.request("GET", f"/api/v1/query?query={quote(series)}", secret=viewer)
            return [one["value"][1] for one in answer.json["data"]["result"]] or None

        with agent_process(state, "--interval", "1s"):
            eventually(lambda: values("system_uptime_seconds"), "the agent to push")
            collector.run("agents", "set", "probe.uptime", "off", "--customer", "acme")
            set_check(collector, device, plugin)
            assert eventually(lambda: values('check_value{check="it", unit="ratio"}'), "the check") == ["0"]
            eventually(lambda: values("system_uptime_seconds") is None or None, "the probe to be off")
            assert collector.rows("tickets", "list") == []
            tell(verdict, 2)
            collector.run("agents", "unset", "check.it", "--device", device)
            eventually(lambda: values("check_status") is None or None, "the check to be gone")
            set_check(collector, device, plugin)  # anew, so that nobody waits for its interval
            (ticket,) = eventually(lambda: collector.told("tickets"), "a ticket")
    assert (ticket["rule"], ticket["device"]) == ("CheckCritical", device)


def tell(verdict: Path, code: int) -> None:
    """At once: the check may be reading it."""
    beside = verdict.with_suffix(".new")
    beside.write_text(str(code))
    beside.replace(verdict)


def set_check(collector: Collector, device: str, plugin: Path) -> None:
    collector.run("agents", "set", "check.it", str(plugin), "--device", device, "--every", "30s")
