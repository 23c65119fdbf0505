"""Which thresholds are series, and the value of each at any time: what people set, layer over layer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np

from collector.alerting.definitions import LAYERS, LAYERS_OF, Definition, Per
from collector.alerting.tenancy import THRESHOLD_METRIC
from collector.alerting.wall_clock import covered, stretch
from collector.clock import to_milliseconds
from collector.contracts import WeekHours
from collector.fleet.contracts import Contract
from collector.fleet.layers import Layer
from collector.fleet.thresholds import Threshold
from collector.series.labels import NAME, Indexes, LabelFrame, Strings
from collector.series.read import Matcher, Milliseconds, Selection, Times, Values

MAX_CACHED_SELECTIONS = 1_000
MAX_CACHED_SPANS = 16  # a pass reads one instant; a backtest walks from change to change
FIRST, LAST = int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True)
class ThresholdDevice:
    """What decides which thresholds a device has, beside its customer's plan."""

    device_id: str
    customer: str
    site: str
    kind: str
    time_zone: str  # of its site

    def subject(self, layer: Layer) -> str:
        """Its subject in a layer other than the plan's, as `thresholds set` stores it."""
        match layer:
            case Layer.CUSTOMER:
                return self.customer
            case Layer.SITE:
                return f"{self.customer}/{self.site}"
            case Layer.DEVICE:
                return self.device_id
            case Layer.PLAN:
                raise ValueError("a device's plan depends on the time")


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The series of one threshold: `owners` has a device of each site or customer, or each device."""

    definition: Definition
    owners: tuple[ThresholdDevice, ...]
    members: Mapping[Layer, Mapping[str, Indexes]]  # which owners a subject covers
    first: int  # the place of its first series in the population


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Which series there are; it changes with the fleet and the rules, not with what people set."""

    definitions: tuple[Definition, ...]
    devices: tuple[ThresholdDevice, ...]
    by_id: Mapping[str, ThresholdDevice]
    blocks: tuple[Block, ...]
    defaults: Values
    labels: LabelFrame
    selections: dict[tuple[Matcher, ...], Selection] = field(default_factory=dict)

    @classmethod
    def of(
        cls, definitions: Sequence[Definition], devices: Sequence[ThresholdDevice], strings: Strings
    ) -> "Population":
        owners = {per: _owners(per, devices) for per in Per}
        members = {per: {layer: _members(layer, owners[per]) for layer in layers} for per, layers in LAYERS_OF.items()}
        blocks: list[Block] = []
        first = 0
        for one in definitions:
            blocks.append(Block(one, owners[one.per], members[one.per], first))
            first += len(owners[one.per])
        defaults = [block.definition.default_for(owner.kind) for block in blocks for owner in block.owners]
        label_sets = [
            {NAME: THRESHOLD_METRIC, "name": block.definition.name, **_identity(block.definition.per, owner)}
            for block in blocks
            for owner in block.owners
        ]
        by_id = {device.device_id: device for device in devices}
        labels = LabelFrame.of(label_sets, strings)
        values = np.array(defaults, dtype=np.float64)
        return cls(tuple(definitions), tuple(devices), by_id, tuple(blocks), values, labels)

    def select(self, matchers: tuple[Matcher, ...], strings: Strings) -> Selection:
        known = self.selections.get(matchers)
        if known is None:
            indexes = self._matching(matchers, strings)
            known = Selection(self.labels.take(indexes), Picked(self, indexes))
            # Whoever loses a race puts the same series; only the object differs, once.
            known = self.selections.setdefault(matchers, known)
            if len(self.selections) > MAX_CACHED_SELECTIONS:
                self.selections.clear()
        return known

    def _matching(self, matchers: tuple[Matcher, ...], strings: Strings) -> Indexes:
        holds = np.ones(self.labels.length, dtype=np.bool_)
        for matcher in matchers:
            codes, places = np.unique(self.labels.column(matcher.label), return_inverse=True)
            wanted = np.array([matcher.matches(strings.text(int(code))) for code in codes], dtype=np.bool_)
            if len(codes):
                holds &= wanted[places]
        return np.flatnonzero(holds)


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """The handle of a selection."""

    population: Population
    indexes: Indexes


@dataclass(frozen=True, slots=True, eq=False)
class _Setting:
    """A value of some series, from when to when (that not included); with `hours`, only while their clock shows them.

    Of the same hours of a subject there is one at a time, so that all settings of a layer together change each value
    at most once with hours and once without."""

    places: Indexes
    value: float
    since: Milliseconds
    until: Milliseconds
    hours: WeekHours | None
    zone: str


@dataclass(frozen=True, slots=True, eq=False)
class _Span:
    since: Milliseconds
    until: Milliseconds
    values: Values


