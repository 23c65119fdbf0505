"""Texts of printers: whatever their encoding, as people would read them on the panel."""

import codecs
import contextlib

MAX_TEXT_BYTES = 2048  # no text of a printer's MIB is longer than 255
MAX_TEXT_CHARS = 255


def decode_text(value: bytes, charset: str | None = None, max_chars: int = MAX_TEXT_CHARS) -> str:
    """UTF-8 if it is that, else UTF-16 if it looks like it, else `charset`, else the Windows form of Latin-1.

    Padding goes, control characters become spaces. Never raises."""
    value = value[:MAX_TEXT_BYTES]
    wide = _decode_utf16(value, charset)
    text = (_decode_bytes(value, charset) if wide is None else wide).partition("\x00")[0]
    return "".join(one if one.isprintable() else " " for one in text).strip()[:max_chars].rstrip()


def _decode_utf16(value: bytes, charset: str | None) -> str | None:
    """None if it is no UTF-16: with a byte order mark, or every other byte of it NUL in at least half of all places, or
    said to be it and no UTF-8."""
    if value.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return value.decode("utf-16", errors="replace")
    core = value.rstrip(b"\x00")
    if charset is not None and charset.startswith("utf-16") and not _is_utf8(value):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode(charset)
    if b"\x00" not in core:
        return None
    if len(core) % 2:
        core += b"\x00"  # the high half of a little-endian character, taken for padding
    zeros = core[0::2].count(0), core[1::2].count(0)
    if zeros[0] == 0 and zeros[1] * 4 >= len(core):
        return core.decode("utf-16-le", errors="replace")
    if zeros[1] == 0 and zeros[0] * 4 >= len(core):
        return core.decode("utf-16-be", errors="replace")
    return None


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decode_bytes(value: bytes, charset: str | None) -> str:
    value = value.removeprefix(codecs.BOM_UTF8).partition(b"\x00")[0]
    for encoding in ("utf-8", charset, "cp1252"):
        if encoding is not None and not encoding.startswith("utf-16"):
            try:
                return value.decode(encoding)
            except (UnicodeDecodeError, LookupError):
                continue
    return value.decode("latin-1")
