"""Customers and their sites."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import OfficeHours, ServiceModel, ServiceModels, model_named
from collector.db import audit
from collector.db.inserts import insert_if_absent
from collector.db.revisions import Topic, bump
from collector.db.tables import customers, sites
from collector.db.text import one_line
from collector.fleet.agreements import AS_THE_MODEL_SAYS, Agreement, Consent
from collector.fleet.contracts import contract_at, first_contract, insert_contract
from collector.fleet.errors import AlreadyExistsError, ConsentMissingError, FleetError, NotFoundError
from collector.fleet.names import PROVIDER, checked_name

DEFAULT_TIME_ZONE = "Europe/Amsterdam"


@dataclass(frozen=True, slots=True)
class Customer:
    id: str
    name: str
    created_at: datetime
    ended_at: datetime | None
    silent_days: int  # working days until it is asked about a device
    retire_automatically: bool


@dataclass(frozen=True, slots=True)
class Site:
    customer: str
    id: str
    name: str
    time_zone: str
    created_at: datetime
    office_hours: str
    holidays: str  # of which country; none

    @property
    def hours(self) -> OfficeHours:
        return OfficeHours.parse(self.office_hours, self.time_zone, self.holidays)


async def add_customer(
    connection: AsyncConnection,
    models: ServiceModels,
    *,
    customer: str,
    name: str,
    plan: str,
    consent: Consent | None,
    agreement: Agreement = AS_THE_MODEL_SAYS,
    valid_from: datetime | None = None,
    actor: str,
    now: datetime,
) -> None:
    """A new customer with a contract, which begins now, or began or begins at `valid_from`.

    Raises AlreadyExistsError, UnknownPlanError, or FleetError with all that is wrong with the contract."""
    checked_name("customer", customer)
    name = _full_name(name)
    model = model_named(models, plan)
    if customer == PROVIDER:
        raise AlreadyExistsError(
            f"the customer {PROVIDER} is built in, for tickets about the collector itself; `serve` makes it, and its "
            f"plan is changed with: customers set-plan {PROVIDER} PLAN"
        )
    if not await insert_if_absent(connection, customers, {"id": customer, "name": name, "created_at": now}):
        raise await _there_already(connection, customer)
    begins = valid_from or now
    await first_contract(connection, model, customer=customer, agreement=agreement, consent=consent, valid_from=begins)
    data: dict[str, object] = {"name": name, "plan": plan, "monitoring_consent": consent is not None}
    data |= {"from": begins.isoformat(), **agreement.told()}
    await audit.record(connection, actor=actor, action="customers.add", subject=customer, now=now, data=data)
    await bump(connection, Topic.FLEET)


async def _there_already(connection: AsyncConnection, customer: str) -> AlreadyExistsError:
    ended_at = (await get_customer(connection, customer)).ended_at
    if ended_at is not None:
        return AlreadyExistsError(
            f"customer {customer} ended on {ended_at:%Y-%m-%d}, and its history stays under that name: take another, "
            f"such as {customer}-2"
        )
    return AlreadyExistsError(f"there is a customer {customer} already; see it with: customers show {customer}")


async def insert_customer(
    connection: AsyncConnection,
    *,
    customer: str,
    name: str,
    model: ServiceModel,
    consent: Consent | None,
    now: datetime,
) -> bool:
    """Adds a customer with a contract that begins now, unless there is one of that id; says whether it did."""
    if not await insert_if_absent(connection, customers, {"id": customer, "name": name, "created_at": now}):
        return False
    await insert_contract(connection, customer=customer, model=model, valid_from=now, consent=consent)
    return True


async def get_customer(connection: AsyncConnection, customer: str) -> Customer:
    """Raises NotFoundError."""
    row = (await connection.execute(_CUSTOMERS.where(customers.c.id == customer))).one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no customer {customer!r}; add it with: customers add {customer} --name … --plan …"
        )
    return Customer(*row)


async def list_customers(connection: AsyncConnection) -> list[Customer]:
    return [Customer(*row) for row in await connection.execute(_CUSTOMERS.order_by(customers.c.id))]


async def customers_after(
    connection: AsyncConnection, after: str | None, limit: int, *, only: str | None = None
) -> list[Customer]:
    """`limit` at most, by id: those after `after`, or `only` one."""
    query = _CUSTOMERS.order_by(customers.c.id).limit(limit)
    if after is not None:
        query = query.where(customers.c.id > after)
    if only is not None:
        query = query.where(customers.c.id == only)
    return [Customer(*row) for row in await connection.execute(query)]


async def rename_customer(connection: AsyncConnection, customer: str, name: str, *, actor: str, now: datetime) -> None:
    """Raises NotFoundError or FleetError."""
    await get_customer(connection, customer)
    name = _full_name(name)
    await connection.execute(update(customers).where(customers.c.id == customer).values(name=name))
    data = {"name": name}
    await audit.record(connection, actor=actor, action="customers.rename", subject=customer, now=now, data=data)
    await bump(connection, Topic.FLEET)


def _full_name(name: str) -> str:
    name = one_line(name).strip()
    if not 1 <= len(name) <= 200:
        raise FleetError("a full name has 1 to 200 characters")
    return name


async def require_monitoring(
    connection: AsyncConnection, models: ServiceModels, customer: str, now: datetime, kind: str | None = None
) -> None:
    """Raises FleetError unless the customer's contract has devices, or those of a kind, watched now, and
    ConsentMissingError if it lacks consent."""
    found = await get_customer(connection, customer)
    contract = await contract_at(connection, customer, now)
    if found.ended_at is not None:
        raise FleetError(f"customer {customer} is no longer looked after since {found.ended_at:%Y-%m-%d}")
    if contract is None:
        raise FleetError(
            f"customer {customer} has no contract now; give it one with: customers set-plan {customer} PLAN"
        )
    model = models.get(contract.plan)
    if model is None:
        raise FleetError(
            f"customer {customer} is on plan {contract.plan}, which is not in service_models.yaml, or was not when "
            "serve started: write it there, or restart serve"
        )
    if kind is not None and kind not in model.monitored:
        told = f"it watches {', '.join(model.monitored)}" if model.monitored else "it watches nothing"
        raise FleetError(
            f"customer {customer} is on plan {contract.plan}, under which no {kind} is watched: {told}; see 'monitored'"
            " in service_models.yaml"
        )
    if model.requires_monitoring_consent and contract.consent is None:
        raise ConsentMissingError(
            f"customer {customer} is on plan {contract.plan}, which needs a consent before anything is monitored: "
            f"contracts change {contract.id} --monitoring-consent 'who, date'"
        )


async def add_site(
    connection: AsyncConnection,
    *,
    customer: str,
    site: str,
    name: str | None,
    time_zone: str = DEFAULT_TIME_ZONE,
    actor: str,
    now: datetime,
) -> None:
    """Raises AlreadyExistsError, NotFoundError for an unknown customer, or FleetError."""
    await get_customer(connection, customer)
    checked_time_zone(time_zone)
    if not await ensure_site(
        connection, customer=customer, site=site, name=name, time_zone=time_zone, actor=actor, now=now
    ):
        raise AlreadyExistsError(f"customer {customer} has a site {site} already")


def checked_time_zone(time_zone: str) -> str:
    """Raises FleetError unless it is one of the IANA's names."""
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise FleetError(f"there is no time zone {time_zone[:80]!r}; name one like Europe/Amsterdam") from exc
    return time_zone


