"""Silences, windows and thresholds page by page: who sees what, and in which state it is."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from collector.alerting.matching import parse_matchers
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.db.tables import devices, maintenance_windows, silences, thresholds
from collector.fleet.customers import add_customer
from collector.fleet.layers import Layer
from collector.fleet.thresholds import list_thresholds, thresholds_before
from collector.incidents.silences import SilenceState, silences_before
from collector.incidents.windows import list_windows, windows_before

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUOTED = 'site="h\\"q é"'


async def found_silences(
    database: Database, state: SilenceState | None, bearing: Sequence[str], limit: int = 2
) -> list[int]:
    found: list[int] = []
    async with database.connect() as connection:
        while True:
            page = await silences_before(
                connection,
                found[-1] if found else None,
                limit,
                now=NOW,
                state=state,
                bearing=parse_matchers(bearing) if bearing else (),
            )
            found += [one.id for one in page]
            if len(page) < limit:
                return found


async def test_silences_by_state_and_by_what_they_are_bound_to(database: Database) -> None:
    times = [(-2, -1), (-1, 0), (-1, 1), (0, 1), (1, 2)]  # hours from now: two ended, two in force, one to come
    bound = [['customer="acme"'], ['customer="acme"', QUOTED], ['customer="acme", site="hq"']]
    rows = [
        {
            "matchers": matchers,
            "starts_at": NOW + start * HOUR,
            "ends_at": NOW + end * HOUR,
            "author": "anna",
            "comment": "x",
            "created_at": NOW,
        }
        for matchers in bound[:2]
        for start, end in times
    ]
    async with database.begin() as connection:
        await connection.execute(insert(silences), rows)
    ended, in_force, to_come = SilenceState.ENDED, SilenceState.IN_FORCE, SilenceState.TO_COME
    assert await found_silences(database, ended, []) == [7, 6, 2, 1]
    assert await found_silences(database, in_force, []) == [9, 8, 4, 3]
    assert await found_silences(database, to_come, []) == [10, 5]
    assert await found_silences(database, None, ['customer="acme"']) == [10, 9, 8, 5, 4, 3]
    assert await found_silences(database, None, ['customer="acme"', QUOTED]) == [10, 9, 8]
    assert await found_silences(database, None, ['customer="acm"']) == []
    async with database.connect() as connection:
        for state in (ended, in_force, to_come):
            page = await silences_before(connection, None, 100, now=NOW, state=state)
            assert {one.state(NOW) for one in page} == {state}


async def with_devices(database: Database) -> None:
    async with database.begin() as connection:
        for customer in ("acme", "bakkerij"):
            await add_customer(
                connection,
                load_service_models(),
                customer=customer,
                name=customer,
                plan="monthly",
                consent=None,
                actor="test",
                now=NOW,
            )
        values = dict.fromkeys(("os", "arch", "agent_version", "instance", "hostname", "machine_id"), "x")
        values |= {"kind": "server"}
        for name, customer, site in (("a-hq", "acme", "hq"), ("a-ny", "acme", "ny"), ("b-hq", "bakkerij", "hq")):
            row = {**values, "id": name, "customer": customer, "site": site, "enrolled_at": NOW}
            await connection.execute(insert(devices).values(row))


async def test_windows_by_place_and_those_that_are_over(database: Database) -> None:
    await with_devices(database)
    places: list[tuple[str, str | None, str | None]] = [
        ("acme", None, None),
        ("acme", "hq", None),
        ("acme", None, "a-ny"),
        ("bakkerij", "hq", None),
        ("bakkerij", None, "b-hq"),
    ]
    row: dict[str, object] = {
        "tag": None,
        "time_zone": "Pacific/Auckland",
        "duration_seconds": 3600,
        "author": "anna",
        "reason": "x",
    }
    row |= {"created_at": NOW, "recurrence": None, "starts_local": "2026-03-02T22:30:00", "ended_at": None}
    long_ago = row | {"customer": "acme", "site": None, "device": None, "starts_local": "2025-12-01T10:00:00"}
    rows = [row | {"customer": customer, "site": site, "device": device} for customer, site, device in places]
    rows += [long_ago, long_ago | {"recurrence": "FREQ=WEEKLY"}, rows[0] | {"ended_at": NOW}]
    async with database.begin() as connection:
        await connection.execute(insert(maintenance_windows), rows)

    async def found(**wanted: object) -> list[int]:
        async with database.connect() as connection:
            page = await windows_before(connection, None, 100, **({"not_ended_at": None} | wanted))  # type: ignore[arg-type] # as each line names them
            return [one.id for one in page]

    assert await found() == [8, 7, 6, 5, 4, 3, 2, 1]
    assert await found(not_ended_at=NOW) == [7, 6, 5, 4, 3, 2, 1]
    assert await found(customer="bakkerij") == [5, 4]
    assert await found(within=("acme", None)) == [8, 7, 6, 3, 2, 1]
    assert await found(within=("acme", "hq")) == [2]
    assert await found(within=("acme", "ny")) == [3]
    async with database.connect() as connection:
        assert [one.id for one in await windows_before(connection, 5, 2, not_ended_at=NOW)] == [4, 3]
        may_open = await list_windows(connection, open_after=NOW)
        assert [one.id for one in may_open] == [1, 2, 3, 4, 5, 7]
        every = await list_windows(connection)
    hours = [NOW + number * HOUR for number in range(24 * 8)]
    opens = {one.id for one in every if any(one.open_at(at) for at in hours)}
    assert opens <= {one.id for one in may_open}  # nothing that opens is left out


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        (None, [7, 6, 5, 4, 3, 2]),
        (("acme", None), [7, 5, 3, 2]),
        (("acme", "hq"), [5, 3]),
        (("acme", "ny"), [7]),
        (("acm", None), []),
        (("bakkerij", None), [6]),
    ],
)
async def test_thresholds_by_place(
    database: Database, within: tuple[str, str | None] | None, expected: list[int]
) -> None:
    await with_devices(database)
    places = [
        (Layer.CUSTOMER, "acme", NOW),  # holds no longer
        (Layer.CUSTOMER, "acme", None),
        (Layer.SITE, "acme/hq", None),
        (Layer.PLAN, "monthly", None),
        (Layer.DEVICE, "a-hq", None),
        (Layer.DEVICE, "b-hq", None),
        (Layer.DEVICE, "a-ny", None),
    ]
    row: dict[str, object] = {"name": "cpu_busy", "value": 0.5, "valid_from": NOW - HOUR, "set_by": "anna"}
    rows = [row | {"layer": layer, "subject": subject, "valid_to": end} for layer, subject, end in places]
    async with database.begin() as connection:
        await connection.execute(insert(thresholds), rows)
    async with database.connect() as connection:
        found = await thresholds_before(connection, None, 100, since=NOW, within=within)
        assert [one.id for one in found] == expected
        assert await thresholds_before(connection, None, 100, name="disk_full", within=within) == []
        if within is None:
            assert [one.id for one in await thresholds_before(connection, 5, 2)] == [4, 3]
            assert len(await list_thresholds(connection, name="cpu_busy")) == 7
