"""Which series history knows: their labels, their ids in the blocks, and when they had samples.

An id is the number of its owner (a device) times 65,536 plus a number within it, so that blocks sorted by id hold a
device's series side by side. The ids are kept in dictionaries beside the blocks.
"""

import threading
import weakref
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
from numpy.typing import NDArray

from collector.series.catalog import Catalog, Layout, Template
from collector.series.history.rows import Ids
from collector.series.labels import LabelFrame, Strings, Target
from collector.series.read import NEVER, Mask, Matcher, Milliseconds, Times
from collector.series.slots import Slots, capacity_for
from collector.series.table import SeriesTable

OWNER_SHIFT = 16
SERIES_PER_OWNER = 1 << OWNER_SHIFT
DAY_MS = 86_400_000
PRINTER = "printer"
TEXT_COLUMNS = ("name", "labels", "device_id", "customer", "site", "kind")
Column = NDArray[np.object_]
MetricCodes = NDArray[np.int32]
Dictionary = Mapping[str, Ids | Column]


def metric_code(name: str) -> int:
    """What a metric is called in the blocks: 32 bits. Two may share one, which costs time and nothing else."""
    return zlib.crc32(name.encode()) - (1 << 31)


@dataclass(slots=True, eq=False)
class _Owner:
    stream: int  # in the table
    number: int
    used: int = 0  # ids given out under this number
    rows: dict[int, int] = field(default_factory=dict)  # by the number of the template


