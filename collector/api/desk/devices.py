"""`/devices`: what is looked after."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.api.desk.callers import Caller, missing
from collector.api.desk.operations import AnyOperation, Call, Operation, Patch, Request
from collector.api.desk.paging import Page, PagingByName, PagingByNumber, cut
from collector.api.desk.shapes import Id
from collector.fleet import devices as store
from collector.fleet import inventories, tags
from collector.fleet.devices import DeviceStatus
from collector.fleet.errors import NotFoundError
from collector.fleet.policies import set_device_policy
from collector.fleet.policy import Policy
from collector.fleet.presence import Presence
from collector.fleet.roles import Role
from protocol.wire import Kind

# What changes without anybody changing the device.
TOLD_BY_THE_DEVICE = frozenset(
    {"presence", "presence_since", "presence_reason", "last_seen", "os", "arch", "agent_version", "inventory", "serial"}
)


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
    policy: Policy | None = Field(description="When it is expected to be there; null: as its customer or kind has it.")
    tags: list[str]
    inventory: dict[str, Any] | None = Field(description="What the device last told of itself.")


class DevicePatch(Patch):
    policy: Policy | None = Field(
        default=None, description="When it is expected to be there; null: as its customer or kind has it."
    )
    tags: list[Id] = Field(default_factory=list, max_length=tags.MAX_TAGS, description="All that it has afterwards.")


class DevicePage(Page[Device]):
    pass


class DeviceFilter(PagingByName):
    customer: str | None = Field(default=None, max_length=64)
    site: str | None = Field(default=None, max_length=64)


class DeviceId(Request):
    id: str = Field(min_length=1, max_length=64)


class Difference(BaseModel):
    place: str = Field(description="Such as `hardware.memory_bytes` or `software.packages.dpkg openssl`.")
    before: Any = Field(description="Null: it was not there.")
    after: Any = Field(description="Null: it is not there any more.")


class InventoryChange(BaseModel):
    id: int
    at: datetime = Field(description="When it was read, by the device's clock.")
    changes: list[Difference] = Field(description="Against the one before; empty for the oldest that is kept.")


class InventoryPage(Page[InventoryChange]):
    pass


class InventoryFilter(PagingByNumber):
    id: str = Field(min_length=1, max_length=64)
    limit: int = Field(default=10, ge=1, le=20, description="How many at most; lists of software are long.")


async def list_inventories(call: Call[InventoryFilter, None]) -> InventoryPage:
    asked = call.params
    await seen_device(call.connection, call.caller, asked.id)
    # One more than a page: it tells whether there is a next one, and is what the last is compared with.
    found = await inventories.inventories_before(call.connection, asked.id, asked.after, asked.limit + 1)
    page, cursor = cut(found, asked.limit, lambda one: one.id)
    before = [*found[1:], None][: len(page)]
    return InventoryPage(
        items=[
            InventoryChange(
                id=one.id,
                at=one.at,
                changes=[
                    Difference(place=change.place, before=change.before, after=change.after)
                    for change in (inventories.differences(last.content, one.content) if last else ())
                ],
            )
            for one, last in zip(page, before, strict=True)
        ],
        next_cursor=cursor,
    )


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
    return DeviceInFull(**_fields(found), policy=_policy(found), tags=tagged, inventory=inventory)


async def change_device(call: Call[DeviceId, DevicePatch]) -> DeviceInFull:
    device, given, actor = call.params.id, call.body.given(), call.caller.name
    if "policy" in given:
        await set_device_policy(call.connection, device, given["policy"], actor=actor, now=call.now)
    if "tags" in given:
        await tags.set_tags(call.connection, device, given["tags"], actor=actor, now=call.now)
    return await get_device(Call(call.caller, call.connection, call.now, call.params, None))


async def end_device(call: Call[DeviceId, None]) -> DeviceInFull:
    """One that has ended stays as it is."""
    await store.end_device(call.connection, call.params.id, actor=call.caller.name, now=call.now)
    return await get_device(call)


async def seen_device(connection: AsyncConnection, caller: Caller, device: str) -> store.Device:
    """Raises Refusal (404) unless there is one that the caller sees."""
    try:
        found = await store.get_device(connection, device)
    except NotFoundError:
        raise missing(f"device {device}") from None
    caller.require(f"device {device}", found.customer, found.site)
    return found


def operations() -> list[AnyOperation]:
    one = Operation(
        "GET",
        "/devices/{id}",
        "One device in full",
        DeviceId,
        None,
        DeviceInFull,
        get_device,
        role=Role.CONTACT,
        moving=TOLD_BY_THE_DEVICE,
    )
    return [
        Operation("GET", "/devices", "Devices, by id", DeviceFilter, None, DevicePage, list_devices, role=Role.CONTACT),
        one,
        Operation(
            "GET",
            "/devices/{id}/inventories",
            "How what a device is made of has changed, newest first",
            InventoryFilter,
            None,
            InventoryPage,
            list_inventories,
        ),
        Operation(
            "PATCH",
            "/devices/{id}",
            "Change a device's policy or tags",
            DeviceId,
            DevicePatch,
            DeviceInFull,
            change_device,
            changes=one,
        ),
        Operation(
            "DELETE",
            "/devices/{id}",
            "Look after a device no longer",
            DeviceId,
            None,
            DeviceInFull,
            end_device,
            changes=one,
            role=Role.MANAGER,
            description="Its agent is told to stop.",
        ),
    ]


def _policy(device: store.Device) -> Policy | None:
    return None if device.policy is None else Policy(device.policy)


def _fields(device: store.Device) -> dict[str, Any]:
    return {
        "id": device.id,
        "customer": device.customer,
        "site": device.site,
        "kind": device.kind,
        "hostname": device.hostname,
        "status": device.status,
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
