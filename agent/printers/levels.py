"""Levels and capacities as the Printer MIB and IPP tell them, special values apart."""

from typing import NamedTuple

from agent.printers.reading import Fill

NO_RESTRICTION, UNKNOWN, SOME_LEFT = -1, -2, -3  # RFC 3805; IPP's marker-levels mean the same
SPECIAL = {NO_RESTRICTION: Fill.UNRESTRICTED, UNKNOWN: Fill.UNKNOWN, SOME_LEFT: Fill.SOME_LEFT}
LOW_RATIO = 0.1  # as rules call it low; only people are shown this one
MAX_AMOUNT = 1 << 31
MOST_ABOVE = 2  # times the capacity: more than that no cartridge of high yield holds
UNSIGNED = 1 << 32  # broken agents send -3 as 4294967293


class Amount(NamedTuple):
    level: int | None
    max_capacity: int | None
    ratio: float | None
    state: Fill  # as the level alone says


def judge(
    level: int | None, max_capacity: int | None, low_ratio: float = LOW_RATIO, *, is_percent: bool = False
) -> Amount:
    """What is told, as an amount. A level somewhat above the capacity is that of a full one, and a ratio of 1; one that
    is far above it is told in another unit, and no ratio at all. `is_percent`: a level without a capacity is a share.

    Nothing of a capacity of 0 is a place that holds nothing, not one that is used up."""
    level, max_capacity = _signed(level), _signed(max_capacity)
    capacity = max_capacity if max_capacity is not None and 0 <= max_capacity < MAX_AMOUNT else None
    if level is None or level < 0:
        return Amount(None, capacity, None, SPECIAL.get(level, Fill.UNKNOWN) if level is not None else Fill.UNKNOWN)
    if level >= MAX_AMOUNT:
        return Amount(None, capacity, None, Fill.UNKNOWN)
    ratio = None
    if capacity and level <= MOST_ABOVE * capacity:
        ratio = round(min(1.0, level / capacity), 6)
    if level == 0:
        return Amount(level, capacity, ratio, Fill.UNKNOWN if capacity == 0 else Fill.EMPTY)
    share = level / 100 if ratio is None and is_percent else ratio
    return Amount(level, capacity, ratio, Fill.LOW if share is not None and share <= low_ratio else Fill.OK)


def _signed(value: int | None) -> int | None:
    return value - UNSIGNED if value is not None and value - UNSIGNED in SPECIAL else value


def without_direction(amount: Amount) -> Amount:
    """Of a waste box: makers disagree on whether it is the fill or the room that is told, so little means nothing."""
    return amount._replace(state=Fill.UNKNOWN) if amount.state in (Fill.LOW, Fill.EMPTY) else amount
