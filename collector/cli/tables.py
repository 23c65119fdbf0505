"""Rows as people read them: a table where the terminal has room for it, else a block of fields for each row.

Nothing is cut off, since half an id or half a day is of no use to who reads it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import click

NOTHING = "-"
MAX_WORD_CHARS = 40  # a longer word is broken, rather than make its table too wide
_GAP = 2  # between two cells
_SECONDS = re.compile(r"^(\d{4}-\d{2}-\d{2} \d{2}:\d{2}):\d{2} ")

Cells = Sequence[Sequence[str]]


def iso(at: datetime | None) -> str | None:
    """ISO 8601 in UTC with a Z, to the millisecond."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(value: object) -> object:
    """What JSON has no form of, as it is printed. Raises TypeError."""
    if isinstance(value, datetime):
        return iso(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def printable(text: str) -> str:
    """`text` without control characters: host names come from strangers, and a terminal obeys escape sequences."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def to_text(value: object) -> str:
    """A value on one line."""
    if value is None or value in ([], {}):
        return NOTHING
    match value:
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")  # people read their own zone
        case list() if not any(isinstance(one, dict | list) for one in value):
            return ", ".join(map(to_text, value))
        case dict() | list():
            return printable(json.dumps(value, default=to_json, ensure_ascii=False))
        case _:
            return printable(str(value))


def aligned(lines: Cells) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def fields_of(row: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Lines of a name and a value; a list of things has a line for each of them."""
    for name, value in row.items():
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            for place, one in enumerate(value):
                yield "" if place else name, ", ".join(f"{key} {to_text(part)}" for key, part in one.items())
        else:
            yield name, to_text(value)


def print_on_terminal(columns: Sequence[str], cells: Cells) -> None:
    """A table as wide as the terminal at most. Where that is too narrow, columns without a value are left out, then
    cells are broken between words, and at last each row is a block of its fields."""
    from rich import box  # noqa: PLC0415 - only a terminal needs it
    from rich.cells import cell_len  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Column, Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    cells = [[_SECONDS.sub(r"\1 ", cell) for cell in line] for line in cells]
    wide = [[cell_len(cell) for cell in column] for column in zip(columns, *cells, strict=True)]
    if sum(map(max, wide)) + _GAP * (len(columns) - 1) > console.width:
        kept = [place for place in range(len(columns)) if any(line[place] not in (NOTHING, "") for line in cells)]
        columns = [columns[place] for place in kept]
        cells = [[line[place] for place in kept] for line in cells]
    by_column = list(zip(columns, *cells, strict=True))
    widths = _widths(
        [max(map(cell_len, column)) for column in by_column],
        [min(MAX_WORD_CHARS, max(cell_len(word) for cell in column for word in cell.split())) for column in by_column],
        console.width - _GAP * (len(columns) - 1),
    )
    if widths is None:
        click.echo("\n\n".join(_block(columns, line) for line in cells))
        return
    headers = [Column(name, width=width, overflow="fold") for name, width in zip(columns, widths, strict=True)]
    table = Table(*headers, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, _GAP - 1, 0, 0), show_edge=False)
    for line in cells:
        table.add_row(*map(Text, line))
    console.print(table)


def _block(columns: Sequence[str], line: Sequence[str]) -> str:
    longest = max(map(len, columns))
    told = [(name, cell) for name, cell in zip(columns, line, strict=True) if cell not in (NOTHING, "")]
    return "\n".join(f"{name.ljust(longest)}  {cell}" for name, cell in told)


def _widths(wanted: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Of each column, `room` in all: the widest give way first, none below its `least`. None if there is no way."""
    if sum(least) > room:
        return None
    widths = [min(width, room) for width in wanted]
    while sum(widths) > room:
        widest = max((place for place in range(len(widths)) if widths[place] > least[place]), key=widths.__getitem__)
        widths[widest] -= 1
    return widths
