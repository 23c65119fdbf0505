"""When contracts end, or go on for another term, and since when plans hold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts.term import Term, term_of
from collector.fleet.contracts import Contract, list_contracts
from collector.fleet.customers import DEFAULT_TIME_ZONE

ZONE = ZoneInfo(DEFAULT_TIME_ZONE)


@dataclass(frozen=True, slots=True)
class Held:
    contract: Contract
    plan_since: datetime  # a change of anything else begins no new plan


def held_at(contracts: Iterable[Contract], at: datetime) -> dict[str, Held]:
    """By customer, what holds then; `contracts` are all of each customer, in the order in which they begin."""
    held: dict[str, Held] = {}
    latest: dict[str, Held] = {}
    for one in filter(_ever_holds, contracts):
        before = latest.get(one.customer)
        goes_on = before is not None and (before.contract.plan, before.contract.valid_to) == (one.plan, one.valid_from)
        latest[one.customer] = Held(one, before.plan_since if before is not None and goes_on else one.valid_from)
        if one.holds_at(at):
            held[one.customer] = latest[one.customer]
    return held


def terms_of_contracts(contracts: Sequence[Contract], now: datetime) -> dict[int, Term | None]:
    """By number; `contracts` are all of each customer that they are of."""
    by_end = {(one.customer, one.valid_to): one for one in contracts}
    by_begin = {(one.customer, one.valid_from): one for one in contracts if _ever_holds(one)}
    return {one.id: _term(one, _began(one, by_end), by_begin, now) for one in contracts}


async def term_of_contract(connection: AsyncConnection, contract: Contract, now: datetime) -> Term | None:
    return terms_of_contracts(await list_contracts(connection, contract.customer), now)[contract.id]


def _term(
    contract: Contract, began: datetime, by_begin: Mapping[tuple[str, datetime], Contract], now: datetime
) -> Term | None:
    term = term_of(began, contract.agreement.term_months, contract.valid_to, ZONE, now)
    if term is None or term.renews_for is not None or not _ever_holds(contract):
        return term
    follower = by_begin.get((contract.customer, term.ends_at))
    return term if follower is None else replace(term, followed_by=follower.id)


def _ever_holds(contract: Contract) -> bool:
    return contract.valid_to is None or contract.valid_to > contract.valid_from


def _began(contract: Contract, by_end: dict[tuple[str, datetime | None], Contract]) -> datetime:
    """When what was signed first held: a change of a contract begins no new term."""
    began = contract
    while (before := by_end.get((began.customer, began.valid_from))) is not None and _signed(before) == _signed(began):
        if not _ever_holds(before):
            break
        began = before
    return began.valid_from


def _signed(contract: Contract) -> tuple[object, ...]:
    said = contract.agreement
    return said.number, said.signed_on, said.term_months
