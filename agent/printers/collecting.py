"""Which questions make a reading: one small one for its state, walks for its tables, a few for what never changes."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from agent.printers import mibs
from agent.printers.decoding import decode, has_count, is_placeholder
from agent.printers.errors import BadAnswer, NoAnswer
from agent.printers.own_objects import count_columns, count_objects, level_columns, level_objects, total_objects
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
    mibs.GENERAL_LOCALIZATION,
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
    mibs.GENERAL_LOCALIZATION: (mibs.CHARACTER_SET,),
}
MAX_SILENT = 3  # questions without an answer: then it has gone


class Asked(Protocol):
    """An SnmpClient, or what stands for one."""

    async def get(self, objects: Sequence[str]) -> dict[str, Value]: ...
    async def walk(self, column: str) -> dict[Index, Value]: ...


class Collected(NamedTuple):
    rows: Rows
    complete: frozenset[str]  # tables that are whole
    trouble: Exception | None  # the first question that was not answered
    answered: Collection[str]  # columns
    silent: Collection[str]  # columns, while later ones were answered


STATE_OF_DEVICE = (
    mibs.HR_PRINTER_STATUS,
    mibs.HR_PRINTER_ERRORS,
    mibs.HR_DEVICE_STATUS,
    mibs.GENERAL_CRITICAL_EVENTS,
    mibs.GENERAL_ALL_EVENTS,
    mibs.GENERAL_CONFIG_CHANGES,
)
STATE_OF_MARKER = (mibs.MARKER_LIFE_COUNT, mibs.MARKER_UNIT)
STATE_COLUMNS = (mibs.SYS_UPTIME, *STATE_OF_DEVICE, *STATE_OF_MARKER)


def state_objects(device: Index, marker: Index) -> list[str]:
    """The one small question that is asked every time: it wakes nobody."""
    row, marker_row = ".".join(map(str, device)), ".".join(map(str, marker))
    return [
        f"{mibs.SYS_UPTIME}.0",
        *(f"{column}.{row}" for column in STATE_OF_DEVICE),
        *(f"{column}.{marker_row}" for column in STATE_OF_MARKER),
    ]


async def collect_state(client: Asked, objects: Sequence[str]) -> tuple[Rows, frozenset[str]]:
    """Of `state_objects`, and of a maker's own; and those that there are.

    Raises NoAnswer, BadAnswer and AccessRefused."""
    rows = Rows()
    found = await client.get(objects)
    for oid, value in found.items():
        if not rows.add_object(oid, STATE_COLUMNS, value):
            rows.add(oid, (), value)
    return rows, frozenset(found)


async def collect_identity(client: Asked) -> tuple[Rows, Exception | None]:
    """What it is, and its state; and why some of that is not known.

    Raises NoAnswer, BadAnswer and AccessRefused if not even the beginning came."""
    rows = Rows()
    for oid, value in (await client.get([f"{column}.0" for column in SYSTEM])).items():
        rows.add_object(oid, SYSTEM, value)
    troubles: list[Exception] = []
    for column in filter(partial(_is_needed, rows=rows), IDENTITY):
        await _tolerate(partial(_walk, client, (column,), rows), troubles)
    await _tolerate(partial(_ask_maker, client, rows), troubles)
    if is_placeholder(decode(rows).serial):
        await _tolerate(partial(_walk, client, ENTITY, rows), troubles)
    return rows, next(iter(troubles), None)


async def collect_tables(
    client: Asked, maker: Maker, names: Collection[str] = ALL_TABLES, dead: Collection[str] = ()
) -> Collected:
    """What is in it, of these tables. A column that is not answered does not end the others, MAX_SILENT of them do.

    A table is complete without a column that is silent and among the `dead`, which never answered. Raises
    AccessRefused."""
    found = _Tables(client, dead)
    for name, columns in TABLES.items():
        if name in names:
            for column in columns:
                await found.walk(name, column)
    if "supplies" in names:
        for column in level_columns(maker):
            await found.walk("supplies", column)
        await found.ask("supplies", level_objects(maker))
    if COUNTS in names:
        await found.ask(COUNTS, count_objects(maker))
        for column in count_columns(maker, found.rows):
            await found.walk(COUNTS, column)
    complete = frozenset(names) - found.broken()
    return Collected(found.rows, complete, next(iter(found.troubles), None), found.answered, found.silent)


class _Tables:
    """What came so far."""

    def __init__(self, client: Asked, dead: Collection[str]) -> None:
        self.rows = Rows()
        self.troubles: list[Exception] = []
        self.answered: set[str] = set()
        self.silent: set[str] = set()  # while the device answered later questions
        self._client = client
        self._dead = dead
        self._unsure: list[tuple[str, str]] = []  # table and column, since the last answer
        self._broken: set[str] = set()

    def broken(self) -> set[str]:
        """Tables that are not whole."""
        return self._broken | {table for table, _ in self._unsure}

    async def walk(self, table: str, column: str) -> None:
        if not _is_needed(column, self.rows):
            return
        await self._try(table, column, partial(_walk, self._client, (column,), self.rows))

    async def ask(self, table: str, objects: Sequence[str]) -> None:
        if objects:
            await self._try(table, objects[0], partial(_ask, objects, self._client, self.rows))

    async def _try(self, table: str, column: str, question: Callable[[], Awaitable[None]]) -> None:
        if len(self.troubles) >= MAX_SILENT:
            self._broken.add(table)
            return
        try:
            await question()
        except (NoAnswer, BadAnswer) as error:
            self.troubles.append(error)
            self._unsure.append((table, column))
            return
        self.answered.add(column)
        self.silent |= {silent for _, silent in self._unsure}
        self._broken |= {one for one, silent in self._unsure if silent not in self._dead}
        self._unsure.clear()


async def collect_all(client: Asked) -> tuple[Reading, Exception | None]:
    """Everything at once, and what ended it before it was whole.

    Raises NoAnswer, BadAnswer and AccessRefused if not even the beginning came."""
    rows, trouble = await collect_identity(client)
    tables = await collect_tables(client, maker_of(rows.first(mibs.SYS_OBJECT_ID)))
    rows.update(tables.rows)
    return decode(rows), tables.trouble or trouble


def _is_needed(column: str, rows: Rows) -> bool:
    return column not in NEEDS or any(map(rows.has, NEEDS[column]))


async def _tolerate(question: Callable[[], Awaitable[None]], troubles: list[Exception]) -> None:
    """One question that is not answered does not end the others."""
    if len(troubles) < MAX_SILENT:
        try:
            await question()
        except (NoAnswer, BadAnswer) as error:
            troubles.append(error)


async def _walk(client: Asked, columns: Sequence[str], rows: Rows) -> None:
    for column in columns:
        for index, value in (await client.walk(column)).items():
            rows.add(column, index, value)


async def _ask_maker(client: Asked, rows: Rows) -> None:
    maker = maker_of(rows.first(mibs.SYS_OBJECT_ID))
    await _ask([*maker.serial, *maker.firmware, *([] if has_count(rows) else total_objects(maker))], client, rows)


async def _ask(objects: Sequence[str], client: Asked, rows: Rows) -> None:
    if objects:
        for oid, value in (await client.get(objects)).items():
            rows.add(oid, (), value)
