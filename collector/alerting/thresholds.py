"""Thresholds as series: `quarkpulse_threshold{name, device_id}` holds the value in force, so a customer's exception
needs no copy of a rule. Made at query time from thresholds.yaml and what people set; never stored."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from collector.alerting.definitions import LAYERS_OF, Definition
from collector.alerting.threshold_values import Picked, Population, ThresholdDevice, Valuation
from collector.clock import to_milliseconds
from collector.contracts import DEFAULT_OFFICE_HOURS, OfficeHours
from collector.fleet.contracts import Contract
from collector.fleet.devices import DeviceStatus
from collector.fleet.directory import FleetDirectory, Member
from collector.fleet.layers import Layer
from collector.fleet.provider import COLLECTOR_TARGET
from collector.fleet.thresholds import Threshold
from collector.series.labels import Strings, Target
from collector.series.read import Latest, Matcher, Milliseconds, Samples, Selection, Times

STEP_MILLISECONDS = 60_000  # of samples over a range, on whole minutes: as often as an agent's
MAX_SAMPLES = 8_000_000  # of one answer: 64 MB; as many as a slice of a range query asks for


@dataclass(frozen=True, slots=True)
class Effective:
    """A value and who set it: `layer` None and `subject` empty for the default. `hours` None: at all times, else by
    the clock of `time_zone`."""

    value: float
    layer: Layer | None
    subject: str
    hours: str | None = None
    time_zone: str | None = None

    @property
    def set_by(self) -> str:
        """In words: `device srv-7k3p, mon-fri 22:00-02:00 Europe/Amsterdam`."""
        where = "default" if self.layer is None else f"{self.layer} {self.subject}"
        return where if self.hours is None else f"{where}, {self.hours} {self.time_zone}"


@dataclass(frozen=True, slots=True)
class Standing:
    """A value that is set where a device is; it counts only if its hours are now."""

    effective: Effective
    is_now: bool


class ThresholdReader:
    """Reads `quarkpulse_threshold`; of every other metric it has no series.

    `update` belongs to the thread that owns `strings`; the rest may be called from any thread and sees either the
    inputs before an update or those after it, never a mixture.
    """

    def __init__(self, strings: Strings) -> None:
        self._strings = strings
        self._valuation = Valuation(Population.of([], [], strings), (), {})

    @property
    def strings(self) -> Strings:
        return self._strings

    def update(
        self,
        definitions: Mapping[str, Definition],
        names: Collection[str] | None,
        devices: Iterable[ThresholdDevice],
        overrides: Iterable[Threshold],
        plans: Mapping[str, Sequence[Contract]],
    ) -> None:
        """Takes new inputs. `names` are the thresholds that a loaded rule reads (`RuleSet.threshold_names`), `plans`
        every customer's contracts, past and to come."""
        wanted = tuple(one for name, one in sorted(definitions.items()) if names is None or name in names)
        population = self._valuation.population
        listed = tuple(devices)
        if (population.definitions, population.devices) != (wanted, listed):
            population = Population.of(wanted, listed, self._strings)
        self._valuation = Valuation(population, tuple(overrides), plans)

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
        counts = np.full(len(selection), len(times), dtype=np.int64)
        values = valuation.values_over(picked.indexes, times)
        return Samples(np.broadcast_to(times, values.shape), values, counts)

    def explain(self, name: str, device_id: str, at: datetime) -> Effective | None:
        """What a device is measured by; None if no loaded rule reads the threshold or the device is unknown."""
        return next((one.effective for one in reversed(self.standing(name, device_id, at)) if one.is_now), None)

    def standing(self, name: str, device_id: str, at: datetime) -> list[Standing]:
        """All that is set where a device is, the default among them, widest first: the last one that `is_now` counts.
        Empty where `explain` knows nothing."""
        valuation = self._valuation
        definition = next((one for one in valuation.population.definitions if one.name == name), None)
        device = valuation.population.by_id.get(device_id)
        if definition is None or device is None:
            return []
        contracts = valuation.plans.get(device.customer, ())
        plan = next((one.plan for one in contracts if one.holds_at(at)), None)
        standing = [Standing(Effective(definition.default_for(device.kind), None, ""), is_now=True)]
        for row in valuation.in_force(name, to_milliseconds(at)):
            subject = plan if row.layer is Layer.PLAN else device.subject(row.layer)
            if row.layer not in LAYERS_OF[definition.per] or row.subject != subject:
                continue
            if row.hours is None:
                standing.append(Standing(Effective(row.value, row.layer, row.subject), is_now=True))
                continue
            effective = Effective(row.value, row.layer, row.subject, str(row.hours), device.time_zone)
            is_now = row.hours.cover(at.astimezone(ZoneInfo(device.time_zone)))
            standing.append(Standing(effective, is_now))
        return standing

    def _resolved(self, selection: Selection) -> tuple[Picked, Valuation]:
        picked = selection.handle
        if not isinstance(picked, Picked):
            raise TypeError("this selection is another reader's")
        valuation = self._valuation
        if valuation.population is not picked.population:  # updated between the caller's two questions
            valuation = Valuation(picked.population, valuation.overrides, valuation.plans)
        return picked, valuation


def devices_of(directory: FleetDirectory) -> list[ThresholdDevice]:
    """Those that have thresholds: what is looked after, and the collector itself."""
    return [*(_device(directory.members[target.device_id]) for target in directory.targets), _COLLECTOR]


def standing_of(
    definitions: Mapping[str, Definition],
    directory: FleetDirectory,
    overrides: Iterable[Threshold],
    device_id: str,
    at: datetime,
) -> Mapping[str, Sequence[Standing]]:
    """All that is set where one device is, by the threshold's name, whether a rule reads it or not; as
    `ThresholdReader.standing`. Empty if nobody looks after the device."""
    member = directory.members.get(device_id)
    if device_id == _COLLECTOR.device_id:
        device = _COLLECTOR
    elif member is not None and member.status is not DeviceStatus.ENDED:
        device = _device(member)
    else:
        return {}
    reader = ThresholdReader(Strings())
    reader.update(definitions, None, [device], overrides, directory.contracts)
    return {name: reader.standing(name, device_id, at) for name in sorted(definitions)}


def _device(member: Member) -> ThresholdDevice:
    return _device_at(member.target, member.hours)


def _device_at(target: Target, hours: OfficeHours) -> ThresholdDevice:
    return ThresholdDevice(target.device_id, target.customer, target.site, target.kind, hours.zone.key)


_COLLECTOR = _device_at(COLLECTOR_TARGET, DEFAULT_OFFICE_HOURS)
