"""What senders' layouts become here: labels and names that only the collector may give are taken out or renamed, and
what one device makes the collector remember is bounded."""

import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from collector.ingest.budget import (
    LABEL_OVERHEAD_BYTES,
    SERIES_OVERHEAD_BYTES,
    DeviceBudget,
    LayoutLimits,
    text_bytes,
)
from collector.series.catalog import Labels, Layout, Template, TemplateList
from collector.series.labels import Target
from collector.series.store import SampleStore
from protocol import models, wire

NAMED_IN_REASON = 3  # of the series that were dropped; the rest is counted

Content = tuple[tuple[str, Labels], ...]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class KnownLayout:
    """A sender's layout as it is stored: the same object for all senders with the same series."""

    sent: int  # values in a frame
    series: TemplateList
    kept: NDArray[np.intp] | None  # which of a frame's values are stored; None: all
    dropped: str | None  # why the others are not
    cost: int  # bytes of memory, roughly


@dataclass(frozen=True, slots=True)
class RefusedLayout:
    """A layout whose frames are not stored for now."""

    reason: str
    until_ms: int | None  # then it is judged again; None: when it is defined again


class LayoutBook:
    """The layouts of every sender, by the ids that it gave them. A definition counts until the next one."""

    def __init__(self, store: SampleStore, limits: LayoutLimits) -> None:
        self._store = store
        self._limits = limits
        self._senders: dict[str, _SenderLayouts] = {}
        self._by_content: weakref.WeakValueDictionary[Content, KnownLayout] = weakref.WeakValueDictionary()

    def define(self, sender: str, layouts: Sequence[models.Layout]) -> None:
        """Take in the layouts of one push. Those taken up longest ago make room for them."""
        of_sender = self._senders.setdefault(sender, _SenderLayouts())
        defined = {layout.id: self._known(layout.series) for layout in layouts}
        for wire_id, known in defined.items():
            of_sender.define(wire_id, known)
        of_sender.make_room(self._limits, defined.keys())

    def find(
        self, sender: str, target: Target, wire_id: str, now_ms: int
    ) -> tuple[KnownLayout, Layout] | RefusedLayout | None:
        """The layout that `sender` calls `wire_id`, for a device of its; None if it has not been defined."""
        layouts = self._senders.get(sender)
        if layouts is None:
            return None
        device = layouts.devices.get(target.device_id)
        if device is not None:
            bound = device.bound.get(wire_id)
            if bound is not None and (bound[1].target is target or bound[1].target == target):
                return bound
        return self._bind(layouts, target, wire_id, now_ms)

    def _bind(
        self, layouts: "_SenderLayouts", target: Target, wire_id: str, now_ms: int
    ) -> tuple[KnownLayout, Layout] | RefusedLayout | None:
        known = layouts.known.get(wire_id)
        if known is None or isinstance(known, RefusedLayout):
            return known
        layouts.known[wire_id] = layouts.known.pop(wire_id)
        device = layouts.devices.get(target.device_id)
        if device is None:
            device = layouts.devices[target.device_id] = _Device(DeviceBudget(self._limits, now_ms))
        refused = device.refused.get(wire_id)
        if refused is not None and refused.until_ms is not None and now_ms < refused.until_ms:
            return refused
        if wire_id not in device.bound:  # else it has moved to another customer or site
            fresh = device.unknown(known.series)
            length = sum(text_bytes(one.name, one.labels) for one in fresh)
            over = device.budget.spend(len(fresh), length, now_ms)
            if over is not None:
                device.refused[wire_id] = RefusedLayout(*over)
                return device.refused[wire_id]
        device.refused.pop(wire_id, None)
        bound = device.bound[wire_id] = (known, self._store.layout(target, known.series))
        if len(device.bound) > self._limits.layouts_per_device:
            del device.bound[next(iter(device.bound))]
        return bound

    def _known(self, series: Sequence[models.Series]) -> KnownLayout | RefusedLayout:
        content = tuple((one.name, tuple(sorted(one.labels.items()))) for one in series)
        known = self._by_content.get(content)
        if known is None:
            length = sum(text_bytes(name, labels) for name, labels in content)
            limit = self._limits.text_bytes_per_layout
            if length > limit:
                return RefusedLayout(
                    f"too much label text: {length} bytes in this layout; a layout may have {limit}", None
                )
            known = self._by_content[content] = _known_layout(self._store, content, self._limits)
        return known


