"""From rows of SNMP to a reading. Pure, and never raises: a printer may say anything."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent.printers import mibs
from agent.printers.colors import color_in
from agent.printers.levels import judge, without_direction
from agent.printers.own_objects import MAX_COUNT, page_counts, total_pages, with_levels
from agent.printers.reading import Alert, Cover, Fill, Reading, Supply, Tray
from agent.printers.rows import Index, Rows, Value, to_number
from agent.printers.text import decode_text
from agent.printers.vendors import Maker, maker_of

MAX_SUPPLIES = MAX_TRAYS = MAX_COVERS = 60  # a press with a finisher has half of it
MAX_ALERTS = 100
MAX_CONSOLE_LINES = 16
# Rows of a printer: the first part of their index is that of its device.
DEVICE_COLUMNS = (
    mibs.GENERAL_SERIAL,
    mibs.SUPPLY_LEVEL,
    mibs.SUPPLY_DESCRIPTION,
    mibs.MARKER_LIFE_COUNT,
    mibs.INPUT_LEVEL,
    mibs.ALERT_SEVERITY,
)
NO_SERIAL = frozenset({"na", "none", "null", "unknown", "notavailable", "notset", "notapplicable", "tobefilledbyoem"})
MODEL_IN_TEXT = re.compile(r"\bPID:\s*([^,;]+)")
BEHIND_MODEL = re.compile(r" / |;")
# `SN:VNB3J99999`, `S/N ABC`; without one behind it, nothing.
SERIAL_IN_TEXT = re.compile(r"(?<![A-Za-z])S/?N[:# ]+([A-Za-z0-9-]{4,})")

# `Fuser S/N:`, `Black Toner, PN 006R01509;SN48178080E0000481`
SERIAL_BEHIND = re.compile(r"[\s,;(]*(?:\b[Ss]/?[Nn]\s*[:#]|[;,]\s*SN(?:unknown|\w*\d))")
WASTE_IN_TEXT = re.compile(
    r"(?i)waste|used (toner|ink)|afval|abfall|rest-?(toner|ink)|alttoner|r[ée]cup|usagé|residu|maintenance (box|tank)"
)


def decode(rows: Rows) -> Reading:
    """All that these rows tell."""
    device = find_device(rows)
    charset = _charset(rows, device)
    maker = maker_of(rows.first(mibs.SYS_OBJECT_ID))
    description = _text(rows.first(mibs.SYS_DESCR), charset)
    alerts = _alerts(rows, charset)
    errors = decode_errors(rows.get(mibs.HR_PRINTER_ERRORS, device))
    pages, pages_unit = _pages(rows, maker)
    return Reading(
        model=_text(rows.get(mibs.HR_DEVICE_DESCR, device), charset) or _model_in(description or ""),
        serial=_serial(rows, maker, charset, description),
        firmware=_vendor_text(rows, maker.firmware, charset) or _text(rows.first(mibs.ENTITY_FIRMWARE), charset),
        name=_text(rows.first(mibs.SYS_NAME), charset),
        location=_text(rows.first(mibs.SYS_LOCATION), charset),
        status=_status(rows, device),
        is_asleep=_is_asleep(rows, device, errors, alerts),
        error_states=errors,
        pages=pages,
        pages_unit=pages_unit,
        page_counts=tuple(page_counts(rows, maker)),
        supplies=tuple(with_levels(_supplies(rows, device, charset, alerts), rows, maker)),
        trays=tuple(_trays(rows, device, charset)),
        covers=tuple(_covers(rows, charset)),
        alerts=alerts,
        console=tuple(_console(rows, charset)),
        uptime_seconds=_uptime(rows),
    )


def decode_state(rows: Rows, device: Index, maker: Maker, known: Reading) -> Reading:
    """What is known, with what the one small question of each round tells anew."""
    errors = decode_errors(rows.get(mibs.HR_PRINTER_ERRORS, device))
    pages, pages_unit = _pages(rows, maker)
    return replace(
        known,
        status=_status(rows, device),
        is_asleep=_is_asleep(rows, device, errors, known.alerts),
        error_states=errors,
        pages=pages,
        pages_unit=pages_unit,
        uptime_seconds=_uptime(rows),
    )


def find_marker(rows: Rows) -> Index:
    """The row of the marker that counts: the first that counts pages, else the first."""
    counted = _counting(rows)
    return counted[0] if counted else (*find_device(rows), 1)


def find_device(rows: Rows) -> Index:
    """The printer's index in the table of devices: where printers have rows, or what calls itself one; mostly 1."""
    for column in (mibs.HR_PRINTER_ERRORS, mibs.HR_PRINTER_STATUS):
        for index in rows.indices(column):
            return index[:1]
    for index in rows.indices(mibs.HR_DEVICE_TYPE):
        if rows.get(mibs.HR_DEVICE_TYPE, index) == mibs.HR_DEVICE_PRINTER:
            return index[:1]
    for column in DEVICE_COLUMNS:
        for index in rows.indices(column):
            return index[:1]
    return (1,)


