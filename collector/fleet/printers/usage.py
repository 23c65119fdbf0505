"""What printers did in a month: pages, supplies used, and how long what is in them lasts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts.months import Month
from collector.fleet.printers.store import Printer, list_printers
from collector.fleet.printers.supplies import PrinterDay, Supply, load_days, load_supplies

PRINTERS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class SupplyUse:
    """`used`: in cartridges, so that 1.5 is one and a half; `changes`: how often it was replaced or refilled."""

    supply: Supply
    used: float
    changes: int


@dataclass(frozen=True, slots=True)
class PrinterUsage:
    printer: Printer
    month: Month
    pages: int | None  # None: it told no counter in the month
    counter: float | None  # what it said last in the month
    days: int  # on which it told anything
    supplies: Sequence[SupplyUse]


async def printer_usage(
    connection: AsyncConnection,
    month: Month,
    *,
    customer: str | None = None,
    site: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> list[PrinterUsage]:
    """Of every printer that is looked after, or told something in the month, by id. Its days are those of its site."""
    first, last = date(month.year, month.number, 1), date(month.year, month.number, month.days)
    printers = await list_printers(
        connection, customer=customer, site=site, after=after, limit=limit, active_or_told=(first, last)
    )
    found = []
    for start in range(0, len(printers), PRINTERS_AT_ONCE):
        some = printers[start : start + PRINTERS_AT_ONCE]
        ids = [one.id for one in some]
        days: dict[str, list[PrinterDay]] = {}
        for day in await load_days(connection, first, last, ids):
            days.setdefault(day.device, []).append(day)
        supplies: dict[str, list[Supply]] = {}
        for supply in await load_supplies(connection, ids):
            supplies.setdefault(supply.device, []).append(supply)
        found += [_usage(one, month, days.get(one.id, []), supplies.get(one.id, [])) for one in some]
    return found


def _usage(printer: Printer, month: Month, days: Sequence[PrinterDay], supplies: Sequence[Supply]) -> PrinterUsage:
    counters = [one.counter.value for one in days if one.counter is not None]
    return PrinterUsage(
        printer,
        month,
        sum(one.pages for one in days) if counters else None,
        counters[-1] if counters else None,
        len(days),
        [
            SupplyUse(
                supply,
                sum(one.used[supply.index][0] for one in days if supply.index in one.used),
                sum(one.used[supply.index][1] for one in days if supply.index in one.used),
            )
            for supply in supplies
            if not supply.is_waste
        ],
    )
