"""Which questions make a reading: one small one for its state, walks for its tables, a few for what never changes."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from agent.printers import mibs
from agent.printers.decoding import decode, is_placeholder
from agent.printers.errors import BadAnswer, NoAnswer
from agent.printers.reading import Reading
from agent.printers.rows import Index, Rows, Value
from agent.printers.vendors import Maker, maker_of

SYSTEM = (mibs.SYS_DESCR, mibs.SYS_OBJECT_ID, mibs.SYS_UPTIME, mibs.SYS_NAME, mibs.SYS_LOCATION)
IDENTITY = (
    mibs.HR_PRINTER_STATUS,
    mibs.HR_PRINTER_ERRORS,
    mibs.HR_DEVICE_TYPE,
    mibs.HR_DEVICE_DESCR,
    mibs.HR_DEVICE_STATUS,
    mibs.GENERAL_SERIAL,
    mibs.CHARACTER_SET,
    mibs.MARKER_UNIT,
    mibs.MARKER_LIFE_COUNT,
)
ENTITY = (mibs.ENTITY_SERIAL, mibs.ENTITY_FIRMWARE)
# By the fields of a reading that they make; a table that was not read to its end leaves its field as it was.
TABLES: Mapping[str, tuple[str, ...]] = {
    "alerts": (
        mibs.ALERT_SEVERITY,
        mibs.ALERT_CODE,
        mibs.ALERT_GROUP,
        mibs.ALERT_GROUP_INDEX,
        mibs.ALERT_DESCRIPTION,
    ),
    "supplies": (
        mibs.SUPPLY_LEVEL,
        mibs.SUPPLY_MAX_CAPACITY,
        mibs.SUPPLY_TYPE,
        mibs.SUPPLY_DESCRIPTION,
        mibs.SUPPLY_UNIT,
        mibs.SUPPLY_CLASS,
        mibs.SUPPLY_COLORANT,
        mibs.COLORANT_VALUE,
    ),
    "trays": (
        mibs.INPUT_LEVEL,
        mibs.INPUT_MAX_CAPACITY,
        mibs.INPUT_NAME,
        mibs.INPUT_UNIT,
        mibs.INPUT_MEDIA,
        mibs.INPUT_DESCRIPTION,
    ),
    "covers": (mibs.COVER_STATUS, mibs.COVER_DESCRIPTION),
    "console": (mibs.CONSOLE_TEXT,),
}

COUNTS = "page_counts"  # of the maker's own objects
ALL_TABLES = frozenset({*TABLES, COUNTS})
_ALERTS = (mibs.ALERT_SEVERITY, mibs.ALERT_CODE)
# Not asked for where all of these other columns are empty.
NEEDS = {
    mibs.ALERT_GROUP: _ALERTS,
    mibs.ALERT_GROUP_INDEX: _ALERTS,
    mibs.ALERT_DESCRIPTION: _ALERTS,
    mibs.COLORANT_VALUE: (mibs.SUPPLY_COLORANT,),
    mibs.COVER_DESCRIPTION: (mibs.COVER_STATUS,),
}
MAX_SILENT = 3  # questions of an identity without an answer: then it has gone


class Asked(Protocol):
    """An SnmpClient, or what stands for one."""

    async def get(self, objects: Sequence[str]) -> dict[str, Value]: ...
    async def walk(self, column: str) -> dict[Index, Value]: ...


class Collected(NamedTuple):
    rows: Rows
    complete: frozenset[str]  # tables that were read to their end
    trouble: Exception | None = None  # what ended it in the middle


def state_objects(device: Index, marker: Index) -> list[str]:
    """The one small question that is asked every time: it wakes nobody."""
    row, marker_row = ".".join(map(str, device)), ".".join(map(str, marker))
    of_device = (
        mibs.HR_PRINTER_STATUS,
        mibs.HR_PRINTER_ERRORS,
        mibs.HR_DEVICE_STATUS,
        mibs.GENERAL_CRITICAL_EVENTS,
        mibs.GENERAL_ALL_EVENTS,
        mibs.GENERAL_CONFIG_CHANGES,
    )
    return [
        f"{mibs.SYS_UPTIME}.0",
        *(f"{column}.{row}" for column in of_device),
        f"{mibs.MARKER_LIFE_COUNT}.{marker_row}",
        f"{mibs.MARKER_UNIT}.{marker_row}",
    ]


STATE_COLUMNS = (
    mibs.SYS_UPTIME,
    mibs.HR_PRINTER_STATUS,
    mibs.HR_PRINTER_ERRORS,
    mibs.HR_DEVICE_STATUS,
    mibs.GENERAL_CRITICAL_EVENTS,
    mibs.GENERAL_ALL_EVENTS,
    mibs.GENERAL_CONFIG_CHANGES,
    mibs.MARKER_LIFE_COUNT,
    mibs.MARKER_UNIT,
)


async def collect_state(client: Asked, device: Index, marker: Index) -> Rows:
    """Raises NoAnswer, BadAnswer and AccessRefused."""
    rows = Rows()
    for oid, value in (await client.get(state_objects(device, marker))).items():
        rows.add_object(oid, STATE_COLUMNS, value)
    return rows


async def collect_identity(client: Asked) -> tuple[Rows, Exception | None]:
    """What it is, and its state; and why some of that is not known.

    Raises NoAnswer, BadAnswer and AccessRefused if not even the beginning came."""
    rows = Rows()
    for oid, value in (await client.get([f"{column}.0" for column in SYSTEM])).items():
        rows.add_object(oid, SYSTEM, value)
    troubles: list[Exception] = []
    for column in IDENTITY:
        await _tolerate(partial(_walk, client, (column,), rows), troubles)
    await _tolerate(partial(_ask_maker, client, rows), troubles)
    if is_placeholder(decode(rows).serial):
        await _tolerate(partial(_walk, client, ENTITY, rows), troubles)
    return rows, next(iter(troubles), None)


async def collect_tables(client: Asked, maker: Maker, names: Collection[str] = ALL_TABLES) -> Collected:
    """What is in it, of these tables. A device that falls silent in the middle has told those before.

    Raises AccessRefused."""
    rows = Rows()
    complete: set[str] = set()
    try:
        for name, columns in TABLES.items():
            if name in names:
                await _walk(client, columns, rows)
                complete.add(name)
        if COUNTS in names:
            await _ask_counters(client, maker, rows)
            complete.add(COUNTS)
    except (NoAnswer, BadAnswer) as error:
        return Collected(rows, frozenset(complete), error)
    return Collected(rows, frozenset(complete))


async def collect_all(client: Asked) -> tuple[Reading, Exception | None]:
    """Everything at once, and what ended it before it was whole.

    Raises NoAnswer, BadAnswer and AccessRefused if not even the beginning came."""
    rows, trouble = await collect_identity(client)
    tables = await collect_tables(client, maker_of(rows.first(mibs.SYS_OBJECT_ID)))
    rows.update(tables.rows)
    return decode(rows), tables.trouble or trouble


async def _tolerate(question: Callable[[], Awaitable[None]], troubles: list[Exception]) -> None:
    """One question that is not answered does not end the others."""
    if len(troubles) < MAX_SILENT:
        try:
            await question()
        except (NoAnswer, BadAnswer) as error:
            troubles.append(error)


async def _walk(client: Asked, columns: Sequence[str], rows: Rows) -> None:
    for column in columns:
        if column in NEEDS and not any(map(rows.has, NEEDS[column])):
            continue
        for index, value in (await client.walk(column)).items():
            rows.add(column, index, value)


async def _ask_maker(client: Asked, rows: Rows) -> None:
    maker = maker_of(rows.first(mibs.SYS_OBJECT_ID))
    objects = maker.serial + maker.firmware
    if objects:
        for oid, value in (await client.get(objects)).items():
            rows.add(oid, (), value)


async def _ask_counters(client: Asked, maker: Maker, rows: Rows) -> None:
    objects = [oid for counter in maker.counters for oid in counter.plus + counter.minus]
    if objects:
        for oid, value in (await client.get(list(dict.fromkeys(objects)))).items():
            rows.add(oid, (), value)
