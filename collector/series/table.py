"""Which series there are: one row for each, with its labels as codes and the place where its samples stand."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from collector.series.catalog import Template
from collector.series.labels import NAME, Codes, LabelFrame, Strings, Target
from collector.series.read import Mask, Matcher, MatchOp
from collector.series.slots import SlotAllocator, Slots, capacity_for
from protocol.wire import RESERVED_LABELS

NOWHERE = -1  # the pool of a row that is free
NO_TEMPLATE = 0


class SeriesTable:
    """Rows of series. Not locked: the head does that."""

    def __init__(self, strings: Strings) -> None:
        self.strings = strings
        self.rows = SlotAllocator()
        self.changes = 0  # grows with each series that comes or goes
        self.template_of: Slots = np.empty(0, dtype=np.int32)  # places in _templates
        self.stream_of: Slots = np.empty(0, dtype=np.int32)
        self.pool_of: NDArray[np.int16] = np.empty(0, dtype=np.int16)
        self.slot_of: Slots = np.empty(0, dtype=np.int32)
        self.births: NDArray[np.uint32] = np.empty(0, dtype=np.uint32)
        self.streams = SlotAllocator()
        self._stream_labels: Codes = np.empty((0, len(RESERVED_LABELS)), dtype=np.int32)
        self._templates: list[Template | None] = [None]
        self._place_of: dict[int, int] = {}  # template number to place in _templates
        self._free_places: list[int] = []
        self._places_by_name: dict[str, set[int]] = {}
        strings.add_user(self)

    def __len__(self) -> int:
        return len(self.rows)

    def add_stream(self, target: Target) -> int:
        stream = int(self.streams.take(1)[0])
        capacity = capacity_for(self.streams.used, len(self._stream_labels))
        if capacity > len(self._stream_labels):
            self._stream_labels = _grown(self._stream_labels, capacity)
        texts = {
            "customer": target.customer,
            "site": target.site,
            "device_id": target.device_id,
            "kind": target.kind,
        }
        self._stream_labels[stream] = [self.strings.code_of_series(texts[label]) for label in RESERVED_LABELS]
        return stream

    def remove_stream(self, stream: int) -> None:
        self.streams.give(np.array([stream], dtype=np.int32))

    def add(self, stream: int, templates: Sequence[Template]) -> Slots:
        """New rows for series of a stream; where their samples stand is set by the caller."""
        rows = self.rows.take(len(templates))
        capacity = capacity_for(self.rows.used, len(self.template_of))
        if capacity > len(self.template_of):
            self.template_of = _grown(self.template_of, capacity)
            self.stream_of = _grown(self.stream_of, capacity)
            self.pool_of = _grown(self.pool_of, capacity)
            self.slot_of = _grown(self.slot_of, capacity)
            self.births = _grown(self.births, capacity)
        self.template_of[rows] = [self._place(template) for template in templates]
        self.stream_of[rows] = stream
        self.pool_of[rows] = NOWHERE
        self.births[rows] += 1
        self.changes += 1
        return rows

    def place(self, rows: Slots, pool: int, slots: Slots) -> None:
        """Say where the samples of rows stand."""
        self.pool_of[rows] = pool
        self.slot_of[rows] = slots

    def remove(self, rows: Slots) -> None:
        self.template_of[rows] = NO_TEMPLATE
        self.pool_of[rows] = NOWHERE
        self.births[rows] += 1
        self.rows.give(rows)
        self.changes += 1

    def texts(self) -> set[str]:
        """The texts of all labels that series have here. From any thread."""
        found = {self.strings.text(code) for code in np.unique(self._stream_labels).tolist()}
        for template in self._templates.copy():
            if template is not None:
                found.add(template.name)
                found.update(value for _, value in template.labels)
        return found

    def numbers(self, rows: Slots) -> list[int]:
        """The template numbers of rows."""
        return [self.template(row).number for row in rows.tolist()]

    def template(self, row: int) -> Template:
        template = self._templates[int(self.template_of[row])]
        assert template is not None, "a free row has no template"  # noqa: S101 - an invariant of this class
        return template

    def drop_unused_templates(self) -> None:
        used = np.zeros(len(self._templates), dtype=bool)
        used[self.template_of[: self.rows.used]] = True
        for place in np.flatnonzero(~used).tolist():
            template = self._templates[place]
            if template is None:
                continue
            del self._place_of[template.number]
            self._places_by_name[template.name].discard(place)
            if not self._places_by_name[template.name]:
                del self._places_by_name[template.name]
            self._templates[place] = None
            self._free_places.append(place)

    def matching(self, matchers: tuple[Matcher, ...]) -> Slots:
        """The rows of the series that match all of `matchers`, rising."""
        names = [one.value for one in matchers if one.label == NAME and one.op is MatchOp.EQUAL]
        places: Iterable[int] = (
            self._places_by_name.get(names[0], ()) if names else (p for p, t in enumerate(self._templates) if t)
        )
        own = [one for one in matchers if one.label not in RESERVED_LABELS]
        shared = [one for one in matchers if one.label in RESERVED_LABELS]
        matches = np.zeros(len(self._templates), dtype=bool)
        for place in places:
            matches[place] = self._template_matches(place, own)
        rows = np.flatnonzero(matches[self.template_of[: self.rows.used]]).astype(np.int32)
        for matcher in shared:
            if len(rows) == 0:
                break
            codes, of_row = np.unique(self._reserved_column(matcher.label, rows), return_inverse=True)
            passes: Mask = np.array([matcher.matches(self.strings.text(code)) for code in codes.tolist()])
            rows = rows[passes[of_row]]
        return rows

    def _template_matches(self, place: int, matchers: list[Matcher]) -> bool:
        template = self._templates[place]
        if template is None:
            return False
        labels = dict(template.labels)
        labels[NAME] = template.name
        return all(matcher.matches(labels.get(matcher.label, "")) for matcher in matchers)

    def _reserved_column(self, label: str, rows: Slots) -> Codes:
        """Codes of a label that the device carries; of the series' own where the device has none."""
        codes: Codes = self._stream_labels[self.stream_of[rows], RESERVED_LABELS.index(label)]
        missing = codes == 0
        if missing.any():
            own = self._template_columns(rows[missing]).get(label)
            if own is not None:
                codes[missing] = own
        return codes

    def _template_columns(self, rows: Slots) -> dict[str, Codes]:
        places, of_row = np.unique(self.template_of[rows], return_inverse=True)
        columns: dict[str, Codes] = {}
        for index, place in enumerate(places.tolist()):
            template = self._templates[place]
            if template is None:
                continue
            for name, value in ((NAME, template.name), *template.labels):
                if name not in columns:
                    columns[name] = np.zeros(len(places), dtype=np.int32)
                columns[name][index] = self.strings.code_of_series(value)
        return {name: codes[of_row] for name, codes in columns.items()}

    def labels(self, rows: Slots) -> LabelFrame:
        columns = self._template_columns(rows)
        for label in RESERVED_LABELS:
            codes = self._reserved_column(label, rows)
            if codes.any():
                columns[label] = codes
            else:
                columns.pop(label, None)
        return LabelFrame(len(rows), columns)

    def _place(self, template: Template) -> int:
        place = self._place_of.get(template.number)
        if place is None:
            if self._free_places:
                place = self._free_places.pop()
                self._templates[place] = template
            else:
                place = len(self._templates)
                self._templates.append(template)
            self._place_of[template.number] = place
            self._places_by_name.setdefault(template.name, set()).add(place)
        return place


def _grown(array: NDArray, capacity: int) -> NDArray:  # type: ignore[type-arg]
    grown = np.zeros((capacity, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
