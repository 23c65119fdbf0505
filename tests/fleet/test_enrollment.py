import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from sqlalchemy import select

from collector.db.database import Database
from collector.db.revisions import revisions
from collector.db.tables import devices, tokens
from collector.fleet.devices import DeviceStatus, end_device, get_device, list_devices, revoke_device, save_last_seen
from collector.fleet.directory import load_directory
from collector.fleet.enrollment import (
    DeviceRevokedError,
    Enrollment,
    EnrollmentError,
    EnrollOutcome,
    TokenExpiredError,
    TokenUsedUpError,
    TooManyDevicesError,
    UnknownTokenError,
)
from collector.fleet.errors import ConsentMissingError, FleetError
from collector.fleet.roles import Role
from collector.fleet.tokens import create_access_token, create_enrollment_token, revoke_token
from protocol.wire import Kind
from tests.db.racing import race
from tests.fleet.world import ACTOR, MODELS, NOW, World, after, make_customer, make_token, request


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def token(database: Database) -> AsyncIterator[str]:
    async with database.begin() as connection:
        await make_customer(connection)
        made = await make_token(connection)
    yield made


async def enroll(database: Database, world: World, token: str, now: datetime = NOW, **changes: object) -> EnrollOutcome:
    async with database.begin() as connection:
        return await world.enrollment.enroll(connection, request(token, **changes), now)


async def uses_left(database: Database) -> list[int | None]:
    async with database.connect() as connection:
        return list(await connection.scalars(select(tokens.c.uses_left).order_by(tokens.c.id)))


async def test_an_agent_gets_a_device_of_the_tokens_kind(database: Database, world: World, token: str) -> None:
    before = NOW
    outcome = await enroll(database, world, token)
    assert (outcome.device_id, outcome.is_new, outcome.possible_clone_of) == ("ws-reception-0001", True, None)
    assert outcome.secret not in repr(outcome)
    async with database.connect() as connection:
        device = await get_device(connection, outcome.device_id)
        directory = await load_directory(connection)
    assert (device.customer, device.site, device.kind, device.hostname) == ("acme", "hq", "server", "WS-Reception")
    assert device.enrolled_at == before
    member = directory.authenticate(outcome.secret)
    assert member is not None and member.status is DeviceStatus.ACTIVE
    assert await uses_left(database) == [0]


async def test_nothing_secret_is_stored(database: Database, world: World, token: str) -> None:
    outcome = await enroll(database, world, token)
    async with database.connect() as connection:
        stored = [*await connection.scalars(select(devices.c.secret_hash))]
        stored += [*await connection.scalars(select(tokens.c.secret_hash))]
    assert token not in stored and outcome.secret not in stored
    assert all(len(value) == 64 for value in stored)


async def test_a_repeat_uses_nothing_up_and_gives_a_new_secret(database: Database, world: World, token: str) -> None:
    first = await enroll(database, world, token)
    again = await enroll(database, world, token, after(minutes=1))
    assert (again.device_id, again.is_new) == (first.device_id, False)
    assert again.secret != first.secret
    async with database.connect() as connection:
        directory = await load_directory(connection)
    assert directory.authenticate(first.secret) is None
    assert directory.authenticate(again.secret) is not None


async def test_another_machine_finds_the_token_used_up(database: Database, world: World, token: str) -> None:
    await enroll(database, world, token)
    with pytest.raises(TokenUsedUpError) as caught:
        await enroll(database, world, token, machine_id="m-2")
    assert caught.value.error == "token_used_up"
    async with database.connect() as connection:
        assert len(await list_devices(connection)) == 1


@pytest.mark.parametrize(
    ("changes", "minutes_silent", "is_same"),
    [
        ({}, 5, True),
        ({}, 4, False),  # the old one still pushes: this is another machine from the same image
        ({"hostname": "renamed"}, 5, True),  # the serial number agrees
        ({"serial": "SN2"}, 5, True),  # the hostname agrees
        ({"hostname": "renamed", "serial": "SN2"}, 5, False),
        ({"hostname": "renamed", "serial": None}, 5, False),
    ],
)
async def test_clones_are_told_from_repeats(
    database: Database, world: World, changes: dict[str, object], minutes_silent: int, is_same: bool
) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
        many = await make_token(connection, uses=5)
    first = await enroll(database, world, many)
    world.received[first.device_id] = after(hours=1)
    second = await enroll(database, world, many, after(hours=1, minutes=minutes_silent), **changes)
    assert second.is_new is not is_same
    assert second.possible_clone_of == (None if is_same else first.device_id)
    assert await uses_left(database) == [4 if is_same else 3]


