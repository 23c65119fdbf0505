"""What frames refer to: series templates, lists of them, and layouts, each kept once however many devices share it.

Ten thousand equal PCs have one list of templates. Nothing here is ever numbered twice in one process, and what nobody
refers to any more disappears by itself.
"""

import itertools
import struct
import threading
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.series.labels import Target
from collector.series.read import ABSENT_BITS
from protocol.errors import PermanentError

Labels = tuple[tuple[str, str], ...]  # (name, value), sorted by name
Numbers = NDArray[np.int32]

ABSENT_BYTES = struct.pack("<Q", ABSENT_BITS)
VALUE_BYTES = 8
_ABSENT_FLOAT = struct.unpack("<d", ABSENT_BYTES)[0]


class DuplicateSeriesError(PermanentError):
    """A layout names one series twice."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Template:
    """A series without its device: what many devices have alike."""

    number: int
    name: str
    labels: Labels


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TemplateList:
    """Templates in the order in which frames carry their values."""

    number: int
    templates: tuple[Template, ...]
    numbers: Numbers  # of the templates, shape (n,)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Layout:
    """What the values of a frame are: which device, and which series in which order."""

    number: int
    target: Target
    stream: str  # "" is what the device's agent sends; others are what the collector itself says about the device
    series: TemplateList


class DeviceFrame(NamedTuple):
    """One instant of one device. `values` is float64, little-endian, one for each series of the layout, ABSENT where
    nothing was read; `t` and `received` are Unix milliseconds."""

    layout: Layout
    t: int
    received: int
    values: bytes


def pack_values(values: Sequence[float | None]) -> bytes:
    """The bytes of a frame's values; None becomes ABSENT."""
    try:
        return struct.pack(f"<{len(values)}d", *values)
    except struct.error:
        return struct.pack(f"<{len(values)}d", *(_ABSENT_FLOAT if value is None else value for value in values))


class Catalog:
    """Interns templates, lists and layouts. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._templates: weakref.WeakValueDictionary[tuple[str, Labels], Template] = weakref.WeakValueDictionary()
        self._lists: weakref.WeakValueDictionary[bytes, TemplateList] = weakref.WeakValueDictionary()
        self._layouts: weakref.WeakValueDictionary[tuple[Target, str, int], Layout] = weakref.WeakValueDictionary()

    def template(self, name: str, labels: Labels) -> Template:
        """The template of this name and these labels, which are sorted and have no empty values."""
        with self._lock:
            return self._template(name, labels)

    def series(self, series: Iterable[tuple[str, Labels]]) -> TemplateList:
        """The list of these series, in this order. Raises DuplicateSeriesError if one stands there twice."""
        with self._lock:
            templates = tuple(self._template(name, labels) for name, labels in series)
            numbers = np.array([template.number for template in templates], dtype=np.int32)
            key = numbers.tobytes()
            found = self._lists.get(key)
            if found is None:
                if len(set(templates)) < len(templates):
                    raise DuplicateSeriesError("a layout names a series twice; name each series once")
                numbers.flags.writeable = False
                found = TemplateList(next(self._numbers), templates, numbers)
                self._lists[key] = found
            return found

    def layout(self, target: Target, series: TemplateList, stream: str = "") -> Layout:
        with self._lock:
            key = (target, stream, series.number)
            found = self._layouts.get(key)
            if found is None:
                found = Layout(next(self._numbers), target, stream, series)
                self._layouts[key] = found
            return found

    def _template(self, name: str, labels: Labels) -> Template:
        found = self._templates.get((name, labels))
        if found is None:
            found = Template(next(self._numbers), name, labels)
            self._templates[name, labels] = found
        return found
