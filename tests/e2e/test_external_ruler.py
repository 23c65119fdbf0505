"""A real Prometheus evaluates the rules: it scrapes the collector, and posts its alerts to it. And amtool asks."""

import json
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from bench._prometheus import running_prometheus
from tests.conftest import require
from tests.e2e.harness import Collector, Sender, collector_in, eventually

pytestmark = pytest.mark.slow

RULES = """\
groups:
  - name: disks
    interval: 1s
    rules:
      - alert: DiskFull
        expr: |-
          system_filesystem_utilization_ratio{system_filesystem_state="used"}
            > on (device_id) group_left () quarkpulse_threshold{name="filesystem_full"}
        for: 2s
        labels: {severity: major, category: disk}
        annotations:
          summary: "{{ $labels.system_filesystem_mountpoint }} is {{ $value | humanizePercentage }} full"
  - name: collector
    interval: 1s
    rules:
      - alert: Watchdog
        expr: vector(1)
        labels: {ticket: never}
"""
CONFIGURED = """\
global: {{evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: quarkpulse
    metrics_path: /metrics/devices
    scrape_interval: 1s
    honor_labels: true
    authorization: {{credentials: "{viewer}"}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
    metric_relabel_configs: [{{action: labeldrop, regex: "job|instance"}}]
alerting:
  alertmanagers:
    - authorization: {{credentials: "{ruler}"}}
      static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@pytest.fixture
def collector(tmp_path: Path, database_url: str) -> Iterator[Collector]:
    with collector_in(tmp_path, RULES, start=False, database_url=database_url) as made:
        made.configure('[rules]\nengine = "external"\n')
        made.start()
        made.add_customers()
        yield made


def token(collector: Collector, role: str) -> str:
    return collector.run("tokens", "create", "--role", role).strip()


def pushing(sender: Sender, ratio: float, ask: Callable[[], Any]) -> Callable[[], Any]:
    def pushed() -> Any:
        assert sender.push_disk(ratio).status == 200
        return ask()

    return pushed


def test_a_full_disk_becomes_a_ticket_by_way_of_prometheus(collector: Collector, tmp_path: Path) -> None:
    program = require("prometheus")
    sender = collector.enrol("acme")
    configured = CONFIGURED.format(
        rules=collector.rules / "e2e.yaml",
        port=collector.port,
        viewer=token(collector, "viewer"),
        ruler=token(collector, "ruler"),
    )
    folder = tmp_path / "prometheus"
    folder.mkdir()
    options = ["--rules.alert.resend-delay=2s"]
    with running_prometheus(program, folder, configured=configured, options=options) as prometheus:
        (ticket,) = eventually(pushing(sender, 0.95, lambda: collector.rows("tickets", "list")), "a ticket")
        assert (ticket["customer"], ticket["device"], ticket["rule"]) == ("acme", sender.device_id, "DiskFull")
        (alert,) = [one for one in collector.rows("alerts", "list") if one["rule"] == "DiskFull"]
        assert alert["labels"].keys() == {
            "alertname", "category", "customer", "device_id", "kind", "severity", "site",
            "system_device", "system_filesystem_mountpoint", "system_filesystem_state",
        }  # fmt: skip
        told = collector.run("alerts", "why", str(alert["id"]))
        assert "threshold filesystem_full is 0.9 (default)" in told
        assert [one["labels"]["alertname"] for one in prometheus.ask("alerts")["alerts"]].count("DiskFull") == 1

        def resolved() -> bool:
            return bool(collector.rows("tickets", "list")[0]["resolved_at"])

        eventually(pushing(sender, 0.5, resolved), "the ticket to be resolved")
        collector.kill()
        collector.start()
        eventually(
            pushing(sender, 0.95, lambda: not resolved()), "the ticket to reopen after a restart of the collector"
        )
        assert len(collector.rows("tickets", "list")) == 1


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)  # it is not about state
def test_what_the_collector_tells_of_itself_is_evaluated_all_the_same(collector: Collector) -> None:
    sender = collector.enrol("acme")
    (watchdog,) = eventually(pushing(sender, 0.95, lambda: collector.rows("alerts", "list")), "the watchdog")
    assert watchdog["rule"] == "Watchdog"


def is_known(collector: Collector, file: Path) -> bool:
    """`serve` notices a new token within a second."""
    secret = file.read_text().partition("credentials: ")[2].rstrip("}\n")
    answer = requests.get(f"{collector.url}/api/v2/status", headers={"Authorization": f"Bearer {secret}"}, timeout=60)
    return answer.status_code != 401


def test_amtool_shows_alerts_and_silences_them(collector: Collector, tmp_path: Path) -> None:
    program = require("amtool")
    sender = collector.enrol("acme")
    files = {}
    for role in ("ruler", "technician"):
        files[role] = tmp_path / f"{role}.yml"
        files[role].write_text(f"authorization: {{credentials: {token(collector, role)}}}\n")

    def amtool(*arguments: str, role: str = "technician") -> str:
        config = [f"--alertmanager.url={collector.url}", f"--http.config.file={files[role]}"]
        done = subprocess.run([program, *config, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = (f"device_id={sender.device_id}", "customer=acme", "site=hq")
    why = ("--comment=known", "--author=anna", "--duration=1h")
    for role, file in files.items():
        eventually(partial(is_known, collector, file), f"the token of the {role}")
    silence = amtool("silence", "add", "alertname=DiskFull", *why).strip()
    amtool("alert", "add", "DiskFull", *place, "severity=major", "--annotation=summary=full", role="ruler")
    amtool("alert", "add", "Hot", *place, role="ruler")
    eventually(lambda: len(collector.rows("tickets", "list")) == 1, "the ticket that nothing holds back")
    assert [one["rule"] for one in collector.rows("tickets", "list")] == ["Hot"]
    found = json.loads(amtool("alert", "query", "--output=json", "alertname=Hot"))
    assert [(one["labels"]["device_id"], one["status"]["state"]) for one in found] == [(sender.device_id, "active")]
    (held,) = json.loads(amtool("alert", "query", "--output=json", "--silenced"))
    assert held["status"]["silencedBy"] == [silence]
    assert silence in amtool("silence", "query", "alertname=DiskFull")
    amtool("silence", "expire", silence)
    assert silence not in amtool("silence", "query")
    assert "Quarkpulse" in amtool("config", "show")
