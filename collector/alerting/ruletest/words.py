"""How a rule test tells what it expected and what it got."""

import math
from collections.abc import Mapping, Sequence

from collector.series.labels import NAME

LabelKey = tuple[tuple[str, str], ...]  # sorted by name
AlertKey = tuple[LabelKey, LabelKey]  # labels, annotations


def key_of(labels: Mapping[str, str], *, keep_empty: bool = False) -> LabelKey:
    return tuple(sorted((name, value) for name, value in labels.items() if value or keep_empty))


def alert_lines(alert: AlertKey) -> list[str]:
    labels, annotations = alert
    return [_braced(labels), *[f"  {name}: {text}" for name, text in annotations]]


def sample_line(sample: tuple[LabelKey, float]) -> str:
    labels = dict(sample[0])
    return f"{series_text(labels)} {number_text(sample[1])}"


def series_text(labels: Mapping[str, str]) -> str:
    name = labels.get(NAME, "")
    others = tuple((key, value) for key, value in sorted(labels.items()) if key != NAME)
    return name if name and not others else f"{name}{_braced(others)}"


def _braced(labels: LabelKey) -> str:
    return "{" + ", ".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number_text(value: float) -> str:
    """A number so that two that differ look different."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value).removesuffix(".0")


def any_nan(samples: Sequence[tuple[LabelKey, float]]) -> bool:
    return any(math.isnan(value) for _, value in samples)


def shortened(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= 200 else one_line[:199] + "…"
