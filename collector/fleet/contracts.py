"""Contracts: which plan holds for a customer from when to when, and what was agreed beside it. One holds at a time, and
what held stays on record."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Charge, ServiceModel, ServiceModels, model_named
from collector.contracts.scope import ContractScope
from collector.db import audit
from collector.db.revisions import Topic, bump
from collector.db.tables import contracts, customers, devices, sites
from collector.fleet.agreements import AS_THE_MODEL_SAYS, MAX_SCOPE_NAMES, Agreement, Consent, problems_of
from collector.fleet.contract_reading import (
    CONTRACTS,
    Contract,
    contract_at,
    contracts_at,
    contracts_before,
    contracts_between,
    contracts_of,
    get_contract,
    list_contracts,
    plan_at,
    to_contract,
)
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.following import move_plans, release_plans

# What is read of contracts stands in a module of its own; to callers it is one thing with what is done to them.
__all__ = [
    "Contract",
    "ContractError",
    "add_contract",
    "change_contract",
    "contract_at",
    "contracts_at",
    "contracts_before",
    "contracts_between",
    "contracts_of",
    "end_contract",
    "first_contract",
    "get_contract",
    "insert_contract",
    "list_contracts",
    "lock_customer",
    "plan_at",
    "set_plan",
]


EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # that a contract may have begun


class ContractError(FleetError):
    """A contract cannot be as it was asked for; the message names each problem on a line of its own."""


async def add_contract(
    connection: AsyncConnection,
    models: ServiceModels,
    *,
    customer: str,
    plan: str,
    agreement: Agreement,
    consent: Consent | None,
    valid_from: datetime,
    valid_to: datetime | None,
    actor: str,
    now: datetime,
) -> Contract:
    """A contract for a time in which no other holds.

    Raises NotFoundError, UnknownPlanError, or ContractError with all that is wrong with it."""
    await lock_customer(connection, customer)
    model = model_named(models, plan)
    problems = [problem async for problem in _unknown_places(connection, customer, agreement.scope)]
    problems += [*problems_of(agreement, model), *_wrong_times(valid_from, valid_to, now)]
    other = await _overlapping(connection, customer, valid_from, valid_to)
    if other is not None:
        problems.append(
            f"contract {other.id} ({other.plan}) of {customer} holds {_span(other)}, and there is one at a time: "
            f"change it with: contracts change {other.id} …, or end it first with: contracts end {other.id} --on DATE"
        )
    _raise_if_any(problems)
    made = await insert_contract(
        connection,
        customer=customer,
        model=model,
        valid_from=valid_from,
        valid_to=valid_to,
        consent=consent,
        agreement=agreement,
    )
    found = await get_contract(connection, made)
    await _record(connection, "contracts.add", found, actor, now)
    return found


async def first_contract(
    connection: AsyncConnection,
    model: ServiceModel,
    *,
    customer: str,
    agreement: Agreement,
    consent: Consent | None,
    valid_from: datetime,
) -> int:
    """The contract of a customer who is entered now. It may have begun long ago, since nothing was decided by it yet.

    Raises ContractError with all that is wrong with it."""
    problems = [problem async for problem in _unknown_places(connection, customer, agreement.scope)]
    problems += problems_of(agreement, model)
    if valid_from < EARLIEST:
        problems.append(f"a contract begins no earlier than {EARLIEST:%Y-%m-%d}, not on {valid_from.date()}: check it")
    _raise_if_any(problems)
    return await insert_contract(
        connection, customer=customer, model=model, valid_from=valid_from, consent=consent, agreement=agreement
    )


async def change_contract(
    connection: AsyncConnection,
    models: ServiceModels,
    contract: int,
    *,
    changes: Mapping[str, Any],
    starts_at: datetime,
    current_prices: bool = False,
    actor: str,
    now: datetime,
) -> Contract:
    """The contract as it is from `starts_at` on; until then it stays as it was. `changes`: what becomes different, by
    the name of a field of Agreement, or `plan`, `consent` or `valid_to`. Prices of the model stay as they were agreed,
    unless the plan is another or `current_prices` takes those of now.

    One that has not begun is changed as it is. Plans of maintenance that name it go on under the contract that follows,
    if that maintains their task. Raises NotFoundError, UnknownPlanError, or ContractError with all that
    is wrong with it."""
    was = await _locked(connection, contract)
    plan, consent, valid_to = (
        changes.get("plan", was.plan),
        changes.get("consent", was.consent),
        changes.get("valid_to", was.valid_to),
    )
    own = {name: value for name, value in changes.items() if name in Agreement.__annotations__}
    agreement = replace(was.agreement, **own)
    starts_at = starts_at if starts_at < now else max(starts_at, was.valid_from)
    if now <= starts_at and was.valid_to is not None and was.valid_to <= starts_at:
        then = await contract_at(connection, was.customer, starts_at)
        instead = f"add another with: contracts add {was.customer}"
        if then is not None:
            instead = f"what holds then is contract {then.id}, so change that: contracts change {then.id} …"
        raise ContractError(f"contract {contract} ends {was.valid_to:%Y-%m-%d %H:%M} UTC: {instead}")
    problems = [problem async for problem in _unknown_places(connection, was.customer, agreement.scope)]
    model = model_named(models, plan)
    problems += [*problems_of(agreement, model), *_wrong_times(starts_at, valid_to, now)]
    other = await _overlapping(connection, was.customer, starts_at, valid_to, besides=contract)
    if other is not None:
        problems.append(
            f"contract {other.id} ({other.plan}) holds {_span(other)}: name an earlier end, or end that one"
        )
    _raise_if_any(problems)
    charge = model.charge if current_prices or plan != was.plan or was.charge is None else was.charge
    values = _columns(plan, consent, agreement, charge) | {"valid_to": valid_to}
    if starts_at == was.valid_from:
        await connection.execute(update(contracts).where(contracts.c.id == contract).values(**values))
        number = contract
    else:
        await connection.execute(update(contracts).where(contracts.c.id == contract).values(valid_to=starts_at))
        number = await insert_contract(
            connection,
            customer=was.customer,
            model=model,
            valid_from=starts_at,
            valid_to=valid_to,
            consent=consent,
            agreement=agreement,
            charge=charge,
        )
        await move_plans(connection, [contract], number, model.maintained, actor=actor, now=now)
    found = await get_contract(connection, number)
    await _record(connection, "contracts.change", found, actor, now, before=was)
    return found


async def end_contract(
    connection: AsyncConnection, contract: int, *, ends_at: datetime, actor: str, now: datetime
) -> Contract:
    """One that has not begun by then never holds. To end what has ended by then changes nothing.

    Raises NotFoundError or ContractError."""
    was = await _locked(connection, contract)
    if was.valid_to is not None and was.valid_to <= ends_at:
        return was
    if ends_at < now:
        raise ContractError("a contract cannot end in the past, tickets were decided by it: name a later day, or none")
    await connection.execute(
        update(contracts).where(contracts.c.id == contract).values(valid_to=max(ends_at, was.valid_from))
    )
    found = await get_contract(connection, contract)
    await _record(connection, "contracts.end", found, actor, now)
    return found


async def set_plan(
    connection: AsyncConnection,
    models: ServiceModels,
    *,
    customer: str,
    plan: str,
    starts_at: datetime,
    consent: Consent | None,
    actor: str,
    now: datetime,
) -> list[Contract]:
    """Changes the plan from `starts_at` on. What held until then stays on record, what was planned for later does not:
    the answer is what was dropped.

    A consent and a scope that were given earlier are carried over, and with the same plan the rest too. Plans of
    maintenance go on where the new plan maintains their task. Raises NotFoundError, FleetError or UnknownPlanError.
    """
    await lock_customer(connection, customer)
    model = model_named(models, plan)
    if starts_at < now:
        raise FleetError("a plan cannot change in the past, tickets were decided by it: name a later day, or none")
    before = await contract_at(connection, customer, starts_at)
    kept = AS_THE_MODEL_SAYS if before is None else before.agreement
    same = before is not None and before.plan == plan
    new = await insert_contract(
        connection,
        customer=customer,
        model=model,
        valid_from=starts_at,
        consent=consent or (before.consent if before else None),
        agreement=kept if same else Agreement(scope=kept.scope),
        charge=before.charge if before is not None and same else None,
    )
    others = (contracts.c.customer == customer, contracts.c.id != new)
    replaced = (*others, or_(contracts.c.valid_to.is_(None), contracts.c.valid_to > starts_at))
    planned = (*others, contracts.c.valid_from >= starts_at)
    dropped = [to_contract(row) for row in await connection.execute(CONTRACTS.where(*planned))]
    gone = [one.id for one in dropped]
    ending = list(await connection.scalars(select(contracts.c.id).where(*replaced)))
    await move_plans(connection, [*gone, *ending], new, model.maintained, actor=actor, now=now)
    await release_plans(connection, gone)
    await connection.execute(delete(contracts).where(*planned))
    await connection.execute(update(contracts).where(*replaced).values(valid_to=starts_at))
    data = {"plan": plan, "from": starts_at.isoformat(), "before": before.plan if before else None}
    await audit.record(connection, actor=actor, action="customers.set-plan", subject=customer, now=now, data=data)
    await bump(connection, Topic.FLEET)
    return [one for one in dropped if one.valid_to is None or one.valid_to > one.valid_from]


async def lock_customer(connection: AsyncConnection, customer: str) -> None:
    """Until the end of the transaction nobody else agrees on anything with this customer. Raises NotFoundError, and
    FleetError for one that is no longer looked after."""
    row = (
        await connection.execute(
            select(customers.c.id, customers.c.ended_at).where(customers.c.id == customer).with_for_update()
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no customer {customer!r}; add it with: customers add {customer} --name … --plan …"
        )
    if row.ended_at is not None:
        raise FleetError(f"customer {customer} is no longer looked after since {row.ended_at:%Y-%m-%d}")


async def insert_contract(
    connection: AsyncConnection,
    *,
    customer: str,
    model: ServiceModel,
    valid_from: datetime,
    valid_to: datetime | None = None,
    consent: Consent | None = None,
    agreement: Agreement = AS_THE_MODEL_SAYS,
    charge: Charge | None = None,
) -> int:
    """A row as it is told, by default with the model's prices of now; `add_contract` looks whether it may be."""
    values = _columns(model.name, consent, agreement, charge or model.charge)
    values |= {"customer": customer, "valid_from": valid_from, "valid_to": valid_to}
    number = await connection.scalar(insert(contracts).values(**values).returning(contracts.c.id))
    assert number is not None  # noqa: S101 - as the database numbered it
    return int(number)


