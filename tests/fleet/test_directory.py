from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from collector.db.database import Database
from collector.db.tables import devices
from collector.fleet.contracts import set_plan
from collector.fleet.directory import FleetDirectory, load_directory
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.roles import Role
from collector.fleet.tokens import create_access_token, list_tokens, revoke_token
from collector.series.labels import Target
from tests.fleet.world import ACTOR, MODELS, NOW, World, after, make_customer, make_token, request


async def test_the_directory_knows_devices_printers_plans_and_tokens(database: Database) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
        token = await make_token(connection)
        reader = await World().enrollment.enroll(connection, request(token), NOW)
        printer = {"id": "printer-1", "kind": "printer", "read_by": reader.device_id, "address": "192.0.2.7"}
        told = dict.fromkeys(("hostname", "machine_id", "instance", "os", "arch", "agent_version"), "")
        await connection.execute(insert(devices).values(**printer, **told, customer="acme", site="hq", enrolled_at=NOW))
        await set_plan(
            connection,
            MODELS,
            customer="acme",
            plan="break_fix",
            starts_at=after(days=1),
            consent=None,
            actor=ACTOR,
            now=NOW,
        )
        viewer = await create_access_token(
            connection,
            role=Role.VIEWER,
            customer=None,
            site=None,
            lifetime=timedelta(days=2),
            actor=ACTOR,
            now=NOW,
        )
    async with database.connect() as connection:
        directory = await load_directory(connection)
    member = directory.authenticate(reader.secret)
    assert member is not None and member.target == Target(reader.device_id, "acme", "hq", "server")
    assert [read.target.device_id for read in directory.printers_of(reader.device_id)] == ["printer-1"]
    assert directory.printers_of("printer-1") == ()
    assert (directory.plan_at("acme", NOW), directory.plan_at("acme", after(days=1))) == ("monthly", "break_fix")
    assert directory.plan_at("nobody", NOW) is None
    access = directory.access(viewer, NOW)
    assert access is not None and access.role is Role.VIEWER
    assert directory.access(viewer, after(days=2)) is None
    assert directory.access(token, NOW) is None and directory.authenticate(token) is None
    assert {target.device_id for target in directory.targets} == {reader.device_id, "printer-1"}


async def test_an_ended_device_is_no_target_and_a_revoked_token_no_access(database: Database) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
        reader = await World().enrollment.enroll(connection, request(await make_token(connection)), NOW)
        secret = await create_access_token(
            connection, role=Role.SENDER, customer="acme", site="hq", actor=ACTOR, now=NOW
        )
        await revoke_token(connection, 2, actor=ACTOR, now=NOW)
        await connection.execute(update(devices).values(ended_at=NOW))
    async with database.connect() as connection:
        directory = await load_directory(connection)
        usable = [token.is_usable(NOW) for token in await list_tokens(connection)]
    assert directory.targets == []
    assert directory.members[reader.device_id].target.customer == "acme"
    assert directory.access(secret, NOW) is None
    assert usable == [False, False]


def test_an_empty_directory_lets_nobody_in() -> None:
    assert FleetDirectory().authenticate("") is None
    assert FleetDirectory().access("", NOW) is None


@pytest.mark.parametrize(
    ("role", "customer", "site", "error"),
    [
        (Role.ENROLL, "acme", "hq", FleetError),
        (Role.SENDER, None, None, FleetError),
        (Role.RULER, "acme", None, FleetError),
        (Role.VIEWER, None, "hq", FleetError),
        (Role.VIEWER, "nobody", None, NotFoundError),
        (Role.VIEWER, "acme", "nowhere", NotFoundError),
    ],
)
async def test_access_tokens_that_make_no_sense(
    database: Database, role: Role, customer: str | None, site: str | None, error: type[FleetError]
) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
        with pytest.raises(error):
            await create_access_token(connection, role=role, customer=customer, site=site, actor=ACTOR, now=NOW)