def decode_errors(value: Value) -> tuple[str, ...] | None:
    """hrPrinterDetectedErrorState: none, one, two or more octets, the most significant bit first. None: not told."""
    if not isinstance(value, bytes):
        return None
    return tuple(
        name
        for bit, name in enumerate(mibs.ERROR_STATES)
        if bit // 8 < len(value) and value[bit // 8] & (0x80 >> bit % 8)
    )


def is_placeholder(serial: str | None) -> bool:
    """Whether it is none: nothing, `N/A`, or one sign again and again."""
    bare = re.sub(r"[^a-z0-9]", "", (serial or "").lower())
    return len(set(bare)) < 2 or bare in NO_SERIAL


def stable_label(description: str) -> str:
    """A supply's description without the serial number that some put behind it: a new cartridge is the same series."""
    return SERIAL_BEHIND.split(description, maxsplit=1)[0].strip() or description


def is_waste_box(kind: str | None, description: str | None) -> bool:
    """Whether a supply of this type, or else of this text, is filled and not used up."""
    if kind in mibs.UNTOLD:
        return WASTE_IN_TEXT.search(description or "") is not None
    return kind in mibs.RECEPTACLE_TYPES


def _charset(rows: Rows, device: Index) -> str | None:
    """Of the language that it speaks now, else of its first."""
    current = (*device, rows.number(mibs.GENERAL_LOCALIZATION, device) or 0)
    number = rows.number(mibs.CHARACTER_SET, current)
    number = to_number(rows.first(mibs.CHARACTER_SET)) if number is None else number
    return None if number is None else mibs.CHARSETS.get(number)


def _text(value: Value, charset: str | None) -> str | None:
    """None if there is nothing to be read in it."""
    if isinstance(value, str):
        value = value.encode(errors="replace")
    if not isinstance(value, bytes):
        return None
    return decode_text(value, charset) or None


def _vendor_text(rows: Rows, objects: Iterable[str], charset: str | None) -> str | None:
    return next((text for oid in objects if (text := _text(rows.get(oid, ()), charset))), None)


def _model_in(description: str) -> str | None:
    """Of a sysDescr: what it calls the product, else its beginning."""
    product = MODEL_IN_TEXT.search(description)
    return (product[1] if product else BEHIND_MODEL.split(description, maxsplit=1)[0]).strip() or description or None


def _serial(rows: Rows, maker: Maker, charset: str | None, description: str | None) -> str | None:
    """The first that is a number; else what stands in the place of one."""
    in_text = SERIAL_IN_TEXT.search(description or "")
    found = (
        _text(rows.first(mibs.GENERAL_SERIAL), charset),
        *(_text(rows.get(oid, ()), charset) for oid in maker.serial),
        in_text[1] if in_text else None,
        _text(rows.first(mibs.ENTITY_SERIAL), charset),
    )
    return next((one for one in found if not is_placeholder(one)), next(filter(None, found), None))


def _status(rows: Rows, device: Index) -> str | None:
    of_printer = mibs.PRINTER_STATUS.get(rows.number(mibs.HR_PRINTER_STATUS, device) or 0)
    return of_printer or mibs.DEVICE_STATUS.get(rows.number(mibs.HR_DEVICE_STATUS, device) or 0)


def _uptime(rows: Rows) -> float | None:
    hundredths = to_number(rows.first(mibs.SYS_UPTIME))
    return None if hundredths is None or hundredths < 0 else hundredths / 100


