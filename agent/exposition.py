"""Readings for people and programs: a table, JSON, Prometheus's text format."""

import json
from collections.abc import Iterable, Mapping, Sequence

from agent.probes.base import Metric, Sample


def to_table(samples: Sequence[Sample], metrics: Mapping[str, Metric]) -> str:
    """One line a series: name, labels, value, unit; columns aligned. What exporters tell has no unit."""
    rows = [
        (
            sample.name,
            format_labels(sample.labels),
            format_value(sample.value),
            metrics[sample.name].unit if sample.name in metrics else "",
        )
        for sample in samples
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {labels:<{widths[1]}}  {value:>{widths[2]}}  {unit}".rstrip()
        for name, labels, value, unit in rows
    )


def to_json(samples: Iterable[Sample]) -> str:
    """An array of `{name, labels, value}`."""
    return json.dumps([sample._asdict() for sample in samples], ensure_ascii=False, indent=1)


def to_prometheus(samples: Iterable[Sample], metrics: Mapping[str, Metric]) -> str:
    """Text format 0.0.4, as `promtool check metrics` accepts it; what is not known is left out. What no probe declares
    is an exporter's, and untyped."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.value is not None:
            by_name.setdefault(sample.name, []).append(sample)
    lines = []
    for name, found in sorted(by_name.items()):
        metric = metrics.get(name)
        # OpenTelemetry's names may end in `_count`, which Prometheus keeps for histograms; untyped it is let pass.
        kind = "untyped" if metric is None or name.endswith("_count") else metric.type.value
        help_text = "As an exporter tells it" if metric is None else metric.help
        lines += [f"# HELP {name} {escape(help_text)}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{format_labels(sample.labels)} {format_value(sample.value)}" for sample in found]
    return "\n".join(lines)


def format_labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ", ".join(f'{name}="{escape(text, quote=True)}"' for name, text in sorted(labels.items())) + "}"


def format_value(value: float | None) -> str:
    return "-" if value is None else repr(value)


def escape(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quote else text
