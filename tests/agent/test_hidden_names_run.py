"""What an agent that runs tells of its users, before and after the customer allows names."""

from pathlib import Path

from agent.state import ProbeEntry, StateFolder
from tests.agent.collector import Collector
from tests.agent.conftest import StartAgent


def told_places(collector: Collector) -> set[str]:
    """In the newest frame."""
    if not collector.frames:
        return set()
    series = collector.layouts[collector.newest.layout].series
    return {one.labels["mountpoint"] for one in series if "mountpoint" in one.labels}


def test_names_are_told_once_they_are_allowed(
    collector: Collector, state: Path, start_agent: StartAgent, tmp_path: Path
) -> None:
    (tmp_path / "quota.prom").write_text(
        'quota_bytes{mountpoint="/home/jan"} 1\nquota_bytes{mountpoint="/home/piet"} 2\n'
    )
    (state / "agent.toml").write_text(f'[exporters.quota]\nfiles = "{tmp_path}/*.prom"\nmetrics = ["*"]\n')
    StateFolder(state).save_probes({"exporters": ProbeEntry("agent.probes.exporters:ExporterProbe")})
    start_agent(state)
    collector.wait_for(lambda it: told_places(it) == {"/home/*", "/home/*2"})
    collector.config["privacy"]["user_names"] = True
    collector.config_etag = "allowed"
    collector.wait_for(lambda it: told_places(it) == {"/home/jan", "/home/piet"})
