"""Which currencies there are."""

from functools import cache


def is_currency(code: str) -> bool:
    """Whether it is the code (ISO 4217) of money that is legal tender somewhere today."""
    return code in _in_use()


@cache
def _in_use() -> frozenset[str]:
    from babel.core import get_global  # noqa: PLC0415 - Babel takes a while to load, and few commands ask
    from babel.numbers import get_territory_currencies  # noqa: PLC0415

    return frozenset(
        code for territory in get_global("territory_currencies") for code in get_territory_currencies(territory)
    )
