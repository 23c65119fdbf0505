"""When contracts end, or go on for another term."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts.term import Term, term_of
from collector.fleet.contracts import Contract, list_contracts
from collector.fleet.customers import DEFAULT_TIME_ZONE

ZONE = ZoneInfo(DEFAULT_TIME_ZONE)


def terms_of_contracts(contracts: Sequence[Contract], now: datetime) -> dict[int, Term | None]:
    """By number; `contracts` are all of each customer that they are of."""
    by_end = {(one.customer, one.valid_to): one for one in contracts}
    return {
        one.id: term_of(_began(one, by_end), one.agreement.term_months, one.valid_to, ZONE, now) for one in contracts
    }


async def term_of_contract(connection: AsyncConnection, contract: Contract, now: datetime) -> Term | None:
    return terms_of_contracts(await list_contracts(connection, contract.customer), now)[contract.id]


def _began(contract: Contract, by_end: dict[tuple[str, datetime | None], Contract]) -> datetime:
    """When what was signed first held: a change of a contract begins no new term."""
    began = contract
    while (before := by_end.get((began.customer, began.valid_from))) is not None and _signed(before) == _signed(began):
        if before.valid_from >= began.valid_from:
            break  # it never held
        began = before
    return began.valid_from


def _signed(contract: Contract) -> tuple[object, ...]:
    said = contract.agreement
    return said.number, said.signed_on, said.term_months
