"""`/agent-settings`: what agents are told to do otherwise than by default; and what a device's agent is told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, StrictBool

from collector.api.desk.callers import Caller, missing
from collector.api.desk.devices import DeviceId, seen_device
from collector.api.desk.layers import sees_layer
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Request
from collector.api.desk.paging import Page, PagingByName, cut
from collector.fleet import agent_settings as store
from collector.fleet.agent_keys import FORMS, MAX_KEY_CHARS
from collector.fleet.directory import FleetDirectory
from collector.fleet.layers import Layer
from collector.series.labels import Target
from protocol import wire

SUBJECT = "A customer, customer/site, or a device, as the layer says."
VALUE = "Seconds of an interval; true or false of a probe or service; a check's command, or false: it is not run."


class CheckSetting(Request):
    """A Nagios plugin. It runs only where the machine's own agent.toml allows it."""

    command: list[Annotated[str, Field(max_length=wire.MAX_COMMAND_WORD_CHARS)]] = Field(
        min_length=1,
        max_length=wire.MAX_COMMAND_WORDS,
        examples=[["/usr/lib/nagios/plugins/check_disk", "-w", "10%", "-p", "/"]],
    )
    interval_seconds: float = Field(default=wire.DEFAULT_PUSH_INTERVAL_SECONDS)
    timeout_seconds: float = Field(default=wire.DEFAULT_CHECK_TIMEOUT_SECONDS)


class AgentSetting(BaseModel):
    layer: Layer
    subject: str = Field(description=SUBJECT)
    key: str
    value: StrictBool | float | CheckSetting = Field(description=VALUE)
    set_by: str
    set_at: AwareDatetime


class AgentSettingPage(Page[AgentSetting]):
    pass


class AgentSettingFilter(PagingByName):
    pass


Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY_CHARS, description=FORMS, examples=["interval.smart"])]
Subject = Annotated[str, Field(min_length=1, max_length=200, description=SUBJECT, examples=["acme"])]


class Place(Request):
    layer: Layer
    subject: Subject
    key: Key


class NewAgentSetting(Place):
    value: StrictBool | Annotated[float, Field(allow_inf_nan=False)] | CheckSetting = Field(
        description=VALUE, examples=[43200]
    )


class Told(BaseModel):
    setting: AgentSetting
    counts: bool = Field(description="No nearer layer sets the same.")


class ToldOf(BaseModel):
    device: str
    items: list[Told] = Field(description="All that is set where the device is, by key, the widest layer first.")


@dataclass(frozen=True, slots=True)
class AgentOperations:
    directory: Callable[[], FleetDirectory]

    async def list_agent_settings(self, call: Call[AgentSettingFilter, None]) -> AgentSettingPage:
        asked = call.params
        found = await store.settings_after(
            call.connection, _place(asked.after), asked.limit + 1, within=call.caller.bounds
        )
        page, cursor = cut(found, asked.limit, lambda one: f"{one.layer} {one.subject} {one.key}")
        return AgentSettingPage(items=[_told(one) for one in page], next_cursor=cursor)

    async def set_agent_setting(self, call: Call[NoParameters, NewAgentSetting]) -> AgentSetting:
        asked = call.body
        self._require(call.caller, asked.layer, asked.subject)
        value = asked.value.model_dump() if isinstance(asked.value, CheckSetting) else asked.value
        return _told(
            await store.set_setting(
                call.connection,
                layer=asked.layer,
                subject=asked.subject,
                key=asked.key,
                value=value,
                actor=call.caller.name,
                now=call.now,
            )
        )

    async def unset_agent_setting(self, call: Call[Place, None]) -> AgentSetting:
        asked = call.params
        self._require(call.caller, asked.layer, asked.subject)
        return _told(
            await store.unset_setting(
                call.connection,
                layer=asked.layer,
                subject=asked.subject,
                key=asked.key,
                actor=call.caller.name,
                now=call.now,
            )
        )

    async def explain_agent_settings(self, call: Call[DeviceId, None]) -> ToldOf:
        found = await seen_device(call.connection, call.caller, call.params.id)
        standing = await store.standing_of(call.connection, Target(found.id, found.customer, found.site, found.kind))
        last = {one.key: one for one in standing}
        items = [Told(setting=_told(one), counts=last[one.key] is one) for one in standing]
        return ToldOf(device=found.id, items=items)

    def operations(self) -> list[AnyOperation]:
        return [
            Operation(
                "GET",
                "/agent-settings",
                "What agents are told otherwise than by default",
                AgentSettingFilter,
                None,
                AgentSettingPage,
                self.list_agent_settings,
            ),
            Operation(
                "POST",
                "/agent-settings",
                "Tell agents something, in place of what was set there",
                NoParameters,
                NewAgentSetting,
                AgentSetting,
                self.set_agent_setting,
                creates=True,
            ),
            Operation(
                "DELETE",
                "/agent-settings",
                "Let the next wider layer count again",
                Place,
                None,
                AgentSetting,
                self.unset_agent_setting,
            ),
            Operation(
                "GET",
                "/devices/{id}/agent-settings",
                "What a device's agent is told, layer by layer",
                DeviceId,
                None,
                ToldOf,
                self.explain_agent_settings,
            ),
        ]

    def _require(self, caller: Caller, layer: Layer, subject: str) -> None:
        """Raises Refusal (404)."""
        if not sees_layer(caller, self.directory(), layer, subject):
            raise missing(f"{layer} {subject}")


def _place(after: str | None) -> tuple[str, str, str] | None:
    """Of a cursor: one that nobody was given leads somewhere, and harms nothing."""
    if after is None:
        return None
    layer, _, rest = after.partition(" ")
    subject, _, key = rest.partition(" ")
    return layer, subject, key


def _told(setting: store.AgentSetting) -> AgentSetting:
    value = setting.value
    return AgentSetting(
        layer=setting.layer,
        subject=setting.subject,
        key=setting.key,
        value=CheckSetting(**value) if isinstance(value, dict) else value,
        set_by=setting.set_by,
        set_at=setting.set_at,
    )