async def _locked(connection: AsyncConnection, contract: int) -> Contract:
    await lock_customer(connection, (await get_contract(connection, contract)).customer)
    return await get_contract(connection, contract)  # as it is now that nobody else changes it


async def _overlapping(
    connection: AsyncConnection, customer: str, start: datetime, end: datetime | None, *, besides: int | None = None
) -> Contract | None:
    wanted: list[ColumnElement[bool]] = [
        contracts.c.customer == customer,
        or_(contracts.c.valid_to.is_(None), contracts.c.valid_to > start),
        or_(contracts.c.valid_to.is_(None), contracts.c.valid_to > contracts.c.valid_from),
    ]
    if end is not None:
        wanted.append(contracts.c.valid_from < end)
    if besides is not None:
        wanted.append(contracts.c.id != besides)
    query = CONTRACTS.where(*wanted).order_by(contracts.c.valid_from).limit(1)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else to_contract(row)


async def _unknown_places(
    connection: AsyncConnection, customer: str, scope: ContractScope | None
) -> AsyncIterator[str]:
    """What a scope names and the customer does not have, a sentence each."""
    if scope is None:
        return
    for what, names, table in (("sites", scope.sites, sites), ("devices", scope.devices, devices)):
        wanted = names[:MAX_SCOPE_NAMES]
        if wanted:
            known = set(
                await connection.scalars(select(table.c.id).where(table.c.customer == customer, table.c.id.in_(wanted)))
            )
            if missing := [name for name in wanted if name not in known]:
                yield f"the scope names {what} that {customer} does not have: {', '.join(missing)[:200]}"


