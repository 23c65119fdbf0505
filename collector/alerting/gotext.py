"""Numbers and formats as Go prints them, and Prometheus's humanize functions on top.

Sources: Go's fmt and strconv; Prometheus's template/template.go, whose output this must equal.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from collector.clock import EPOCH

Value = float | int | str | bool | Mapping[str, str]

LARGE_PREFIXES = ("k", "M", "G", "T", "P", "E", "Z", "Y")
BINARY_PREFIXES = ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")
SMALL_PREFIXES = ("m", "u", "n", "p", "f", "a", "z", "y")
EXPONENT_FROM = 6  # `%g` in its shortest form writes an exponent from 1e+06 on
MAX_INT64 = 2**63 - 1
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(?:inf|infinity|nan)", re.IGNORECASE)


def plain(value: Value) -> str:
    """`value` as `%v` prints it, which is how a template prints what an action yields."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return shortest(value)
        case int() | str():
            return str(value)
        case _:
            return f"map[{' '.join(f'{name}:{value[name]}' for name in sorted(value))}]"


def shortest(value: float) -> str:
    """`%g` without a precision: the fewest digits that read back as the same number, 1e+06 from seven places on."""
    if not math.isfinite(value):
        return _not_finite(value)
    sign, all_digits, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, all_digits)).rstrip("0") or "0"
    point = len(all_digits) + int(exponent) if value else 1  # places before the decimal point
    minus = "-" * sign
    if not -4 <= point - 1 < EXPONENT_FROM:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{minus}{digits[0]}{fraction}e{point - 1:+03d}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    fraction = f".{digits[point:]}" if len(digits) > point else ""
    return f"{minus}{digits[:point].ljust(point, '0')}{fraction}"


def formatted(value: Value, verb: str, flags: str = "", width: int = 0, precision: int | None = None) -> str:
    """One verb of printf: `v s q d t e E f F g G`, flags from `-+ 0`. Value and verb must fit each other."""
    match value:
        case bool():
            text = plain(value)
        case int():
            text = _signed(str(abs(value)), negative=value < 0, flags=flags)
        case float():
            text = _float(value, verb, flags, precision)
        case _:
            text = plain(value)
            text = text if precision is None else text[:precision]
            text = quoted(text) if verb == "q" else text
    return _padded(text, value, flags, width)


def quoted(text: str) -> str:
    """`%q`: a Go string literal."""
    short = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    short |= {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
    return '"' + "".join(short.get(one) or (one if one.isprintable() else _escaped(one)) for one in text) + '"'


def to_float(value: Value) -> float:
    """What Prometheus's functions take for a number. Raises ValueError for text that is none."""
    if isinstance(value, str):
        if NUMBER.fullmatch(value) is None:
            raise ValueError(f"{value[:80]!r} is not a number")
        return float(value)
    if isinstance(value, int | float):
        return float(value)
    raise ValueError("labels are not a number")


def humanize(value: Value) -> str:
    number = to_float(value)
    if number == 0 or not math.isfinite(number):
        return _significant(number)
    if abs(number) >= 1:
        return _scaled(number, 1000, LARGE_PREFIXES)
    return _scaled_up(number)


def humanize1024(value: Value) -> str:
    number = to_float(value)
    if abs(number) <= 1 or not math.isfinite(number):
        return _significant(number)
    return _scaled(number, 1024, BINARY_PREFIXES)


def humanize_percentage(value: Value) -> str:
    return _significant(to_float(value) * 100) + "%"


def humanize_duration(value: Value) -> str:  # noqa: PLR0911 - the source's own cases
    number = to_float(value)
    if not math.isfinite(number):
        return _significant(number)
    if number == 0:
        return _significant(number) + "s"
    if abs(number) < 1:
        return _scaled_up(number) + "s"
    minus, number = "-" * (number < 0), abs(number)
    minutes, seconds = divmod(min(int(number), MAX_INT64), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{minus}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{minus}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{minus}{minutes}m {seconds}s"
    return f"{minus}{_significant(number)}s"


def humanize_timestamp(value: Value) -> str:
    """Unix seconds as Go prints a UTC time. Raises ValueError beyond 64 bits of nanoseconds."""
    number = to_float(value)
    if not math.isfinite(number):
        return _significant(number)
    if abs(number * 1e9) > MAX_INT64:
        raise ValueError(
            f"{shortest(number)} cannot be represented as a nanoseconds timestamp since it overflows int64"
        )
    milliseconds = math.trunc(number * 1e9) // 1_000_000
    at = EPOCH + timedelta(milliseconds=milliseconds)
    fraction = f".{milliseconds % 1000:03d}".rstrip("0") if milliseconds % 1000 else ""
    return f"{at:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def title(text: str) -> str:
    """Each word's first letter in upper case, the rest as it is."""
    before = " "
    letters: list[str] = []
    for letter in text:
        letters.append(letter.upper() if _separates(before) else letter)
        before = letter
    return "".join(letters)


def strip_port(host_port: str) -> str:
    """The host of `host:port` or `[::1]:port`; anything else unchanged."""
    found = re.fullmatch(r"\[([^\[\]]*)\]:[^:\[\]]*|([^:\[\]]*):[^:\[\]]*", host_port)
    return host_port if found is None else (found[1] if found[1] is not None else found[2])


def _float(value: float, verb: str, flags: str, precision: int | None) -> str:
    if not math.isfinite(value):
        text = _not_finite(value)
        return text if "+" in flags else " " + text[1:] if " " in flags and text[0] == "+" else text
    if verb in "vgG" and precision is None:
        text = shortest(abs(value))
    else:
        text = format(abs(value), f".{6 if precision is None else precision}{'g' if verb == 'v' else verb.lower()}")
    negative = math.copysign(1, value) < 0
    return _signed(text.upper() if verb in "EG" else text, negative=negative, flags=flags)


def _signed(digits: str, *, negative: bool, flags: str) -> str:
    return ("-" if negative else "+" if "+" in flags else " " if " " in flags else "") + digits


def _padded(text: str, value: Value, flags: str, width: int) -> str:
    if "-" in flags:
        return text.ljust(width)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if "0" in flags and is_number:
        return text.zfill(width)
    return text.rjust(width)


def _scaled(number: float, step: int, prefixes: Sequence[str]) -> str:
    prefix = ""
    for larger in prefixes:
        if abs(number) < step:
            break
        prefix = larger
        number /= step
    return _significant(number) + prefix


def _scaled_up(number: float) -> str:
    prefix = ""
    for smaller in SMALL_PREFIXES:
        if abs(number) >= 1:
            break
        prefix = smaller
        number *= 1000
    return _significant(number) + prefix


def _significant(number: float) -> str:
    return format(number, ".4g") if math.isfinite(number) else _not_finite(number)


def _not_finite(number: float) -> str:
    return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"


def _separates(letter: str) -> bool:
    if letter.isascii():
        return not (letter.isalnum() or letter == "_")
    return letter.isspace()


def _escaped(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
