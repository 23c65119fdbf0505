"""A customer leaves a collector that serves: its agent, a real one, is told to stop, and does."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import DEADLINE_SECONDS, Collector, agent_process, collector_in, enrol_agent, eventually


@pytest.fixture
def collector(tmp_path: Path, database_url: str) -> Iterator[Collector]:
    with collector_in(tmp_path, database_url=database_url) as made:
        made.add_customers()
        yield made


@pytest.mark.slow
def test_the_agent_of_a_customer_that_left_stops_for_good(collector: Collector, tmp_path: Path) -> None:
    state, file = tmp_path / "agent", tmp_path / "acme.zip"
    collector.run("contacts", "add", "acme", "--name", "J. Jansen", "--email", "j.jansen@acme.example")
    viewer = collector.run("tokens", "create", "--role", "viewer", "--customer", "acme").strip()
    enrol_agent(collector, "acme", state)
    with agent_process(state, "--interval", "1s") as agent:
        eventually(
            lambda: [one for one in collector.rows("devices", "list") if one["last_seen"]] or None, "the agent to push"
        )
        collector.run("customers", "end", "acme", "--export", str(file), "--yes")
        assert agent.wait(DEADLINE_SECONDS) == 0
    assert "the collector has ended this device" in (tmp_path / "agent.log").read_text()
    customers = "/api/desk/v1/customers"
    eventually(lambda: collector.request("GET", customers, secret=viewer).status == 401, "the token to be void")
    with zipfile.ZipFile(file) as archive:
        (contact,) = json.loads(archive.read("contacts.json"))
        (device,) = json.loads(archive.read("devices.json"))
    assert (contact["email"], device["customer"]) == ("j.jansen@acme.example", "acme")
    (erased,) = collector.rows("contacts", "list", "--all")
    assert (erased["name"], erased["email"]) == ("erased", None)
    (customer,) = [one for one in collector.rows("customers", "list") if one["id"] == "acme"]
    assert customer["ended_at"] is not None and customer["plan"] is None
    before = file.read_bytes()
    collector.run("customers", "end", "acme", "--export", str(file), "--yes")  # nothing to do
    assert file.read_bytes() == before
