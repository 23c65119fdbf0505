"""What devices told, over the API."""

import base64

import pytest

from collector.clock import to_milliseconds
from collector.fleet.events import record_events
from protocol.models import Event
from tests.api.desk.conftest import Desk


async def told(desk: Desk, device: str, numbers: range, *, kind: str = "check_changed", at_once: int = 1) -> None:
    """Event n after n seconds; of `at_once` each the same time."""
    began = to_milliseconds(desk.life.now)
    events = [
        Event.model_validate(
            {"id": f"{kind}-{number:03}", "t": began + number // at_once * 1000, "type": kind, "number": number}
        )
        for number in numbers
    ]
    async with desk.life.opened() as database, database.begin() as connection:
        await record_events(connection, device, events, None, desk.life.now)


async def test_events_page_by_page_the_newest_first(desk: Desk) -> None:
    await told(desk, "srv-1", range(250), at_once=7)
    await told(desk, "srv-1", range(3), kind="resumed")
    await told(desk, "srv-2", range(5))
    numbers: list[int] = []
    path: str | None = "/devices/srv-1/events?type=check_changed&limit=100"
    while path:
        page = await desk.get(path)
        numbers += [one["data"]["number"] for one in page["items"]]
        cursor = page["next_cursor"]
        path = cursor and f"/devices/srv-1/events?type=check_changed&limit=100&cursor={cursor}"
    assert sorted(numbers) == list(range(250))
    assert numbers == sorted(numbers, key=lambda number: (-(number // 7), number))
    assert [one["id"] for one in (await desk.get("/devices/srv-1/events?type=resumed"))["items"]] == [
        "resumed-002", "resumed-001", "resumed-000",
    ]  # fmt: skip
    (newest,) = (await desk.get("/devices/srv-2/events?limit=1", "viewer"))["items"]
    assert (newest["type"], newest["data"]) == ("check_changed", {"number": 4})


async def test_events_of_others_are_not_there(desk: Desk) -> None:
    await told(desk, "srv-1", range(1))
    assert await desk.refused("GET", "/devices/srv-1/events", who="bakkerij") == (404, "not_found")
    assert await desk.refused("GET", "/devices/srv-1/events", who="ny") == (404, "not_found")
    assert await desk.refused("GET", "/devices/no-such/events") == (404, "not_found")
    assert len((await desk.get("/devices/srv-1/events", "acme"))["items"]) == 1


@pytest.mark.parametrize(
    "place", ["", "x", "1", "nonsense y", "-1 y", "99999999999999999999 y", f"{'9' * 1400} y", "5 \0"], ids=ascii
)
async def test_a_cursor_that_nobody_was_given(desk: Desk, place: str) -> None:
    cursor = base64.urlsafe_b64encode(place.encode()).decode()
    answer = await desk.ask("GET", "/devices/srv-1/events", params={"cursor": cursor})
    assert answer.status == (200 if place == "1" else 422), answer.text
