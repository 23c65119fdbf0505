"""One contract at a time, and what held stays on record."""

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, update

from collector.contracts.scope import ContractScope
from collector.db import audit
from collector.db.database import Database
from collector.db.tables import contracts, customers, devices
from collector.fleet.agreements import Agreement, Consent
from collector.fleet.contract_terms import Held, held_at
from collector.fleet.contracts import (
    Contract,
    ContractError,
    add_contract,
    change_contract,
    contract_at,
    contracts_before,
    end_contract,
    list_contracts,
    set_plan,
)
from collector.fleet.customers import add_site
from collector.fleet.directory import load_directory
from collector.fleet.errors import FleetError, NotFoundError
from tests.db.racing import race
from tests.fleet.world import ACTOR, MODELS, NOW, after, make_customer

DAY = timedelta(days=1)
FULL = Agreement(
    number="2026-017",
    signed_on=date(2026, 2, 27),
    term_months=36,
    fee=Decimal("250.00"),
    hourly_rate=Decimal("80.50"),
    included_minutes=120,
    currency="EUR",
    sla="critical",
    support_level="24x7",
    scope=ContractScope(sites=("hq",), kinds=("server",)),
)


async def add(database: Database, agreement: Agreement = Agreement(), **changes: Any) -> Contract:  # noqa: B008
    asked: dict[str, Any] = {"customer": "acme", "plan": "monthly", "valid_from": after(days=10), "valid_to": None}
    asked["consent"] = None
    async with database.begin() as connection:
        return await add_contract(connection, MODELS, agreement=agreement, actor=ACTOR, now=NOW, **(asked | changes))


async def change(database: Database, contract: int, days: float, **changes: Any) -> Contract:
    async with database.begin() as connection:
        return await change_contract(
            connection, MODELS, contract, changes=changes, starts_at=after(days=days), actor=ACTOR, now=NOW
        )


async def end(database: Database, contract: int, days: float) -> Contract:
    async with database.begin() as connection:
        return await end_contract(connection, contract, ends_at=after(days=days), actor=ACTOR, now=NOW)


@pytest.fixture
async def acme(database: Database) -> Database:
    """A customer with a site, whose first contract ends in ten days."""
    async with database.begin() as connection:
        await make_customer(connection)
        await add_site(connection, customer="acme", site="hq", name=None, actor=ACTOR, now=NOW)
    await end(database, 1, 10)
    return database


async def test_a_contract_says_all_that_was_agreed(acme: Database) -> None:
    made = await add(acme, FULL, valid_to=after(days=40), consent=Consent("J. Jansen", "2026-03-01"))
    assert (made.agreement, made.valid_from, made.valid_to) == (FULL, after(days=10), after(days=40))
    async with acme.connect() as connection:
        directory = await load_directory(connection)
        (record,) = await audit.latest(connection, 1)
    assert directory.contract_at("acme", after(days=20)) == made
    assert directory.scope_at("acme", after(days=20)) == FULL.scope
    assert (directory.contract_at("acme", after(days=40)), directory.scope_at("acme", NOW)) == (None, None)
    assert (record.action, record.data["fee"], record.data["sla"]) == ("contracts.add", "250.00", "critical")
    assert "Jansen" not in str(record.data)


async def test_prices_stay_as_they_were_agreed_until_somebody_takes_those_of_now(database: Database) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
    monthly = MODELS["monthly"]
    was, dear = monthly.charge, monthly.charge.model_copy(update={"monthly_fee": Decimal("99.00")})
    edited = {**MODELS, "monthly": monthly.model_copy(update={"charge": dear})}

    async def changed(contract: int, days: float, changes: dict[str, Any], **more: bool) -> Contract:
        async with database.begin() as connection:
            starts_at = after(days=days)
            return await change_contract(
                connection, edited, contract, changes=changes, starts_at=starts_at, actor=ACTOR, now=NOW, **more
            )

    async with database.connect() as connection:
        assert [one.charge for one in await list_contracts(connection, "acme")] == [was]
    other = await changed(1, 10, {"number": "2026-18"})
    assert other.charge == was
    newer = await changed(other.id, 20, {}, current_prices=True)
    assert newer.charge == dear
    moved = await changed(newer.id, 30, {"plan": "managed"})
    assert moved.charge == MODELS["managed"].charge
    async with database.begin() as connection:
        again = {"customer": "acme", "plan": "managed", "starts_at": after(days=40)}
        await set_plan(connection, edited, **again, consent=None, actor=ACTOR, now=NOW)  # type: ignore[arg-type] # as named
        found = await list_contracts(connection, "acme")
    assert [one.charge for one in found] == [was, was, dear, moved.charge, moved.charge]


