"""The layers that exceptions are set for: thresholds, and what agents are told."""

from enum import StrEnum

from sqlalchemy import Column, ColumnElement, and_, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.fleet.customers import get_customer, get_site
from collector.fleet.devices import get_device, ids_at


class Layer(StrEnum):
    """What something is set for; a later one here wins over an earlier."""

    PLAN = "plan"
    CUSTOMER = "customer"
    SITE = "site"
    DEVICE = "device"


async def check_subject(connection: AsyncConnection, layer: Layer, subject: str) -> None:
    """Raises NotFoundError unless there is such a customer, site or device. Of plans the database knows nothing."""
    match layer:
        case Layer.CUSTOMER:
            await get_customer(connection, subject)
        case Layer.SITE:
            customer, _, site = subject.partition("/")
            await get_site(connection, customer, site)
        case Layer.DEVICE:
            await get_device(connection, subject)
        case Layer.PLAN:
            pass


def is_set_within(layer: Column[str], subject: Column[str], customer: str, site: str | None) -> ColumnElement[bool]:
    """Of a table with these columns: what is set for a customer or one of its sites, and for the devices there."""
    of_device = and_(layer == Layer.DEVICE, subject.in_(ids_at(customer, site)))
    if site is not None:
        return or_(of_device, and_(layer == Layer.SITE, subject == f"{customer}/{site}"))
    of_sites = and_(layer == Layer.SITE, subject.startswith(f"{customer}/", autoescape=True))
    return or_(of_device, of_sites, and_(layer == Layer.CUSTOMER, subject == customer))