async def ensure_site(
    connection: AsyncConnection,
    *,
    customer: str,
    site: str,
    name: str | None = None,
    time_zone: str = DEFAULT_TIME_ZONE,
    actor: str,
    now: datetime,
) -> bool:
    """Makes the site if the customer has none of this name; says whether it did."""
    checked_name("site", site)
    values = {"customer": customer, "id": site, "name": name or site, "time_zone": time_zone, "created_at": now}
    if not await insert_if_absent(connection, sites, values):
        return False
    await audit.record(connection, actor=actor, action="sites.add", subject=f"{customer}/{site}", now=now)
    await bump(connection, Topic.FLEET)
    return True


async def set_hours(
    connection: AsyncConnection, customer: str, site: str, *, hours: str, holidays: str, actor: str, now: datetime
) -> None:
    """When people work there. Raises NotFoundError or OfficeHoursError."""
    found = await get_site(connection, customer, site)
    OfficeHours.parse(hours, found.time_zone, holidays).is_holiday(now.date())
    await connection.execute(
        update(sites)
        .where(sites.c.customer == customer, sites.c.id == site)
        .values(office_hours=hours, holidays=holidays)
    )
    data = {"hours": hours, "holidays": holidays, "before": f"{found.office_hours}; holidays: {found.holidays}"}
    await audit.record(
        connection, actor=actor, action="sites.set-hours", subject=f"{customer}/{site}", now=now, data=data
    )
    await bump(connection, Topic.FLEET)


async def change_site(
    connection: AsyncConnection, customer: str, site: str, changes: Mapping[str, str], *, actor: str, now: datetime
) -> Site:
    """`changes`: name, time_zone, office_hours, holidays. Raises NotFoundError, FleetError or OfficeHoursError."""
    was = await get_site(connection, customer, site)
    found = Site(**(asdict(was) | dict(changes)))
    checked_time_zone(found.time_zone)
    found.hours.is_holiday(now.date())  # whether they are hours, and a country
    values = dict(changes) | ({"name": _full_name(found.name)} if "name" in changes else {})
    if values:
        of_site = (sites.c.customer == customer, sites.c.id == site)
        await connection.execute(update(sites).where(*of_site).values(**values))
        subject = f"{customer}/{site}"
        await audit.record(connection, actor=actor, action="sites.change", subject=subject, now=now, data=values)
        await bump(connection, Topic.FLEET)
    return await get_site(connection, customer, site)


async def sites_after(
    connection: AsyncConnection, customer: str, after: str | None, limit: int, *, only: str | None = None
) -> list[Site]:
    """`limit` of a customer's at most, by id: those after `after`, or `only` one."""
    query = _SITES.where(sites.c.customer == customer).order_by(sites.c.id).limit(limit)
    if after is not None:
        query = query.where(sites.c.id > after)
    if only is not None:
        query = query.where(sites.c.id == only)
    return [Site(*row) for row in await connection.execute(query)]


async def get_site(connection: AsyncConnection, customer: str, site: str) -> Site:
    """Raises NotFoundError."""
    row = (await connection.execute(_SITES.where(sites.c.customer == customer, sites.c.id == site))).one_or_none()
    if row is None:
        raise NotFoundError(f"customer {customer} has no site {site!r}; see: sites list --customer {customer}")
    return Site(*row)


async def list_sites(connection: AsyncConnection, customer: str | None = None) -> list[Site]:
    query = _SITES if customer is None else _SITES.where(sites.c.customer == customer)
    return [Site(*row) for row in await connection.execute(query.order_by(sites.c.customer, sites.c.id))]


_CUSTOMERS = select(*(customers.c[name] for name in Customer.__annotations__))
_SITES = select(*(sites.c[name] for name in Site.__annotations__))
