"""Pages that a printer made, from its life counter. Pure.

A counter goes back when the board or the whole printer was replaced: what the new one says is where counting begins
anew, and is no page. One that was told wrongly once, and then as before, has made no page either. So nothing is ever
counted that was not seen to rise."""

from dataclasses import dataclass

MAX_PAGES_PER_SECOND = 5.0  # the fastest presses make 300 a minute; what rises faster was set, not printed


@dataclass(frozen=True, slots=True)
class Counter:
    value: float
    high: float  # the most that it ever said
    at: float  # Unix seconds


def count(before: Counter | None, value: float, at: float) -> tuple[Counter, int]:
    """The counter as it is now, and the pages since."""
    if before is None:
        return Counter(value, value, at), 0
    after = Counter(value, max(value, before.high), at)
    since = before.high if before.value < before.high <= value else before.value
    pages = value - since
    if pages <= 0 or pages > MAX_PAGES_PER_SECOND * max(60.0, at - before.at):
        return after, 0
    return after, round(pages)
