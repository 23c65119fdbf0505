from datetime import timedelta

import pytest

from collector.contracts import UnknownPlanError
from collector.db import audit
from collector.db.database import Database
from collector.fleet.agreements import Consent
from collector.fleet.contracts import contract_at, list_contracts, plan_at, set_plan
from collector.fleet.customers import add_site, get_customer, list_customers, list_sites, require_monitoring
from collector.fleet.errors import AlreadyExistsError, FleetError, NotFoundError
from tests.fleet.world import ACTOR, MODELS, NOW, after, make_customer

DAY = timedelta(days=1)


async def test_a_customer_has_its_plan_at_once_and_it_is_audited(database: Database) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
    async with database.connect() as connection:
        assert [customer.id for customer in await list_customers(connection)] == ["acme"]
        assert await plan_at(connection, "acme", NOW) == "monthly"
        assert await plan_at(connection, "acme", NOW - DAY) is None
        (record,) = await audit.latest(connection, 10)
    assert (record.actor, record.action, record.subject) == (ACTOR, "customers.add", "acme")


async def test_a_change_of_plan_keeps_history_and_consent(database: Database) -> None:
    async with database.begin() as connection:
        await make_customer(connection, plan="break_fix", consent="J. Jansen, 2026-03-01")
        for plan, days in (("monthly", 10), ("break_fix", 30), ("monthly", 20)):
            await set_plan(
                connection,
                MODELS,
                customer="acme",
                plan=plan,
                starts_at=after(days=days),
                consent=None,
                actor=ACTOR,
                now=NOW,
            )
    async with database.connect() as connection:
        held = [(found.plan, found.valid_from, found.valid_to) for found in await list_contracts(connection)]
        latest = await contract_at(connection, "acme", after(days=25))
    assert held == [
        ("break_fix", NOW, after(days=10)),
        ("monthly", after(days=10), after(days=20)),
        ("monthly", after(days=20), None),
    ]
    assert latest is not None and latest.consent == Consent("J. Jansen", "2026-03-01")


async def test_what_cannot_be_is_refused(database: Database) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
    async with database.connect() as connection:
        with pytest.raises(NotFoundError, match="customers add"):
            await get_customer(connection, "other")
        with pytest.raises(AlreadyExistsError):
            await make_customer(connection)
        with pytest.raises(UnknownPlanError, match="monthly, break_fix"):
            await make_customer(connection, "other", plan="yearly")
        with pytest.raises(FleetError, match="'acme-b-v'"):
            await make_customer(connection, "Acme B.V.")
        with pytest.raises(FleetError, match="in the past"):
            await set_plan(
                connection,
                MODELS,
                customer="acme",
                plan="monthly",
                starts_at=NOW - DAY,
                consent=None,
                actor=ACTOR,
                now=NOW,
            )
        with pytest.raises(FleetError, match="no contract now"):
            await require_monitoring(connection, MODELS, "acme", NOW - DAY)


@pytest.mark.parametrize("text", ["", "J. Jansen", ", 2026-03-01", "J. Jansen,", "x" * 201 + ", 2026"])
def test_a_consent_names_who_and_when(text: str) -> None:
    with pytest.raises(FleetError):
        Consent.parse(text)


async def test_sites_have_a_time_zone(database: Database) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
        await add_site(
            connection, customer="acme", site="hq", name="Head office", time_zone="Europe/London", actor=ACTOR, now=NOW
        )
        with pytest.raises(AlreadyExistsError):
            await add_site(connection, customer="acme", site="hq", name=None, actor=ACTOR, now=NOW)
        with pytest.raises(FleetError, match="Europe/Amsterdam"):
            await add_site(
                connection, customer="acme", site="x", name=None, time_zone="../etc/passwd", actor=ACTOR, now=NOW
            )
        (site,) = await list_sites(connection, "acme")
    assert (site.id, site.name, site.time_zone) == ("hq", "Head office", "Europe/London")
