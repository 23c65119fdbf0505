"""`/thresholds`: exceptions to the rules' limits; and what a device is measured by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from collector.alerting.definitions import Definition, definition_named
from collector.alerting.thresholds import Standing, standing_of
from collector.api.desk.alerts import MAX_NUMBER
from collector.api.desk.callers import missing
from collector.api.desk.devices import seen_device
from collector.api.desk.layers import sees_layer
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Request
from collector.api.desk.paging import Page, PagingByNumber, cut
from collector.api.desk.refusals import Refusal
from collector.contracts import ServiceModels, WeekHours
from collector.contracts.week_hours import EXAMPLE, MAX_CHARS
from collector.fleet import thresholds as store
from collector.fleet.directory import FleetDirectory
from collector.fleet.layers import Layer

Name = Annotated[str, Field(min_length=1, max_length=64)]
HOURS = "Only during these hours of the week, by the clock at each site; left out: at all times."


class Threshold(BaseModel):
    id: int
    name: str
    layer: Layer
    subject: str = Field(description="A plan, a customer, customer/site, or a device, as the layer says.")
    value: float
    hours: str | None
    valid_from: AwareDatetime
    valid_to: AwareDatetime | None
    set_by: str


class ThresholdPage(Page[Threshold]):
    pass


class NewThreshold(Request):
    name: Name = Field(examples=["cpu_busy"])
    layer: Layer
    subject: str = Field(
        min_length=1, max_length=200, description="A plan, a customer, customer/site, or a device, as the layer says."
    )
    value: Annotated[float, Field(allow_inf_nan=False)] = Field(examples=[0.95])
    hours: Annotated[str, Field(min_length=1, max_length=MAX_CHARS)] | None = Field(
        default=None, description=HOURS, examples=[EXAMPLE]
    )


class ThresholdFilter(PagingByNumber):
    name: str | None = Field(default=None, max_length=64)
    all: bool = Field(default=False, description="Also those that no longer hold.")


class ThresholdId(Request):
    id: int = Field(ge=1, le=MAX_NUMBER)


class Layered(BaseModel):
    """A value that is set where a device is."""

    layer: Layer | None = Field(description="Null for the default.")
    subject: str | None
    value: float
    hours: str | None
    time_zone: str | None = Field(description="Whose clock tells the hours.")
    counts: bool = Field(description="It is the one that the device is measured by.")


class Measure(BaseModel):
    """What a device is measured by."""

    name: str
    unit: str
    value: float
    layers: list[Layered] = Field(description="All that is set where the device is, the widest first.")


class Measures(BaseModel):
    device: str
    at: AwareDatetime
    items: list[Measure]


class MeasuresOf(Request):
    id: str = Field(min_length=1, max_length=64)
    name: str | None = Field(default=None, max_length=64, description="Only this threshold.")
    at: AwareDatetime | None = Field(default=None, description="Now, if it is left out.")


@dataclass(frozen=True, slots=True)
class ThresholdOperations:
    """`definitions` are those of the rules in force."""

    directory: Callable[[], FleetDirectory]
    definitions: Callable[[], Mapping[str, Definition]]
    models: ServiceModels

    async def list_thresholds(self, call: Call[ThresholdFilter, None]) -> ThresholdPage:
        asked = call.params
        since = None if asked.all else call.now
        found = await store.thresholds_before(
            call.connection,
            asked.after,
            asked.limit + 1,
            since=since,
            name=asked.name,
            within=call.caller.bounds,
        )
        page, cursor = cut(found, asked.limit, lambda one: one.id)
        return ThresholdPage(items=[_told(one) for one in page], next_cursor=cursor)

    async def set_threshold(self, call: Call[NoParameters, NewThreshold]) -> Threshold:
        asked, caller = call.body, call.caller
        if asked.layer is Layer.PLAN and caller.customer is not None:
            raise Refusal(
                403, "forbidden", f"this token is of {caller.customer} alone, and a plan is of many customers"
            )
        if not sees_layer(caller, self.directory(), asked.layer, asked.subject):
            raise missing(f"{asked.layer} {asked.subject}")
        hours = None if asked.hours is None else WeekHours.parse(asked.hours)
        definition_named(self.definitions(), asked.name).check(asked.value, asked.layer, by_hours=hours is not None)
        return _told(
            await store.set_threshold(
                call.connection,
                self.models,
                name=asked.name,
                layer=asked.layer,
                subject=asked.subject,
                value=asked.value,
                hours=hours,
                actor=caller.name,
                now=call.now,
            )
        )

    async def get_threshold(self, call: Call[ThresholdId, None]) -> Threshold:
        return _told(await self._found(call))

    async def unset_threshold(self, call: Call[ThresholdId, None]) -> Threshold:
        """One that no longer holds stays as it is: who asks twice gets the same answer."""
        found = await self._found(call)
        if found.valid_to is None:
            await store.unset_threshold(
                call.connection,
                name=found.name,
                layer=found.layer,
                subject=found.subject,
                hours=found.hours,
                actor=call.caller.name,
                now=call.now,
            )
            found = await self._found(call)
        return _told(found)

    async def explain_thresholds(self, call: Call[MeasuresOf, None]) -> Measures:
        asked = call.params
        await seen_device(call.connection, call.caller, asked.id)
        definitions = self.definitions()
        if asked.name is not None:
            definitions = {asked.name: definition_named(definitions, asked.name)}
        overrides = await store.list_thresholds(call.connection, name=asked.name)
        at = asked.at or call.now
        standing = standing_of(definitions, self.directory(), overrides, asked.id, at)
        items = [_measure(definitions[name], layers) for name, layers in standing.items()]
        return Measures(device=asked.id, at=at, items=items)

    def operations(self) -> list[AnyOperation]:
        one = Operation("GET", "/thresholds/{id}", "One that was set", ThresholdId, None, Threshold, self.get_threshold)
        return [
            one,
            Operation(
                "GET",
                "/thresholds",
                "What was set, newest first",
                ThresholdFilter,
                None,
                ThresholdPage,
                self.list_thresholds,
            ),
            Operation(
                "POST",
                "/thresholds",
                "Set a threshold from now on",
                NoParameters,
                NewThreshold,
                Threshold,
                self.set_threshold,
                creates=True,
            ),
            Operation(
                "DELETE",
                "/thresholds/{id}",
                "Let what counts otherwise count again",
                ThresholdId,
                None,
                Threshold,
                self.unset_threshold,
                changes=one,
            ),
            Operation(
                "GET",
                "/devices/{id}/thresholds",
                "What a device is measured by",
                MeasuresOf,
                None,
                Measures,
                self.explain_thresholds,
            ),
        ]

    async def _found(self, call: Call[ThresholdId, None]) -> store.Threshold:
        """Raises Refusal (404) unless there is one that the caller sees."""
        found = await store.get_threshold(call.connection, call.params.id)
        if found is None or not sees_layer(call.caller, self.directory(), found.layer, found.subject):
            raise missing(f"threshold {call.params.id}")
        return found


def _told(threshold: store.Threshold) -> Threshold:
    return Threshold(
        id=threshold.id,
        name=threshold.name,
        layer=threshold.layer,
        subject=threshold.subject,
        value=threshold.value,
        hours=None if threshold.hours is None else str(threshold.hours),
        valid_from=threshold.valid_from,
        valid_to=threshold.valid_to,
        set_by=threshold.set_by,
    )


def _measure(definition: Definition, layers: Sequence[Standing]) -> Measure:
    place = max(place for place, one in enumerate(layers) if one.is_now)
    return Measure(
        name=definition.name,
        unit=definition.unit,
        value=layers[place].effective.value,
        layers=[
            Layered(
                layer=one.effective.layer,
                subject=one.effective.subject or None,
                value=one.effective.value,
                hours=one.effective.hours,
                time_zone=one.effective.time_zone,
                counts=number == place,
            )
            for number, one in enumerate(layers)
        ],
    )
