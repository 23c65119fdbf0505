"""Technicians, their hours, days off, and who is on call."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from collector.db import audit
from collector.db.database import Database
from collector.db.tables import customers, sites
from collector.desk.on_call import Rota, Shift, add_rota, add_shift, coverage, list_shifts, remove_shift
from collector.desk.technicians import (
    NameTakenError,
    NoTechnicianError,
    Profile,
    TechnicianError,
    add_absence,
    add_technician,
    change_technician,
    end_absences,
    get_technician,
    list_absences,
    list_technicians,
)
from collector.desk.working_hours import Span, hours_of, next_at_work

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  # a Monday, 09:00 in Amsterdam
OFFICE = hours_of("Mon-Fri 08:00-12:00, Mon-Fri 13:00-17:00", "Europe/Amsterdam", "NL")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(name="database")
async def database_with_a_customer(database: Database) -> AsyncIterator[Database]:
    async with database.begin() as connection:
        await connection.execute(insert(customers).values(id="acme", name="Acme BV", created_at=NOW))
        await connection.execute(insert(sites).values(customer="acme", id="hq", name="HQ", created_at=NOW))
    yield database


async def add(database: Database, technician: str, **more: object) -> None:
    async with database.begin() as connection:
        profile = Profile(technician.title(), **more)  # type: ignore[arg-type]  # as each test names them
        await add_technician(connection, technician, profile, actor="eve", now=NOW)


async def test_a_technician_is_kept_as_told_and_changes_field_by_field(database: Database) -> None:
    await add(database, "anna", skills=("printers", "network"), serves=("acme/hq",), groups=("second-line",))
    async with database.begin() as connection:
        await change_technician(connection, "anna", {"skills": (), "max_open": 5}, actor="eve", now=NOW)
        await change_technician(connection, "anna", {"max_open": 5}, actor="eve", now=NOW)  # nothing new
    async with database.connect() as connection:
        anna = await get_technician(connection, "anna")
        assert (anna.name, anna.skills, anna.serves, anna.groups) == ("Anna", (), ("acme/hq",), ("second-line",))
        assert (anna.max_open, anna.created_at, anna.left_at) == (5, NOW, None)
        assert [one.id for one in await list_technicians(connection)] == ["anna"]
        changed, added = await audit.latest(connection, 10)
    assert (added.action, changed.action, changed.subject) == ("technicians.add", "technicians.change", "anna")
    assert changed.data == {
        "to": {"skills": [], "max_open": 5},
        "from": {"skills": ["network", "printers"], "max_open": 20},
    }


async def test_every_problem_is_told_at_once(database: Database) -> None:
    with pytest.raises(TechnicianError) as caught:
        await add(
            database,
            "anna",
            email="anna@example.com\r\nBcc: all@example.com",
            language="fr",
            skills=("Printers",),
            serves=("acme/hq/x",),
            hours="always",
            max_open=0,
        )
    told = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in told] == ["email", "language", "skills", "serves", "hours", "max_open"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"serves": ("nobody",)}, "there is no customer nobody"),
        ({"serves": ("acme/ny",)}, "there is no site acme/ny"),
        ({"time_zone": "Mars/Olympus"}, "no time zone"),
        ({"holidays": "XX"}, "no holidays are known"),
        ({"groups": ("bob",)}, "is a technician"),
    ],
)
async def test_what_does_not_exist_is_refused(database: Database, more: dict[str, object], message: str) -> None:
    await add(database, "bob")
    with pytest.raises(TechnicianError, match=message):
        await add(database, "anna", **more)


async def test_a_name_is_one_technician_or_one_group(database: Database) -> None:
    await add(database, "anna", groups=("second-line",))
    for name in ("anna", "second-line"):
        with pytest.raises(NameTakenError):
            await add(database, name)
    async with database.begin() as connection:
        with pytest.raises(NoTechnicianError):
            await get_technician(connection, "nobody")


async def test_days_off_end_when_the_technician_is_back(database: Database) -> None:
    await add(database, "anna")
    async with database.begin() as connection:
        holiday = Span(NOW + timedelta(days=30), NOW + timedelta(days=40))
        await add_absence(connection, "anna", Span(NOW, at("2026-03-04T00:00")), reason="ill", actor="eve", now=NOW)
        await add_absence(connection, "anna", holiday, reason="holiday", actor="eve", now=NOW)
        assert await end_absences(connection, "anna", actor="eve", now=NOW + timedelta(hours=5)) == 1
        assert await end_absences(connection, "anna", actor="eve", now=NOW + timedelta(hours=5)) == 0
        assert [one.ends_at for one in await list_absences(connection)] == [NOW + timedelta(hours=5), holiday.ends_at]
        assert [one.reason for one in await list_absences(connection, not_over_at=NOW + timedelta(days=1))] == [
            "holiday"
        ]
        for wrong in (Span(NOW, NOW), Span(NOW - timedelta(days=2), NOW - timedelta(days=1))):
            with pytest.raises(TechnicianError):
                await add_absence(connection, "anna", wrong, reason="ill", actor="eve", now=NOW)


def test_when_a_technician_is_next_at_work() -> None:
    week = timedelta(days=7)

    def next_at(since: str, *away: tuple[str, str], until: timedelta = week) -> datetime | None:
        spans = [Span(at(start), at(end)) for start, end in away]
        return next_at_work(OFFICE, spans, at(since), at(since) + until)

    assert next_at("2026-03-02T08:00") == at("2026-03-02T08:00")
    assert next_at("2026-03-02T11:30") == at("2026-03-02T12:00")  # lunch
    assert next_at("2026-03-06T17:00") == at("2026-03-09T07:00")  # the weekend
    assert next_at("2026-03-27T17:00") == at("2026-03-30T06:00")  # summer time began
    assert next_at("2026-04-24T17:00") == at("2026-04-28T06:00")  # King's Day is a Monday
    assert next_at("2026-03-06T17:00", until=timedelta(hours=48)) is None
    assert next_at("2026-03-02T08:00", ("2026-03-02T07:00", "2026-03-02T09:15")) == at("2026-03-02T09:15")
    assert next_at("2026-03-02T08:00", ("2026-03-02T07:00", "2026-03-02T11:00")) == at("2026-03-02T12:00")


def test_a_rota_is_handed_over_at_one_local_time_in_summer_and_winter() -> None:
    rota = Rota(("anna", "bob"), date(2026, 3, 16), 7, 4, time(9), "Europe/Amsterdam")
    spans = list(rota.spans())
    assert [technician for technician, _ in spans] == ["anna", "bob", "anna", "bob"]
    assert [span.starts_at.hour for _, span in spans] == [8, 8, 7, 7]  # UTC
    assert all(first.ends_at == second.starts_at for (_, first), (_, second) in pairwise(spans))


async def test_gaps_and_overlaps_of_shifts(database: Database) -> None:
    await add(database, "anna")
    await add(database, "bob")
    rota = Rota(("anna", "bob"), date(2026, 3, 2), 1, 2, time(18), "Europe/Amsterdam")
    async with database.begin() as connection:
        first, second = await add_rota(connection, rota, actor="eve", now=NOW)
        late = await add_shift(
            connection, "anna", Span(at("2026-03-05T17:00"), at("2026-03-06T17:00")), actor="eve", now=NOW
        )
        double = await add_shift(
            connection, "bob", Span(at("2026-03-06T07:00"), at("2026-03-06T09:00")), actor="eve", now=NOW
        )
        found = coverage(await list_shifts(connection))
        assert found.gaps == (Span(at("2026-03-04T17:00"), at("2026-03-05T17:00")),)
        assert [(one.id, other.id) for one, other in found.overlaps] == [(late, double)]
        await remove_shift(connection, double, actor="eve", now=NOW)
        assert [one.id for one in await list_shifts(connection, starts_by=at("2026-03-03T17:00"))] == [first, second]
        assert coverage(await list_shifts(connection)).overlaps == ()
        with pytest.raises(NoTechnicianError):
            await remove_shift(connection, double, actor="eve", now=NOW)
        with pytest.raises(TechnicianError, match="is over"):
            await add_rota(connection, rota, actor="eve", now=NOW + timedelta(days=9))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=8))
def test_coverage_agrees_with_a_look_at_every_hour(spans: list[tuple[int, int]]) -> None:
    shifts = [
        Shift(number, "anna", NOW + timedelta(hours=start), NOW + timedelta(hours=start + length), "eve")
        for number, (start, length) in enumerate(spans)
    ]
    found = coverage(shifts)
    hours = range(min(start for start, _ in spans), max(start + length for start, length in spans))
    for hour in hours:
        now = NOW + timedelta(hours=hour)
        on_call = sum(shift.span.holds(now) for shift in shifts)
        assert any(gap.holds(now) for gap in found.gaps) == (on_call == 0)
        assert any(first.span.holds(now) and second.span.holds(now) for first, second in found.overlaps) == (
            on_call > 1
        )
