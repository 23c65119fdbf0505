"""Broken rule files: `serve` does not start with them, and what runs already keeps the ones it has."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import PROGRAMS, collector_in, eventually

pytestmark = pytest.mark.slow

BROKEN_RULES = """\
groups:
  - name: broken
    rules:
      - alert: Broken
        expr: rate(up)
"""


def test_serve_refuses_to_start_with_broken_rules_and_says_where(tmp_path: Path) -> None:
    with collector_in(tmp_path, BROKEN_RULES, start=False) as collector:
        done = subprocess.run(
            [
                PROGRAMS / "quarkpulse-collector", "serve",
                "--data", collector.data, "--listen", "127.0.0.1:0", "--rules", collector.rules,
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert "e2e.yaml:5" in done.stderr
        checked = subprocess.run(
            [PROGRAMS / "quarkpulse-collector", "rules", "check", collector.rules / "e2e.yaml"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert checked.returncode == 1
        assert "e2e.yaml:5" in checked.stdout


def test_a_reload_of_broken_rules_keeps_the_old_ones(tmp_path: Path) -> None:
    with collector_in(tmp_path) as collector:
        collector.add_customers()
        sender = collector.enrol("acme")
        (collector.rules / "e2e.yaml").write_text(BROKEN_RULES)
        assert collector.process is not None
        os.kill(collector.process.pid, signal.SIGHUP)
        eventually(lambda: "e2e.yaml:5" in collector.log, "the log to name the broken line")

        def fired() -> bool:
            assert sender.push_disk(0.95).status == 200
            return bool(collector.rows("tickets", "list"))

        eventually(fired, "the old rule to fire")