@dataclass(slots=True)
class _Device:
    """A device of a sender's: the sender itself, or a printer that it reads."""

    budget: DeviceBudget
    bound: dict[str, tuple[KnownLayout, Layout]] = field(default_factory=dict)  # by wire id
    refused: dict[str, RefusedLayout] = field(default_factory=dict)  # by wire id, each of which the sender has defined

    def unknown(self, series: TemplateList) -> list[Template]:
        """The templates that none of the layouts in use has."""
        used = {number for known, _ in self.bound.values() for number in known.series.numbers.tolist()}
        return [template for template in series.templates if template.number not in used]


@dataclass(slots=True)
class _SenderLayouts:
    known: dict[str, KnownLayout | RefusedLayout] = field(default_factory=dict)  # by wire id, taken up last at the end
    devices: dict[str, _Device] = field(default_factory=dict)
    cost: int = 0  # of those that are known

    def define(self, wire_id: str, known: KnownLayout | RefusedLayout) -> None:
        if self.known.get(wire_id) is not known:
            self._forget(wire_id)
            self.cost += _cost(known)
        self.known.pop(wire_id, None)
        self.known[wire_id] = known

    def make_room(self, limits: LayoutLimits, needed: Collection[str]) -> None:
        """Forget layouts beyond the limits; of those that are `needed` now the frames are refused instead."""
        for wire_id in list(self.known):
            if len(self.known) <= limits.layouts_per_sender and self.cost <= limits.kept_bytes_per_sender:
                return
            if wire_id not in needed:
                self._forget(wire_id)
            elif self.cost > limits.kept_bytes_per_sender:
                self._forget(wire_id)
                self.known[wire_id] = RefusedLayout(
                    f"the layouts of this agent are too large: {limits.kept_bytes_per_sender} bytes together", None
                )

    def _forget(self, wire_id: str) -> None:
        known = self.known.pop(wire_id, None)
        if known is not None:
            self.cost -= _cost(known)
            for device in self.devices.values():
                device.bound.pop(wire_id, None)
                device.refused.pop(wire_id, None)


def _cost(known: KnownLayout | RefusedLayout) -> int:
    return known.cost if isinstance(known, KnownLayout) else 0


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


def _known_layout(store: SampleStore, content: Content, limits: LayoutLimits) -> KnownLayout:
    kept: dict[tuple[str, Labels], int] = {}
    cost = 0
    reasons: list[str] = []
    for position, (name, labels) in enumerate(content):
        length = text_bytes(name, labels)
        stored = (name, tuple(sorted(stored_labels(dict(labels)).items())))
        if wire.is_reserved_metric(name):
            reasons.append(f"{name}: only the collector makes series of this name")
        elif internal := next((label for label, _ in labels if label.startswith("__")), None):
            reasons.append(f"{name}: labels that begin with __ are internal, it has {internal}")
        elif length > limits.text_bytes_per_series:
            reasons.append(
                f"{name}: {length} bytes of name and labels; a series may have {limits.text_bytes_per_series}"
            )
        elif stored in kept:
            reasons.append(f"{name}: the layout has it twice with the same labels")
        else:
            kept[stored] = position
        cost += length + SERIES_OVERHEAD_BYTES + LABEL_OVERHEAD_BYTES * len(labels)
    series = store.series([(name, dict(labels)) for name, labels in kept])
    if not reasons:
        return KnownLayout(len(content), series, None, None, cost)
    more = f" (and {len(reasons) - NAMED_IN_REASON} more)" if len(reasons) > NAMED_IN_REASON else ""
    dropped = f"not stored of this frame: {'; '.join(reasons[:NAMED_IN_REASON])}{more}"
    return KnownLayout(len(content), series, np.fromiter(kept.values(), dtype=np.intp), dropped, cost)