class Valuation:
    """The value of each series of a population at any time; those of an instant are remembered until what changes
    them next."""

    def __init__(
        self, population: Population, overrides: tuple[Threshold, ...], plans: Mapping[str, Sequence[Contract]]
    ) -> None:
        """`plans` has the contracts of each customer."""
        self.population = population
        self.overrides = overrides
        self.plans = plans
        self._spans: tuple[_Span, ...] = ()

    def values_at(self, at: Milliseconds) -> Values:
        span = next((known for known in self._spans if known.since <= at < known.until), None)
        if span is None:
            span = self._span_at(at)
            self._spans = (span, *self._spans[: MAX_CACHED_SPANS - 1])  # swapped whole: other threads may read
        return span.values

    def values_over(self, indexes: Indexes, times: Times) -> Values:
        """The values of some series at some times, rising: shape (series, times). The work grows with the cells and
        the number of settings, not with how often hours begin and end."""
        values = np.repeat(self.population.defaults[indexes][:, np.newaxis], len(times), axis=1)
        if values.size == 0:
            return values
        row_of = np.full(len(self.population.defaults), -1, dtype=np.intp)
        row_of[indexes] = np.arange(len(indexes))
        within: dict[tuple[WeekHours, str], Indexes] = {}
        for setting in self._settings:
            first, last = np.searchsorted(times, (setting.since, setting.until))
            rows = row_of[setting.places]
            rows = rows[rows >= 0]
            if first == last or len(rows) == 0:
                continue
            if setting.hours is None:
                values[rows, first:last] = setting.value
                continue
            key = setting.hours, setting.zone
            if key not in within:
                within[key] = np.flatnonzero(covered(setting.hours, setting.zone, times))
            columns = within[key]
            columns = columns[np.searchsorted(columns, first) : np.searchsorted(columns, last)]
            values[rows[:, np.newaxis], columns] = setting.value
        return values

    def in_force(self, name: str, at: Milliseconds) -> list[Threshold]:
        """What is set for a threshold at `at`, whatever the hours, the one that wins last."""
        return [
            row
            for row in self._by_name.get(name, [])
            if to_milliseconds(row.valid_from) <= at and (row.valid_to is None or at < to_milliseconds(row.valid_to))
        ]

    @cached_property
    def _by_name(self) -> Mapping[str, Sequence[Threshold]]:
        """By the threshold's name, the rows in the order in which they win: with hours over without, later over
        earlier."""
        rows: dict[str, list[Threshold]] = {}
        for row in sorted(
            self.overrides, key=lambda row: (LAYERS.index(row.layer), row.hours is not None, row.valid_from)
        ):
            rows.setdefault(row.name, []).append(row)
        return rows

    @cached_property
    def _settings(self) -> Sequence[_Setting]:
        """The one that wins later."""
        return [
            setting
            for block in self.population.blocks
            for row in self._by_name.get(block.definition.name, [])
            if row.layer in LAYERS_OF[block.definition.per]
            for setting in self._settings_of(block, row)
        ]

    def _settings_of(self, block: Block, row: Threshold) -> Iterator[_Setting]:
        since, until = _milliseconds(row.valid_from, FIRST), _milliseconds(row.valid_to, LAST)
        if row.layer is not Layer.PLAN:
            covers = [(row.subject, since, until)]
        else:
            covers = [
                (customer, max(since, _milliseconds(contract.valid_from, FIRST)), min(until, held_until))
                for customer, contracts in self.plans.items()
                for contract in contracts
                if contract.plan == row.subject
                for held_until in [_milliseconds(contract.valid_to, LAST)]
            ]
        members = block.members[Layer.CUSTOMER if row.layer is Layer.PLAN else row.layer]
        for subject, begins, ends in covers:
            owners = members.get(subject)
            if owners is None or begins >= ends:
                continue
            if row.hours is None:
                yield _Setting(owners + block.first, row.value, begins, ends, None, "")
                continue
            zones = np.array([block.owners[owner].time_zone for owner in owners])
            for zone in np.unique(zones):
                places = owners[zones == zone] + block.first
                yield _Setting(places, row.value, begins, ends, row.hours, str(zone))

    def _span_at(self, at: Milliseconds) -> _Span:
        since, until = FIRST, LAST
        values = self.population.defaults.copy()
        stretches: dict[tuple[WeekHours, str], tuple[bool, Milliseconds, Milliseconds]] = {}
        for setting in self._settings:
            if at < setting.since:
                until = min(until, setting.since)
                continue
            if setting.until <= at:
                since = max(since, setting.until)
                continue
            since, until = max(since, setting.since), min(until, setting.until)
            if setting.hours is not None:
                key = setting.hours, setting.zone
                if key not in stretches:
                    stretches[key] = stretch(setting.hours, setting.zone, at)
                holds, begins, ends = stretches[key]
                since, until = max(since, begins), min(until, ends)
                if not holds:
                    continue
            values[setting.places] = setting.value
        return _Span(since, until, values)


def _milliseconds(at: datetime | None, otherwise: Milliseconds) -> Milliseconds:
    return otherwise if at is None else to_milliseconds(at)


def _owners(per: Per, devices: Sequence[ThresholdDevice]) -> tuple[ThresholdDevice, ...]:
    first: dict[tuple[str, ...], ThresholdDevice] = {}
    for device in devices:
        first.setdefault(tuple(_identity(per, device).values()), device)
    return tuple(first.values())


def _identity(per: Per, device: ThresholdDevice) -> dict[str, str]:
    match per:
        case Per.DEVICE:
            return {"device_id": device.device_id}
        case Per.SITE:
            return {"customer": device.customer, "site": device.site}
        case Per.CUSTOMER:
            return {"customer": device.customer}


def _members(layer: Layer, owners: Sequence[ThresholdDevice]) -> Mapping[str, Indexes]:
    members: dict[str, list[int]] = {}
    if layer is not Layer.PLAN:  # changes with time: `Valuation` finds its customers
        for index, owner in enumerate(owners):
            members.setdefault(owner.subject(layer), []).append(index)
    return {subject: np.array(indexes, dtype=np.intp) for subject, indexes in members.items()}
