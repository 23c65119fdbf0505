"""Label sets as columns of integer codes, so that one NumPy operation works on the labels of a whole fleet.

A label that is absent and a label that is empty are the same in Prometheus; both are code 0 here.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
Indexes = NDArray[np.intp]

NAME = "__name__"
ABSENT_CODE = 0


class Strings:
    """Strings to small integer codes and back. Code 0 is the empty string; codes are never reused.

    Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes: dict[str, int] = {"": ABSENT_CODE}
        self._texts: list[str] = [""]

    def __len__(self) -> int:
        return len(self._texts)

    def code(self, text: str) -> int:
        """The code of `text`, a new one if it was never seen."""
        code = self._codes.get(text)
        if code is None:
            with self._lock:
                code = self._codes.get(text)
                if code is None:
                    code = len(self._texts)
                    self._texts.append(text)  # before the code: whoever finds a code finds its text
                    self._codes[text] = code
        return code

    def find(self, text: str) -> int | None:
        """The code of `text`, None if it was never seen."""
        return self._codes.get(text)

    def text(self, code: int) -> str:
        return self._texts[code]

    def scratch(self) -> "ScratchStrings":
        return ScratchStrings(self)


class ScratchStrings:
    """Strings that only one query knows, on top of a `Strings`: new ones take negative codes and die with the query.

    Without it a stranger's `label_replace` could fill the collector's memory for good.
    """

    def __init__(self, base: Strings) -> None:
        self._base = base
        self._codes: dict[str, int] = {}
        self._texts: list[str] = []

    def code(self, text: str) -> int:
        known = self._base.find(text)
        if known is None:
            known = self._codes.get(text)
        if known is None:
            self._texts.append(text)
            known = -len(self._texts)
            self._codes[text] = known
        return known

    def find(self, text: str) -> int | None:
        known = self._base.find(text)
        return self._codes.get(text) if known is None else known

    def text(self, code: int) -> str:
        return self._texts[-code - 1] if code < 0 else self._base.text(code)


@dataclass(frozen=True, slots=True)
class LabelFrame:
    """The label sets of `length` series: for each label name a column of codes, shape (length,).

    A column that is missing means that no series has that label. Frames are never changed in place.
    """

    length: int
    columns: Mapping[str, Codes] = field(default_factory=dict)

    def column(self, name: str) -> Codes:
        found = self.columns.get(name)
        return np.zeros(self.length, dtype=np.int32) if found is None else found

    def take(self, indexes: Indexes) -> Self:
        """The label sets at `indexes`, in that order."""
        return type(self)(len(indexes), {name: column[indexes] for name, column in self.columns.items()})

    def without(self, names: Iterable[str]) -> Self:
        dropped = set(names)
        return type(self)(self.length, {name: col for name, col in self.columns.items() if name not in dropped})

    def only(self, names: Iterable[str]) -> Self:
        kept = set(names)
        return type(self)(self.length, {name: col for name, col in self.columns.items() if name in kept})

    def with_column(self, name: str, column: Codes) -> Self:
        return type(self)(self.length, {**self.columns, name: column})

    def texts(self, strings: "Strings | ScratchStrings", index: int) -> dict[str, str]:
        """One label set in words, empty labels left out."""
        return {
            name: strings.text(int(column[index]))
            for name, column in self.columns.items()
            if column[index] != ABSENT_CODE
        }

    @classmethod
    def of(cls, label_sets: Sequence[Mapping[str, str]], strings: "Strings | ScratchStrings") -> Self:
        names = sorted({name for labels in label_sets for name in labels})
        columns = {
            name: np.fromiter(
                (strings.code(labels.get(name, "")) for labels in label_sets), dtype=np.int32, count=len(label_sets)
            )
            for name in names
        }
        return cls(len(label_sets), columns)


@dataclass(frozen=True, slots=True)
class Target:
    """What a device's series carry beyond their own labels: set by the collector, never by a sender."""

    device_id: str
    customer: str
    site: str
    kind: str