async def test_everything_that_is_wrong_is_told_at_once(acme: Database) -> None:
    wrong = Agreement(
        number="",
        term_months=0,
        fee=Decimal(-1),
        hourly_rate=Decimal("9.999"),
        included_minutes=-1,
        currency="EURO",
        sla="gold",
        support_level="always",
        scope=ContractScope(sites=("hq", "paris"), kinds=("toaster",), devices=("nobody",)),
    )
    with pytest.raises(ContractError) as caught:
        await add(acme, wrong, valid_from=after(days=5), valid_to=after(days=5))
    told = str(caught.value).splitlines()
    for words in (
        "sites that acme does not have: paris",
        "devices that acme does not have: nobody",
        "unknown kinds: toaster",
        "number of the document",
        "term is 1 to 600 months, not 0",
        "fee is an amount from 0",
        "hourly rate has at most two decimals, not 9.999",
        "included are 0 to",
        "no currency 'EURO'",
        "may not have the SLA 'gold'; it may have standard, critical",
        "may not have the support level 'always'; it may have 8x5",
        "before it begins",
        "contract 1 (monthly) of acme holds",
    ):
        assert sum(words in line for line in told) == 1, (words, told)
    assert len(told) == 13
    with pytest.raises(ContractError, match="in the past"):
        await add(acme, valid_from=NOW - DAY, valid_to=NOW)
    with pytest.raises(NotFoundError):
        await add(acme, customer="nobody")
    with pytest.raises(ContractError, match="names nothing covers nothing"):
        await add(acme, Agreement(scope=ContractScope()))


async def test_an_sla_belongs_to_its_model(acme: Database) -> None:
    with pytest.raises(
        ContractError, match="plan break_fix may not have the SLA 'standard'; it may have response_only"
    ):
        await add(acme, Agreement(sla="standard"), plan="break_fix")
    made = await add(acme, Agreement(sla="critical"))
    with pytest.raises(ContractError, match="may not have the SLA 'critical'"):
        await change(acme, made.id, 20, plan="break_fix")
    assert (await change(acme, made.id, 20, plan="break_fix", sla=None)).plan == "break_fix"


async def test_a_device_of_another_customer_is_in_no_scope(acme: Database) -> None:
    values = dict.fromkeys(("os", "arch", "agent_version", "instance", "hostname", "machine_id"), "x")
    async with acme.begin() as connection:
        await make_customer(connection, "other")
        for device, customer in (("ws-1", "acme"), ("ws-2", "other")):
            row = values | {"id": device, "customer": customer, "site": "hq", "kind": "desktop", "enrolled_at": NOW}
            await connection.execute(insert(devices).values(**row))
    with pytest.raises(ContractError, match="devices that acme does not have: ws-2"):
        await add(acme, Agreement(scope=ContractScope(devices=("ws-1", "ws-2"))))
    assert (await add(acme, Agreement(scope=ContractScope(devices=("ws-1",))))).agreement.scope is not None


@pytest.mark.parametrize(
    ("start", "end_day", "fits"),
    [(10, None, True), (9, None, False), (0, 10, False), (5, 6, False), (20, 30, True), (9.99, 12, False)],
)
async def test_contracts_do_not_overlap(acme: Database, start: float, end_day: float | None, fits: bool) -> None:
    until = None if end_day is None else after(days=end_day)
    if fits:
        await add(acme, valid_from=after(days=start), valid_to=until)
    else:
        with pytest.raises(ContractError, match="one at a time"):
            await add(acme, valid_from=after(days=start), valid_to=until)


async def test_who_changes_what_is_over_is_told_what_holds_instead(acme: Database) -> None:
    await change(acme, 1, 5, fee=Decimal(250))
    with pytest.raises(ContractError) as refused:
        await change(acme, 1, 6, fee=Decimal(300))
    assert str(refused.value).endswith(" UTC: what holds then is contract 2, so change that: contracts change 2 …")
    async with acme.begin() as connection:
        await end_contract(connection, 2, ends_at=after(days=7), actor=ACTOR, now=NOW)
    with pytest.raises(ContractError, match="UTC: add another with: contracts add acme"):
        await change(acme, 2, 8, fee=Decimal(300))


async def test_a_change_takes_effect_at_its_date_and_keeps_history(acme: Database) -> None:
    first = await add(acme, FULL)
    second = await change(acme, first.id, 20, fee=Decimal("275.00"))
    assert (second.id != first.id, second.valid_from, second.agreement.fee) == (True, after(days=20), Decimal("275.00"))
    assert second.agreement.sla == "critical"
    same = await change(acme, second.id, 15, term_months=None)  # it has not begun: there is nothing to keep
    assert (same.id, same.valid_from, same.agreement.term_months) == (second.id, after(days=20), None)
    async with acme.connect() as connection:
        held = [await contract_at(connection, "acme", after(days=days)) for days in (5, 15, 25)]
    assert [one and one.agreement.fee for one in held] == [None, Decimal("250.00"), Decimal("275.00")]
    with pytest.raises(ContractError, match=f"what holds then is contract {second.id}"):
        await change(acme, first.id, 20, fee=None)
    with pytest.raises(ContractError, match="in the past"):
        await change(acme, 1, -1, fee=None)


