"""What is known of printers' supplies and of the pages they make, day by day, as the database keeps it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.inserts import insert_absent
from collector.db.tables import printer_days, printer_supplies
from collector.fleet.printers.forecast import Point
from collector.fleet.printers.pages import Counter

ROWS_AT_ONCE = 200

# Beginnings of keywords of the IANA printer MIB; `part` is what it has no word for: rollers, kits.
# Waste boxes are no supplies, and how long they last no level tells.
WASTE_TYPES = ("waste",)
PART_TYPES = ("opc", "developer", "fuser", "corona", "cleaner", "transfer", "part")


@dataclass(frozen=True, slots=True)
class Supply:
    """A cartridge, a drum or another thing that is used up."""

    device: str
    index: str  # its place in the printer's table
    type: str
    color: str
    description: str
    level_ratio: float | None = None
    is_empty: bool = False
    points: tuple[Point, ...] = field(default=(), repr=False)
    days_left: float | None = None
    used_per_day: float | None = None  # share of a full one
    pages_per_cartridge: float | None = None
    seen_at: datetime | None = None
    changed_at: datetime | None = None  # when it was last replaced or refilled

    @property
    def is_waste(self) -> bool:
        return self.type.lower().startswith(WASTE_TYPES)

    @property
    def is_part(self) -> bool:
        """Whether it wears out, and takes a visit to replace, rather than being put in by who stands there."""
        return self.type.lower().startswith(PART_TYPES)


@dataclass(frozen=True, slots=True)
class PrinterDay:
    """What a printer did on a day, by its site's clock."""

    device: str
    day: date
    counter: Counter | None = None  # None: it tells none
    pages: int = 0
    used: Mapping[str, tuple[float, int]] = field(default_factory=dict)  # by index: share of a full one; changes


async def load_supplies(connection: AsyncConnection, devices: Collection[str] | None = None) -> list[Supply]:
    """Of some printers, or of all, in the order of their table."""
    table = printer_supplies
    query = select(*(table.c[name] for name in Supply.__annotations__)).order_by(table.c.device, table.c.index)
    if devices is not None:
        query = query.where(table.c.device.in_(devices))
    found = []
    for row in await connection.execute(query):
        values = dict(row._mapping)
        values["points"] = tuple(Point(*point) for point in values["points"])
        found.append(Supply(**values))
    return found


async def save_supplies(connection: AsyncConnection, supplies: Iterable[Supply]) -> None:
    rows = []
    for one in supplies:
        values = {name: getattr(one, name) for name in Supply.__annotations__}
        rows.append(values | {"points": [[point.at, point.level, point.pages] for point in one.points]})
    await _put(connection, printer_supplies, rows, ("device", "index"))


async def load_days(
    connection: AsyncConnection, first: date, last: date, devices: Collection[str] | None = None
) -> list[PrinterDay]:
    """From `first` to `last`, both included, by device and day."""
    table = printer_days
    query = select(table).where(table.c.day >= first, table.c.day <= last).order_by(table.c.device, table.c.day)
    if devices is not None:
        query = query.where(table.c.device.in_(devices))
    return [
        PrinterDay(
            row.device,
            row.day,
            None if row.counter is None else Counter(row.counter, row.counter_high, row.counted_at.timestamp()),
            row.pages,
            {index: (used, changes) for index, (used, changes) in row.used.items()},
        )
        for row in await connection.execute(query)
    ]


async def save_days(connection: AsyncConnection, days: Iterable[PrinterDay]) -> None:
    rows = []
    for one in days:
        counter = one.counter
        rows.append(
            {
                "device": one.device,
                "day": one.day,
                "counter": None if counter is None else counter.value,
                "counter_high": None if counter is None else counter.high,
                "counted_at": None if counter is None else datetime.fromtimestamp(counter.at, tz=UTC),
                "pages": one.pages,
                "used": {index: list(used) for index, used in one.used.items()},
            }
        )
    await _put(connection, printer_days, rows, ("device", "day"))


async def _put(
    connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, object]], keys: Sequence[str]
) -> None:
    """Adds rows, or writes them over those of the same keys."""
    is_it = [table.c[key] == bindparam(f"new_{key}") for key in keys]
    others = [column.name for column in table.c if column.name not in keys]
    rewritten = update(table).where(*is_it).values({name: bindparam(f"new_{name}") for name in others})
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        if await insert_absent(connection, table, some) < len(some):
            told = [{f"new_{name}": value for name, value in row.items()} for row in some]
            await connection.execute(rewritten, told)
