"""Objects of makers' own MIBs: the serial number and the firmware where the standard row is missing or empty, pages in
all and by kind, levels of supplies where the standard row tells only that there is some. Each stands in the maker's
MIB, in recordings of such printers, or is read so by at least two programs that do not know of one another.

The maker is the number behind 1.3.6.1.4.1 in the printer's sysObjectID; some sell another's printers under their name.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from agent.printers.mibs import ENTERPRISES

TONERS = frozenset({"toner", "tonerCartridge", "ink", "inkCartridge"})
MONO, COLOR, DUPLEX, MONO_LARGE, COLOR_LARGE = "mono", "color", "duplex", "mono_large", "color_large"


class Sum(NamedTuple):
    """Objects by their full numbers: those that are told together, without those to be taken away."""

    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()


class Picked(NamedTuple):
    """The sum of a column over the rows in which each of these other columns has one of these values; texts are
    compared as they are read."""

    values: str
    where: tuple[tuple[str, frozenset[int | str]], ...]


class Packed(NamedTuple):
    """A number in Brother's lists of bytes: a code, 1, how many bytes follow, these bytes; again and again."""

    oid: str
    code: int


Count: TypeAlias = Sum | Picked | Packed


class PageCounter(NamedTuple):
    """Of several of one kind the first that is told counts."""

    kind: str
    of: Count


class NamedLevels(NamedTuple):
    """Columns of toners: their names, of which the colour counts, and what is left in percent; -100 is empty."""

    names: str
    percent: str


class PackedLevel(NamedTuple):
    """What is left, in hundredths of a percent, or as a level and a capacity of a byte each."""

    types: frozenset[str]
    color: str | None  # None: of all colours together
    of: tuple[Packed, ...]


class Maker(NamedTuple):
    """Objects by their full numbers, the best first."""

    serial: tuple[str, ...] = ()
    firmware: tuple[str, ...] = ()
    total: tuple[Sum | Packed, ...] = ()  # pages in all, where no marker of the standard's counts
    counters: tuple[PageCounter, ...] = ()
    named_levels: NamedLevels | None = None
    packed_levels: tuple[PackedLevel, ...] = ()


def _of(maker: int, *objects: str) -> tuple[str, ...]:
    return tuple(f"{ENTERPRISES}.{maker}.{one}" for one in objects)


def _sum(maker: int, root: str, *objects: str) -> Sum:
    return Sum(tuple(f"{ENTERPRISES}.{maker}.{root}.{one}" for one in objects))


def _hp() -> Maker:
    counts = "2.3.9.4.2.1.4.1.2"  # status-prt-eng
    (impressions, color, duplex) = _of(11, f"{counts}.5.0", f"{counts}.7.0", f"{counts}.22.0")
    return Maker(
        serial=_of(11, "2.3.9.4.2.1.1.3.3.0"),
        firmware=_of(11, "2.3.9.4.2.1.1.3.6.0", "2.3.9.4.2.1.1.3.5.0"),
        total=(Sum((impressions,)),),
        counters=(
            PageCounter(COLOR, Sum((color,))),
            PageCounter(MONO, Sum((impressions,), (color,))),
            PageCounter(DUPLEX, Sum((duplex,))),
        ),
    )


def _samsung() -> Maker:
    """scmHrDevCountTable of SAMSUNG-HOST-RESOURCES-EXT-MIB; column 2 is the kind of job, 4 the unit, 6 the colour."""
    table = f"{ENTERPRISES}.236.11.5.11.53.11.2.1"
    printed = (f"{table}.2", frozenset[int | str]({1, 2, 3, 6}))  # prints, copies, faxes that came, reports
    pages = (f"{table}.4", frozenset[int | str]({7, 8}))  # impressions, sheets: not hours
    mono, color = (
        Picked(f"{table}.7", (printed, pages, (f"{table}.6", colors)))
        for colors in (frozenset[int | str]({3}), frozenset[int | str]({1, 2}))
    )
    return Maker(
        serial=_of(236, "11.5.1.1.1.4.0"),
        firmware=_of(236, "11.5.1.1.1.2.0"),
        counters=(PageCounter(MONO, mono), PageCounter(COLOR, color)),
    )


def _xerox() -> Maker:
    counts = "8.53.13.2.1.6.1.20"  # xcmHrDevDetail: impressions that the marker made
    kinds = ((COLOR, "33"), (MONO, "34"), (COLOR_LARGE, "43"), (MONO_LARGE, "44"))
    return Maker(
        serial=_of(253, "8.53.3.2.1.3.1"),
        total=(_sum(253, counts, "1"),),
        counters=tuple(PageCounter(kind, _sum(253, counts, row)) for kind, row in kinds),
    )


