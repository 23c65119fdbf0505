"""What a Nagios plugin prints: a line for people, and figures behind a bar.

Source: the developer guidelines of the monitoring plugins and the plugin API of Nagios Core. Plugins bend both: decimal
commas, figures on any line, items that are no figures. What cannot be read is left out; it says nothing of the check.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_LABEL_CHARS = 200
NUMBER = r"[-+]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
VALUE = re.compile(rf"(?P<value>{NUMBER}|U)(?P<unit>[^0-9;\s]{{0,16}})")
QUOTED = re.compile(r"'((?:[^']|'')*+)'")
PLAIN = re.compile(r"[^\s=]*")
WORD = re.compile(r"\S*")
DECIMAL_COMMA = re.compile(r"(?<=[0-9]),(?=[0-9])")
RANGE = re.compile(r"(?P<inside>@?)(?:(?P<start>~|-?[0-9.]+)?(?P<colon>:))?(?P<end>-?[0-9.]+)?")

# To base units. Plugins count in powers of 1024, whatever they call them.
_BINARY = {prefix: 1024.0**power for power, prefix in enumerate(("", "K", "M", "G", "T", "P"))}
UNITS: dict[str, tuple[str, float]] = {
    "s": ("seconds", 1.0),
    "ms": ("seconds", 1e-3),
    "us": ("seconds", 1e-6),
    "µs": ("seconds", 1e-6),
    "ns": ("seconds", 1e-9),
    "%": ("ratio", 0.01),
    **{f"{prefix}B": ("bytes", factor) for prefix, factor in _BINARY.items()},
    **{f"{prefix}iB": ("bytes", factor) for prefix, factor in _BINARY.items() if prefix},
    "kB": ("bytes", 1024.0),
}
COUNTER = "c"


class Figure(NamedTuple):
    """One item, as it is written: thresholds are texts, since a range is one."""

    label: str
    value: float | None  # None: `U`, the plugin does not know
    unit: str
    warning: str | None = None
    critical: str | None = None
    low: float | None = None
    high: float | None = None


class Output(NamedTuple):
    text: str  # the first line, without its figures
    figures: list[Figure]


class Range(NamedTuple):
    """Values that are well: from `low` to `high`, both included; with `is_inside` those are the ones that are not."""

    low: float
    high: float
    is_inside: bool = False

    @classmethod
    def parse(cls, text: str) -> "Range | None":
        """None if it is no range."""
        found = RANGE.fullmatch(text)
        if found is None or (found["start"] is None and found["end"] is None):
            return None
        start = -math.inf if found["start"] == "~" else to_float(found["start"] or "0")
        end = math.inf if found["end"] is None else to_float(found["end"])
        if start is None or end is None or start > end:
            return None
        return cls(start, end, found["inside"] == "@")


def parse_output(text: str) -> Output:
    """Figures stand behind the bar of the first line, and behind the first bar of the lines after it, to the end."""
    first, *more = text.splitlines() or [""]
    said, _, data = first.partition("|")
    _, _, more_data = "\n".join(more).partition("|")
    return Output(said.strip(), parse_figures(f"{data} {more_data}"))


def parse_figures(data: str) -> list[Figure]:
    """`'label'=value[UOM];[warning];[critical];[min];[max]`, separated by blanks."""
    figures = [make_figure(label, fields.split(";")) for label, fields in split_items(data)]
    return [figure for figure in figures if figure is not None]


def split_items(data: str) -> Iterator[tuple[str, str]]:
    """Label, and what stands behind its `=`, in one pass however broken it is."""
    at = 0
    while at < len(data):
        if data[at].isspace():
            at += 1
            continue
        if data[at] == "'":
            quoted = QUOTED.match(data, at)
            if quoted is None:
                return  # the quote never ends
            label, at = quoted[1].replace("''", "'"), quoted.end()
        else:
            plain = word_at(PLAIN, data, at)
            label, at = plain, at + len(plain)
        if data[at : at + 1] == "=":
            fields = word_at(WORD, data, at + 1)
            at += 1 + len(fields)
            yield label, fields
        else:
            at += len(word_at(WORD, data, at))


def word_at(pattern: re.Pattern[str], data: str, at: int) -> str:
    found = pattern.match(data, at)
    return "" if found is None else found[0]


def make_figure(label: str, fields: list[str]) -> Figure | None:
    """None if there is no figure in it."""
    found = VALUE.fullmatch(fields[0])
    if found is None or not label:
        return None
    value = None if found["value"] == "U" else to_float(found["value"])
    if value is None and found["value"] != "U":
        return None
    warning, critical, low, high = [*(text.strip() for text in fields[1:5]), "", "", "", ""][:4]
    return Figure(
        label[:MAX_LABEL_CHARS],
        value,
        found["unit"],
        DECIMAL_COMMA.sub(".", warning) or None,
        DECIMAL_COMMA.sub(".", critical) or None,
        to_float(low),
        to_float(high),
    )


def to_float(text: str) -> float | None:
    """A finite number, also with a decimal comma."""
    try:
        found = float(text.replace(",", "."))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def to_base(unit: str) -> tuple[str, float]:
    """The base unit, and what a value is to be multiplied with. Another unit stays as it is."""
    return UNITS.get(unit, (unit, 1.0))
