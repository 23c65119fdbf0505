"""Label sets as columns of integer codes, so that one NumPy operation works on the labels of a whole fleet.

A label that is absent and a label that is empty are the same in Prometheus; both are code 0 here.
"""

import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
Indexes = NDArray[np.intp]

NAME = "__name__"
ABSENT_CODE = 0


class StringUser(Protocol):
    """Who has series whose labels stand in a `Strings`."""

    def texts(self) -> set[str]:
        """The labels of all its series. Called from any thread."""
        ...


class Strings:
    """Strings to small integer codes and back. Code 0 is the empty string; codes are never reused.

    What only series needed is forgotten when they are gone: see `sweep`. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes: dict[str, int] = {"": ABSENT_CODE}
        self._texts: dict[int, str] = {ABSENT_CODE: ""}
        self._next = ABSENT_CODE + 1
        self._of_series: set[int] = set()  # codes that may be forgotten
        self._unused: set[int] = set()  # those of them that nobody used at the last sweep
        self._users: weakref.WeakSet[StringUser] = weakref.WeakSet()
        self._scratches: weakref.WeakSet[ScratchStrings] = weakref.WeakSet()

    def __len__(self) -> int:
        return len(self._texts)

    def code(self, text: str) -> int:
        """The code of `text`, a new one if it was never seen. It is kept for good."""
        with self._lock:
            code = self._code(text)
            self._of_series.discard(code)
            self._unused.discard(code)
            return code

    def code_of_series(self, text: str) -> int:
        """The same for a label of a series: it is kept for as long as a user has it."""
        with self._lock:
            is_new = text not in self._codes
            code = self._code(text)
            if is_new:
                self._of_series.add(code)
            self._unused.discard(code)
            return code

    def find(self, text: str) -> int | None:
        """The code of `text`, None if it is not known."""
        return self._codes.get(text)

    def text(self, code: int) -> str:
        return self._texts[code]

    def scratch(self) -> "ScratchStrings":
        scratch = ScratchStrings(self)
        with self._lock:
            self._scratches.add(scratch)
        return scratch

    def lend(self, text: str, borrowed: set[int]) -> int | None:
        """What `find` says; a code that is known joins `borrowed`, which is a living scratch's."""
        with self._lock:
            code = self._codes.get(text)
            if code is not None:
                borrowed.add(code)
            return code

    def add_user(self, user: StringUser) -> None:
        with self._lock:
            self._users.add(user)

    def sweep(self) -> int:
        """Forget the labels of series that had no user at the last sweep and have none now; returns how many.

        Sweeps must lie further apart than a query takes: it may still hold labels of series that are gone."""
        with self._lock:
            users = list(self._users)
        used = set().union(*[user.texts() for user in users])
        with self._lock:
            borrowed: set[int] = set().union(*[scratch.borrowed for scratch in self._scratches])
            unused = {code for code in self._of_series - borrowed if self._texts[code] not in used}
            gone = unused & self._unused
            for code in gone:
                del self._codes[self._texts.pop(code)]
            self._of_series -= gone
            self._unused = unused - gone
            return len(gone)

    def _code(self, text: str) -> int:
        code = self._codes.get(text)
        if code is None:
            code = self._next
            self._next += 1
            self._texts[code] = text  # before the code: whoever finds a code finds its text
            self._codes[text] = code
        return code


class ScratchStrings:
    """Strings that only one query knows, on top of a `Strings`: new ones take negative codes and die with the query.

    Without it a stranger's `label_replace` could fill the collector's memory for good. What it took from the base is
    not forgotten there while it lives.
    """

    def __init__(self, base: Strings) -> None:
        self.borrowed: set[int] = set()  # codes of the base; changed under its lock
        self._base = base
        self._codes: dict[str, int] = {}
        self._texts: list[str] = []

    def code(self, text: str) -> int:
        known = self._base.find(text)
        if known is not None and known not in self.borrowed:
            known = self._base.lend(text, self.borrowed)
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

    def places_among(self, others: "LabelFrame") -> Indexes:
        """Where each label set stands among others, which are distinct; -1: nowhere."""
        names = sorted({*self.columns, *others.columns})
        known = {key: place for place, key in enumerate(others._keys(names))}
        return np.array([known.get(key, -1) for key in self._keys(names)], dtype=np.intp)

    def joined(self, others: "LabelFrame") -> Self:
        """These label sets and others behind them."""
        names = sorted({*self.columns, *others.columns})
        columns = {name: np.concatenate((self.column(name), others.column(name))) for name in names}
        return type(self)(self.length + others.length, columns)

    def _keys(self, names: list[str]) -> list[bytes]:
        """The codes of these labels, one key for each label set."""
        if not names:
            return [b""] * self.length
        data = np.stack([self.column(name) for name in names], axis=1).astype(np.int32).tobytes()
        width = 4 * len(names)
        return [data[start : start + width] for start in range(0, len(data), width)]

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