def _ricoh() -> Maker:
    """ricohEngCounterTable; column 2 is what is counted, 5 its name, 9 the count. Not all tell both."""
    table = f"{ENTERPRISES}.367.3.2.1.2.19.5.1"

    def rows(column: str, *keys: int | str) -> Picked:
        return Picked(f"{table}.9", ((f"{table}.{column}", frozenset(keys)),))

    jobs = ("Copy", "FAX", "Print")
    return Maker(
        serial=_of(367, "3.2.1.2.1.4.0"),
        firmware=_of(367, "3.2.1.1.1.2.0"),
        total=(_sum(367, "3.2.1.2.19", "1.0"),),
        counters=(
            PageCounter(MONO, rows("2", 201, 301, 401)),
            PageCounter(COLOR, rows("2", 202, 203, 302, 303, 402, 403)),
            PageCounter(MONO, rows("5", *(f"Counter:{job}:Black & White" for job in jobs))),
            PageCounter(
                COLOR,
                rows(
                    "5",
                    *(f"Counter:{job}:Full Color" for job in jobs),
                    *(f"Counter:{job}:Single/Two-color" for job in jobs),
                    "Counter:Print:Single/Two-col.",
                ),
            ),
        ),
        # ricohEngTonerTable: its rows are not those of the standard, which counts the waste bottle, too.
        named_levels=NamedLevels(*_of(367, "3.2.1.2.24.1.1.3", "3.2.1.2.24.1.1.5")),
    )


def _lexmark() -> Maker:
    """paperGeneralCountTable of LEXMARK-MPS-MIB; column 2 is what is counted, 3 the unit, 4 the count."""
    table = f"{ENTERPRISES}.641.6.4.2.1.1"
    sides = (f"{table}.3", frozenset[int | str]({4}))
    return Maker(
        serial=_of(641, "6.2.3.1.5.1", "2.1.2.1.6.1"),
        firmware=_of(641, "2.1.2.1.4.1"),
        counters=tuple(
            PageCounter(kind, Picked(f"{table}.4", (sides, (f"{table}.2", frozenset[int | str]({counted})))))
            for kind, counted in ((MONO, 3), (COLOR, 4))  # totalMonoSafe, totalColorSafe
        ),
    )


def _toshiba() -> Maker:
    """Totals over printing, copying and fax (2), those on large paper (207): full colour, two colours, black."""
    counts = "2.3.50.1.3.21.6.1"
    return Maker(
        counters=(
            PageCounter(MONO, _sum(1129, counts, "2.1.3")),
            PageCounter(COLOR, _sum(1129, counts, "2.1.1", "2.1.2")),
            PageCounter(MONO_LARGE, _sum(1129, counts, "207.1.3")),
            PageCounter(COLOR_LARGE, _sum(1129, counts, "207.1.1", "207.1.2")),
        )
    )


def _epson() -> Maker:
    counts = "1.2.2.27.1.1"
    return Maker(
        serial=_of(1248, "1.2.2.1.1.1.5.1", "1.2.2.2.1.1.2.1.2"),
        firmware=_of(1248, "1.2.2.2.1.1.2.1.1"),
        counters=(PageCounter(MONO, _sum(1248, counts, "3.1.1")), PageCounter(COLOR, _sum(1248, counts, "4.1.1"))),
    )


def _kyocera() -> Maker:
    """Of UTAX and Triumph-Adler, too. By job (print 1, copy 2, fax 4) and colour (black 1, one colour 2, full 3);
    printers that do nothing else tell them by colour alone."""
    jobs, colors = "42.3.1.2.1.1", "42.2.2.1.1.3.1"
    return Maker(
        serial=_of(1347, "43.5.1.1.28.1"),
        firmware=_of(1347, "43.5.4.1.5.1.1"),
        total=(_sum(1347, "43.10.1.1.12", "1.1"),),
        counters=(
            PageCounter(MONO, _sum(1347, jobs, "1.1", "2.1", "4.1")),
            PageCounter(COLOR, _sum(1347, jobs, "1.2", "1.3", "2.2", "2.3")),
            PageCounter(MONO, _sum(1347, colors, "1")),
            PageCounter(COLOR, _sum(1347, colors, "2")),
            PageCounter(DUPLEX, _sum(1347, "42.2.5.1.1.2", "1")),
        ),
    )


