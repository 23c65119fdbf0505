"""A backup as docs/operations/storage.md tells it is enough: a collector that starts from it knows all."""

import asyncio
import shutil
import subprocess
import urllib.parse
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import require
from tests.db.fixtures import Cluster
from tests.e2e.harness import Collector, collector_in, eventually, now_ms

pytestmark = pytest.mark.slow


def restored_url(database_url: str, file: Path, cluster: Cluster) -> str:
    """Of a new database with what pg_dump wrote of that one."""
    url = asyncio.run(cluster.make())
    subprocess.run([require("pg_dump"), "--format=custom", f"--file={file}", database_url], check=True, timeout=60)
    subprocess.run([require("pg_restore"), "--exit-on-error", f"--dbname={url}", file], check=True, timeout=60)
    return url


def known(collector: Collector) -> list[object]:
    listed = (("customers", "list"), ("devices", "list"), ("tickets", "show", "1001"), ("audit", "list"))
    return [collector.rows(*command) for command in listed]


def value_at(collector: Collector, t: int) -> list[str]:
    query = urllib.parse.urlencode({"query": "system_filesystem_utilization_ratio", "time": t / 1000})
    result = collector.request("GET", f"/api/v1/query?{query}").json["data"]["result"]
    return [series["value"][1] for series in result]


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_what_was_backed_up_goes_on_elsewhere(tmp_path: Path, request: pytest.FixtureRequest, backend: str) -> None:
    for name in ("lost", "found"):
        (tmp_path / name).mkdir()
    cluster: Cluster | None = request.getfixturevalue("postgresql") if backend == "postgresql" else None
    url = None if cluster is None else asyncio.run(cluster.make("template"))
    with collector_in(tmp_path / "lost", database_url=url) as lost:
        lost.add_customers()
        sender = lost.enrol("acme")

        def opened() -> bool:
            assert sender.push_disk(0.95).status == 200
            return bool(lost.told("tickets"))

        eventually(opened, "a ticket")
        t = now_ms()
        lost.stop()
        before = known(lost)
    with collector_in(tmp_path / "found", start=False) as found:
        shutil.copytree(lost.data, found.data)
        if cluster is not None and url is not None:
            (found.data / "config.toml").unlink()
            found.configure(f'database_url = "{restored_url(url, tmp_path / "dump", cluster)}"\n')
        assert known(found) == before
        found.start()
        assert value_at(found, t) == ["0.95"]
        assert replace(sender, collector=found).push_disk(0.95).json["acked"] == sender.seq + 1
        assert [one["number"] for one in found.rows("tickets", "list", "--all")] == [1001]
