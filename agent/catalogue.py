"""The list of metrics, made of what the probes declare, for people and for `rules check`: `python -m agent.catalogue
[--check]`."""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from agent import own
from agent.enrolment import find_probes
from agent.inspection import declared_metrics, load_probes
from agent.printers import metrics as printer_metrics
from agent.probes.base import Metric, Probe

_ROOT = Path(__file__).resolve().parent.parent
PATH = _ROOT / "docs" / "reference" / "metrics.md"
# The collector imports nothing of the agent.
RULES_PATH = _ROOT / "rules" / "metrics.json"
PROBES_PATH = _ROOT / "rules" / "probes.json"
INTRODUCTION = """\
# Metrics of the agent

Made by `python -m agent.catalogue` from what the probes declare; do not edit. Names follow OpenTelemetry's semantic
conventions as Prometheus writes them; where there is none they begin with `hw_`, `service_`, `update_`, `security_`,
`certificate_`, `backup_`, `printer_` or `agent_`. The collector adds the labels `customer`, `site`, `device_id` and
`kind`. A probe whose interval is 60 s is read for every frame; a slower reading is repeated in every frame until it is
three intervals old. What a machine does not tell is absent.
"""
PRINTERS = """\
## Printers

Of the printers that an agent reads, as series of the printer's own device. Its state is read every 300 s or as it is
configured, its tables every hour and when it says that something happened; a sleeping printer is only asked for its
state. The values of labels are the names in RFC 2790 and in the IANA printer MIB."""


def make_catalogue(probes: Iterable[Probe]) -> str:
    """Markdown: one section for each probe, then printers, the agent's own metrics last."""
    sections = [INTRODUCTION]
    for probe in sorted(probes, key=lambda one: one.name):
        where = ", in a process of its own" if getattr(probe, "isolated", False) else ""
        timing = f"Read every {probe.interval_seconds:g} s{where}, given up after {probe.timeout_seconds:g} s."
        sections.append(f"## {probe.name}\n\n{timing}\n\n{make_table(probe.metrics)}")
    sections.append(f"{PRINTERS}\n\n{make_table(printer_metrics.METRICS)}")
    sections.append(f"## The agent itself\n\nIn every frame.\n\n{make_table(own.METRICS)}")
    return "\n".join(sections)


def make_table(metrics: Iterable[Metric]) -> str:
    lines = ["| metric | type | unit | labels | meaning |", "|---|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.type} | {metric.unit} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"


def make_list(metrics: Mapping[str, Metric]) -> str:
    """JSON: by name, the type, the unit and the labels that a metric has of its own."""
    listed = {
        name: {"type": metric.type, "unit": metric.unit, "labels": sorted(metric.labels)}
        for name, metric in sorted(metrics.items())
    }
    return json.dumps(listed, indent=1) + "\n"


def make_probe_list(probes: Iterable[Probe]) -> str:
    """JSON: by name, how often a probe is read by default, and whether in a process of its own."""
    listed = {
        probe.name: {"interval_seconds": probe.interval_seconds, "isolated": getattr(probe, "isolated", False)}
        for probe in sorted(probes, key=lambda one: one.name)
    }
    return json.dumps(listed, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Exit code: 0 written or up to date, 1 `--check` found it out of date, 2 wrong usage."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m agent.catalogue [--check]\n")
        return 2
    probes = load_probes(find_probes())
    made = {
        PATH: make_catalogue(probes),
        RULES_PATH: make_list(declared_metrics(probes)),
        PROBES_PATH: make_probe_list(probes),
    }
    if not arguments:
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        sys.stderr.write(f"{path.name} is out of date; run `python -m agent.catalogue`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