def _canon() -> Maker:
    """Counters by the numbers that its panel shows; small machines have names in a column beside instead."""
    numbered = "1.11.1.3.1.4"
    table = f"{ENTERPRISES}.1602.1.11.2.1.1"

    def named(*names: str) -> Picked:
        return Picked(f"{table}.3", ((f"{table}.2", frozenset[int | str](names)),))

    color = "Total (Full Color + Single Color/"
    return Maker(
        serial=_of(1602, "1.2.1.8.1.3.1.1"),
        firmware=_of(1602, "1.1.1.4.0"),
        total=(_sum(1602, numbered, "101"),),
        counters=(
            PageCounter(MONO, _sum(1602, numbered, "112", "113")),
            PageCounter(MONO, _sum(1602, numbered, "108")),
            PageCounter(COLOR, _sum(1602, numbered, "122", "123")),
            PageCounter(MONO_LARGE, _sum(1602, numbered, "112")),
            PageCounter(COLOR_LARGE, _sum(1602, numbered, "122")),
            PageCounter(MONO, named("Total (Black/Large)", "Total (Black/Small)")),
            PageCounter(MONO, named("Total (Black 1)")),
            PageCounter(COLOR, named(f"{color}Large)", f"{color}Small)")),
            PageCounter(MONO_LARGE, named("Total (Black/Large)")),
            PageCounter(COLOR_LARGE, named(f"{color}Large)")),
        ),
    )


def _oki() -> Maker:
    counts = "1.1.1.1.11.1.10.170.1"
    return Maker(
        serial=_of(2001, "1.1.1.1.11.1.10.45.0"),
        counters=(PageCounter(COLOR, _sum(2001, counts, "6.1")), PageCounter(MONO, _sum(2001, counts, "7.1"))),
    )


def _sharp() -> Maker:
    counts = "1.1.19.2.1.3.5.4"  # totals over printing, copying and fax; their names stand in the column beside
    return Maker(
        counters=(PageCounter(MONO, _sum(2385, counts, "61")), PageCounter(COLOR, _sum(2385, counts, "63", "64")))
    )


def _brother() -> Maker:
    """brInfoCounter and brInfoMaintenance. Its standard rows tell of most cartridges only that there is some."""
    (counts, care) = _of(2435, "2.3.9.4.2.1.5.5.10.0", "2.3.9.4.2.1.5.5.8.0")
    kinds = ((MONO, 0x01), (COLOR, 0x02), (DUPLEX, 0x06))
    levels: tuple[tuple[frozenset[str], str | None, tuple[int, ...]], ...] = (
        (TONERS, "black", (0x6F, 0xA1)),
        (TONERS, "cyan", (0x70, 0xA2)),
        (TONERS, "magenta", (0x71, 0xA3)),
        (TONERS, "yellow", (0x72, 0xA4)),
        (frozenset({"opc"}), "black", (0x80,)),
        (frozenset({"opc"}), "cyan", (0x79,)),
        (frozenset({"opc"}), "magenta", (0x7A,)),
        (frozenset({"opc"}), "yellow", (0x7B,)),
        (frozenset({"opc"}), None, (0x41,)),
        (frozenset({"transferUnit"}), None, (0x69,)),
    )
    return Maker(
        serial=_of(2435, "2.3.9.4.2.1.5.5.1.0"),
        firmware=_of(2435, "2.4.3.1240.6.5.0", "2.3.9.4.2.1.5.5.17.0"),
        total=(Packed(counts, 0x00),),
        counters=tuple(PageCounter(kind, Packed(counts, code)) for kind, code in kinds),
        packed_levels=tuple(
            PackedLevel(types, color, tuple(Packed(care, code) for code in codes)) for types, color, codes in levels
        ),
    )


def _konica() -> Maker:
    counts = "1.1.1.5.7.2"  # copies and prints
    return Maker(
        firmware=_of(18334, "1.1.1.1.6.1.0"),
        total=(_sum(18334, counts, "1.1.0"),),
        counters=(
            PageCounter(MONO, _sum(18334, counts, "2.1.5.1.1", "2.1.5.1.2")),
            PageCounter(COLOR, _sum(18334, counts, "2.1.5.2.1", "2.1.5.2.2")),
            PageCounter(DUPLEX, _sum(18334, counts, "1.3.0")),
        ),
    )


MAKERS: Mapping[int, Maker] = {
    11: _hp(),
    236: _samsung(),
    253: _xerox(),
    367: _ricoh(),
    641: _lexmark(),
    674: Maker(firmware=_of(674, "10898.100.1.1.1.0")),  # Dell
    1129: _toshiba(),
    1248: _epson(),
    1347: _kyocera(),
    1602: _canon(),
    2001: _oki(),
    2385: _sharp(),
    2435: _brother(),
    18334: _konica(),
}
NO_MAKER = Maker()


def maker_of(object_id: object) -> Maker:
    """By a sysObjectID, as text; what is none of these has no objects of its own."""
    if not isinstance(object_id, str) or not object_id.startswith(f"{ENTERPRISES}."):
        return NO_MAKER
    number = object_id[len(ENTERPRISES) + 1 :].partition(".")[0]
    return MAKERS.get(int(number), NO_MAKER) if number.isdecimal() and len(number) <= 6 else NO_MAKER
