"""What the database knows of customers' months, read at once for many customers."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import ServiceModels
from collector.contracts.months import Month
from collector.db.tables import contracts, customers, device_tags, devices, parts, sites, tickets, work_entries
from collector.desk.fields import TicketKind
from collector.desk.parts import Part
from collector.fleet.contacts import DEFAULT_LANGUAGE, main_languages
from collector.fleet.contracts import Contract, contracts_between
from collector.fleet.customers import DEFAULT_TIME_ZONE
from collector.fleet.names import PROVIDER
from collector.fleet.people import Language
from collector.reporting.billing import Bill, BilledDevice, Logged, Usage, bill
from collector.reporting.part_of import contracts_in, page_of_customers

CUSTOMERS_AT_ONCE = 200

T = TypeVar("T")


async def read_bills(
    connection: AsyncConnection,
    models: ServiceModels,
    month: Month,
    wanted: Sequence[str],
    now: datetime,
    *,
    language: Language | None = None,
) -> list[Bill]:
    """The bills of some customers, in the order of their ids; in one language, or each in that of its main contact."""
    found: list[Bill] = []
    ids = sorted(wanted)
    for start in range(0, len(ids), CUSTOMERS_AT_ONCE):
        usages = await _usages(connection, month, ids[start : start + CUSTOMERS_AT_ONCE], language)
        # Many devices' days take a while to count.
        found.extend(await asyncio.to_thread(_bill_all, usages, month, models, now))
    return found


def _bill_all(usages: Sequence[Usage], month: Month, models: ServiceModels, now: datetime) -> list[Bill]:
    return [bill(usage, month, models, now) for usage in usages]


async def billed_customers(
    connection: AsyncConnection,
    month: Month,
    *,
    customer: str | None = None,
    after: str | None = None,
    limit: int | None = None,
    without: Collection[str] = (),
) -> list[str]:
    """Who has a contract in the month, or work or parts in it, save whose plans in it are all among those that bills
    are no part of; beyond the id `after`, `limit` at most."""
    first, end = month.anywhere
    has_contract = (
        select(contracts.c.id).where(contracts.c.customer == customers.c.id).where(*contracts_in(first, end)).exists()
    )
    has_work, has_parts = (
        select(table.c.id)
        .join(tickets, tickets.c.number == table.c.ticket)
        .where(tickets.c.customer == customers.c.id, at >= first, at < end)
        .exists()
        for table, at in ((work_entries, work_entries.c.started_at), (parts, parts.c.used_at))
    )
    is_billed = (customers.c.id != PROVIDER, or_(has_contract, has_work, has_parts))
    return await page_of_customers(
        connection, month, *is_billed, customer=customer, after=after, limit=limit, without=without
    )


async def _usages(
    connection: AsyncConnection, month: Month, ids: Sequence[str], language: Language | None
) -> list[Usage]:
    first, end = month.anywhere

    async def grouped(
        query: Select[tuple[object, ...]], make: Callable[[Sequence[object]], T]
    ) -> Mapping[str, list[T]]:
        """The rows of a query by their first column, the customer."""
        found: dict[str, list[T]] = defaultdict(list)
        for row in await connection.execute(query):
            found[str(row[0])].append(make(row[1:]))
        return found

    named = select(customers.c.id, customers.c.name).where(customers.c.id.in_(ids))
    names = {row.id: row.name for row in await connection.execute(named)}
    of_sites = select(sites.c.customer, sites.c.time_zone).where(sites.c.customer.in_(ids)).distinct()
    zones = await grouped(of_sites, lambda row: str(row[0]))
    languages = await main_languages(connection, ids) if language is None else dict.fromkeys(ids, language)
    agreed = await contracts_between(connection, first, end, ids)
    there = await _devices(connection, ids, first, end, agreed)
    entries = await grouped(
        select(tickets.c.customer, *_LOGGED)
        .join(tickets, tickets.c.number == work_entries.c.ticket)
        .where(_is_among(tickets.c.customer, ids, connection.dialect.name))
        .where(work_entries.c.started_at >= first, work_entries.c.started_at < end)
        .order_by(work_entries.c.id),
        lambda row: Logged(*row),  # type: ignore[arg-type] # the columns are its fields
    )
    used = await grouped(
        select(tickets.c.customer, *(parts.c[name] for name in Part.__annotations__))
        .join(tickets, tickets.c.number == parts.c.ticket)
        .where(_is_among(tickets.c.customer, ids, connection.dialect.name))
        .where(parts.c.used_at >= first, parts.c.used_at < end)
        .order_by(parts.c.id),
        lambda row: Part(*row),  # type: ignore[arg-type] # the columns are its fields
    )
    return [
        Usage(
            customer,
            names[customer],
            _zone(zones.get(customer, ())),
            agreed.get(customer, ()),
            there.get(customer, ()),
            entries.get(customer, ()),
            used.get(customer, ()),
            languages.get(customer, DEFAULT_LANGUAGE),
        )
        for customer in ids
        if customer in names
    ]


async def _devices(
    connection: AsyncConnection,
    ids: Sequence[str],
    first: datetime,
    end: datetime,
    agreed: Mapping[str, Sequence[Contract]],
) -> Mapping[str, list[BilledDevice]]:
    """One by one only where a contract has a scope, else as many as were there at the same time in one: most are there
    all month long."""
    scoped = [one for one in ids if any(contract.agreement.scope is not None for contract in agreed.get(one, ()))]
    there = (devices.c.enrolled_at < end, or_(devices.c.ended_at.is_(None), devices.c.ended_at > first))
    since = case((devices.c.enrolled_at > first, devices.c.enrolled_at)).label("since")
    until = case((devices.c.ended_at < end, devices.c.ended_at)).label("until")
    found: dict[str, list[BilledDevice]] = defaultdict(list)
    counted = (
        select(devices.c.customer, devices.c.kind, since, until, func.count())
        .where(devices.c.customer.in_(ids), devices.c.customer.not_in(scoped), *there)
        .group_by(devices.c.customer, devices.c.kind, since, until)
    )
    for customer, kind, enrolled_at, ended_at, count in await connection.execute(counted):
        by_all = frozenset(one.id for one in agreed.get(customer, ()))
        found[customer].append(BilledDevice(kind, enrolled_at or first, ended_at, by_all, count))
    if not scoped:
        return found
    tags: dict[str, set[str]] = defaultdict(set)
    tagged = select(device_tags.c.device, device_tags.c.tag).join(devices, devices.c.id == device_tags.c.device)
    for device, tag in await connection.execute(tagged.where(devices.c.customer.in_(scoped))):
        tags[device].add(tag)
    each = select(devices.c.customer, devices.c.id, devices.c.site, devices.c.kind, since, until)
    rows = await connection.execute(each.where(devices.c.customer.in_(scoped), *there))
    for customer, device, site, kind, enrolled_at, ended_at in rows:
        labels = {"device_id": device, "site": site, "kind": kind}
        covered_by = frozenset(
            one.id
            for one in agreed.get(customer, ())
            if one.agreement.scope is None or one.agreement.scope.covers(labels, tags[device])
        )
        found[customer].append(BilledDevice(kind, enrolled_at or first, ended_at, covered_by))
    return found


def _is_among(customer: ColumnElement[str], ids: Sequence[str], dialect: str) -> ColumnElement[bool]:
    """Of what happened in the month; SQLite would rather begin with all that these customers ever had."""
    return (customer.concat("") if dialect == "sqlite" else customer).in_(ids)


def _zone(zones: Iterable[str]) -> str:
    """That of all sites, or the default where there is none or they disagree."""
    found = set(zones)
    return found.pop() if len(found) == 1 else DEFAULT_TIME_ZONE


_LOGGED = (
    *(work_entries.c[name] for name in Logged.__annotations__ if name != "is_maintenance"),
    tickets.c.kind == TicketKind.MAINTENANCE,
)