class SeriesIndex:
    """Rows of series; safe to use from several threads."""

    def __init__(self, strings: Strings, catalog: Catalog) -> None:
        self._lock = threading.RLock()
        self._catalog = catalog
        self._table = SeriesTable(strings)
        self._owners: dict[Target, _Owner] = {}
        self._next_owner = 1
        self._by_layout: weakref.WeakKeyDictionary[Layout, Slots] = weakref.WeakKeyDictionary()
        self._ids: Ids = np.empty(0, dtype=np.int64)
        self._first: Times = np.empty(0, dtype=np.int64)
        self._last: Times = np.empty(0, dtype=np.int64)
        self._is_printer: Mask = np.empty(0, dtype=bool)
        self._metrics: MetricCodes = np.empty(0, dtype=np.int32)
        self._unsaved: list[int] = []

    def __len__(self) -> int:
        return len(self._table)

    def rows_of(self, layout: Layout) -> Slots:
        """The rows of a layout's series in frame order, new ones where needed."""
        with self._lock:
            rows = self._by_layout.get(layout)
            if rows is None:
                rows = self._by_layout[layout] = self._take_in(layout.target, layout.series.templates)
            return rows

    def ids(self, rows: Slots) -> Ids:
        with self._lock:
            return self._ids[rows]

    def are_printers(self, rows: Slots) -> Mask:
        with self._lock:
            return self._is_printer[rows]

    def metrics(self, rows: Slots) -> MetricCodes:
        """The metric of each row, as `metric_code` gives it."""
        with self._lock:
            return self._metrics[rows]

    def rows_of_ids(self, ids: Ids) -> Slots:
        """The rows that have these ids; -1 where nobody has one any more."""
        with self._lock:
            known = self._ids[: self._table.rows.used]
            order = np.argsort(known)
            places = np.searchsorted(known, ids, sorter=order)
            rows = order[np.minimum(places, len(order) - 1)] if len(order) else np.zeros(len(ids), dtype=np.intp)
            found = known[rows] == ids if len(order) else np.zeros(len(ids), dtype=bool)
            return np.where(found, rows, -1).astype(np.int32)

    def note(self, rows: Slots, first: Times, last: Times) -> None:
        """Remember from when to when these series have samples; all of shape (n,), a row may stand there twice."""
        with self._lock:
            revived = rows[(self._last[rows] < first - DAY_MS) & (self._last[rows] != NEVER)]
            self._unsaved += [row for row in np.unique(revived).tolist() if row not in self._unsaved]
            np.minimum.at(self._first, rows, first)
            np.maximum.at(self._last, rows, last)

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Slots:
        """The rows of the series that match and may have samples in (start, end], rising by id."""
        with self._lock:
            rows = self._table.matching(matchers)
            rows = rows[(self._last[rows] > start) & (self._first[rows] <= end)]
            return rows[np.argsort(self._ids[rows])]

    def labels(self, rows: Slots) -> LabelFrame:
        with self._lock:
            return self._table.labels(rows)

    # On disk

    def unsaved(self) -> Dictionary | None:
        """What no dictionary on disk holds yet; None if nothing. Ask `saved` to forget it."""
        with self._lock:
            return self._described(np.array(self._unsaved, dtype=np.int32)) if self._unsaved else None

    @property
    def unsaved_count(self) -> int:
        return len(self._unsaved)

    def saved(self, count: int) -> None:
        """The first `count` of what was unsaved are on disk now."""
        with self._lock:
            del self._unsaved[:count]

    def all(self) -> Dictionary:
        with self._lock:
            rows = np.array([row for owner in self._owners.values() for row in owner.rows.values()], dtype=np.int32)
            return self._described(rows[np.argsort(self._ids[rows])])

    def forget(self, before: Milliseconds, printers_before: Milliseconds) -> int:
        """Forget the series that have no samples left; returns how many they were."""
        with self._lock:
            used = self._table.rows.used
            limit = np.where(self._is_printer[:used], printers_before, before)
            gone = set(np.flatnonzero((self._ids[:used] != 0) & (self._last[:used] < limit)).tolist())
            gone.difference_update(self._unsaved)
            if not gone:
                return 0
            self._table.remove(np.array(sorted(gone), dtype=np.int32))
            self._ids[list(gone)] = 0
            for target, owner in list(self._owners.items()):
                owner.rows = {number: row for number, row in owner.rows.items() if row not in gone}
                if not owner.rows:
                    self._table.remove_stream(owner.stream)
                    del self._owners[target]
            self._table.drop_unused_templates()
            self._by_layout.clear()
            return len(gone)

    def load(self, dictionaries: Iterable[Dictionary], tidied: Milliseconds, newest: Milliseconds) -> None:
        """Take in what is on disk, oldest first. It was brought up to date at `tidied`: a series that had samples then
        may have had more since, at most until `newest`."""
        for columns in dictionaries:
            templates: dict[tuple[str, str], Template] = {}
            by_owner: dict[tuple[int, str, str, str, str], list[int]] = {}
            owners = (columns["series"] >> OWNER_SHIFT).tolist()
            listed = (columns[name].tolist() for name in ("device_id", "customer", "site", "kind"))
            for place, key in enumerate(zip(owners, *listed, strict=True)):
                by_owner.setdefault(key, []).append(place)
            names, labels = columns["name"].tolist(), columns["labels"].tolist()
            for (number, device_id, customer, site, kind), places in by_owner.items():
                of_owner = []
                for place in places:
                    key_of = (names[place], labels[place])
                    template = templates.get(key_of)
                    if template is None:
                        own = tuple(sorted(orjson.loads(labels[place]).items()))
                        template = templates[key_of] = self._catalog.template(names[place], own)
                    of_owner.append(template)
                some = np.array(places)
                last = columns["last"][some]
                last = np.where(last >= tidied - DAY_MS, np.maximum(last, newest), last)
                target = Target(device_id, customer, site, kind)
                self._restore(target, number, of_owner, (columns["series"][some], columns["first"][some], last))

    def _restore(
        self, target: Target, number: int, templates: Sequence[Template], columns: tuple[Ids, Times, Times]
    ) -> None:
        owner = self._owner(target)
        missing = [template for template in templates if template.number not in owner.rows]
        if missing:
            self._add(owner, target, missing)
        rows = np.array([owner.rows[template.number] for template in templates])
        self._ids[rows], self._first[rows], self._last[rows] = columns
        owner.number = max(owner.number, number)
        owner.used = int(self._ids[list(owner.rows.values())].max() & (SERIES_PER_OWNER - 1)) + 1
        self._next_owner = max(self._next_owner, number + 1)

    def _take_in(self, target: Target, templates: Sequence[Template]) -> Slots:
        owner = self._owner(target)
        missing = [template for template in templates if template.number not in owner.rows]
        if missing:
            rows = self._add(owner, target, missing)
            for row in rows.tolist():
                if owner.number == 0 or owner.used == SERIES_PER_OWNER:
                    owner.number, owner.used = self._next_owner, 0
                    self._next_owner += 1
                self._ids[row] = (owner.number << OWNER_SHIFT) | owner.used
                owner.used += 1
            self._unsaved += rows.tolist()
        return np.array([owner.rows[template.number] for template in templates], dtype=np.int32)

    def _owner(self, target: Target) -> _Owner:
        owner = self._owners.get(target)
        if owner is None:
            owner = self._owners[target] = _Owner(self._table.add_stream(target), 0)
        return owner

    def _add(self, owner: _Owner, target: Target, templates: Sequence[Template]) -> Slots:
        rows = self._table.add(owner.stream, templates)
        capacity = capacity_for(self._table.rows.used, len(self._ids))
        if capacity > len(self._ids):
            more = capacity - len(self._ids)
            self._ids = np.concatenate((self._ids, np.zeros(more, dtype=np.int64)))
            self._first = np.concatenate((self._first, np.full(more, NEVER)))
            self._last = np.concatenate((self._last, np.full(more, NEVER)))
            self._is_printer = np.concatenate((self._is_printer, np.zeros(more, dtype=bool)))
            self._metrics = np.concatenate((self._metrics, np.zeros(more, dtype=np.int32)))
        self._first[rows], self._last[rows] = -(NEVER + 1), NEVER
        self._is_printer[rows] = target.kind == PRINTER
        self._metrics[rows] = [metric_code(template.name) for template in templates]
        owner.rows.update(zip((template.number for template in templates), rows.tolist(), strict=True))
        return rows

    def _described(self, rows: Slots) -> Dictionary:
        """The rows as the columns of a dictionary on disk."""
        targets = {row: target for target, owner in self._owners.items() for row in owner.rows.values()}
        listed = rows.tolist()
        texts: dict[str, list[str]] = {name: [] for name in TEXT_COLUMNS}
        for row in listed:
            template, target = self._table.template(row), targets[row]
            texts["name"].append(template.name)
            texts["labels"].append(orjson.dumps(dict(template.labels)).decode())
            texts["device_id"].append(target.device_id)
            texts["customer"].append(target.customer)
            texts["site"].append(target.site)
            texts["kind"].append(target.kind)
        numbers: dict[str, Ids | Column] = {
            "series": self._ids[rows],
            "first": self._first[rows],
            "last": self._last[rows],
        }
        return numbers | {name: np.array(column, dtype=object) for name, column in texts.items()}
