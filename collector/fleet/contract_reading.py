"""Contracts as they stand in the database."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import Charge
from collector.contracts.scope import ContractScope
from collector.db.tables import contracts
from collector.fleet.agreements import AS_THE_MODEL_SAYS, Agreement, Consent
from collector.fleet.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Contract:
    """The plan of a customer from `valid_from` until just before `valid_to`; None: until further notice. `charge`: the
    plan's prices as they were agreed; None: as the file says now, of a contract from before they were kept."""

    id: int
    customer: str
    plan: str
    valid_from: datetime
    valid_to: datetime | None
    consent: Consent | None
    agreement: Agreement = AS_THE_MODEL_SAYS
    charge: Charge | None = field(default=None, hash=False)

    def holds_at(self, at: datetime) -> bool:
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)


async def get_contract(connection: AsyncConnection, contract: int) -> Contract:
    """Raises NotFoundError."""
    row = (await connection.execute(CONTRACTS.where(contracts.c.id == contract))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no contract {contract}; see: contracts list")
    return to_contract(row)


async def list_contracts(connection: AsyncConnection, customer: str | None = None) -> list[Contract]:
    """Every contract, or those of one customer, in the order in which they begin."""
    query = CONTRACTS.order_by(contracts.c.customer, contracts.c.valid_from, contracts.c.id)
    if customer is not None:
        query = query.where(contracts.c.customer == customer)
    return [to_contract(row) for row in await connection.execute(query)]


async def contracts_of(connection: AsyncConnection, customers: Collection[str]) -> list[Contract]:
    """Every contract of some customers, in the order in which they begin."""
    query = CONTRACTS.where(contracts.c.customer.in_(customers)).order_by(contracts.c.valid_from, contracts.c.id)
    return [to_contract(row) for row in await connection.execute(query)]


async def contracts_before(
    connection: AsyncConnection, before: int | None, limit: int, *, customer: str | None, holding_at: datetime | None
) -> list[Contract]:
    """`limit` at most, newest first: those with a number below `before`; `holding_at`: only those that hold then."""
    query = CONTRACTS.order_by(contracts.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(contracts.c.id < before)
    if customer is not None:
        query = query.where(contracts.c.customer == customer)
    if holding_at is not None:
        query = query.where(*_hold_at(holding_at))
    return [to_contract(row) for row in await connection.execute(query)]


async def contracts_at(
    connection: AsyncConnection, at: datetime, of: Sequence[str] | None = None
) -> dict[str, Contract]:
    """The contract that holds then, by customer: of all, or of these."""
    query = CONTRACTS.where(*_hold_at(at)).order_by(contracts.c.valid_from)
    if of is not None:
        query = query.where(contracts.c.customer.in_(of))
    return {found.customer: found for found in map(to_contract, await connection.execute(query))}


async def contracts_between(
    connection: AsyncConnection, first: datetime, end: datetime, of: Sequence[str]
) -> dict[str, list[Contract]]:
    """The contracts of these customers that hold at some time from `first` until just before `end`, by customer, in the
    order in which they begin."""
    held = (contracts.c.valid_from < end, or_(contracts.c.valid_to.is_(None), contracts.c.valid_to > first))
    query = CONTRACTS.where(contracts.c.customer.in_(of), *held)
    found: dict[str, list[Contract]] = {}
    for row in await connection.execute(query.order_by(contracts.c.valid_from, contracts.c.id)):
        contract = to_contract(row)
        found.setdefault(contract.customer, []).append(contract)
    return found


async def contract_at(connection: AsyncConnection, customer: str, at: datetime) -> Contract | None:
    """The contract that holds for `customer` at that time."""
    return (await contracts_at(connection, at, [customer])).get(customer)


async def plan_at(connection: AsyncConnection, customer: str, at: datetime) -> str | None:
    contract = await contract_at(connection, customer, at)
    return contract.plan if contract else None


def _hold_at(at: datetime) -> list[ColumnElement[bool]]:
    return [contracts.c.valid_from <= at, or_(contracts.c.valid_to.is_(None), contracts.c.valid_to > at)]


CONTRACTS = select(
    contracts.c.id,
    contracts.c.customer,
    contracts.c.plan,
    contracts.c.valid_from,
    contracts.c.valid_to,
    contracts.c.monitoring_consent_by,
    contracts.c.monitoring_consent_on,
    *(contracts.c[name] for name in Agreement.__annotations__),
    contracts.c.charge,
)


def to_contract(row: Sequence[Any]) -> Contract:
    (number, customer, plan, valid_from, valid_to, by, on), (*agreed, scope, prices) = row[:7], row[7:]
    consent = Consent(by, on) if by and on else None
    told = dict(zip(Agreement.__annotations__, agreed, strict=False))
    agreement = Agreement(**told, scope=ContractScope.of(scope))
    charge = None if prices is None else Charge.model_validate(prices)
    return Contract(number, customer, plan, valid_from, valid_to, consent, agreement, charge)
