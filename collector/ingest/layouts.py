"""What senders' layouts become here: labels and names that only the collector may give are taken out or renamed."""

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from collector.series.catalog import Labels, Layout, TemplateList
from collector.series.labels import Target
from collector.series.store import SampleStore
from protocol import wire
from protocol.models import Series

MAX_LAYOUTS_PER_SENDER = 2 * wire.MAX_LAYOUTS_PER_PUSH
NAMED_IN_REASON = 3  # of the series that were dropped; the rest is counted


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class KnownLayout:
    """A sender's layout as it is stored: the same object for all senders with the same series."""

    sent: int  # values in a frame
    series: TemplateList
    kept: NDArray[np.intp] | None  # which of a frame's values are stored; None: all
    dropped: str | None  # why the others are not


class LayoutBook:
    """The layouts of every sender, by the ids that it gave them. A definition counts until the next one."""

    def __init__(self, store: SampleStore) -> None:
        self._store = store
        self._senders: dict[str, _SenderLayouts] = {}
        self._by_content: weakref.WeakValueDictionary[tuple[tuple[str, Labels], ...], KnownLayout] = (
            weakref.WeakValueDictionary()
        )

    def define(self, sender: str, wire_id: str, series: Sequence[Series]) -> None:
        content = tuple((one.name, tuple(sorted(one.labels.items()))) for one in series)
        known = self._by_content.get(content)
        if known is None:
            known = self._by_content[content] = _known_layout(self._store, content)
        self._senders.setdefault(sender, _SenderLayouts()).define(wire_id, known)

    def find(self, sender: str, target: Target, wire_id: str) -> tuple[KnownLayout, Layout] | None:
        """The layout that `sender` calls `wire_id`, for a device of its; None if it has not been defined."""
        layouts = self._senders.get(sender)
        if layouts is None:
            return None
        bound = layouts.bound.get((target.device_id, wire_id))
        if bound is not None and (bound[1].target is target or bound[1].target == target):
            return bound
        known = layouts.known.get(wire_id)
        if known is None:
            return None
        bound = (known, self._store.layout(target, known.series))
        layouts.bound[target.device_id, wire_id] = bound
        return bound


@dataclass(slots=True)
class _SenderLayouts:
    known: dict[str, KnownLayout] = field(default_factory=dict)  # by wire id, oldest definition first
    bound: dict[tuple[str, str], tuple[KnownLayout, Layout]] = field(default_factory=dict)  # by device and wire id

    def define(self, wire_id: str, known: KnownLayout) -> None:
        if self.known.pop(wire_id, None) is not known:
            self._unbind(wire_id)
        self.known[wire_id] = known
        if len(self.known) > MAX_LAYOUTS_PER_SENDER:
            oldest = next(iter(self.known))
            del self.known[oldest]
            self._unbind(oldest)

    def _unbind(self, wire_id: str) -> None:
        for key in [key for key in self.bound if key[1] == wire_id]:
            del self.bound[key]


def stored_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """A sender's labels as they are stored: reserved ones become `exported_…`, empty ones are none.

    Where the sender has `exported_…` as well, the prefix is put on once more, as Prometheus does."""
    stored = {label: value for label, value in labels.items() if label not in wire.RESERVED_LABELS}
    for label in wire.RESERVED_LABELS:
        if label in labels:
            renamed = wire.EXPORTED_PREFIX + label
            while renamed in stored:
                renamed = wire.EXPORTED_PREFIX + renamed
            stored[renamed] = labels[label]
    return {label: value for label, value in stored.items() if value}


def _known_layout(store: SampleStore, content: Sequence[tuple[str, Labels]]) -> KnownLayout:
    kept: dict[tuple[str, Labels], int] = {}
    reasons: list[str] = []
    for position, (name, labels) in enumerate(content):
        stored = (name, tuple(sorted(stored_labels(dict(labels)).items())))
        if wire.is_reserved_metric(name):
            reasons.append(f"{name}: only the collector makes series of this name")
        elif internal := next((label for label, _ in labels if label.startswith("__")), None):
            reasons.append(f"{name}: labels that begin with __ are internal, it has {internal}")
        elif stored in kept:
            reasons.append(f"{name}: the layout has it twice with the same labels")
        else:
            kept[stored] = position
    series = store.series([(name, dict(labels)) for name, labels in kept])
    if not reasons:
        return KnownLayout(len(content), series, None, None)
    more = f" (and {len(reasons) - NAMED_IN_REASON} more)" if len(reasons) > NAMED_IN_REASON else ""
    dropped = f"not stored of this frame: {'; '.join(reasons[:NAMED_IN_REASON])}{more}"
    return KnownLayout(len(content), series, np.fromiter(kept.values(), dtype=np.intp), dropped)