async def test_a_longer_end_does_not_reach_into_the_next_one(acme: Database) -> None:
    await add(acme, valid_to=after(days=20))
    await add(acme, valid_from=after(days=30))
    with pytest.raises(ContractError, match="holds from"):
        await change(acme, 2, 15, valid_to=after(days=31))
    assert (await change(acme, 2, 15, valid_to=after(days=30))).valid_to == after(days=30)


async def test_what_has_not_begun_never_holds_once_it_is_ended(acme: Database) -> None:
    made = await add(acme)
    ended = await end(acme, made.id, 2)
    assert ended.valid_to == ended.valid_from
    assert await end(acme, made.id, 50) == ended  # twice changes nothing
    await add(acme)  # its time is free
    async with acme.connect() as connection:
        assert [
            one.id for one in await contracts_before(connection, None, 9, customer="acme", holding_at=after(days=12))
        ] == [3]
        assert [one.id for one in await contracts_before(connection, 3, 1, customer=None, holding_at=None)] == [2]
    with pytest.raises(ContractError, match="cannot end in the past"):
        await end(acme, 3, -1)


async def test_a_plan_set_keeps_the_scope_and_with_the_same_plan_all(acme: Database) -> None:
    made = await add(acme, FULL)
    for plan, sla in (("monthly", "critical"), ("break_fix", None)):
        async with acme.begin() as connection:
            await set_plan(
                connection,
                MODELS,
                customer="acme",
                plan=plan,
                starts_at=made.valid_from + DAY,
                consent=None,
                actor=ACTOR,
                now=NOW,
            )
            found = await contract_at(connection, "acme", made.valid_from + DAY)
        assert found is not None
        assert (found.plan, found.agreement.sla, found.agreement.scope) == (plan, sla, FULL.scope)


async def test_nothing_is_agreed_with_who_is_no_longer_looked_after(acme: Database) -> None:
    async with acme.begin() as connection:
        await connection.execute(update(customers).values(ended_at=NOW))
    with pytest.raises(FleetError, match="no longer looked after"):
        await add(acme)


def add_in_a_process(url: str) -> str:
    async def work() -> str:
        async with await Database.open(url) as database:
            try:
                await add(database)
            except ContractError:
                return "refused"
            return "added"

    return asyncio.run(work())


async def test_of_many_at_once_one_contract_is_made(acme: Database, database_url: str) -> None:
    results = await asyncio.to_thread(race, add_in_a_process, [[database_url]] * 4)
    assert sorted(results) == ["added", "refused", "refused", "refused"]
    async with acme.connect() as connection:
        assert len(await list_contracts(connection, "acme")) == 2


async def test_directory_names_who_has_devices_and_no_contract(acme: Database) -> None:
    values = dict.fromkeys(("os", "arch", "agent_version", "instance", "hostname", "machine_id"), "x")
    async with acme.begin() as connection:
        row = values | {"id": "ws-1", "customer": "acme", "site": "hq", "kind": "desktop", "enrolled_at": NOW}
        await connection.execute(insert(devices).values(**row))
        await connection.execute(update(contracts).values(valid_to=after(days=1)))
        directory = await load_directory(connection)
    assert list(directory.without_contract(NOW)) == []
    assert list(directory.without_contract(after(days=1))) == ["acme"]


def test_a_plan_holds_since_it_came_whatever_else_changed() -> None:
    def contract(number: int, plan: str, begins: float, ends: float | None, customer: str = "acme") -> Contract:
        return Contract(number, customer, plan, after(days=begins), None if ends is None else after(days=ends), None)

    of_acme = [
        contract(1, "monthly", 0, 10),
        contract(2, "break_fix", 10, 20),
        contract(3, "break_fix", 20, 20),  # never held
        contract(4, "break_fix", 20, 30),  # another fee
        contract(5, "break_fix", 40, None),  # after ten days without
    ]
    found = [*of_acme, contract(6, "monthly", 5, None, "bakkerij")]
    held = {day: held_at(found, after(days=day)) for day in (5, 25, 35, 45)}
    assert [day for day, by_customer in held.items() if "acme" in by_customer] == [5, 25, 45]
    assert held[25]["acme"] == Held(of_acme[3], after(days=10))
    assert (held[5]["acme"].plan_since, held[45]["acme"].plan_since) == (after(days=0), after(days=40))
    assert {by_customer["bakkerij"].plan_since for by_customer in held.values()} == {after(days=5)}