async def test_serial_numbers_that_stand_for_none_prove_nothing(database: Database, world: World) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
        many = await make_token(connection, uses=5)
    await enroll(database, world, many, serial="To be filled by O.E.M.")
    clone = await enroll(database, world, many, hostname="other", serial="To be filled by O.E.M.")
    assert clone.is_new and clone.possible_clone_of is not None


async def test_without_a_living_memory_the_database_tells_silence(database: Database, world: World, token: str) -> None:
    first = await enroll(database, world, token)
    async with database.begin() as connection:
        await save_last_seen(connection, {first.device_id: after(minutes=9)})
        fresh = await make_token(connection)
    assert (await enroll(database, world, fresh, after(minutes=10))).possible_clone_of == first.device_id


async def test_another_instance_or_customer_is_another_device(database: Database, world: World, token: str) -> None:
    await enroll(database, world, token)
    async with database.begin() as connection:
        await make_customer(connection, "other")
        same_customer = await make_token(connection)
        other_customer = await make_token(connection, "other")
    for made, instance in ((same_customer, "i-2"), (other_customer, "i-1")):
        outcome = await enroll(database, world, made, instance=instance)
        assert outcome.is_new and outcome.possible_clone_of is None


async def test_a_new_token_may_move_the_machine_to_another_site(database: Database, world: World, token: str) -> None:
    first = await enroll(database, world, token)
    async with database.begin() as connection:
        moved = await make_token(connection, site="branch")
    again = await enroll(database, world, moved, after(hours=1), hostname="ws-front")
    async with database.connect() as connection:
        device = await get_device(connection, first.device_id)
    assert again.device_id == first.device_id
    assert (device.site, device.hostname, device.enrolled_at) == ("branch", "ws-front", NOW)


async def test_tokens_that_do_not_let_in(database: Database, world: World, token: str) -> None:
    async with database.begin() as connection:
        viewer = await create_access_token(connection, role=Role.VIEWER, customer=None, site=None, actor=ACTOR, now=NOW)
    for secret in ("guessed", viewer):
        with pytest.raises(UnknownTokenError) as unknown:
            await enroll(database, world, secret)
        assert unknown.value.error == "unauthorized"
    with pytest.raises(TokenExpiredError) as expired:
        await enroll(database, world, token, after(days=7))
    assert expired.value.error == "token_expired"
    async with database.begin() as connection:
        await revoke_token(connection, 1, actor=ACTOR, now=NOW)
    with pytest.raises(UnknownTokenError):
        await enroll(database, world, token)


async def test_a_revoked_device_comes_back_only_by_a_newer_token(database: Database, world: World) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
        old = await make_token(connection, uses=9)
    first = await enroll(database, world, old)
    async with database.begin() as connection:
        await revoke_device(connection, first.device_id, actor=ACTOR, now=after(hours=1))
    async with database.begin() as connection:
        directory = await load_directory(connection)
        member = directory.authenticate(first.secret)
        assert member is not None and member.status is DeviceStatus.REVOKED
        new = await make_token(connection, now=after(hours=2))
    with pytest.raises(DeviceRevokedError):
        await enroll(database, world, old, after(hours=2))
    again = await enroll(database, world, new, after(hours=2))
    assert (again.device_id, again.is_new) == (first.device_id, False)


async def test_an_ended_device_is_not_given_back(database: Database, world: World, token: str) -> None:
    first = await enroll(database, world, token)
    async with database.begin() as connection:
        await end_device(connection, first.device_id, actor=ACTOR, now=NOW)
        fresh = await make_token(connection)
        directory = await load_directory(connection)
    member = directory.authenticate(first.secret)
    assert member is not None and member.status is DeviceStatus.ENDED
    second = await enroll(database, world, fresh, after(hours=1))
    assert second.is_new and second.possible_clone_of is None


