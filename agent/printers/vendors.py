"""The few objects of makers' own MIBs that matter: the serial number and the firmware where the standard row is missing
or empty, and pages by kind. Those that stand in recordings of such printers, or that several other programs read so.

The maker is the number behind 1.3.6.1.4.1 in the printer's sysObjectID; some sell another's printers under their name.
"""

from collections.abc import Mapping
from typing import NamedTuple

from agent.printers.mibs import ENTERPRISES


class PageCounter(NamedTuple):
    """Objects that count one kind of pages together; those to be taken away from it."""

    kind: str
    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()


class Maker(NamedTuple):
    """Objects by their full numbers, the best first."""

    serial: tuple[str, ...] = ()
    firmware: tuple[str, ...] = ()
    counters: tuple[PageCounter, ...] = ()


def _of(maker: int, *objects: str) -> tuple[str, ...]:
    return tuple(f"{ENTERPRISES}.{maker}.{one}" for one in objects)


_XEROX_COUNTS = "8.53.13.2.1.6.1.20"  # xcmHrDevDetail: impressions that the marker made
_KONICA_COUNTS = "1.1.1.5.7.2"
_SHARP_COUNTS = "1.1.19.2.1.3.5.4"  # totals over printing, copying and fax; their names stand in the column beside
_HP_COUNTS = "2.3.9.4.2.1.4.1.2"

MAKERS: Mapping[int, Maker] = {
    11: Maker(  # HP
        serial=_of(11, "2.3.9.4.2.1.1.3.3.0"),
        firmware=_of(11, "2.3.9.4.2.1.1.3.6.0", "2.3.9.4.2.1.1.3.5.0"),
        counters=(
            PageCounter("color", _of(11, f"{_HP_COUNTS}.7.0")),
            PageCounter("mono", _of(11, f"{_HP_COUNTS}.5.0"), _of(11, f"{_HP_COUNTS}.7.0")),
            PageCounter("duplex", _of(11, f"{_HP_COUNTS}.22.0")),
        ),
    ),
    236: Maker(serial=_of(236, "11.5.1.1.1.4.0"), firmware=_of(236, "11.5.1.1.1.2.0")),  # Samsung
    253: Maker(  # Xerox
        serial=_of(253, "8.53.3.2.1.3.1"),
        counters=(
            PageCounter("color", _of(253, f"{_XEROX_COUNTS}.33")),
            PageCounter("mono", _of(253, f"{_XEROX_COUNTS}.34")),
            PageCounter("color_large", _of(253, f"{_XEROX_COUNTS}.43")),
            PageCounter("mono_large", _of(253, f"{_XEROX_COUNTS}.44")),
        ),
    ),
    367: Maker(serial=_of(367, "3.2.1.2.1.4.0"), firmware=_of(367, "3.2.1.1.1.2.0")),  # Ricoh
    641: Maker(serial=_of(641, "6.2.3.1.5.1", "2.1.2.1.6.1"), firmware=_of(641, "2.1.2.1.4.1")),  # Lexmark
    674: Maker(firmware=_of(674, "10898.100.1.1.1.0")),  # Dell
    1248: Maker(serial=_of(1248, "1.2.2.1.1.1.5.1")),  # Epson
    1347: Maker(
        serial=_of(1347, "43.5.1.1.28.1"), firmware=_of(1347, "43.5.4.1.5.1.1")
    ),  # Kyocera, UTAX, Triumph-Adler
    1602: Maker(serial=_of(1602, "1.2.1.8.1.3.1.1"), firmware=_of(1602, "1.1.1.4.0")),  # Canon
    2001: Maker(serial=_of(2001, "1.1.1.1.11.1.10.45.0")),  # OKI
    2385: Maker(  # Sharp
        counters=(
            PageCounter("mono", _of(2385, f"{_SHARP_COUNTS}.61")),
            PageCounter("color", _of(2385, f"{_SHARP_COUNTS}.63", f"{_SHARP_COUNTS}.64")),
        ),
    ),
    2435: Maker(serial=_of(2435, "2.3.9.4.2.1.5.5.1.0"), firmware=_of(2435, "2.4.3.1240.6.5.0")),  # Brother
    18334: Maker(  # Konica Minolta: copies and prints
        firmware=_of(18334, "1.1.1.1.6.1.0"),
        counters=(
            PageCounter("mono", _of(18334, f"{_KONICA_COUNTS}.2.1.5.1.1", f"{_KONICA_COUNTS}.2.1.5.1.2")),
            PageCounter("color", _of(18334, f"{_KONICA_COUNTS}.2.1.5.2.1", f"{_KONICA_COUNTS}.2.1.5.2.2")),
            PageCounter("duplex", _of(18334, f"{_KONICA_COUNTS}.1.3.0")),
        ),
    ),
}
NO_MAKER = Maker()


def maker_of(object_id: object) -> Maker:
    """By a sysObjectID, as text; what is none of these has no objects of its own."""
    if not isinstance(object_id, str) or not object_id.startswith(f"{ENTERPRISES}."):
        return NO_MAKER
    number = object_id[len(ENTERPRISES) + 1 :].partition(".")[0]
    return MAKERS.get(int(number), NO_MAKER) if number.isdecimal() and len(number) <= 6 else NO_MAKER
