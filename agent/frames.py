"""Turns readings into frames: which series, in which order, what is not known as null."""

import logging
import math
from collections.abc import Iterable

from agent.probes.base import Sample
from protocol.wire import MAX_LABEL_VALUE_CHARS, MAX_SERIES_PER_LAYOUT, Frame, Layout, Series, layout_id

logger = logging.getLogger(__name__)

SeriesKey = tuple[str, tuple[tuple[str, str], ...]]


class FrameBuilder:
    """Keeps the current layout, so that it is hashed only when the set of series changes."""

    def __init__(self) -> None:
        self._keys: list[SeriesKey] = []
        self._layout: Layout = Layout(id=layout_id([]), series=[])
        self._was_cut = False

    def build(self, samples: Iterable[Sample], time_milliseconds: int) -> tuple[Layout, Frame]:
        """The layout (sorted by name and labels) and the frame. Of two samples of one series the first counts."""
        values: dict[SeriesKey, float | None] = {}
        for sample in samples:
            key = (sample.name, tuple(sorted((label, clean(text)) for label, text in sample.labels.items())))
            values.setdefault(key, to_number(sample.value))
        keys = sorted(values)
        if len(keys) > MAX_SERIES_PER_LAYOUT:
            if not self._was_cut:
                self._was_cut = True
                logger.error(
                    "too many series, the last are left out: series=%d max=%d", len(keys), MAX_SERIES_PER_LAYOUT
                )
            del keys[MAX_SERIES_PER_LAYOUT:]
        if keys != self._keys:
            series = [Series(name=name, labels=dict(labels)) for name, labels in keys]
            self._keys, self._layout = keys, Layout(id=layout_id(series), series=series)
        return self._layout, Frame(layout=self._layout["id"], t=time_milliseconds, v=[values[key] for key in keys])


def to_number(value: float | None) -> float | None:
    """As it goes on the wire: no NaN, no infinity, whole numbers without a fraction."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value == int(value) and abs(value) < 1 << 53 else value


def clean(text: str) -> str:
    """A label's value within the protocol's limit, and valid UTF-8 whatever a file system calls its folders."""
    return text.encode(errors="replace").decode()[:MAX_LABEL_VALUE_CHARS]
