"""Thresholds as series: `quarkpulse_threshold{name, device_id}` holds the value in force, so a customer's exception
needs no copy of a rule. Made at query time from thresholds.yaml and what people set; never stored."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from collector.alerting.definitions import LAYERS, LAYERS_OF, Definition, Per
from collector.alerting.tenancy import THRESHOLD_METRIC
from collector.clock import to_milliseconds
from collector.fleet.thresholds import Layer, Threshold
from collector.series.labels import NAME, Indexes, LabelFrame, Strings
from collector.series.read import Latest, Matcher, Milliseconds, Samples, Selection, Times, Values

STEP_MILLISECONDS = 60_000  # of samples over a range, on whole minutes: as often as an agent's
MAX_SAMPLES = 4_000_000  # of one answer: 32 MB; a day of minutes for 2,700 devices
MAX_CACHED_SELECTIONS = 1_000
MAX_CACHED_SPANS = 16  # a pass reads one instant; a graph or a backtest walks through few changes


@dataclass(frozen=True, slots=True)
class ThresholdDevice:
    """What decides which thresholds a device has. `plan` is empty if its customer has none now."""

    device_id: str
    customer: str
    site: str
    kind: str
    plan: str

    def subject(self, layer: Layer) -> str:
        """Its subject in a layer, as `thresholds set` stores it."""
        match layer:
            case Layer.PLAN:
                return self.plan
            case Layer.CUSTOMER:
                return self.customer
            case Layer.SITE:
                return f"{self.customer}/{self.site}"
            case Layer.DEVICE:
                return self.device_id


@dataclass(frozen=True, slots=True)
class Effective:
    """The value in force and who set it: `layer` None and `subject` empty for the default."""

    value: float
    layer: Layer | None
    subject: str


class ThresholdReader:
    """Reads `quarkpulse_threshold`; of every other metric it has no series.

    `update` belongs to the thread that owns `strings`; the rest may be called from any thread and sees either the
    inputs before an update or those after it, never a mixture.
    """

    def __init__(self, strings: Strings) -> None:
        self._strings = strings
        self._valuation = _Valuation(_Population.of([], [], strings), ())

    @property
    def strings(self) -> Strings:
        return self._strings

    def update(
        self,
        definitions: Mapping[str, Definition],
        names: Collection[str] | None,
        devices: Iterable[ThresholdDevice],
        overrides: Iterable[Threshold],
    ) -> None:
        """Takes new inputs. `names` are the thresholds that a loaded rule reads (`RuleSet.threshold_names`)."""
        wanted = tuple(one for name, one in sorted(definitions.items()) if names is None or name in names)
        population = self._valuation.population
        listed = tuple(devices)
        if (population.definitions, population.devices) != (wanted, listed):
            population = _Population.of(wanted, listed, self._strings)
        self._valuation = _Valuation(population, tuple(overrides))

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
        return self._valuation.population.select(matchers, self._strings)

    def latest(self, selection: Selection, at: Milliseconds, lookback: Milliseconds) -> Latest:
        """The values in force at `at`, as if each had been sampled just then."""
        picked, valuation = self._resolved(selection)
        count = len(selection)
        values = valuation.values_at(at)[picked.indexes]
        return Latest(np.full(count, at, dtype=np.int64), values, np.ones(count, dtype=np.bool_))

    def samples(self, selection: Selection, start: Milliseconds, end: Milliseconds) -> Samples:
        """The values in force on each whole minute; further apart where that would be more than MAX_SAMPLES."""
        picked, valuation = self._resolved(selection)
        minutes = (end - start) // STEP_MILLISECONDS + 1
        step = STEP_MILLISECONDS * -(-minutes * max(1, len(selection)) // MAX_SAMPLES)
        times: Times = np.arange(start // step + 1, end // step + 1, dtype=np.int64) * step
        shape = (len(selection), len(times))
        values: Values = np.empty(shape)
        spans = valuation.spans_of(times)
        for span in np.unique(spans):
            columns = np.flatnonzero(spans == span)
            values[:, columns] = valuation.values_at(int(times[columns[0]]))[picked.indexes, np.newaxis]
        counts = np.full(len(selection), len(times), dtype=np.int64)
        return Samples(np.broadcast_to(times, shape), values, counts)

    def explain(self, name: str, device_id: str, at: datetime) -> Effective | None:
        """What a device is measured by; None if no loaded rule reads the threshold or the device is unknown."""
        valuation = self._valuation
        definition = next((one for one in valuation.population.definitions if one.name == name), None)
        device = valuation.population.by_id.get(device_id)
        if definition is None or device is None:
            return None
        effective = Effective(definition.default_for(device.kind), None, "")
        for row in valuation.in_force(name, LAYERS_OF[definition.per], to_milliseconds(at)):
            if row.subject == device.subject(row.layer):
                effective = Effective(row.value, row.layer, row.subject)
        return effective

    def _resolved(self, selection: Selection) -> tuple["_Picked", "_Valuation"]:
        picked = selection.handle
        if not isinstance(picked, _Picked):
            raise TypeError("this selection is another reader's")
        valuation = self._valuation
        if valuation.population is not picked.population:  # updated between the caller's two questions
            valuation = _Valuation(picked.population, valuation.overrides)
        return picked, valuation


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """The series of one threshold: `owners` has a device of each site or customer, or each device."""

    definition: Definition
    owners: tuple[ThresholdDevice, ...]
    members: Mapping[Layer, Mapping[str, Indexes]]  # which owners a subject covers
    defaults: Values


@dataclass(frozen=True, slots=True, eq=False)
class _Population:
    """Which series there are; it changes with the fleet and the rules, not with what people set."""

    definitions: tuple[Definition, ...]
    devices: tuple[ThresholdDevice, ...]
    by_id: Mapping[str, ThresholdDevice]
    blocks: tuple[_Block, ...]
    labels: LabelFrame
    selections: dict[tuple[Matcher, ...], Selection] = field(default_factory=dict)

    @classmethod
    def of(
        cls, definitions: Sequence[Definition], devices: Sequence[ThresholdDevice], strings: Strings
    ) -> "_Population":
        owners = {per: _owners(per, devices) for per in Per}
        members = {per: {layer: _members(layer, owners[per]) for layer in layers} for per, layers in LAYERS_OF.items()}
        blocks = [
            _Block(
                one,
                owners[one.per],
                members[one.per],
                np.array([one.default_for(owner.kind) for owner in owners[one.per]], dtype=np.float64),
            )
            for one in definitions
        ]
        label_sets = [
            {NAME: THRESHOLD_METRIC, "name": block.definition.name, **_identity(block.definition.per, owner)}
            for block in blocks
            for owner in block.owners
        ]
        by_id = {device.device_id: device for device in devices}
        return cls(tuple(definitions), tuple(devices), by_id, tuple(blocks), LabelFrame.of(label_sets, strings))

    def select(self, matchers: tuple[Matcher, ...], strings: Strings) -> Selection:
        known = self.selections.get(matchers)
        if known is None:
            indexes = self._matching(matchers, strings)
            known = Selection(self.labels.take(indexes), _Picked(self, indexes))
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
class _Picked:
    population: _Population
    indexes: Indexes


class _Valuation:
    """The value of each series of a population at any time, remembered for the spans between changes."""

    def __init__(self, population: _Population, overrides: tuple[Threshold, ...]) -> None:
        self.population = population
        self.overrides = overrides
        bounds = {bound for row in overrides for bound in (row.valid_from, row.valid_to) if bound is not None}
        self._bounds: NDArray[np.int64] = np.array(sorted(map(to_milliseconds, bounds)), dtype=np.int64)
        self._spans: dict[int, Values] = {}

    def spans_of(self, times: Times) -> NDArray[np.int64]:
        """A number for each time; between times of one number nothing changes."""
        return np.searchsorted(self._bounds, times, side="right")

    def values_at(self, at: Milliseconds) -> Values:
        span = int(self.spans_of(np.array([at], dtype=np.int64))[0])
        values = self._spans.get(span)
        if values is None:
            blocks = [self._block_at(block, at) for block in self.population.blocks]
            values = np.concatenate(blocks) if blocks else np.empty(0)
            if len(self._spans) >= MAX_CACHED_SPANS:
                self._spans.clear()
            self._spans[span] = values
        return values

    def in_force(self, name: str, layers: Sequence[Layer], at: Milliseconds) -> list[Threshold]:
        """What is set for a threshold at `at`, the one that wins last."""
        rows = [
            row
            for row in self.overrides
            if row.name == name
            and row.layer in layers
            and to_milliseconds(row.valid_from) <= at
            and (row.valid_to is None or at < to_milliseconds(row.valid_to))
        ]
        return sorted(rows, key=lambda row: (LAYERS.index(row.layer), row.valid_from))

    def _block_at(self, block: _Block, at: Milliseconds) -> Values:
        values = block.defaults.copy()
        for row in self.in_force(block.definition.name, LAYERS_OF[block.definition.per], at):
            covered = block.members[row.layer].get(row.subject)
            if covered is not None:
                values[covered] = row.value
        return values


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
    for index, owner in enumerate(owners):
        members.setdefault(owner.subject(layer), []).append(index)
    return {subject: np.array(indexes, dtype=np.intp) for subject, indexes in members.items()}