def _is_asleep(rows: Rows, device: Index, errors: tuple[str, ...] | None, alerts: tuple[Alert, ...]) -> bool:
    """As RFC 2790 describes stand-by: running, other, no error; or as an alert says, unless it is at work."""
    if rows.number(mibs.HR_PRINTER_STATUS, device) in mibs.AWAKE:
        return False
    return is_on_stand_by(rows, device, errors) or any(alert.code == mibs.ASLEEP for alert in alerts)


def is_on_stand_by(rows: Rows, device: Index, errors: tuple[str, ...] | None) -> bool:
    statuses = rows.number(mibs.HR_DEVICE_STATUS, device), rows.number(mibs.HR_PRINTER_STATUS, device)
    return statuses == mibs.STAND_BY and not errors


def has_count(rows: Rows) -> bool:
    """Whether a marker of the standard's counts."""
    return bool(_counting(rows))


def _pages(rows: Rows, maker: Maker) -> tuple[int | None, str | None]:
    """Of the first marker that counts pages, else of the first that counts, in whatever unit; where none does, as the
    maker's own object has it."""
    for index in _counting(rows):
        return rows.number(mibs.MARKER_LIFE_COUNT, index), _marker_unit(rows, index)
    pages = total_pages(rows, maker)
    return pages, None if pages is None else "impressions"


def _counting(rows: Rows) -> list[Index]:
    """Markers that count, those that count pages first: some tell an engine's hours in the same table."""
    counting = [index for index in rows.indices(mibs.MARKER_LIFE_COUNT) if _counts(rows, index)]
    return sorted(counting, key=lambda index: not mibs.is_of_pages(_marker_unit(rows, index)))


def _marker_unit(rows: Rows, marker: Index) -> str | None:
    return _name(mibs.UNITS, rows.number(mibs.MARKER_UNIT, marker))


def _counts(rows: Rows, marker: Index) -> bool:
    count = rows.number(mibs.MARKER_LIFE_COUNT, marker)
    return count is not None and 0 <= count < MAX_COUNT


def _supplies(rows: Rows, device: Index, charset: str | None, alerts: tuple[Alert, ...]) -> Iterable[Supply]:
    indices = rows.indices(mibs.SUPPLY_DESCRIPTION, mibs.SUPPLY_TYPE, mibs.SUPPLY_LEVEL, mibs.SUPPLY_MAX_CAPACITY)
    for index in _of_device(indices, device)[:MAX_SUPPLIES]:
        kind = _name(mibs.SUPPLY_TYPES, rows.number(mibs.SUPPLY_TYPE, index))
        unit = _name(mibs.UNITS, rows.number(mibs.SUPPLY_UNIT, index))
        description = _text(rows.get(mibs.SUPPLY_DESCRIPTION, index), charset)
        is_receptacle = (
            is_waste_box(kind, description) or rows.number(mibs.SUPPLY_CLASS, index) == mibs.RECEPTACLE_CLASS
        )
        level, capacity = rows.number(mibs.SUPPLY_LEVEL, index), rows.number(mibs.SUPPLY_MAX_CAPACITY, index)
        amount = judge(level, capacity, is_percent=unit == mibs.PERCENT)
        if is_receptacle:
            amount = without_direction(amount)
        yield Supply(
            index=_row(index),
            description=description or "",
            type=kind,
            color=None if is_receptacle else _colorant(rows, index, charset) or color_in(description or ""),
            level=amount.level,
            max_capacity=amount.max_capacity,
            unit=unit,
            ratio=amount.ratio,
            state=_worse(amount.state, _alerted(index, alerts)),
            is_receptacle=is_receptacle,
        )


def _colorant(rows: Rows, supply: Index, charset: str | None) -> str | None:
    """The value of the colorant that the supply points to: `black`, or what the maker calls it."""
    pointer = rows.number(mibs.SUPPLY_COLORANT, supply)
    if not pointer:
        return None
    text = _text(rows.get(mibs.COLORANT_VALUE, (*supply[:1], pointer)), charset)
    if text is None or text.lower() in ("none", "other", "unknown"):
        return None
    return color_in(text) or text.lower()