async def test_break_fix_enrols_only_with_consent(database: Database, world: World) -> None:
    async with database.begin() as connection:
        await make_customer(connection, plan="break_fix")
        with pytest.raises(ConsentMissingError, match="--monitoring-consent"):
            await make_token(connection)
    async with database.begin() as connection:
        await make_customer(connection, "agreed", plan="break_fix", consent="J. Jansen, 2026-03-01")
        token = await make_token(connection, "agreed")
    assert (await enroll(database, world, token)).is_new


async def test_what_the_plan_does_not_watch_is_given_no_token_and_let_in_no_more(database: Database) -> None:
    hybrid = MODELS["hybrid"]
    models = {**MODELS, "hybrid": hybrid.model_copy(update={"monitored": (Kind.SERVER,)})}
    async with database.begin() as connection:
        await make_customer(connection, plan="hybrid", consent="J. Jansen, 2026-03-01")
        asked = {"customer": "acme", "site": "hq", "uses": 1, "actor": ACTOR, "now": NOW}
        server = await create_enrollment_token(connection, models, kind=Kind.SERVER, **asked)  # type: ignore[arg-type] # as named
        with pytest.raises(FleetError, match="under which no laptop is watched: it watches server; see 'monitored'"):
            await create_enrollment_token(connection, models, kind=Kind.LAPTOP, **asked)  # type: ignore[arg-type] # as named
    nothing = {**MODELS, "hybrid": hybrid.model_copy(update={"monitored": ()})}
    for known, error in ((models, None), (nothing, "under which no server is watched: it watches nothing")):
        enrollment = Enrollment(known, World().received.get, 100, lambda: "0001")
        async with database.begin() as connection:
            if error is None:
                assert (await enrollment.enroll(connection, request(server), NOW)).is_new
            else:
                with pytest.raises(FleetError, match=error):
                    await enrollment.enroll(connection, request(server), NOW)


async def test_names_that_are_taken_are_left_and_their_number_is_bounded(database: Database) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
        many = await make_token(connection, uses=9)
    suffixes = iter(["aaaa", "aaaa", "bbbb"])
    world = World()
    world.enrollment = type(world.enrollment)(MODELS, world.received.get, 2, lambda: next(suffixes))
    names = [(await enroll(database, world, many, machine_id=f"m-{i}")).device_id for i in range(2)]
    assert names == ["ws-reception-aaaa", "ws-reception-bbbb"]
    with pytest.raises(TooManyDevicesError):
        await enroll(database, world, many, machine_id="m-3")
    assert await uses_left(database) == [7]


async def test_a_hostile_hostname_does_no_harm(database: Database, world: World, token: str) -> None:
    outcome = await enroll(database, world, token, hostname="\x1b[31m\x00Ünïcode; DROP TABLE", machine_id="m\x00")
    assert outcome.device_id == "31m-unicode-drop-table-0001"
    async with database.connect() as connection:
        assert (await get_device(connection, outcome.device_id)).hostname == "[31mÜnïcode; DROP TABLE"


async def test_each_enrolment_tells_serve(database: Database, world: World, token: str) -> None:
    async with database.connect() as connection:
        before = (await revisions(connection))["fleet"]
    await enroll(database, world, token)
    async with database.connect() as connection:
        assert (await revisions(connection))["fleet"] == before + 1


async def enroll_alone(url: str, token: str, machine: str) -> str:
    async with await Database.open(url) as database:
        try:
            return (await enroll(database, World(), token, machine_id=machine, hostname=machine)).device_id
        except EnrollmentError as exc:
            return exc.error


def enroll_in_a_process(url: str, token: str, machine: str) -> str:
    return asyncio.run(enroll_alone(url, token, machine))


@pytest.mark.slow
async def test_of_two_processes_with_a_one_use_token_one_wins(
    database: Database, database_url: str, token: str
) -> None:
    calls = [(database_url, token, "one"), (database_url, token, "two")]
    outcomes = await asyncio.to_thread(race, enroll_in_a_process, calls)
    assert sorted(outcomes) in (["one-0001", "token_used_up"], ["token_used_up", "two-0001"])
    async with database.connect() as connection:
        assert len(await list_devices(connection)) == 1
