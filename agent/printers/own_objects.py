"""What makers' own objects, those of `vendors`, tell of pages and supplies. Pure, and never raises."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from agent.printers import mibs
from agent.printers.colors import color_in
from agent.printers.levels import judge
from agent.printers.reading import Fill, PageCount, Supply
from agent.printers.rows import Rows, Value, to_number
from agent.printers.text import decode_text
from agent.printers.vendors import TONERS, Count, Maker, Packed, Picked, Sum

MAX_COUNT = (1 << 32) - 1  # all ones is what agents say that do not count
EMPTY = -100  # Ricoh's word for it
HUNDRED_PERCENT = 10_000  # Brother's lives are hundredths of a percent
SHORT, LONG = 2, 4  # bytes of a packed number: a level and a capacity, or one number
END = 0xFF


def total_objects(maker: Maker) -> list[str]:
    """What is asked for where no marker of the standard's counts."""
    return _once(oid for count in maker.total for oid in _objects(count))


def count_objects(maker: Maker) -> list[str]:
    """What is asked for one by one, for pages by kind."""
    return _once(oid for counter in maker.counters for oid in _objects(counter.of))


def count_columns(maker: Maker, rows: Rows) -> list[str]:
    """The columns that are walked for kinds which are not told by then."""
    told = {one.kind for one in page_counts(rows, maker)}
    open_ones = [one.of for one in maker.counters if one.kind not in told]
    picked = [one for one in open_ones if isinstance(one, Picked)]
    return _once(column for one in picked for column in (one.values, *(name for name, _ in one.where)))


def level_objects(maker: Maker) -> list[str]:
    return _once(packed.oid for level in maker.packed_levels for packed in level.of)


def level_columns(maker: Maker) -> list[str]:
    return list(maker.named_levels or ())


def total_pages(rows: Rows, maker: Maker) -> int | None:
    return next((pages for one in maker.total if (pages := _count(rows, one)) is not None), None)


def page_counts(rows: Rows, maker: Maker) -> Iterator[PageCount]:
    """Of each kind the first that is told."""
    told = set()
    for counter in maker.counters:
        if counter.kind not in told and (pages := _count(rows, counter.of)) is not None:
            told.add(counter.kind)
            yield PageCount(counter.kind, pages)


def with_levels(supplies: Iterable[Supply], rows: Rows, maker: Maker) -> Iterator[Supply]:
    """With the maker's level where the standard's tells only that there is some, or none without a capacity."""
    listed = list(supplies)
    for supply in listed:
        ratio = None
        if supply.ratio is None and not supply.level and not supply.is_receptacle:
            ratio = _named_ratio(supply, listed, rows, maker)
            ratio = _packed_ratio(supply, listed, rows, maker) if ratio is None else ratio
        yield supply if ratio is None else _with_ratio(supply, ratio)


def _with_ratio(supply: Supply, ratio: float) -> Supply:
    """An alert of the printer's own stands above it."""
    amount = judge(round(ratio * 100), 100)
    is_alerted = supply.level is None and supply.state in (Fill.LOW, Fill.EMPTY)
    return replace(
        supply,
        level=amount.level,
        max_capacity=amount.max_capacity,
        unit=mibs.PERCENT,
        ratio=round(ratio, 4),
        state=supply.state if is_alerted else amount.state,
    )


def _named_ratio(supply: Supply, supplies: list[Supply], rows: Rows, maker: Maker) -> float | None:
    if maker.named_levels is None or supply.type not in TONERS or supply.color is None:
        return None
    names, percent = maker.named_levels
    same = [index for index in rows.indices(names) if _color(rows.get(names, index)) == supply.color]
    if len(same) != 1 or sum(one.color == supply.color and one.type in TONERS for one in supplies) != 1:
        return None
    level = rows.number(percent, same[0])
    if level == EMPTY:
        return 0.0
    return level / 100 if level is not None and 0 <= level <= 100 else None


def _color(value: Value) -> str | None:
    return color_in(decode_text(value)) if isinstance(value, bytes) else None


def _packed_ratio(supply: Supply, supplies: list[Supply], rows: Rows, maker: Maker) -> float | None:
    """Of the one supply that can be meant."""
    for level in maker.packed_levels:
        meant = [one for one in supplies if one.type in level.types and _is_of_color(one, level.color)]
        if meant == [supply]:
            for packed in level.of:
                if (ratio := _ratio(unpack(rows.get(packed.oid, ())).get(packed.code))) is not None:
                    return ratio
    return None


def _is_of_color(supply: Supply, color: str | None) -> bool:
    """A printer without colours does not say that it prints black."""
    return supply.color == color or (supply.color is None and color == "black")


def _ratio(value: bytes | None) -> float | None:
    if value is None or len(value) not in (SHORT, LONG):
        return None
    level, capacity = (value[0], value[1]) if len(value) == SHORT else (int.from_bytes(value, "big"), HUNDRED_PERCENT)
    return level / capacity if capacity and level <= capacity else None


def unpack(value: Value) -> dict[int, bytes]:
    """Brother's list: by code the bytes of each number; what is not such a list, or broken off, as far as it goes."""
    found: dict[int, bytes] = {}
    if not isinstance(value, bytes):
        return found
    at = 0
    while at + 3 <= len(value) and value[at] != END:
        code, size = value[at], value[at + 2]
        content = value[at + 3 : at + 3 + size]
        if len(content) < size:
            break
        found.setdefault(code, content)
        at += 3 + size
    return found


def _once(objects: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(objects))


def _objects(count: Count) -> tuple[str, ...]:
    if isinstance(count, Sum):
        return count.plus + count.minus
    return (count.oid,) if isinstance(count, Packed) else ()


def _count(rows: Rows, count: Count) -> int | None:
    """None if nothing is told, or not all that is to be taken away."""
    if isinstance(count, Packed):
        content = unpack(rows.get(count.oid, ())).get(count.code)
        return None if content is None or len(content) != LONG else _sane(int.from_bytes(content, "big"))
    if isinstance(count, Picked):
        indices = (index for index in rows.indices(count.values) if _is_picked(rows, count, index))
        return _add(rows.get(count.values, index) for index in indices)
    minus = [rows.number(oid, ()) for oid in count.minus]
    total = _add(rows.get(oid, ()) for oid in count.plus)
    return None if total is None or None in minus else max(0, total - sum(one or 0 for one in minus))


def _is_picked(rows: Rows, picked: Picked, index: tuple[int, ...]) -> bool:
    return all(_key(rows.get(column, index)) in keys for column, keys in picked.where)


def _key(value: Value) -> int | str | None:
    number = to_number(value)
    if number is not None:
        return number
    return decode_text(value) if isinstance(value, bytes) else None


def _add(values: Iterable[Value]) -> int | None:
    told = [number for value in values if (number := _sane(to_number(value))) is not None]
    return sum(told) if told else None


def _sane(number: int | None) -> int | None:
    return number if number is not None and 0 <= number < MAX_COUNT else None
