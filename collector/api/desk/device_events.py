"""`/devices/{id}/events`: what a device told beside its samples."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from collector.api.desk.devices import seen_device
from collector.api.desk.operations import AnyOperation, Call, Operation
from collector.api.desk.paging import Page, PagingByMoment, cut, moment
from collector.fleet.told_events import events_of
from protocol.wire import EventType


class DeviceEvent(BaseModel):
    id: str = Field(description="As the device numbered it.")
    at: datetime = Field(description="When it happened, by the device's own time.")
    received_at: datetime
    type: str = Field(description=f"Agents of this version tell: {', '.join(EventType)}.")
    data: dict[str, Any] = Field(description="What the device told beside it; of each type its own.")


class DeviceEventPage(Page[DeviceEvent]):
    pass


class DeviceEventFilter(PagingByMoment):
    id: str = Field(min_length=1, max_length=64)
    type: str | None = Field(default=None, max_length=64, description="Only these.", examples=["check_changed"])


async def list_device_events(call: Call[DeviceEventFilter, None]) -> DeviceEventPage:
    asked = call.params
    await seen_device(call.connection, call.caller, asked.id)
    found = await events_of(call.connection, asked.id, asked.limit + 1, only=asked.type, after=asked.after)
    page, cursor = cut(found, asked.limit, lambda one: moment(one.at, one.id))
    return DeviceEventPage(
        items=[
            DeviceEvent(id=one.id, at=one.at, received_at=one.received_at, type=one.type, data=one.data) for one in page
        ],
        next_cursor=cursor,
    )


def operations() -> list[AnyOperation]:
    return [
        Operation(
            "GET",
            "/devices/{id}/events",
            "What a device told beside its samples, newest first",
            DeviceEventFilter,
            None,
            DeviceEventPage,
            list_device_events,
            description="Starts and goodbyes, probes that cannot be read, checks that changed, with what they said. "
            "They are kept as long as samples.",
        )
    ]
