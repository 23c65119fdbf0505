"""In which currency a ticket's costs are entered, where nobody says it."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import ServiceModels
from collector.contracts.charge import DEFAULT_CURRENCY
from collector.db.tables import tickets
from collector.fleet.contracts import contract_at


async def currency_of(connection: AsyncConnection, models: ServiceModels, ticket: int, at: datetime) -> str:
    """That of the contract of the ticket's customer at a time, or of its service model; DEFAULT_CURRENCY if neither is
    known."""
    customer = await connection.scalar(select(tickets.c.customer).where(tickets.c.number == ticket))
    contract = None if customer is None else await contract_at(connection, customer, at)
    if contract is None:
        return DEFAULT_CURRENCY
    model = models.get(contract.plan)
    charge = contract.charge or (None if model is None else model.charge)
    return contract.agreement.currency or (DEFAULT_CURRENCY if charge is None else charge.currency)
