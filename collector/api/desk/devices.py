"""`/devices`: what is looked after."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.api.desk.callers import Caller, missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Request
from collector.api.desk.paging import Page, PagingByName, cut
from collector.fleet import devices as store
from collector.fleet import tags
from collector.fleet.errors import NotFoundError
from collector.fleet.presence import Presence
from protocol.wire import Kind


class DeviceStatus(StrEnum):
    ACTIVE = "active"
    REVOKED = "revoked"
    ENDED = "ended"


class Device(BaseModel):
    id: str
    customer: str
    site: str
    kind: Kind
    hostname: str
    status: DeviceStatus
    presence: Presence
    presence_since: datetime | None
    presence_reason: str | None
    last_seen: datetime | None
    serial: str | None
    os: str
    arch: str
    agent_version: str
    enrolled_at: datetime
    possible_clone_of: str | None
    read_by: str | None = Field(description="Of a printer: the device whose agent reads it.")
    address: str | None


class DeviceInFull(Device):
    tags: list[str]
    inventory: dict[str, Any] | None = Field(description="What the device last told of itself.")


class DevicePage(Page[Device]):
    pass


class DeviceFilter(PagingByName):
    customer: str | None = Field(default=None, max_length=64)
    site: str | None = Field(default=None, max_length=64)


class DeviceId(Request):
    id: str = Field(min_length=1, max_length=64)


async def list_devices(call: Call[DeviceFilter, None]) -> DevicePage:
    asked, caller = call.params, call.caller
    if caller.customer not in (None, asked.customer or caller.customer):
        return DevicePage(items=[], next_cursor=None)
    if caller.site not in (None, asked.site or caller.site):
        return DevicePage(items=[], next_cursor=None)
    found = await store.devices_after(
        call.connection,
        asked.after,
        asked.limit + 1,
        customer=asked.customer or caller.customer,
        site=asked.site or caller.site,
    )
    page, cursor = cut(found, asked.limit, lambda one: one.id)
    return DevicePage(items=[Device(**_fields(one)) for one in page], next_cursor=cursor)


async def get_device(call: Call[DeviceId, None]) -> DeviceInFull:
    found = await seen_device(call.connection, call.caller, call.params.id)
    inventory = await store.get_inventory(call.connection, found.id)
    tagged = await tags.tags_of(call.connection, found.id)
    return DeviceInFull(**_fields(found), tags=tagged, inventory=inventory)


async def seen_device(connection: AsyncConnection, caller: Caller, device: str) -> store.Device:
    """Raises Refusal (404) unless there is one that the caller sees."""
    try:
        found = await store.get_device(connection, device)
    except NotFoundError:
        raise missing(f"device {device}") from None
    caller.require(f"device {device}", found.customer, found.site)
    return found


def operations() -> list[AnyOperation]:
    return [
        Operation("GET", "/devices", "Devices, by id", DeviceFilter, None, DevicePage, list_devices),
        Operation("GET", "/devices/{id}", "One device in full", DeviceId, None, DeviceInFull, get_device),
    ]


def _fields(device: store.Device) -> dict[str, Any]:
    status = DeviceStatus.ENDED if device.ended_at else DeviceStatus.REVOKED if device.revoked_at else None
    return {
        "id": device.id,
        "customer": device.customer,
        "site": device.site,
        "kind": device.kind,
        "hostname": device.hostname,
        "status": status or DeviceStatus.ACTIVE,
        "presence": device.presence or Presence.NEVER_SEEN,
        "presence_since": device.presence_since,
        "presence_reason": device.presence_reason,
        "last_seen": device.last_seen_at,
        "serial": device.serial,
        "os": device.os,
        "arch": device.arch,
        "agent_version": device.agent_version,
        "enrolled_at": device.enrolled_at,
        "possible_clone_of": device.possible_clone_of,
        "read_by": device.read_by,
        "address": device.address,
    }
