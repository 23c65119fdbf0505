"""Two readings of one printer, by SNMP and by IPP, as one."""

from dataclasses import fields, replace

from agent.printers.reading import Fill, Reading, Supply


def merge(snmp: Reading | None, ipp: Reading | None) -> Reading:
    """SNMP tells more and comes first; IPP fills what it leaves open.

    A table is taken from one of them, whole, so that a supply does not come twice under two names; of the other only
    levels are taken that this one does not know."""
    if snmp is None or ipp is None:
        return snmp or ipp or Reading()
    filled = {
        one.name: getattr(ipp, one.name)
        for one in fields(Reading)
        if _is_open(one.name, getattr(snmp, one.name)) and getattr(ipp, one.name) is not None
    }
    return replace(
        replace(snmp, **filled),
        is_asleep=snmp.is_asleep or ipp.is_asleep,
        supplies=_merge_supplies(snmp.supplies, ipp.supplies),
    )


def _is_open(name: str, value: object) -> bool:
    """An empty table may be one that is not told; no error at all is an answer."""
    return value is None or (value == () and name != "error_states")


def _merge_supplies(own: tuple[Supply, ...], others: tuple[Supply, ...]) -> tuple[Supply, ...]:
    return tuple(_with_level_of(one, own, others) for one in own) if own else others


def _with_level_of(supply: Supply, own: tuple[Supply, ...], others: tuple[Supply, ...]) -> Supply:
    """With the level of its counterpart, if there is one that cannot be mistaken, and it knows more."""
    if supply.ratio is not None or supply.is_receptacle or supply.color is None:
        return supply
    matches = [one for one in others if _is_same(one, supply)]
    if len(matches) != 1 or sum(_is_same(one, supply) for one in own) != 1 or matches[0].ratio is None:
        return supply
    match = matches[0]
    state = supply.state if supply.state in (Fill.LOW, Fill.EMPTY) else match.state
    return replace(
        supply, level=match.level, max_capacity=match.max_capacity, unit=match.unit, ratio=match.ratio, state=state
    )


def _is_same(one: Supply, other: Supply) -> bool:
    return one.color == other.color and _kind(one) == _kind(other)


def _kind(supply: Supply) -> str | None:
    """Without the difference between what is used up and what it comes in."""
    return supply.type.removesuffix("Cartridge") if supply.type else None