def _wrong_times(valid_from: datetime, valid_to: datetime | None, now: datetime) -> Iterator[str]:
    if valid_from < now:
        yield "a contract cannot begin or change in the past, tickets were decided by it: name a later day, or none"
    if valid_to is not None and valid_to <= valid_from:
        yield f"it ends ({valid_to:%Y-%m-%d %H:%M} UTC) before it begins ({valid_from:%Y-%m-%d %H:%M} UTC)"


def _raise_if_any(problems: Sequence[str]) -> None:
    if problems:
        raise ContractError("\n".join(problems))


def _span(contract: Contract) -> str:
    until = "until further notice" if contract.valid_to is None else f"until {contract.valid_to:%Y-%m-%d %H:%M} UTC"
    return f"from {contract.valid_from:%Y-%m-%d %H:%M} UTC {until}"


async def _record(
    connection: AsyncConnection,
    action: str,
    contract: Contract,
    actor: str,
    now: datetime,
    *,
    before: Contract | None = None,
) -> None:
    data = _audited(contract) | ({} if before is None else {"before": _audited(before) | {"contract": before.id}})
    await audit.record(connection, actor=actor, action=action, subject=str(contract.id), now=now, data=data)
    await bump(connection, Topic.FLEET)


def _audited(contract: Contract) -> dict[str, object]:
    """For the audit, which keeps no person's name."""
    return {
        "customer": contract.customer,
        "plan": contract.plan,
        "from": contract.valid_from.isoformat(),
        "until": None if contract.valid_to is None else contract.valid_to.isoformat(),
        "monitoring_consent": contract.consent is not None,
        **contract.agreement.told(),
    }


def _columns(plan: str, consent: Consent | None, agreement: Agreement, charge: Charge) -> dict[str, object]:
    scope = agreement.scope
    own: dict[str, object] = {name: getattr(agreement, name) for name in Agreement.__annotations__ if name != "scope"}
    return own | {
        "plan": plan,
        "monitoring_consent_by": consent.by if consent else None,
        "monitoring_consent_on": consent.on if consent else None,
        "scope": null() if scope is None else scope.as_json(),
        "charge": charge.model_dump(mode="json"),
    }
