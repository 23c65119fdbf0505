"""The list of metrics for people, made of what the probes declare: `python -m agent.catalogue [--check]`."""

import sys
from collections.abc import Iterable
from pathlib import Path

from agent import own
from agent.enrolment import find_probes
from agent.inspection import load_probes
from agent.probes.base import Metric, Probe

PATH = Path(__file__).resolve().parent.parent / "docs" / "reference" / "metrics.md"
INTRODUCTION = """\
# Metrics of the agent

Made by `python -m agent.catalogue` from what the probes declare; do not edit. Names follow OpenTelemetry's semantic
conventions as Prometheus writes them; where there is none they begin with `hw_` or `agent_`. The collector adds the
labels `customer`, `site`, `device_id` and `kind`. A probe whose interval is 60 s is read for every frame; a slower
reading is repeated in every frame until it is three intervals old.
"""


def make_catalogue(probes: Iterable[Probe]) -> str:
    """Markdown: one section for each probe, the agent's own metrics last."""
    sections = [INTRODUCTION]
    for probe in sorted(probes, key=lambda one: one.name):
        timing = f"Read every {probe.interval_seconds:g} s, given up after {probe.timeout_seconds:g} s."
        sections.append(f"## {probe.name}\n\n{timing}\n\n{make_table(probe.metrics)}")
    sections.append(f"## The agent itself\n\nIn every frame.\n\n{make_table(own.METRICS)}")
    return "\n".join(sections)


def make_table(metrics: Iterable[Metric]) -> str:
    lines = ["| metric | type | unit | labels | meaning |", "|---|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.type} | {metric.unit} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Exit code: 0 written or up to date, 1 `--check` found it out of date, 2 wrong usage."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m agent.catalogue [--check]\n")
        return 2
    catalogue = make_catalogue(load_probes(find_probes()))
    if not arguments:
        PATH.write_text(catalogue, encoding="utf-8")
        return 0
    if PATH.exists() and PATH.read_text(encoding="utf-8") == catalogue:
        return 0
    sys.stderr.write(f"{PATH.name} is out of date; run `python -m agent.catalogue`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