def _alerted(supply: Index, alerts: Iterable[Alert]) -> Fill | None:
    """What the printer's own alerts say of a supply: they know more than its level, and the way a waste box counts."""
    codes = {
        alert.code
        for alert in alerts
        if alert.group == mibs.SUPPLIES_GROUP
        and alert.group_index == supply[-1]
        and alert.severity in mibs.BINARY_SEVERITIES
    }
    if codes & mibs.USED_UP:
        return Fill.EMPTY
    return Fill.LOW if codes & mibs.ALMOST_USED_UP else None


def _worse(told: Fill, alerted: Fill | None) -> Fill:
    """Empty as either says; else as the alert does."""
    return Fill.EMPTY if Fill.EMPTY in (told, alerted) else alerted or told


def _trays(rows: Rows, device: Index, charset: str | None) -> Iterable[Tray]:
    indices = rows.indices(mibs.INPUT_LEVEL, mibs.INPUT_MAX_CAPACITY, mibs.INPUT_NAME)
    for index in _of_device(indices, device)[:MAX_TRAYS]:
        unit = _name(mibs.UNITS, rows.number(mibs.INPUT_UNIT, index))
        level, capacity = rows.number(mibs.INPUT_LEVEL, index), rows.number(mibs.INPUT_MAX_CAPACITY, index)
        amount = judge(level, capacity, is_percent=unit == mibs.PERCENT)
        yield Tray(
            index=_row(index),
            name=_text(rows.get(mibs.INPUT_NAME, index), charset),
            description=_text(rows.get(mibs.INPUT_DESCRIPTION, index), charset),
            media=_text(rows.get(mibs.INPUT_MEDIA, index), charset),
            level=amount.level,
            max_capacity=amount.max_capacity,
            unit=unit,
            ratio=amount.ratio,
            state=amount.state,
        )


def _covers(rows: Rows, charset: str | None) -> Iterable[Cover]:
    for index in rows.indices(mibs.COVER_STATUS)[:MAX_COVERS]:
        state = rows.number(mibs.COVER_STATUS, index)
        description = _text(rows.get(mibs.COVER_DESCRIPTION, index), charset)
        yield Cover(_row(index), description or "", None if state is None else mibs.COVER_STATES.get(state))


def _alerts(rows: Rows, charset: str | None) -> tuple[Alert, ...]:
    """One for each condition, in the order of their first rows. Rows say `Ready` too, so all have their severity."""
    found: dict[tuple[str, str, int, str], Alert] = {}
    for index in rows.indices(mibs.ALERT_CODE, mibs.ALERT_SEVERITY):
        group = _name(mibs.ALERT_GROUPS, rows.number(mibs.ALERT_GROUP, index))
        code = _name(mibs.ALERT_CODES, rows.number(mibs.ALERT_CODE, index))
        severity = _name(mibs.SEVERITIES, rows.number(mibs.ALERT_SEVERITY, index))
        alert = Alert(
            severity=severity or "unknown",
            group=group or "unknown",
            group_index=rows.number(mibs.ALERT_GROUP_INDEX, index) or 0,
            code=code or "unknown",
            description=_text(rows.get(mibs.ALERT_DESCRIPTION, index), charset) or "",
        )
        # What has no code is told apart by its words.
        words = alert.description if alert.code in ("other", "unknown") else ""
        key = alert.group, alert.code, alert.group_index, words
        if key not in found or alert.severity in mibs.BINARY_SEVERITIES:
            found[key] = alert  # a row that says it stands outweighs one that says it happened
        if len(found) >= MAX_ALERTS:
            break
    return tuple(found.values())


def _console(rows: Rows, charset: str | None) -> Iterable[str]:
    for index in rows.indices(mibs.CONSOLE_TEXT)[:MAX_CONSOLE_LINES]:
        line = _text(rows.get(mibs.CONSOLE_TEXT, index), charset)
        if line:
            yield line


def _of_device(indices: list[Index], device: Index) -> list[Index]:
    """A print server may hold several printers; what agrees with none is taken as it is."""
    return [index for index in indices if index[:1] == device] or indices


def _row(index: Index) -> str:
    """Without the device's number, which is the same for all."""
    return ".".join(map(str, index[1:] or index))


def _name(names: Mapping[int, str], number: int | None) -> str | None:
    """What a number means; one that the standards do not know stays a number."""
    return None if number is None else names.get(number, str(number))
