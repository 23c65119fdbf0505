"""The comparison as a picture: a row for each customer, tickets as bars over time, each set of rules in a lane."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape

from collector.backtest.replay import Bar, Outcome

WIDTH, LEFT, RIGHT, TOP = 960, 150, 20, 64
LANE, GAP, MAX_ROWS = 16, 14, 60
MIN_BAR = 2.0
INK, GRID, PAPER = "#30343b", "#dfe3e8", "white"
TICKET, SHADOW, STORM = "#2864b4", "#a9b7c9", "#c0392b"


def render(outcomes: Mapping[str, Outcome], customers: Sequence[str], start: datetime, end: datetime) -> str:
    """An SVG. `outcomes`: by what the set of rules is called, the first on top; `customers` in the rows' order."""
    shown = customers[:MAX_ROWS]
    row = LANE * len(outcomes) + GAP
    height = TOP + row * max(1, len(shown)) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>',
        f'<text x="12" y="20" font-size="14" font-weight="bold">Tickets from {start:%Y-%m-%d} to {end:%Y-%m-%d}</text>',
        *_legend(outcomes),
        *_days(start, end, height),
    ]
    for number, customer in enumerate(shown):
        top = TOP + number * row
        parts.append(f'<text x="12" y="{top + LANE}" font-weight="bold">{escape(customer)}</text>')
        for lane, (name, outcome) in enumerate(outcomes.items()):
            y = top + lane * LANE
            parts.append(f'<path d="M{LEFT} {y + LANE - 2}h{WIDTH - LEFT - RIGHT}" stroke="{GRID}"/>')
            parts += [_bar(bar, y, name, start, end) for bar in outcome.bars if bar.customer == customer]
    if len(customers) > MAX_ROWS:
        parts.append(f'<text x="12" y="{height - 8}">and {len(customers) - MAX_ROWS} customers more</text>')
    return "\n".join([*parts, "</svg>", ""])


def _legend(outcomes: Mapping[str, Outcome]) -> list[str]:
    lanes = ", below: ".join(outcomes)
    words = [("ticket", TICKET), ("shadow ticket", SHADOW), ("storm", STORM)]
    parts = [f'<text x="12" y="38">{"above: " if len(outcomes) > 1 else ""}{escape(lanes)}</text>']
    for place, (word, color) in enumerate(words):
        x = WIDTH - 320 + place * 105
        parts.append(
            f'<rect x="{x}" y="11" width="12" height="10" fill="{color}"/><text x="{x + 17}" y="20">{word}</text>'
        )
    return parts


def _days(start: datetime, end: datetime, height: int) -> list[str]:
    days = max(1, -(-(end - start) // timedelta(days=1)))
    every = -(-days // 12)
    parts = []
    day = start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while day < end:
        x = _x(day, start, end)
        parts.append(f'<path d="M{x:.1f} {TOP - 8}V{height - 26}" stroke="{GRID}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 12}" text-anchor="middle">{day:%d %b}</text>')
        day += timedelta(days=every)
    return parts


def _bar(bar: Bar, y: int, name: str, start: datetime, end: datetime) -> str:
    x = _x(max(bar.opened_at, start), start, end)
    width = max(MIN_BAR, _x(min(bar.resolved_at or end, end), start, end) - x)
    color = SHADOW if bar.is_shadow else STORM if bar.is_storm else TICKET
    until = "still open" if bar.resolved_at is None else f"to {bar.resolved_at:%Y-%m-%d %H:%M}"
    told = escape(f"{name}: {bar.title}, {bar.opened_at:%Y-%m-%d %H:%M} {until} UTC")
    return (
        f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="{LANE - 5}" fill="{color}" fill-opacity="0.8">'
        f"<title>{told}</title></rect>"
    )


def _x(at: datetime, start: datetime, end: datetime) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * ((at - start) / (end - start))
