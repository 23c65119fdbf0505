"""Which windows are open is kept between evaluations, and agrees with what a look at all of them tells."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from collector.db.database import Database
from collector.fleet.customers import add_customer
from collector.incidents.open_windows import OpenWindows
from collector.incidents.windows import Scope, Window, add_window, change_window, end_window, list_windows
from tests.db.fixtures import counting_statements
from tests.incidents.world import MODELS

BEGIN = datetime(2026, 3, 20, 12, tzinfo=UTC)  # summer time begins nine days later
HOUR = timedelta(hours=1)
KINDS = [  # local start, how long, and how often
    ("2026-03-21T22:00", 2 * HOUR, None),
    ("2026-03-21T02:30", HOUR, "FREQ=DAILY"),
    ("2026-03-20T18:00", 36 * HOUR, "FREQ=DAILY"),  # the next one opens before the last one ends
    ("2026-03-22T01:00", 6 * HOUR, "FREQ=WEEKLY;BYDAY=SU"),
    ("2026-03-21T00:00", 24 * HOUR, "FREQ=MONTHLY;BYDAY=1MO"),
    ("2026-03-25T09:00", HOUR, "FREQ=DAILY;COUNT=3"),
]


async def add(database: Database, customer: str, kind: tuple[str, timedelta, str | None]) -> int:
    starts_local, length, recurrence = kind
    async with database.begin() as connection:
        return await add_window(
            connection,
            scope=Scope(customer),
            starts_local=datetime.fromisoformat(starts_local),
            length=length,
            recurrence=recurrence,
            time_zone="Europe/Amsterdam",
            author="anna",
            reason="patches",
            now=BEGIN,
        )


def test_a_window_that_ends_later_still_has_its_next_start() -> None:
    first = datetime(2026, 3, 22, 1, tzinfo=UTC)
    weekly = Window(
        1,
        Scope("acme"),
        datetime(2026, 3, 22, 2),  # noqa: DTZ001 - the clock on the wall
        "Europe/Amsterdam",
        HOUR,
        "FREQ=WEEKLY;BYDAY=SU",
        "anna",
        "patches",
        BEGIN,
        ended_at=first + timedelta(days=1),
    )
    assert (weekly.next_start(BEGIN), weekly.next_start(first)) == (first, None)
    assert replace(weekly, ended_at=first).next_start(BEGIN) is None


@pytest.fixture
async def customers(database: Database) -> list[str]:
    names = ["acme", "bakkerij"]
    async with database.begin() as connection:
        for name in names:
            await add_customer(
                connection, MODELS, customer=name, name=name, plan="monthly", consent=None, actor="anna", now=BEGIN
            )
    return names


async def open_ones(database: Database, kept: OpenWindows, at: datetime) -> dict[str, list[int]]:
    async with database.connect() as connection:
        return {customer: [one.id for one in some] for customer, some in (await kept.at(connection, at)).items()}


def looked_up(every: list[Window], at: datetime) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for one in every:
        if one.open_at(at):
            found.setdefault(one.scope.customer, []).append(one.id)
    return found


async def test_it_agrees_with_a_look_at_all_at_any_time(database: Database, customers: list[str]) -> None:
    for customer in customers:
        for kind in KINDS:
            await add(database, customer, kind)
    async with database.begin() as connection:
        await end_window(connection, 2, actor="anna", now=BEGIN + timedelta(days=8, minutes=7))
        every = await list_windows(connection)
    kept, at = OpenWindows(), BEGIN
    random = Random(1)  # noqa: S311 - steps of time, and no secret
    seen = set()
    for _ in range(200):
        at += timedelta(minutes=random.choice([1, 5, 45, 300, 700, 700, -30, -400]))
        found = await open_ones(database, kept, at)
        assert found == looked_up(every, at), at
        seen |= {number for some in found.values() for number in some}
    assert seen == set(range(1, 13))


async def test_windows_are_read_again_only_when_one_was_changed(database: Database, customers: list[str]) -> None:
    for _ in range(20):
        await add(database, customers[0], KINDS[1])
    kept, at = OpenWindows(), BEGIN + timedelta(hours=13)  # 02:00 on the wall
    await open_ones(database, kept, at)
    async with counting_statements(database) as statements:
        assert len((await open_ones(database, kept, at + HOUR))[customers[0]]) == 20
    assert len([one for one in statements if "maintenance_windows" in one]) == 0
    async with database.begin() as connection:
        await end_window(connection, 1, actor="anna", now=at)
        await change_window(connection, 2, length=timedelta(minutes=10), actor="anna", now=at)
    later = await add(database, customers[1], KINDS[1])
    now_open = await open_ones(database, kept, at + HOUR)
    assert now_open == {customers[0]: list(range(3, 21)), customers[1]: [later]}
