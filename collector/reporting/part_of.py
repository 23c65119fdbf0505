"""Whether a report is part of what was sold: what a service model names under `reported`."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, ColumnExpressionArgument, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import ServiceModels
from collector.contracts.months import Month
from collector.contracts.service_models import Report
from collector.db.tables import contracts, customers

AT_ONCE = 500  # customers in one statement


def plans_without(models: ServiceModels, report: Report) -> frozenset[str]:
    """The plans that the report is no part of."""
    return frozenset(name for name, model in models.items() if report not in model.reported)


def contracts_in(first: datetime, end: datetime) -> list[ColumnElement[bool]]:
    return [contracts.c.valid_from < end, or_(contracts.c.valid_to.is_(None), contracts.c.valid_to > first)]


def is_sold_to(customer: ColumnExpressionArgument[str], month: Month, without: Collection[str]) -> ColumnElement[bool]:
    """Whether one of a customer's contracts in the month has a plan that is none of these, or there is no contract."""
    of_month = (
        select(contracts.c.id)
        .where(contracts.c.customer == customer, *contracts_in(*month.anywhere))
        .correlate_except(contracts)
    )
    return or_(not_(of_month.exists()), of_month.where(contracts.c.plan.not_in(without)).exists())


async def customers_sold_to(
    connection: AsyncConnection, month: Month, among: Sequence[str], without: Collection[str]
) -> set[str]:
    """Of some customers those that the report is made of unasked."""
    sold: set[str] = set()
    for start in range(0, len(among), AT_ONCE):
        some = among[start : start + AT_ONCE]
        query = select(customers.c.id).where(customers.c.id.in_(some), is_sold_to(customers.c.id, month, without))
        sold |= set(await connection.scalars(query))
    return sold


async def page_of_customers(
    connection: AsyncConnection,
    month: Month,
    *which: ColumnElement[bool],
    customer: str | None,
    after: str | None,
    limit: int | None,
    without: Collection[str],
) -> list[str]:
    """The customers of which all of `which` holds, or only `customer`, save whose contracts in the month are all under
    plans in `without`; beyond the id `after`, `limit` at most."""
    query = select(customers.c.id).where(*which)
    if customer is not None:
        query = query.where(customers.c.id == customer)
    if without:
        query = query.where(is_sold_to(customers.c.id, month, without))
    if after is not None:
        query = query.where(customers.c.id > after)
    return list(await connection.scalars(query.order_by(customers.c.id).limit(limit)))
