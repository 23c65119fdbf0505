"""A small plot as SVG: panels beside each other, each one figure over the number of devices, both axes logarithmic."""

import math
from collections.abc import Mapping, Sequence

PANEL_WIDTH, PANEL_HEIGHT = 230, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 22, 42, 34
INK, LINE, GRID = "#30343b", "#2864b4", "#dfe3e8"


def render(panels: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """`panels`: title to points (devices, figure), all positive."""
    width = PANEL_WIDTH * len(panels)
    drawn = [_panel(number * PANEL_WIDTH, title, points) for number, (title, points) in enumerate(panels.items())]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {PANEL_HEIGHT}" width="{width}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}">\n'
        f'<rect width="{width}" height="{PANEL_HEIGHT}" fill="white"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _panel(offset: int, title: str, points: Sequence[tuple[float, float]]) -> str:
    first, last = _decades([devices for devices, _ in points])
    low, high = _decades([figure for _, figure in points])
    inner_width, inner_height = PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM

    def x(devices: float) -> float:
        return offset + LEFT + inner_width * (math.log10(devices) - first) / (last - first)

    def y(figure: float) -> float:
        return TOP + inner_height * (high - math.log10(figure)) / (high - low)

    def number(power: int) -> str:
        return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"

    parts = [f'<text x="{offset + 12}" y="18" font-weight="bold">{title}</text>']
    for power in range(low, high + 1):
        at = y(10**power)
        parts.append(f'<path d="M{offset + LEFT} {at:.1f}h{inner_width}" stroke="{GRID}"/>')
        parts.append(f'<text x="{offset + LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{number(power)}</text>')
    for power in range(first, last + 1):
        text = f"{10**power // 1000}k" if power >= 3 else str(10**power)
        parts.append(f'<text x="{x(10**power):.1f}" y="{PANEL_HEIGHT - 14}" text-anchor="middle">{text}</text>')
    line = " ".join(f"{x(devices):.1f},{y(figure):.1f}" for devices, figure in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    for devices, figure in points:
        parts.append(f'<circle cx="{x(devices):.1f}" cy="{y(figure):.1f}" r="3.5" fill="{LINE}"/>')
        text = f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
        anchor = "start" if devices == points[0][0] else "end" if devices == points[-1][0] else "middle"
        parts.append(f'<text x="{x(devices):.1f}" y="{y(figure) - 8:.1f}" text-anchor="{anchor}">{text}</text>')
    return "\n".join(parts)


def _decades(numbers: Sequence[float]) -> tuple[int, int]:
    """The powers of ten below and above all numbers."""
    low, high = math.floor(math.log10(min(numbers))), math.ceil(math.log10(max(numbers)))
    return low, max(high, low + 1)
