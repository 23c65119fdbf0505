"""`/windows`: planned work, during which what fires opens no ticket."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime, WithJsonSchema

from collector.api.desk.alerts import MAX_NUMBER
from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Patch, Request
from collector.api.desk.paging import Page, PagingByNumber, cut
from collector.api.desk.places import sees_scope
from collector.contracts.recurrence import MAX_LENGTH, MAX_RULE_CHARS
from collector.fleet.directory import FleetDirectory
from collector.incidents import windows as store
from collector.incidents.windows import Scope

MAX_MINUTES = MAX_LENGTH // timedelta(minutes=1)

# By the clock on the wall: a time with an offset would be another thing, and RFC 3339 knows no time without.
LocalTime = Annotated[
    NaiveDatetime,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?$",
            "examples": ["2026-03-08T02:00"],
        }
    ),
]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class Window(BaseModel):
    id: int
    customer: str
    site: str | None
    device: str | None
    tag: str | None
    starts_local: LocalTime = Field(description="The first start, by the clock on the wall.")
    time_zone: str
    minutes: int
    recurrence: str | None = Field(description="An RRULE of RFC 5545; null: once.")
    author: str
    reason: str
    created_at: AwareDatetime
    ended_at: AwareDatetime | None = Field(description="When somebody called it off.")
    is_open: bool
    next_start: AwareDatetime | None


class WindowPage(Page[Window]):
    pass


class NewWindow(Request):
    """Where and when work is done."""

    customer: Name
    site: Name | None = Field(default=None, description="Only at this site; a token's site, if it has one.")
    device: Name | None = Field(default=None, description="Only on this device.")
    tag: Name | None = Field(default=None, description="Only on devices with this tag.")
    starts_local: LocalTime
    minutes: int = Field(ge=1, le=MAX_MINUTES)
    recurrence: Annotated[str, Field(min_length=1, max_length=MAX_RULE_CHARS)] | None = Field(
        default=None, description="An RRULE of RFC 5545; left out: once.", examples=["FREQ=WEEKLY;BYDAY=SU"]
    )
    time_zone: Name | None = Field(default=None, description="As the IANA names it; the site's, if it is left out.")
    reason: str = Field(min_length=1, max_length=store.MAX_REASON_CHARS, description="What is done.")


class WindowPatch(Patch):
    minutes: int = Field(default=1, ge=1, le=MAX_MINUTES)
    reason: str = Field(default="", min_length=1, max_length=store.MAX_REASON_CHARS)


class WindowFilter(PagingByNumber):
    customer: str | None = Field(default=None, max_length=64)
    all: bool = Field(default=False, description="Also those that were called off.")


class WindowId(Request):
    id: int = Field(ge=1, le=MAX_NUMBER)


@dataclass(frozen=True, slots=True)
class WindowOperations:
    """`directory` tells at which site a device is."""

    directory: Callable[[], FleetDirectory]

    async def list_windows(self, call: Call[WindowFilter, None]) -> WindowPage:
        asked = call.params
        not_ended_at = None if asked.all else call.now
        found = await store.windows_before(
            call.connection,
            asked.after,
            asked.limit + 1,
            not_ended_at=not_ended_at,
            customer=asked.customer,
            within=call.caller.bounds,
        )
        page, cursor = cut(found, asked.limit, lambda one: one.id)
        # Recurrences take a while to unfold.
        items = await asyncio.to_thread(lambda: [_told(one, call.now) for one in page])
        return WindowPage(items=items, next_cursor=cursor)

    async def get_window(self, call: Call[WindowId, None]) -> Window:
        return await asyncio.to_thread(_told, await self._found(call), call.now)

    async def create_window(self, call: Call[NoParameters, NewWindow]) -> Window:
        asked, caller = call.body, call.caller
        scope = Scope(asked.customer, asked.site or caller.site, asked.device, asked.tag)
        if not sees_scope(caller, scope, self.directory()):
            raise missing(f"customer, site or device like {scope}")
        created = await store.add_window(
            call.connection,
            scope=scope,
            starts_local=asked.starts_local,
            length=timedelta(minutes=asked.minutes),
            recurrence=asked.recurrence,
            time_zone=asked.time_zone,
            author=caller.name,
            reason=asked.reason,
            now=call.now,
        )
        window = await store.get_window(call.connection, created)
        return await asyncio.to_thread(_told, window, call.now)

    async def change_window(self, call: Call[WindowId, WindowPatch]) -> Window:
        given = call.body.given()
        minutes = given.get("minutes")
        changed = await store.change_window(
            call.connection,
            call.params.id,
            length=None if minutes is None else timedelta(minutes=minutes),
            reason=given.get("reason"),
            actor=call.caller.name,
            now=call.now,
        )
        return await asyncio.to_thread(_told, changed, call.now)

    async def end_window(self, call: Call[WindowId, None]) -> Window:
        """One that was called off stays as it is: who asks twice gets the same answer."""
        window = await self._found(call)
        if window.ended_at is None:
            await store.end_window(call.connection, window.id, actor=call.caller.name, now=call.now)
            window = await self._found(call)
        return await asyncio.to_thread(_told, window, call.now)

    def operations(self) -> list[AnyOperation]:
        one = Operation(
            "GET",
            "/windows/{id}",
            "One maintenance window",
            WindowId,
            None,
            Window,
            self.get_window,
            moving=frozenset({"is_open", "next_start"}),
        )
        return [
            Operation(
                "GET",
                "/windows",
                "Maintenance windows, newest first",
                WindowFilter,
                None,
                WindowPage,
                self.list_windows,
            ),
            one,
            Operation(
                "POST",
                "/windows",
                "Add a maintenance window",
                NoParameters,
                NewWindow,
                Window,
                self.create_window,
                creates=True,
            ),
            Operation(
                "PATCH",
                "/windows/{id}",
                "Change a window's length or reason",
                WindowId,
                WindowPatch,
                Window,
                self.change_window,
                changes=one,
            ),
            Operation(
                "DELETE", "/windows/{id}", "Call a window off", WindowId, None, Window, self.end_window, changes=one
            ),
        ]

    async def _found(self, call: Call[WindowId, None]) -> store.Window:
        """Raises Refusal (404) unless there is one that the caller sees."""
        try:
            window = await store.get_window(call.connection, call.params.id)
        except store.WindowError:
            raise missing(f"window {call.params.id}") from None
        if not sees_scope(call.caller, window.scope, self.directory()):
            raise missing(f"window {call.params.id}")
        return window


def _told(window: store.Window, now: datetime) -> Window:
    return Window(
        id=window.id,
        customer=window.scope.customer,
        site=window.scope.site,
        device=window.scope.device,
        tag=window.scope.tag,
        starts_local=window.starts_local,
        time_zone=window.time_zone,
        minutes=window.length // timedelta(minutes=1),
        recurrence=window.recurrence,
        author=window.author,
        reason=window.reason,
        created_at=window.created_at,
        ended_at=window.ended_at,
        is_open=window.open_at(now) is not None,
        next_start=window.next_start(now),
    )
